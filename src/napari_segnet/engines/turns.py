"""Who computes on a device: one network alone, or several small pieces beside each other.

Two networks at once would each take the memory that was free for one. Small pieces need little of
it, and leave threads idle that wait for each other.
"""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextvars import ContextVar

from napari_segnet.progress import check_cancelled

__all__ = ["at_once", "small_at_once", "turn"]

LOOK_SECONDS = 0.1
"""How often a job that waits for a device looks whether it was cancelled."""

_at_once: ContextVar[int] = ContextVar("_at_once", default=1)


class _Device:
    """Who holds a device at the moment."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders, self._alone = 0, False

    def take(self, most: int, timeout: float) -> bool:
        """Take it beside ``most - 1`` others who share it, too; tell if that was possible."""

        def is_free() -> bool:
            return not self._alone and self._holders < most

        with self._changed:
            if not self._changed.wait_for(is_free, timeout):
                return False
            self._holders, self._alone = self._holders + 1, most == 1
            return True

    def leave(self) -> None:
        """Give it back."""
        with self._changed:
            self._holders, self._alone = self._holders - 1, False
            self._changed.notify_all()


_devices: defaultdict[str, _Device] = defaultdict(_Device)
"""Of all engines: they share the memory and the cores of a device."""


@contextlib.contextmanager
def turn(device: str, most: int = 1) -> Iterator[None]:
    """Hold a device; wait until it is free, unless the job is cancelled meanwhile.

    Parameters
    ----------
    device : str
        Such as ``cpu``.
    most : int
        How many may hold it at once; each of them says so. Who wants it alone waits until nobody
        holds it, also while others who share it come and go.
    """
    held = _devices[device]
    while not held.take(most, LOOK_SECONDS):
        check_cancelled()
    try:
        yield
    finally:
        held.leave()


@contextlib.contextmanager
def small_at_once(count: int) -> Iterator[None]:
    """Let an engine answer small pieces of this thread beside those of ``count - 1`` others."""
    token = _at_once.set(count)
    try:
        yield
    finally:
        _at_once.reset(token)


def at_once() -> int:
    """Return how many small pieces may be answered beside each other."""
    return _at_once.get()

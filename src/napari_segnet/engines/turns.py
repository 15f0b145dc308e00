"""One network at a time on a device: two would each take the memory that was free for one."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator

from napari_segnet.progress import check_cancelled

__all__ = ["turn"]

LOOK_SECONDS = 0.1
"""How often a job that waits for a device looks whether it was cancelled."""

_turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""Of all engines: they share the memory and the cores of a device."""


@contextlib.contextmanager
def turn(device: str) -> Iterator[None]:
    """Hold a device; wait until it is free, unless the job is cancelled meanwhile."""
    lock = _turns[device]
    while not lock.acquire(timeout=LOOK_SECONDS):
        check_cancelled()
    try:
        yield
    finally:
        lock.release()

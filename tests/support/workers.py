"""What a worker is told to do in tests: it imports this file, and inherits nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from typing import Any

import numpy as np

from napari_segnet.errors import SettingsError
from napari_segnet.progress import Progress, check_cancelled


def who() -> int:
    """Return the number of the process."""
    return os.getpid()


def doubled(pixels: np.ndarray, add: int = 0) -> np.ndarray:
    """Return twice an array, written into the one that came."""
    pixels *= 2
    return pixels + add


def counted(steps: int) -> Generator[Progress, None, str]:
    """Report each step."""
    for done in range(steps):
        yield Progress(what="step", done=done, total=steps, text=f"step {done}")
    return "counted"


def patient() -> Generator[Progress, None, None]:
    """Work until somebody stops it."""
    yield Progress(what="waiting", text="begun")
    while True:
        check_cancelled()
        time.sleep(0.01)


def deaf() -> Generator[Progress, None, None]:
    """Work, whoever wants it to stop."""
    try:
        yield Progress(what="waiting", text="begun")
    finally:  # it may be told to stop before it goes on
        time.sleep(60)


def end_by(number: int) -> None:
    """End as the system, or a mistake in a library, ends a process."""
    os.kill(os.getpid(), number)
    time.sleep(60)


def leave(code: int) -> None:
    """End at once."""
    os._exit(code)


def refuse() -> None:
    """Fail in words."""
    raise SettingsError("scale is 0. Set more.")


def no_memory() -> None:
    """Fail as a device does."""
    raise MemoryError("for a test")


def only_here() -> Generator[Progress, None, Any]:
    """Return what no other process can take, as where memory is short."""
    yield from ()
    return _OnlyHere()


class _OnlyHere:
    def __reduce__(self) -> tuple[Any, ...]:
        return _taken, (os.getpid(),)


def _taken(home: int) -> _OnlyHere:
    if os.getpid() != home:
        raise MemoryError("for a test")
    return _OnlyHere()


def odd() -> Any:
    """Return what does not pickle."""
    print("printed there", flush=True)  # what a library prints is no message
    return lambda: None


KILL = getattr(signal, "SIGKILL", 9)

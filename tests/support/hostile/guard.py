"""Opens a file while Python tells of all that it runs, writes or starts, and counts what it costs.

The hook that Python tells cannot be taken away again, so it is deaf but within ``watched``.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.putenv"),
    *("subprocess.Popen", "socket.connect", "socket.bind", "socket.sendto", "pty.spawn"),
    *("urllib.Request", "ftplib.connect", "marshal.loads", "pickle.find_class"),
    *("os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.chmod"),
    *("shutil.rmtree", "shutil.move", "webbrowser.open", "ctypes.dlopen", "sys.addaudithook"),
)
OURS = tuple(
    str(Path(one).resolve()) for one in (*sys.path, sys.prefix, sys.base_prefix, os.__file__) if one
)
"""Where code may lie that runs: the package, its tests, what is installed."""


@dataclass(slots=True)
class Watch:
    """What was seen in one thread."""

    thread: int
    seen: list[str] = field(default_factory=list)
    seconds: float = 0.0
    nbytes: int = 0


_WATCHES: list[Watch] = []
_HOOKED: list[bool] = []


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if not _WATCHES or threading.get_ident() != _WATCHES[-1].thread:
        return
    if event == "exec":
        file = getattr(args[0], "co_filename", "?")
        own = sys._getframe(1).f_code.co_filename == typing.__file__  # our own annotations
        if not own and not file.startswith((*OURS, "<frozen")) and not _imports():
            _WATCHES[-1].seen.append(f"ran code of {file}")
    elif event == "import" and not _imports():
        if any(isinstance(part, str) and "trap" in part for part in args):
            _WATCHES[-1].seen.append(f"imported {args[0]}")
    elif event == "open":
        mode = args[1] if isinstance(args[1], str) else ""
        if set(mode) & set("wax+") and str(args[0]) != os.devnull:
            _WATCHES[-1].seen.append(f"wrote {args[0]}")
    elif event in FORBIDDEN and not _imports():
        _WATCHES[-1].seen.append(f"{event}{args!r}"[:200])


def _imports() -> bool:
    """Tell if one of our own modules is being imported, whose first use it is."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


@contextlib.contextmanager
def watched() -> Iterator[Watch]:
    """Note all that is run, written or started in this thread, its time and its memory."""
    if not _HOOKED:
        sys.addaudithook(_hear)
        _HOOKED.append(True)
    watch = Watch(thread=threading.get_ident())
    before = _peak(reset=True)
    started = time.thread_time()
    _WATCHES.append(watch)
    try:
        yield watch
    finally:
        _WATCHES.pop()
        watch.seconds = time.thread_time() - started
        watch.nbytes = max(_peak() - before, 0)


def _peak(reset: bool = False) -> int:
    """Return the most memory that this process held since the last reset, in bytes; 0 elsewhere."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        rows = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    row = next((row for row in rows.splitlines() if row.startswith("VmHWM:")), "x 0")
    return int(row.split()[1]) * 1024

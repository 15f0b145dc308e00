"""Who works on a file: a lock beside it, which ends with the process that holds it.

The lock of ``cells.journal`` is the file ``.cells.journal.lock`` in its folder. The operating
system lets go of it when its process ends, however that ends, so a file that is left behind
after a crash has no owner. The lock file itself may stay, and then says nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from typing import Any

__all__ = ["Hold", "hold", "is_held", "lock_path"]

ENDING = ".lock"
"""Of a lock file; its name begins with a dot."""
POLL_S = 0.02


class Hold:
    """A file that is ours until it is released, or until this process ends.

    Parameters
    ----------
    path : Path
        The file.
    lock : FileLock or None
        What holds it; None on a disk that knows no locks.
    """

    def __init__(self, path: Path, lock: Any) -> None:
        self.path = path
        self._lock = lock

    @property
    def locked(self) -> bool:
        """Tell if other processes can see it: not on a disk that knows no locks."""
        return self._lock is not None

    def release(self) -> None:
        """Let others have the file; a second time does nothing."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        # While it is still locked: whoever opened it meanwhile sees that it is gone (see hold).
        with contextlib.suppress(OSError):  # Windows removes no open file, but filelock does
            lock_path(self.path).unlink(missing_ok=True)
        lock.release()


def lock_path(path: Path) -> Path:
    """Return where the lock of a file lies."""
    return path.with_name(f".{path.name}{ENDING}")


def hold(path: Path, wait_s: float = 0.0) -> Hold | None:
    """Make a file ours, whether it exists or not; None if it is another's.

    Parameters
    ----------
    path : Path
        The file, in a folder that exists.
    wait_s : float
        How long to wait for another owner, such as one that only looks.

    Raises
    ------
    OSError
        If no lock file can be made there.
    """
    from filelock import FileLock, Timeout

    if not path.parent.is_dir():  # filelock would make it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    until = time.monotonic() + wait_s
    while True:
        # Of the process, not of a thread: a journal is begun in one and closed in another.
        lock = FileLock(lock_path(path), mode=0o600, thread_local=False)
        try:
            lock.acquire(timeout=max(0.0, until - time.monotonic()), poll_interval=POLL_S)
        except Timeout:
            return None
        except NotImplementedError:  # a disk that knows no locks
            return Hold(path, None)
        if lock_path(path).exists():
            return Hold(path, lock)
        lock.release()  # its owner removed it between our opening and our locking it


def is_held(path: Path) -> bool:
    """Tell if some process, this one included, holds a file."""
    if not lock_path(path).exists():
        return False
    try:
        mine = hold(path)
    except OSError:
        return True  # another user's lock
    if mine is None:
        return True
    mine.release()
    return False

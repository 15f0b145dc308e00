"""Files that are written whole or not at all, and why a disk refused one."""

from __future__ import annotations

import errno
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

__all__ = ["flush", "put_in_place", "temporary", "why", "write_whole"]

ENDING = ".part"
"""Of a file that is not whole yet; its name begins with a dot."""

IN_USE = {5, 32}
"""What Windows says of a file that is open: access denied, sharing violation.
https://learn.microsoft.com/en-us/windows/win32/debug/system-error-codes--0-499-"""
PATIENCE_S = 1.0 if sys.platform == "win32" else 0.0
"""How long a rename is tried: virus scanners and indexers open every new file for a moment."""

REASONS = {
    errno.EBUSY: "another program has that file open; close it there, or choose another name",
    errno.EFBIG: "the file would be larger than that disk takes; choose another folder",
    errno.ENOSPC: "the disk is full; free some space, or choose another folder",
    errno.EDQUOT: "your share of the disk is used up; free some space, or choose another folder",
    errno.ENOENT: "the folder is not there; choose another one",
    errno.EACCES: "you are not allowed to write there; choose another folder",
    errno.EPERM: "you are not allowed to write there; choose another folder",
    errno.EROFS: "that disk is read-only; choose another folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder; choose another folder",
    errno.EEXIST: "a file has the name of the folder; choose another folder",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def temporary(path: Path) -> Path:
    """Return a name beside a file for what is not whole yet; no two callers get the same."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{ENDING}")


def flush(path: Path) -> None:
    """Wait until the disk has a file: some report that they are full only then."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def put_in_place(part: Path, path: Path) -> None:
    """Give a file that is whole its name, in place of one that may have it.

    Raises
    ------
    OSError
        ``EBUSY`` if one of them is open in a program, which only Windows minds.
    """
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            os.replace(part, path)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in IN_USE:
                raise
            # The folder has just taken the new file: it is not the right to write that lacks.
            if time.monotonic() >= until:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path)) from error
        time.sleep(0.05)


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file: nobody ever sees a part of it, and what was there stays until then.

    Parameters
    ----------
    path : Path
        The file; its folder is created.
    write : callable
        Writes the content to the path that it is given.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(path)
    try:
        write(part)
        flush(part)
        put_in_place(part, path)
    finally:
        part.unlink(missing_ok=True)


def why(error: OSError) -> str:
    """Return why the disk refused, and what to do, without a full stop."""
    # numpy and tifffile report a write that was cut short ("40000 requested and 5064 written")
    # without a number; only a full disk does that.
    return REASONS.get(error.errno or errno.ENOSPC, f"{error.strerror or error}")

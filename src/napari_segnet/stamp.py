"""Which bytes a file had when it was opened: its size, time of change and inode."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["Stamp", "is_changed", "stamp_of", "stamps_kept"]

Stamp = tuple[int, int, int]
"""Size in bytes, time of change in ns, inode number (0 where the file system has none)."""


def stamp_of(state: os.stat_result) -> Stamp:
    """Return what changes when a file is written to, or replaced by another of its name."""
    return state.st_size, state.st_mtime_ns, state.st_ino


COARSE_NS = 2_000_000_000
"""Memory cards (FAT) keep times to two seconds, so a copy of a file may differ by that."""


def stamps_kept(paths: Iterable[Path]) -> list[list[int] | None]:
    """Return size in bytes and time of change in ns of each file, to be written down.

    None for a folder, and for what is not there. No inode: a copy is the same picture.
    """
    return [list(stamp_of(path.stat())[:2]) if path.is_file() else None for path in paths]


def is_changed(path: Path, kept: Sequence[int]) -> bool:
    """Tell if a file is another one than when ``stamps_kept`` was asked, whatever the clock did."""
    size, changed, _ = stamp_of(path.stat())
    return size != kept[0] or abs(changed - kept[1]) > COARSE_NS

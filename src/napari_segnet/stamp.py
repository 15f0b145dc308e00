"""Which bytes a file had when it was opened: its size, time of change and inode."""

from __future__ import annotations

import os

__all__ = ["Stamp", "stamp_of"]

Stamp = tuple[int, int, int]
"""Size in bytes, time of change in ns, inode number (0 where the file system has none)."""


def stamp_of(state: os.stat_result) -> Stamp:
    """Return what changes when a file is written to, or replaced by another of its name."""
    return state.st_size, state.st_mtime_ns, state.st_ino

"""How much memory may be used, where scratch files go, and what is refused before it begins.

Both are of the process, as ``TMPDIR`` is, so that they hold for what it starts, too.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile

from napari_segnet.errors import OutputError, SettingsError

__all__ = [
    "LIMIT",
    "SCRATCH",
    "parse_bytes",
    "require_scratch",
    "room_bytes",
    "scratch_folder",
]

LIMIT, SCRATCH = "NAPARI_SEGNET_MEMORY", "NAPARI_SEGNET_SCRATCH"
"""Environment variables: the most memory (``8GB``), and the folder of temporary files."""

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
LEAST_LIMIT = 2**28
"""Python with torch takes some 250 MB before it has read a pixel."""


def parse_bytes(text: str) -> int:
    """Return the bytes that ``8GB``, ``500 MB`` or ``1.5g`` stand for.

    Raises
    ------
    SettingsError
        If it is no size, or one in which nothing runs.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?\s*", text, re.IGNORECASE)
    if found is None:
        raise SettingsError(
            f"{text!r} is no amount of memory. Write a number and its unit, such as 8GB or 500MB."
        )
    size = int(float(found[1]) * UNITS[found[2].upper()])
    if size < LEAST_LIMIT:
        raise SettingsError(
            f"{text} of memory are too few: nothing runs in less than 256MB. Write more, with the "
            "unit, such as 8GB."
        )
    return size


def room_bytes(free: int) -> int:
    """Return how many of the bytes that a machine has left may be taken.

    Parameters
    ----------
    free : int
        What the machine has left.
    """
    limit = os.environ.get(LIMIT, "")
    if not limit.strip():
        return free
    import psutil

    held = psutil.Process().memory_info()
    # Files that are read and written as memory do not count: the system takes their room back.
    used = int(held.rss) - int(getattr(held, "shared", 0))
    return max(0, min(free, parse_bytes(limit) - used))


def scratch_folder() -> str:
    """Return the folder of temporary files: the chosen one, or that of the system."""
    return os.environ.get(SCRATCH) or tempfile.gettempdir()


def require_scratch(need: int, what: str) -> None:
    """Refuse before long work what the folder of temporary files has no room for.

    Parameters
    ----------
    need : int
        Bytes that it takes there.
    what : str
        What takes them, as the subject of a sentence in the plural.

    Raises
    ------
    OutputError
        If there are fewer.
    """
    folder = scratch_folder()
    try:
        free = shutil.disk_usage(folder).free
    except OSError:  # said when a file is made there
        return
    if need > free:
        raise OutputError(
            f"{what} need {need / 1e9:.1f} GB of temporary files in {folder}, where "
            f"{free / 1e9:.1f} GB are free. Free space there, or name a folder on a larger disk "
            "with --scratch."
        )

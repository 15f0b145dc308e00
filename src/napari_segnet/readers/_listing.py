"""What lies in a folder, asked of the system once: there may be 100,000 pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["in_order", "names_in", "natural"]

_PARTS = re.compile(r"\d+|\D+")


def names_in(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the files and of the folders in a folder, in no order."""
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.is_file():
                    files.append(entry.name)
                elif entry.is_dir():
                    folders.append(entry.name)
            except OSError:  # a link to nowhere that can be looked at
                continue
    return files, folders


def in_order(names: Iterable[str]) -> list[str]:
    """Return names in natural order, in which digits count as numbers: 2 before 10."""
    return sorted(names, key=natural)


def natural(name: str) -> list[tuple[int, str]]:
    """Return what sorts a name so."""
    parts = _PARTS.findall(name.lower())
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts] + [(-2, name)]

"""OME-TIFF sets: several files that together are one image, each of which opens it whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["first_of_sets"]

ENDINGS = (".ome.tif", ".ome.tiff")
FILE_NAME = re.compile(r"<UUID[^>]*\bFileName=\"([^\"]+)\"")
"""Where a set names its files
(https://ome-model.readthedocs.io/en/stable/ome-tiff/specification.html)."""


def first_of_sets(paths: Sequence[Path]) -> list[Path]:
    """Return files of a folder without those that belong to the set of one before."""
    if not any(path.name.lower().endswith(ENDINGS) for path in paths):
        return list(paths)  # of 100,000 pictures, looking at each takes a while
    there = set(paths)
    taken: set[Path] = set()
    found: list[Path] = []
    for path in paths:
        if path in taken:
            continue
        found.append(path)
        others = {path.parent / name for name in _names_in_set(path)} & there
        if path in others:
            taken |= others
    return found


def _names_in_set(path: Path) -> set[str]:
    import tifffile

    if not path.name.lower().endswith(ENDINGS):
        return set()
    try:
        with tifffile.TiffFile(path) as tif:
            return set(FILE_NAME.findall(tif.ome_metadata or ""))
    except Exception:
        return set()  # a damaged file is named when it is opened

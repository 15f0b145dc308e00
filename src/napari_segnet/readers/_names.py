"""Names of picture files: their endings, and what is left without them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePath, PurePosixPath

from napari_segnet.readers._address import address_of

__all__ = ["ends_with", "image_stem"]

PACKED = (".nii.gz", ".hdr.gz", ".img.gz")
"""Endings of two parts, which are dropped whole."""


def image_stem(path: Path) -> str:
    """Return the name of a picture without its ending.

    That of ``cells.ome.tif`` is ``cells``, that of ``head.nii.gz`` is ``head``. A folder that
    is one image keeps its whole name, without ``.ome.zarr``; a part ``plate.zarr/A/1/0`` of such
    a folder is ``plate_A_1_0``. The same of addresses.
    """
    if address := address_of(path):
        return _folder_stem(PurePosixPath(address.partition("?")[0].partition("://")[2]))
    if os.path.isdir(path):  # unlike Path.is_dir, False for an impossible name
        return _folder_stem(path.resolve())
    for ending in PACKED:
        if path.name.lower().endswith(ending) and len(path.name) > len(ending):
            return path.name[: -len(ending)]
    stem = path.stem
    return stem[:-4] if stem.lower().endswith(".ome") and len(stem) > 4 else stem


def _folder_stem(folder: PurePath) -> str:
    parts = folder.parts
    for number in reversed(range(len(parts))):
        if parts[number].lower().endswith(".zarr") and len(parts[number]) > len(".zarr"):
            stem = parts[number][: -len(".zarr")]
            stem = stem[:-4] if stem.lower().endswith(".ome") and len(stem) > 4 else stem
            return "_".join([stem, *parts[number + 1 :]])
    return folder.name or "image"


def ends_with(path: Path, suffixes: Iterable[str]) -> bool:
    """Tell if a name has one of these endings, in small or capital letters."""
    name = path.name.lower()
    return any(name.endswith(suffix) and len(name) > len(suffix) for suffix in suffixes)

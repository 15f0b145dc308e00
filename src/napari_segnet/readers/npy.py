"""Arrays saved by ``numpy.save``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_segnet.errors import ImageError
from napari_segnet.image import Image
from napari_segnet.readers._damage import decoding

__all__ = ["NpyReader"]


class NpyReader:
    """``.npy`` files, memory-mapped; two dimensions are rows and columns, more must be named."""

    name = "npy"
    suffixes: tuple[str, ...] = (".npy",)

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell an array by numpy's magic bytes."""
        return head.startswith(b"\x93NUMPY")

    def read(self, path: Path, axes: str | None) -> Image:
        """Map the array; nothing in the file is ever executed (no pickles)."""
        import numpy as np

        with decoding(path, "array"):
            shape, dtype = _header(path)
        if dtype.hasobject:
            raise ImageError(
                f"{path.name} holds Python objects, which would run code when opened. Save a "
                "plain array of numbers with numpy.save."
            )
        if 0 in shape:
            raise ImageError(f"{path.name} is empty: its shape is {shape}. Save it again.")
        if axes is None:
            axes = _assumed_axes(path, shape)
        with decoding(path, "array"):
            data = np.load(path, mmap_mode="r", allow_pickle=False)
        return Image(data=data, axes=axes, name=path.stem, source=str(path))


def _header(path: Path) -> tuple[tuple[int, ...], Any]:
    from numpy.lib import format as npy

    with path.open("rb") as file:
        version = npy.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = npy.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, _, dtype = npy.read_array_header_2_0(file)
        else:  # version 3 exists only for tables with non-ASCII column names
            raise ImageError(
                f"{path.name} is a table or of an unknown npy version {version}. Save a plain "
                "array of numbers with numpy.save."
            )
    return shape, dtype


def _assumed_axes(path: Path, shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "yx"
    if len(shape) < 2:
        raise ImageError(
            f"{path.name} has {'one dimension' if shape else 'a single number'}, but a picture has "
            "at least two dimensions (rows and columns)."
        )
    raise ImageError(
        f"{path.name} has {len(shape)} dimensions {shape}, and an npy file does not say what "
        "they are. Name one axis per dimension out of t, c, z, y, x, for example "
        f"--set axes={ {3: 'zyx', 4: 'tzyx'}.get(len(shape), 'tczyx') }."
    )

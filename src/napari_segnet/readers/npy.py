"""Arrays saved by ``numpy.save``."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.errors import ImageError, Remedy
from napari_segnet.image import Image
from napari_segnet.readers._damage import decoding
from napari_segnet.stamp import Stamp, stamp_of

if TYPE_CHECKING:
    from napari_segnet.readers._lazy import LazyPixels

__all__ = ["NpyReader"]


class NpyReader:
    """``.npy`` files, read lazily; two dimensions are rows and columns, more must be named."""

    name = "npy"
    suffixes: tuple[str, ...] = (".npy",)

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell an array by numpy's magic bytes."""
        return head.startswith(b"\x93NUMPY")

    def read(self, path: Path, axes: str | None) -> Image:
        """Read what its header says; nothing in the file is ever executed (no pickles)."""
        from napari_segnet.readers._file_pixels import FilePixels
        from napari_segnet.readers._views import Transposed

        with decoding(path, "array"):
            shape, columns_first, dtype, offset, stamp = _header(path)
        if dtype.hasobject:
            raise ImageError(
                f"{path.name} holds Python objects, which would run code when opened. Save a "
                "plain array of numbers with numpy.save."
            )
        if any(type(n) is not int or n < 0 for n in shape):
            raise ImageError(
                f"{path.name} is damaged: its shape is {shape}. Copy or export it again."
            )
        if 0 in shape:
            raise ImageError(f"{path.name} is empty: its shape is {shape}. Save it again.")
        if axes is None:
            axes = _assumed_axes(path, shape)
        need = offset + math.prod(shape) * dtype.itemsize
        if need > stamp[0]:
            raise ImageError(
                f"{path.name} is damaged or not complete: it should have {need:,} bytes and has "
                f"{stamp[0]:,}. Copy or export it again."
            )
        data: LazyPixels = FilePixels(
            path, dtype, offset, shape[::-1] if columns_first else shape, stamp
        )
        if columns_first:
            data = Transposed(data)
        return Image(data=data, axes=axes, name=path.stem, source=str(path))


def _header(path: Path) -> tuple[tuple[int, ...], bool, Any, int, Stamp]:
    """Return shape, order, type, bytes before the first number, and which file it is."""
    from numpy.lib import format as npy

    with path.open("rb") as file:
        stamp = stamp_of(os.fstat(file.fileno()))
        version = npy.read_magic(file)
        if version == (1, 0):
            shape, columns_first, dtype = npy.read_array_header_1_0(file)
        elif version in ((2, 0), (3, 0)):  # they differ in the letters of columns' names alone
            shape, columns_first, dtype = npy.read_array_header_2_0(file)
        else:
            raise ImageError(
                f"{path.name} is of an unknown npy version {version}. Save a plain array of "
                "numbers with numpy.save."
            )
        return shape, columns_first and len(shape) > 1, dtype, file.tell(), stamp


def _assumed_axes(path: Path, shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "yx"
    if len(shape) < 2:
        raise ImageError(
            f"{path.name} has {'one dimension' if shape else 'a single number'}, but an image has "
            "at least two dimensions (rows and columns)."
        )
    remedy = Remedy("axes", {3: "zyx", 4: "tzyx"}.get(len(shape), "tczyx"))
    raise ImageError(
        f"{path.name} has {len(shape)} dimensions {shape}, and an npy file does not say what "
        "they are. Name one axis per dimension out of t, c, z, y, x, for example "
        f"{remedy}.",
        remedies=(remedy,),
    )

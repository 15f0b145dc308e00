"""Image: pixels with named axes and, where it is known, a pixel size."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import ImageError, Remedy
from napari_segnet.grid import Grid

__all__ = ["AXES", "Image"]

AXES = "tczyx"
"""Every axis an image may have, slow to fast: time, channel, depth, row, column."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Image:
    """Pixels with named axes.

    Attributes
    ----------
    data : array-like
        numpy, memory map, dask or zarr array, untouched: anything with ``shape``,
        ``dtype`` and basic indexing. Never loaded here.
    axes : str
        One letter per dimension of ``data`` in its own order, out of ``tczyx``.
    pixel_size_um : mapping of str to float
        Micrometres per pixel by axis letter; an unknown axis is absent.
    channel_names : tuple of str
        One name per channel, or empty where unknown.
    channel_sources : tuple of str
        Where each channel comes from, if they come from several pictures; else empty.
    rgb : bool
        True if the channel axis holds red, green, blue.
    name : str
        For people; usually the file's stem.
    source : str or None
        Where the pixels come from, usually a path.
    notes : tuple of str
        What its user should know of how it was read, one sentence each.
    grid : Grid or None
        Where the voxels of a medical image lie in the body; None for others.
    levels : tuple of array-like
        Coarser copies of ``data``, of the same dimensions and extent, the finest first; what
        shrinks the image reads of them. Empty where there are none.
    """

    data: Any
    axes: str
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    channel_sources: tuple[str, ...] = ()
    rgb: bool = False
    name: str = "image"
    source: str | None = None
    notes: tuple[str, ...] = ()
    grid: Grid | None = None
    levels: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        shape = tuple(self.data.shape)
        if len(self.axes) != len(shape):
            remedy = Remedy("axes", "zyx" if len(shape) == 3 else "yx")
            raise ImageError(
                f"{self.name} has {len(shape)} dimensions {shape}, but {len(self.axes)} axis "
                f"names were given ({self.axes!r}). Name one axis per dimension out of 'tczyx', "
                f"for example {remedy}.",
                remedies=(remedy,),
            )
        if len(set(self.axes)) != len(self.axes) or not set(self.axes) <= set(AXES):
            raise ImageError(
                f"The axes {self.axes!r} of {self.name} are not understood. Use each of the "
                "letters t (time), c (channel), z (depth), y (row), x (column) at most once."
            )
        if not {"y", "x"} <= set(self.axes):
            raise ImageError(
                f"{self.name} has the axes {self.axes!r}, but an image needs rows and columns "
                f"(y and x). Name them with {Remedy('axes')}",
                remedies=(Remedy("axes"),),
            )
        if 0 in shape:
            raise ImageError(f"{self.name} is empty: its shape is {shape}. Save it again.")
        _check_dtype(self.name, np.dtype(self.data.dtype))
        for level in self.levels:
            smaller = len(level.shape) == len(shape) and all(map(int.__le__, level.shape, shape))
            if not smaller or np.dtype(level.dtype) != self.data.dtype:
                raise ImageError(
                    f"A coarser copy of {self.name} has the shape {tuple(level.shape)} and the "
                    f"type {level.dtype}, which do not fit {shape} and {self.data.dtype}. Leave "
                    "levels out."
                )

    def __repr__(self) -> str:
        shape = " x ".join(str(n) for n in self.data.shape)
        return f"Image({self.name}: {self.axes} {shape} {self.data.dtype})"

    @property
    def sizes(self) -> dict[str, int]:
        """Length in pixels of each of the five axes; 1 where the image lacks it."""
        own = dict(zip(self.axes, (int(n) for n in self.data.shape), strict=True))
        return {axis: own.get(axis, 1) for axis in AXES}

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of what :meth:`read` returns: native byte order, bool as uint8."""
        return _plain(np.dtype(self.data.dtype))

    @property
    def label_axes(self) -> str:
        """The axes that labels of this image have: its own without channels, slow to fast."""
        return "".join(a for a in AXES if a in self.axes and a != "c")

    def level_for(self, lengths: Mapping[str, int]) -> Image:
        """Return the coarsest copy of the image that is nowhere smaller than what is asked for.

        Parameters
        ----------
        lengths : mapping of str to int
            Pixels wanted along some axes; along the others the copy has those of the image.

        Returns
        -------
        Image
            One of ``levels`` in place of ``data``, without a pixel size; or the image itself.
        """
        for data in reversed(self.levels):
            has = dict(zip(self.axes, (int(n) for n in data.shape), strict=True))
            if all(n >= lengths.get(a, self.sizes[a]) for a, n in has.items()):
                return replace(self, data=data, levels=(), pixel_size_um={}, grid=None)
        return self

    def digest(self) -> str:
        """Return a hash of the pixels and what they mean: the same for the same image only.

        Reads all pixels, plane by plane.
        """
        sizes = self.sizes
        known = hashlib.blake2b(digest_size=16)
        known.update(repr((sizes, self.dtype.str, self.rgb)).encode())
        for t in range(sizes["t"]):
            for z in range(sizes["z"]):
                block = np.ascontiguousarray(self.read(t=t, z=z))
                known.update(block.data.cast("B"))
        return known.hexdigest()

    def read(self, **where: slice | int) -> npt.NDArray[Any]:
        """Read a box of pixels into memory.

        Parameters
        ----------
        **where : slice or int
            What to read of each axis (``t``, ``c``, ``z``, ``y``, ``x``), in pixels;
            an axis not named is read whole. An integer reads one index.

        Returns
        -------
        ndarray
            ``(t, c, z, y, x)`` in the image's own dtype; always five dimensions. Byte-swapped
            pixels come in the machine's order, bool as uint8 0 and 1.
        """
        slices = {a: _as_slice(where.get(a, slice(None))) for a in AXES}
        block = np.asarray(self.data[tuple(slices[a] for a in self.axes)])
        block = block.astype(_plain(block.dtype), copy=False)
        order = [self.axes.index(a) for a in AXES if a in self.axes]
        block = block.transpose(order)
        missing = tuple(i for i, a in enumerate(AXES) if a not in self.axes)
        return np.expand_dims(block, missing)


def _as_slice(index: slice | int) -> slice:
    if isinstance(index, slice):
        return index
    return slice(index, index + 1 or None)  # -1 is the last: slice(-1, 0) would be empty


def _plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.uint8) if dtype == np.bool_ else dtype.newbyteorder("=")


def _check_dtype(name: str, dtype: np.dtype[Any]) -> None:
    """Pixels are whole numbers or floats of at most 64 bits."""
    if dtype.kind in "buif" and dtype.itemsize <= 8:
        return
    kind = {"c": "complex numbers", "O": "Python objects", "V": "records"}.get(dtype.kind)
    raise ImageError(
        f"{name} holds {kind or f'values of type {dtype}'}, but pixels must be whole numbers or "
        "floats of at most 64 bits. Save it as uint8, uint16 or float32"
        + (", for example its magnitude." if dtype.kind == "c" else ".")
    )

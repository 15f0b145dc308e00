"""Pixels as they are meant: turned upright, white taken from zero, colours out of numbers.

Each is an array over another one that changes what is asked for when it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.readers._lazy import Box, LazyPixels

__all__ = ["Converted", "FirstSamples", "Inverted", "PalettePixels", "Transposed", "Turned"]


class Transposed(LazyPixels):
    """All dimensions in the opposite order."""

    def __init__(self, data: Any) -> None:
        super().__init__(data.shape[::-1], data.dtype)
        self._data = data

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        # The steps of an index go down with it, so that a thinned image is read thinly.
        parts = index if isinstance(index, tuple) else (index,)
        if Ellipsis not in parts and len(parts) == self.ndim:
            return np.asarray(self._data[parts[::-1]]).T
        return super().__getitem__(index)

    def _box(self, box: Box) -> npt.NDArray[Any]:
        return np.asarray(self._data[box[::-1]]).T


class PalettePixels(LazyPixels):
    """Colours in place of the numbers of a palette; adds a last dimension of 3.

    Parameters
    ----------
    numbers : array-like
        Unsigned numbers, any shape.
    colours : ndarray
        Palettes, ``(k, n, 3)`` uint8.
    which : ndarray
        Number of the palette of each plane, whole numbers; its dimensions are the first of
        ``numbers``, or none where there is one palette.
    """

    def __init__(
        self, numbers: Any, colours: npt.NDArray[np.uint8], which: npt.NDArray[np.intp]
    ) -> None:
        super().__init__((*numbers.shape, 3), colours.dtype)
        self._numbers = numbers
        self._colours = colours
        self._which = which

    def _box(self, box: Box) -> npt.NDArray[Any]:
        numbers = np.asarray(self._numbers[box[:-1]])
        # A number without a colour takes the last one; damaged palettes have more than numbers.
        most = 1 if numbers.dtype.kind == "b" else np.iinfo(numbers.dtype).max
        last = min(self._colours.shape[-2] - 1, most)
        own = self._which[box[: self._which.ndim]]
        colours = np.empty((*numbers.shape, 3), self.dtype)
        for plane in np.ndindex(own.shape):
            colours[plane] = self._colours[own[plane]][np.minimum(numbers[plane], last)]
        return colours[..., box[-1]]


class FirstSamples(LazyPixels):
    """The first few entries along one axis; a single one loses its dimension.

    Parameters
    ----------
    data : array-like
        Any array with basic indexing.
    axis, keep : int
        Which axis, and how many of its entries.
    squeeze : bool
        False if a single entry keeps its dimension.
    """

    def __init__(self, data: Any, axis: int, keep: int, *, squeeze: bool = True) -> None:
        lengths = list(data.shape)
        lengths[axis : axis + 1] = [] if squeeze and keep == 1 else [keep]
        super().__init__(tuple(lengths), data.dtype)
        self._data = data
        self._axis = axis
        self._squeeze = squeeze and keep == 1

    def _box(self, box: Box) -> npt.NDArray[Any]:
        if not self._squeeze:
            return np.asarray(self._data[box])
        inner: tuple[Any, ...] = (*box[: self._axis], 0, *box[self._axis :])
        return np.asarray(self._data[inner])


class Inverted(LazyPixels):
    """Numbers whose zero is white: ``white - value``, in the same type.

    Parameters
    ----------
    data : array-like
        Unsigned numbers or bool.
    white : int
        The largest number that its bits can hold: it stands for black.
    """

    def __init__(self, data: Any, white: int) -> None:
        super().__init__(data.shape, data.dtype)
        self._data = data
        self._white = white

    def _box(self, box: Box) -> npt.NDArray[Any]:
        block = np.asarray(self._data[box])
        if block.dtype == np.bool_:
            return ~block
        return np.asarray(block.dtype.type(self._white) - block)


class Converted(LazyPixels):
    """Other colours, pixel by pixel, out of all samples along one axis.

    Parameters
    ----------
    data : array-like
        Any array with basic indexing.
    axis : int
        Where its samples are.
    count : int
        How many samples come out.
    convert : callable
        From samples ``(..., n)`` to ``(..., count)``.
    dtype : dtype
        Of what comes out.
    """

    def __init__(
        self,
        data: Any,
        axis: int,
        count: int,
        convert: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
        dtype: npt.DTypeLike,
    ) -> None:
        shape = (*data.shape[:axis], count, *data.shape[axis + 1 :])
        super().__init__(shape, np.dtype(dtype).newbyteorder("="))
        self._data = data
        self._axis = axis
        self._convert = convert

    def _box(self, box: Box) -> npt.NDArray[Any]:
        inner = (*box[: self._axis], slice(None), *box[self._axis + 1 :])
        samples = np.moveaxis(np.asarray(self._data[inner]), self._axis, -1)
        samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
        made = self._convert(samples)[..., box[self._axis]]
        return np.moveaxis(made, -1, self._axis)


class Turned(LazyPixels):
    """A picture turned upright, as the orientation tag of TIFF and EXIF says.

    Parameters
    ----------
    data : array-like
        Any array with basic indexing.
    rows, columns : int
        Which dimensions are rows and columns as stored.
    orientation : int
        2 to 8; TIFF 6.0, page 36: where the stored first row and column belong.
    """

    def __init__(self, data: Any, rows: int, columns: int, orientation: int) -> None:
        self._swap = orientation >= 5
        shape = list(data.shape)
        if self._swap:
            shape[rows], shape[columns] = shape[columns], shape[rows]
        super().__init__(tuple(shape), data.dtype)
        self._data = data
        self._dims = rows, columns
        # In the turned picture: do rows (columns) run against the stored dimension they show?
        self._flip = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)

    def _box(self, box: Box) -> npt.NDArray[Any]:
        inner = list(box)
        rows, columns = self._dims
        for dim, flipped in zip(self._dims, self._flip, strict=True):
            if flipped:
                n = self.shape[dim]
                inner[dim] = slice(n - box[dim].stop, n - box[dim].start)
        if self._swap:
            inner[rows], inner[columns] = inner[columns], inner[rows]
        block = np.asarray(self._data[tuple(inner)])
        if self._swap:
            block = block.swapaxes(rows, columns)
        against = tuple(d for d, flipped in zip(self._dims, self._flip, strict=True) if flipped)
        return np.asarray(np.flip(block, against))

"""Labels that lie in OME-Zarr and are changed there: what is set is set in every level."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.extras import zarr_package
from napari_segnet.readers._damage import decoding
from napari_segnet.readers._lazy import normal_index

__all__ = ["StoredLabels", "ZarrLabels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLabels:
    """Labels in OME-Zarr, as their folder describes them.

    Attributes
    ----------
    levels : tuple of Path
        The arrays, finest first.
    factors : tuple of tuple of int
        For each level and axis, every how many pixels of the finest one it has a pixel.
    zarr_format : int
        2 or 3.
    shape : tuple of int
        Of the finest.
    axes : str
        As stored.
    pixel_size_um : mapping of str to float
        By axis.
    name : str
        Of the labels.
    """

    levels: tuple[Path, ...]
    factors: tuple[tuple[int, ...], ...]
    zarr_format: int
    shape: tuple[int, ...]
    axes: str
    pixel_size_um: Mapping[str, float]
    name: str


class ZarrLabels:
    """The finest level as an array, for a layer of napari: basic indices and those of pixels.

    A pixel of a smaller level is the one at every second, fourth, ... place, as it is where labels
    are written. A copy of it is an array in memory, so that a duplicate of its layer changes no
    file.

    Parameters
    ----------
    stored : StoredLabels
        What lies there.
    """

    def __init__(self, stored: StoredLabels) -> None:
        zarr = zarr_package(stored.name)
        self._stored, self._lock = stored, threading.RLock()
        with decoding(stored.levels[0], "Zarr"):
            self._levels = [
                zarr.open_array(store=str(level), mode="r+", zarr_format=stored.zarr_format)
                for level in stored.levels
            ]
        first = self._levels[0]
        self.shape = tuple(int(n) for n in first.shape)
        self.dtype: np.dtype[Any] = np.dtype(first.dtype)
        self.chunks = tuple(int(n) for n in first.chunks)
        self.ndim, self.size = len(self.shape), int(np.prod(self.shape, dtype=np.int64))
        self.nbytes = self.size * self.dtype.itemsize

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        whole = np.asarray(self[...])
        return whole if dtype is None else whole.astype(dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return ZarrLabels, (self._stored,)

    def __deepcopy__(self, memo: Any) -> npt.NDArray[Any]:
        return np.array(self[...])

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        with self._lock, decoding(self._stored.levels[0], "Zarr"):
            if _of_pixels(index):
                found: npt.NDArray[Any] = np.asarray(self._levels[0].vindex[_places(index)])
                return found
            box, final = normal_index(index, self.shape)
            return np.asarray(np.asarray(self._levels[0][box])[final])

    def __setitem__(self, index: Any, value: Any) -> None:
        with self._lock:
            if _of_pixels(index):
                self._set_pixels(_places(index), value)
            else:
                self._set_box(index, value)

    def _set_pixels(self, places: tuple[npt.NDArray[Any], ...], value: Any) -> None:
        values = np.broadcast_to(np.asarray(value, self.dtype), places[0].shape)
        for array, factors in zip(self._levels, self._stored.factors, strict=True):
            inside = np.ones(places[0].shape, np.bool_)
            for at, factor, n in zip(places, factors, array.shape, strict=True):
                inside &= (at % factor == 0) & (at // factor < n)
            if inside.any():
                small = tuple(a[inside] // f for a, f in zip(places, factors, strict=True))
                array.vindex[small] = values[inside]

    def _set_box(self, index: Any, value: Any) -> None:
        box, final = normal_index(index, self.shape)
        pixels = np.array(self._levels[0][box])
        pixels[final] = value
        self._levels[0][box] = pixels
        for array, factors in zip(self._levels[1:], self._stored.factors[1:], strict=True):
            first = [-(-part.start // f) for part, f in zip(box, factors, strict=True)]
            steps = tuple(
                slice(a * f - part.start, None, f)
                for a, f, part in zip(first, factors, box, strict=True)
            )
            some = pixels[steps]
            target = tuple(
                slice(a, min(a + m, n))
                for a, m, n in zip(first, some.shape, array.shape, strict=True)
            )
            lengths = tuple(slice(0, max(0, part.stop - part.start)) for part in target)
            if some[lengths].size:
                array[target] = some[lengths]


def _of_pixels(index: Any) -> bool:
    """Tell if an index names single pixels: an array of places for each dimension."""
    return isinstance(index, tuple) and any(isinstance(one, np.ndarray | list) for one in index)


def _places(index: tuple[Any, ...]) -> tuple[npt.NDArray[Any], ...]:
    return tuple(np.broadcast_arrays(*(np.asarray(one, np.int64) for one in index)))

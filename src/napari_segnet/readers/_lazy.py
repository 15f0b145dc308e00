"""Arrays that read their pixels when they are asked for them: what all of them share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Box", "LazyPixels", "normal_index"]

Box = tuple[slice, ...]


class LazyPixels:
    """An array with a shape, a dtype and basic indexing (slices, integers, an ellipsis).

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    dtype : numpy dtype
        Of what indexing returns.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries; napari asks for it."""
        return math.prod(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        whole = self[...]
        return whole if dtype is None else whole.astype(dtype)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        box, final = normal_index(index, self.shape)
        return np.asarray(self._box(box)[final])

    def _box(self, box: Box) -> npt.NDArray[Any]:
        """Return the pixels of a box: one slice per dimension, step 1, inside the shape."""
        raise NotImplementedError


def normal_index(index: Any, shape: tuple[int, ...]) -> tuple[Box, tuple[slice | int, ...]]:
    """Split a basic index into the box that must be read and what to take of it.

    Returns
    -------
    box : tuple of slice
        One slice per dimension, step 1, inside the shape.
    final : tuple of slice or int
        Applied to the box it gives the answer.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    if len(parts) > len(shape):
        raise IndexError(f"{len(parts)} indices for {len(shape)} dimensions")
    box: list[slice] = []
    final: list[slice | int] = []
    for part, n in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            picks = range(*part.indices(n))
            first, last = sorted((picks[0], picks[-1])) if picks else (0, -1)
            box.append(slice(first, last + 1))
            final.append(slice(None, None, picks.step) if picks else slice(0, 0))
            continue
        i = int(part) + (n if part < 0 else 0)
        if not 0 <= i < n:
            raise IndexError(f"index {part} is out of range for length {n}")
        box.append(slice(i, i + 1))
        final.append(0)
    return tuple(box), tuple(final)

"""Pad pixels beyond the image's edges, and crop back.

Each axis is mirrored about its outermost pixel (``reflect``: the edge pixel itself is not
repeated); where it is too short for that, its edge pixel is repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

__all__ = ["crop", "pad", "pad_tensor", "source_index"]


def source_index(length: int, before: int, after: int) -> npt.NDArray[np.int64]:
    """Return for each position of a padded axis the position it is copied from.

    Parameters
    ----------
    length : int
        Pixels of the axis.
    before, after : int
        Pixels to add on either side; reflection reaches ``length - 1``, beyond that the
        edge pixel is repeated (on both sides, so that an axis has one rule).
    """
    mode: Any = "reflect" if max(before, after) <= length - 1 else "edge"
    return np.pad(np.arange(length), (before, after), mode=mode)


def pad(
    array: npt.NDArray[Any], before: tuple[int, ...], after: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Pad the last axes of an array.

    Parameters
    ----------
    array : ndarray
        ``(c, [z,] y, x)``, or any leading axes; they are not padded.
    before, after : tuple of int
        Pixels to add at the beginning and the end of each of the last axes.

    Returns
    -------
    ndarray
        The padded array; the array itself where there is nothing to add.
    """
    for axis, index in _indices(array.shape, before, after):
        array = array.take(index, axis)
    return array


def pad_tensor(
    tensor: torch.Tensor, before: tuple[int, ...], after: tuple[int, ...]
) -> torch.Tensor:
    """Pad as :func:`pad` does, on the tensor's own device."""
    import torch

    for axis, index in _indices(tuple(tensor.shape), before, after):
        tensor = tensor.index_select(axis, torch.from_numpy(index).to(tensor.device))
    return tensor


def crop(array: Any, before: tuple[int, ...], lengths: tuple[int, ...]) -> Any:
    """Cut the padding off the last axes; the inverse of :func:`pad`.

    Parameters
    ----------
    array : ndarray or Tensor
        ``(c, [z,] y, x)``, or any leading axes.
    before : tuple of int
        Pixels that were added at the beginning of each of the last axes.
    lengths : tuple of int
        Pixels that each of them had.

    Returns
    -------
    ndarray or Tensor
        A view.
    """
    return array[(..., *(slice(b, b + n) for b, n in zip(before, lengths, strict=True)))]


def _indices(
    shape: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...]
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    first = len(shape) - len(before)
    for axis, (b, a) in enumerate(zip(before, after, strict=True), start=first):
        if b or a:
            yield axis, source_index(shape[axis], b, a)

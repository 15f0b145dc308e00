"""Resampling with splines; where planes lie far apart, each plane on its own: nnU-Net's way.

https://github.com/MIC-DKFZ/nnUNet/blob/master/nnunetv2/preprocessing/resampling (Apache-2.0)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["lone_axis", "resample", "resampled_lengths"]

FLAT = 3.0
"""With so much longer voxels along one axis, interpolation between planes would make ghosts
(``ANISO_THRESHOLD``)."""


def resampled_lengths(
    lengths: Sequence[int], have: Sequence[float], want: Sequence[float]
) -> tuple[int, ...]:
    """Return the lengths at another spacing, at least 1."""
    rows = zip(lengths, have, want, strict=True)
    return tuple(max(1, round(own / other * n)) for n, own, other in rows)


def lone_axis(have: Sequence[float], want: Sequence[float], wish: bool | None) -> int | None:
    """Return the axis that is resampled on its own; None where all are resampled at once.

    Parameters
    ----------
    have, want : sequence of float
        Size of a voxel before and after.
    wish : bool or None
        None: where one of both is three times as long along one axis.
    """
    chosen = next((one for one in (have, want) if max(one) / min(one) > FLAT), None)
    if wish is not None:
        chosen = have if wish else None
    if chosen is None:
        return None
    longest = [axis for axis, size in enumerate(chosen) if size == max(chosen)]
    return longest[0] if len(longest) == 1 else None


def resample(
    array: npt.NDArray[np.floating],
    lengths: tuple[int, ...],
    order: tuple[int, int],
    axis: int | None = None,
) -> npt.NDArray[np.floating]:
    """Return ``(channel, *lengths)`` of ``(channel, *)``, in its dtype.

    Parameters
    ----------
    array : ndarray
        Three axes behind the channels.
    lengths : tuple of int
        The new ones.
    order : tuple of int and int
        Degree of the splines, and of those along ``axis``.
    axis : int or None
        The axis that is resampled on its own, after all planes across it.
    """
    if array.shape[1:] == lengths:
        return array
    out = np.empty((len(array), *lengths), array.dtype)
    for number, channel in enumerate(array):
        values = channel.astype(np.float64)
        if axis is None:
            out[number] = _resized(values, lengths, order[0])
            continue
        plane = tuple(n for a, n in enumerate(lengths) if a != axis)
        planes = [_resized(one, plane, order[0]) for one in np.moveaxis(values, axis, 0)]
        out[number] = _along(np.stack(planes, axis), lengths[axis], axis, order[1])
    return out


def _resized(
    values: npt.NDArray[np.float64], lengths: tuple[int, ...], order: int
) -> npt.NDArray[np.float64]:
    from skimage.transform import resize

    made: Any = resize  # its annotations are not complete
    resized: npt.NDArray[np.float64] = made(
        values, lengths, order, mode="edge", anti_aliasing=False
    )
    return resized


def _along(
    values: npt.NDArray[np.float64], length: int, axis: int, order: int
) -> npt.NDArray[np.float64]:
    """Resample along one axis; the middles of voxels keep their places."""
    old = values.shape[axis]
    if old == length:
        return values
    places = (np.arange(length) + 0.5) * (old / length) - 0.5
    if order == 0:
        nearest = np.clip(np.floor(places + 0.5).astype(np.intp), 0, old - 1)
        taken: npt.NDArray[np.float64] = np.take(values, nearest, axis)
        return taken
    from scipy.ndimage import map_coordinates

    # The spline is fitted along all axes, as there.
    grid = [places if a == axis else np.arange(n) for a, n in enumerate(values.shape)]
    where = np.array(np.meshgrid(*grid, indexing="ij"))
    found: npt.NDArray[np.float64] = map_coordinates(values, where, order=order, mode="nearest")
    return found

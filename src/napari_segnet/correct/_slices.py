"""From slice to slice: copy an object to the next one, or interpolate between two."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.correct._edit import Box, Edit, edit_of, object_in, read
from napari_segnet.errors import EditError

__all__ = ["copy_slice", "interpolate"]

Mask = npt.NDArray[np.bool_]


def copy_slice(
    labels: Any,
    object_id: int,
    axis: int,
    source: int,
    target: int,
    *,
    box: Box | None = None,
    locked: Collection[int] = (),
) -> Edit:
    """Give an object the same shape in another slice as in one; others keep their pixels.

    Parameters
    ----------
    labels : array-like
        numpy, zarr or other.
    object_id : int
        Which object.
    axis : int
        The dimension across the slices.
    source, target : int
        From which slice to which.
    box : tuple of slice, optional
        Where the object lies.
    locked : collection of int
        Objects that do not change.

    Raises
    ------
    EditError
        If there is no such slice, or the object is not in the first one, or there is no room.
    """
    if not 0 <= target < labels.shape[axis]:
        raise EditError("There is no slice behind this one.")
    box, _ = object_in(labels, [object_id], box, locked)
    here = read(labels, _at(box, axis, source)) == object_id
    if not here.any():
        raise EditError(f"Object {object_id} is not in this slice.")
    there = _at(box, axis, target)
    before = read(labels, there)
    after = np.where(before == object_id, np.int32(0), before)
    after[here & (after == 0)] = object_id
    nothing = f"Object {object_id} cannot be copied: it is there already, or others are."
    return edit_of(f"copy {object_id} to slice {target}", there, before, after, locked, nothing)


def interpolate(
    labels: Any,
    object_id: int,
    axis: int,
    *,
    box: Box | None = None,
    locked: Collection[int] = (),
) -> Edit:
    """Fill the slices in which an object is missing between slices in which it is.

    Shapes go over into each other by their signed distances, while their centres move along a
    straight line. Other objects keep their pixels.

    Parameters
    ----------
    labels : array-like
        numpy, zarr or other.
    object_id : int
        Which object.
    axis : int
        The dimension across the slices.
    box : tuple of slice, optional
        Where the object lies.
    locked : collection of int
        Objects that do not change.

    Raises
    ------
    EditError
        If it is missing nowhere in between.
    """
    box, before = object_in(labels, [object_id], box, locked)
    slices = np.moveaxis(before, axis, 0)
    masks = slices == object_id
    there = np.flatnonzero(masks.reshape(len(masks), -1).any(axis=1)).tolist()
    after = before.copy()
    filled = np.moveaxis(after, axis, 0)
    for low, high in pairwise(there):
        for place in range(low + 1, high):
            part = (place - low) / (high - low)
            between = _between(masks[low], masks[high], part)
            filled[place][between & (filled[place] == 0)] = object_id
    nothing = (
        f"Object {object_id} has no empty slice between two that hold it. Draw it in two slices "
        "that are not neighbours."
    )
    return edit_of(f"interpolate {object_id}", box, before, after, locked, nothing)


def _between(one: Mask, other: Mask, part: float) -> Mask:
    """Return the shape on the way from one to the other; part is 0 at the one, 1 at the other."""
    from scipy.ndimage import shift

    first, second = _centre(one), _centre(other)
    centre = (1 - part) * first + part * second
    # What is moved into the box must be known: beyond it there is nothing of the object.
    margin = int(np.ceil(np.abs(second - first).max())) + 2
    inside = np.zeros([n + 2 * margin for n in one.shape], np.float32)
    for mask, own, weight in ((one, first, 1 - part), (other, second, part)):
        far = _signed_distance(np.pad(mask, margin))
        inside += np.float32(weight) * shift(far, centre - own, order=1, mode="nearest")
    shape: Mask = inside[(slice(margin, -margin),) * one.ndim] > 0
    return shape


def _signed_distance(mask: Mask) -> npt.NDArray[np.float32]:
    """Return how far each pixel lies inside (above 0) or outside (below), in pixels."""
    from scipy.ndimage import distance_transform_edt

    # From centre to centre; the border itself is half a pixel nearer.
    inside, outside = distance_transform_edt(mask), distance_transform_edt(~mask)
    signed: npt.NDArray[np.float32] = np.where(mask, inside - 0.5, 0.5 - outside)
    return signed


def _centre(mask: Mask) -> npt.NDArray[np.float64]:
    centre: npt.NDArray[np.float64] = np.argwhere(mask).mean(axis=0)
    return centre


def _at(box: Box, axis: int, index: int) -> Box:
    return tuple(slice(index, index + 1) if d == axis else part for d, part in enumerate(box))

"""Edits of the shape of an object: new, redraw, fill, smooth, grow, shrink."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.correct._edit import (
    Box,
    Edit,
    Labels,
    check_free,
    check_room,
    edit_of,
    listed,
    object_in,
    planes,
    read,
    widen,
)
from napari_segnet.errors import EditError

__all__ = ["fill_holes", "grow", "new_object", "redraw", "shrink", "smooth"]

Mask = npt.NDArray[np.bool_]


def new_object(
    labels: Any, new_id: int, box: Box, mask: Mask, *, locked: Collection[int] = ()
) -> Edit:
    """Make an object of a mask; other objects keep their pixels.

    Parameters
    ----------
    labels : array-like
        numpy, zarr or other.
    new_id : int
        An id that no object has or has had.
    box, mask : tuple of slice, ndarray
        Where, and which pixels of that box (bool).
    locked : collection of int
        Objects that do not change.

    Raises
    ------
    EditError
        If other objects cover all of the mask.
    """
    check_free([new_id], locked)
    check_room(labels, new_id)
    before = read(labels, box)
    after = np.where(mask & (before == 0), np.int32(new_id), before)
    nothing = "Other objects lie everywhere in what was drawn. Draw around background."
    return edit_of(f"new object {new_id}", box, before, after, locked, nothing)


def redraw(
    labels: Any,
    object_id: int,
    box: Box,
    mask: Mask,
    *,
    around: Box | None = None,
    locked: Collection[int] = (),
) -> Edit:
    """Give an object the shape of a mask; other objects keep their pixels.

    Along dimensions of ``around`` that reach beyond ``box`` the object vanishes: to redraw one
    plane of a volume, let ``around`` be the object's box in that plane.

    Parameters
    ----------
    labels : array-like
        numpy, zarr or other.
    object_id : int
        Which object.
    box, mask : tuple of slice, ndarray
        Its new shape: where, and which pixels of that box (bool).
    around : tuple of slice, optional
        Where the object lies now.
    locked : collection of int
        Objects that do not change.
    """
    around, _ = object_in(labels, [object_id], around, locked)
    both = tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(around, box, strict=True)
    )
    before = read(labels, both)
    wanted = np.zeros(before.shape, bool)
    pairs = zip(box, both, strict=True)
    wanted[tuple(slice(b.start - w.start, b.stop - w.start) for b, w in pairs)] = mask
    after = np.where(before == object_id, np.int32(0), before)
    after[wanted & (after == 0)] = object_id
    if not (after == object_id).any():
        raise EditError(
            f"Other objects lie everywhere in the new outline of object {object_id}. Draw it over "
            "background or over the object itself."
        )
    nothing = f"Object {object_id} has this shape already."
    return edit_of(f"redraw {object_id}", both, before, after, locked, nothing)


def fill_holes(
    labels: Any,
    ids: Sequence[int],
    *,
    axes: Sequence[int],
    box: Box | None = None,
    locked: Collection[int] = (),
) -> Edit:
    """Give background that an object encloses to it; objects inside stay.

    Parameters
    ----------
    labels : array-like
        numpy, zarr or other.
    ids : sequence of int
        Which objects.
    axes : sequence of int
        Dimensions in which a hole is closed on all sides: two for plane by plane, three for
        hollows of volumes (an object of one plane is taken as flat).
    box : tuple of slice, optional
        Where the objects lie.
    locked : collection of int
        Objects that do not change.

    Raises
    ------
    EditError
        If there is no hole.
    """
    import fill_voids

    box, before = object_in(labels, ids, box, locked)
    axes = [a for a in axes if before.shape[a] > 1] or list(axes)
    after = before.copy()
    for index in planes(before.shape, axes):
        for one in ids:
            mask = before[index] == one
            filled = fill_voids.fill(np.ascontiguousarray(mask)).astype(bool)
            after[index][filled & (after[index] == 0)] = one
    are = "has no hole" if len(ids) == 1 else "have no holes"
    nothing = f"{listed(ids).capitalize()} {are}."
    return edit_of(f"fill holes of {listed(ids)}", box, before, after, locked, nothing)


def smooth(
    labels: Any,
    ids: Sequence[int],
    *,
    axes: Sequence[int],
    radius_px: float = 2.0,
    pixel_size: Sequence[float] | None = None,
    box: Box | None = None,
    locked: Collection[int] = (),
) -> Edit:
    """Round off the outline of objects: spikes and bites smaller than a radius go.

    The object's mask is blurred by a Gaussian and cut at one half, so that straight borders
    stay where they are. It grows over background only.

    Parameters
    ----------
    labels : array-like
        numpy, zarr or other.
    ids : sequence of int
        Which objects.
    axes : sequence of int
        Dimensions along which it is blurred.
    radius_px : float
        Standard deviation of the Gaussian, in pixels along the finest of ``axes``.
    pixel_size : sequence of float, optional
        Relative length of a pixel along each of ``axes`` (rising); all equal by default.
    box : tuple of slice, optional
        Where the objects lie.
    locked : collection of int
        Objects that do not change.

    Raises
    ------
    EditError
        If nothing changes, or nothing would be left.
    """
    from scipy.ndimage import gaussian_filter

    box, _ = object_in(labels, ids, box, locked)
    size = _sizes(axes, pixel_size)
    sigma = [radius_px * min(size) / s for s in size]
    reach = [int(np.ceil(3 * s)) for s in sigma]
    box = widen(box, reach, sorted(axes), labels.shape)
    before = read(labels, box)
    after = before.copy()
    for index in planes(before.shape, axes):
        for one in ids:
            mask = before[index] == one
            if not mask.any():
                continue
            # At the labels' end the object goes on, as far as anybody knows.
            blurred = gaussian_filter(mask.astype(np.float32), sigma, mode="nearest")
            after[index][mask & (blurred < 0.5)] = 0
            after[index][(blurred >= 0.5) & (after[index] == 0)] = one
    _check_left(after, ids, "smoothed away")
    nothing = f"{listed(ids).capitalize()}: as smooth as can be with this radius."
    return edit_of(f"smooth {listed(ids)}", box, before, after, locked, nothing)


def grow(
    labels: Any,
    ids: Sequence[int],
    *,
    axes: Sequence[int],
    by_px: float = 1.0,
    pixel_size: Sequence[float] | None = None,
    box: Box | None = None,
    locked: Collection[int] = (),
) -> Edit:
    """Let objects grow over background, all around; where two meet, the nearer one goes on.

    Parameters
    ----------
    labels : array-like
        numpy, zarr or other.
    ids : sequence of int
        Which objects.
    axes : sequence of int
        Dimensions along which they grow.
    by_px : float
        How far, in pixels along the finest of ``axes``.
    pixel_size : sequence of float, optional
        Relative length of a pixel along each of ``axes`` (rising); all equal by default.
    box : tuple of slice, optional
        Where the objects lie.
    locked : collection of int
        Objects that do not change.

    Raises
    ------
    EditError
        If there is no room.
    """
    from scipy.ndimage import distance_transform_edt

    box, _ = object_in(labels, ids, box, locked)
    size = _sizes(axes, pixel_size)
    reach = [int(np.ceil(by_px * min(size) / s)) for s in size]
    box = widen(box, reach, sorted(axes), labels.shape)
    before = read(labels, box)
    after = before.copy()
    for index in planes(before.shape, axes):
        here = before[index]
        mine = np.isin(here, ids)
        if not mine.any():
            continue
        far, nearest = distance_transform_edt(
            ~mine, sampling=[s / min(size) for s in size], return_indices=True
        )
        room = (here == 0) & (far <= by_px)
        after[index][room] = here[tuple(place[room] for place in nearest)]
    nothing = f"There is no background around {listed(ids)} to grow into."
    return edit_of(f"grow {listed(ids)}", box, before, after, locked, nothing)


def shrink(
    labels: Any,
    ids: Sequence[int],
    *,
    axes: Sequence[int],
    by_px: float = 1.0,
    pixel_size: Sequence[float] | None = None,
    box: Box | None = None,
    locked: Collection[int] = (),
) -> Edit:
    """Take a rim off objects; the end of the labels is no rim. Parameters as of :func:`grow`.

    Raises
    ------
    EditError
        If nothing of an object would be left.
    """
    import edt

    box, _ = object_in(labels, ids, box, locked)
    size = _sizes(axes, pixel_size)
    box = widen(box, 1, sorted(axes), labels.shape)
    before = read(labels, box)
    after = before.copy()
    relative = tuple(s / min(size) for s in size)
    for index in planes(before.shape, axes):
        mine = np.where(np.isin(before[index], ids), before[index], 0)
        # Distances to the nearest pixel of anything else, from centre to centre.
        far = edt.edt(np.ascontiguousarray(mine), anisotropy=relative, parallel=1)
        after[index][(mine > 0) & (far <= by_px)] = 0
    _check_left(after, ids, "gone")
    return edit_of(f"shrink {listed(ids)}", box, before, after, locked, "Nothing to take off.")


def _check_left(after: Labels, ids: Sequence[int], word: str) -> None:
    lost = [one for one in ids if not (after == one).any()]
    if lost:
        raise EditError(
            f"{listed(lost).capitalize()} would be {word}. Choose a smaller number of pixels, or "
            "delete what is too small."
        )


def _sizes(axes: Sequence[int], pixel_size: Sequence[float] | None) -> list[float]:
    return [1.0] * len(axes) if pixel_size is None else [float(s) for s in pixel_size]

"""One object becomes several: along a line, by one click per part, or where it is in pieces."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.correct._drawn import line_pixels
from napari_segnet.correct._edit import (
    Box,
    Edit,
    Labels,
    Points,
    check_room,
    edit_of,
    object_in,
    planes,
)
from napari_segnet.errors import EditError

__all__ = ["separate", "split_at", "split_by_line"]

CRUMB_PX = 4
CRUMB_PART = 0.02
"""A cut along a ragged rim leaves crumbs. What has fewer pixels than this, or a smaller part of
the object, is no object of its own and stays with its neighbour."""
LOOK_BACK_PX = 8
"""Where a line goes on is told by its last pixels: a hand trembles."""
VALLEY = 0.9
"""Two clicks lie in two parts if every way between them goes below this part of the lower one's
height; else the object has no waist between them, and is halved."""

Mask = npt.NDArray[np.bool_]
Height = npt.NDArray[np.float32]


def split_by_line(
    labels: Any,
    object_id: int,
    points: Points,
    new_id: int,
    *,
    axes: Sequence[int],
    box: Box | None = None,
    locked: Collection[int] = (),
) -> Edit:
    """Cut an object along a line; the largest part keeps its id.

    A line whose ends lie inside of the object is carried on straight until it leaves it. An
    object that is thicker than the plane is cut straight through, in all planes of ``box``.

    Parameters
    ----------
    labels : array-like
        numpy, zarr or other.
    object_id : int
        Which object.
    points : sequence
        ``(n, dimensions)`` in pixels, at least two.
    new_id : int
        For the second largest part; more parts take the ids after it.
    axes : sequence of int
        The two dimensions of the plane in which the line was drawn.
    box : tuple of slice, optional
        Where the object lies; a box of one plane cuts it in that plane alone.
    locked : collection of int
        Objects that do not change.

    Raises
    ------
    EditError
        If the line does not cut the object into parts.
    """
    box, before = object_in(labels, [object_id], box, locked)
    region = before == object_id
    flat = sorted(axes)
    drawn = np.asarray(points, np.float64)[:, flat] - [box[a].start for a in flat]
    others = tuple(a for a in range(region.ndim) if a not in flat)
    line = _across(region.any(axis=others), drawn)
    cut = region & np.expand_dims(line, others)
    pieces = _pieces(region & ~cut)
    pieces = _without_crumbs(pieces, int(region.sum()))
    pieces = _fill_in(pieces, region)
    before_cut = _pieces(region)
    # Pieces that were apart already and that the line leaves alone are no parts of this cut.
    mine = np.isin(before_cut, np.unique(before_cut[cut]))
    parts = _by_size(pieces, np.unique(pieces[mine & (pieces > 0)]))
    if len(parts) < 2:
        raise EditError(
            f"The line does not cut object {object_id} in two. Draw it across the object, from "
            "one side to the other."
        )
    return _numbered("split", labels, object_id, new_id, box, before, pieces, parts, locked)


def split_at(
    labels: Any,
    object_id: int,
    seeds: Sequence[Sequence[int]],
    new_id: int,
    *,
    axes: Sequence[int],
    maps: Any = None,
    pixel_size: Sequence[float] | None = None,
    box: Box | None = None,
    locked: Collection[int] = (),
) -> Edit:
    """Cut an object into one part per seed; the largest part keeps its id.

    The cut runs where the object, or what the network says of it, is narrow between the
    seeds (watershed). Where it is nowhere narrow, each pixel goes to the nearest seed.

    Parameters
    ----------
    labels : array-like
        numpy, zarr or other.
    object_id : int
        Which object.
    seeds : sequence
        ``(n, dimensions)``, a pixel in each part.
    new_id : int
        For the second largest part; more parts take the ids after it.
    axes : sequence of int
        Dimensions along which pixels are neighbours.
    maps : array-like, optional
        The shape of the labels; high inside objects, low between them, such as a network's
        foreground without its boundary. None: the distance to the object's border.
    pixel_size : sequence of float, optional
        Relative length of a pixel along each of ``axes`` (rising); all equal by default.
    box : tuple of slice, optional
        Where the object lies.
    locked : collection of int
        Objects that do not change.

    Raises
    ------
    EditError
        If fewer than two seeds lie in the object, or two in the same pixel.
    """
    box, before = object_in(labels, [object_id], box, locked)
    region = before == object_id
    places = np.asarray(seeds, np.int64).reshape(-1, region.ndim) - [part.start for part in box]
    places = places[((places >= 0) & (places < region.shape)).all(axis=1)]
    places = places[region[tuple(places.T)]]
    if len(np.unique(places, axis=0)) < 2:
        raise EditError(
            f"Click at least two parts of object {object_id}: each click becomes an object."
        )
    size = np.asarray(pixel_size if pixel_size is not None else (1.0,) * len(axes), np.float64)
    said = [] if maps is None else [_raised(region, np.asarray(maps[box]))]
    lengths = np.ones(region.ndim)
    lengths[sorted(axes)] = size
    pieces = _flooded(region, [*said, _inner(region, axes, size)], places, lengths)
    parts = _by_size(pieces, np.arange(1, len(places) + 1))
    return _numbered("split", labels, object_id, new_id, box, before, pieces, parts, locked)


def separate(
    labels: Any,
    object_id: int,
    new_id: int,
    *,
    box: Box | None = None,
    locked: Collection[int] = (),
) -> Edit:
    """Make an object of each disconnected piece; the largest keeps the id.

    Pieces that meet only at corners are apart.

    Raises
    ------
    EditError
        If the object is in one piece.
    """
    box, before = object_in(labels, [object_id], box, locked)
    pieces = _pieces(before == object_id)
    parts = _by_size(pieces, np.arange(1, int(pieces.max()) + 1))
    if len(parts) < 2:
        raise EditError(f"Object {object_id} is in one piece; there is nothing to separate.")
    return _numbered("separate", labels, object_id, new_id, box, before, pieces, parts, locked)


def _numbered(
    verb: str,
    labels: Any,
    object_id: int,
    new_id: int,
    box: Box,
    before: Labels,
    pieces: Labels,
    parts: Sequence[int],
    locked: Collection[int],
) -> Edit:
    """Return the edit in which the first part keeps the id and the others take new ones."""
    check_room(labels, new_id + len(parts) - 2)
    table = np.full(int(pieces.max()) + 1, object_id, np.int32)
    table[list(parts[1:])] = np.arange(new_id, new_id + len(parts) - 1)
    after = np.where(pieces > 0, table[pieces], before).astype(np.int32, copy=False)
    what = f"{verb} {object_id} into {len(parts)}"
    return edit_of(what, box, before, after, locked, f"Object {object_id} stays as it is.")


# ---- Along a line ----


def _across(shadow: Mask, drawn: npt.NDArray[np.float64]) -> Mask:
    """Return the pixels of a line, its ends carried on while they lie inside of the object."""
    shape = np.array(shadow.shape)
    pixels = line_pixels(drawn)
    start, end = _way_out(pixels[::-1], shadow)[::-1], _way_out(pixels, shadow)
    pixels = np.concatenate([start, pixels, end])
    pixels = pixels[((pixels >= 0) & (pixels < shape)).all(axis=1)]
    line = np.zeros(shadow.shape, bool)
    line[tuple(pixels.T)] = True
    return line


def _way_out(pixels: npt.NDArray[np.int64], shadow: Mask) -> npt.NDArray[np.int64]:
    """Return the pixels straight on from the last one, until they leave the object."""
    shape = np.array(shadow.shape)
    end, back = pixels[-1], pixels[max(0, len(pixels) - 1 - LOOK_BACK_PX)]
    if (end < 0).any() or (end >= shape).any() or not shadow[tuple(end)] or (end == back).all():
        return pixels[:0]
    step = (end - back) / np.abs(end - back).max()
    far = np.rint(end + step * np.arange(1, int(shape.sum()) + 1)[:, None]).astype(np.int64)
    outside = ((far < 0) | (far >= shape)).any(axis=1)
    outside[~outside] = ~shadow[tuple(far[~outside].T)]
    stop = int(np.argmax(outside)) if outside.any() else len(far)
    way: npt.NDArray[np.int64] = far[:stop]
    return way


def _pieces(region: Mask) -> Labels:
    """Label connected pieces; neighbours share an edge or a face, in any dimension."""
    from scipy.ndimage import label

    pieces, _ = label(region)
    labels: Labels = pieces.astype(np.int32, copy=False)
    return labels


def _without_crumbs(pieces: Labels, pixels: int) -> Labels:
    counts = np.bincount(pieces.reshape(-1))
    small = counts < max(CRUMB_PX, CRUMB_PART * pixels)
    small[0] = True
    keep = np.where(small, 0, np.arange(counts.size)).astype(np.int32)
    return keep[pieces]


def _fill_in(pieces: Labels, region: Mask) -> Labels:
    """Give the pixels of the cut, and crumbs, to the piece beside them."""
    while True:
        empty = region & (pieces == 0)
        if not empty.any() or not pieces.any():
            return pieces
        places = np.argwhere(empty)
        found = np.zeros(len(places), np.int32)
        for axis in range(pieces.ndim):
            for step in (-1, 1):
                there = places.copy()
                there[:, axis] += step
                ok = (there[:, axis] >= 0) & (there[:, axis] < pieces.shape[axis]) & (found == 0)
                found[ok] = pieces[tuple(there[ok].T)]
        if not found.any():
            return pieces  # a piece of the object that is apart, and all crumb
        pieces[tuple(places.T)] = found


def _by_size(pieces: Labels, numbers: npt.NDArray[Any]) -> list[int]:
    """Return the pieces that have pixels, the largest first; of equal ones the lower number."""
    counts = np.bincount(pieces.reshape(-1), minlength=int(numbers.max(initial=0)) + 1)
    there = [int(n) for n in numbers if counts[n]]
    return sorted(there, key=lambda n: (-counts[n], n))


# ---- By seeds ----


def _raised(region: Mask, maps: npt.NDArray[Any]) -> Height:
    """Return maps above their lowest value in the object; 0 outside."""
    height = np.nan_to_num(maps.astype(np.float32), nan=0.0)
    return np.where(region, height - height[region].min() + np.float32(1e-6), np.float32(0))


def _inner(region: Mask, axes: Sequence[int], size: npt.NDArray[np.float64]) -> Height:
    """Return how far each pixel is from the border of the object."""
    import edt

    height = np.zeros(region.shape, np.float32)
    for index in planes(region.shape, axes):
        # A rim of background: the box ends where the object does.
        padded = np.pad(region[index], 1)
        far = edt.edt(np.ascontiguousarray(padded), anisotropy=tuple(size), parallel=1)
        height[index] = far[(slice(1, -1),) * padded.ndim]
    return height


def _flooded(
    region: Mask,
    heights: Sequence[Height],
    places: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.float64],
) -> Labels:
    """Return for each pixel inside the seed that it belongs to, 1 to n.

    Where the first landscape has no valley between seeds, the next one is asked; after the
    last one, each pixel goes to the nearest seed.
    """
    from skimage.segmentation import watershed

    out = np.zeros(region.shape, np.int32)
    if len(places) == 1:
        return np.where(region, np.int32(1), out)
    if not heights:
        pixels = np.argwhere(region)
        away = np.stack([(((pixels - place) * lengths) ** 2).sum(axis=1) for place in places])
        out[tuple(pixels.T)] = away.argmin(axis=0) + 1
        return out
    group = _without_valley(heights[0], places)
    seeds = np.zeros(region.shape, np.int32)
    seeds[tuple(places.T)] = group
    flooded: Any = watershed(-heights[0], seeds, mask=region)  # type: ignore[no-untyped-call]
    flooded[region & (flooded == 0)] = group[0]  # what is apart from all seeds
    for one in np.unique(group):
        members = np.flatnonzero(group == one)
        mine = flooded == one
        inner = _flooded(mine, heights[1:], places[members], lengths)
        out[mine] = members[inner[mine] - 1] + 1
    return out


def _without_valley(height: Height, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Return a number for each seed, the same for seeds between which there is no valley."""
    tops = height[tuple(places.T)]
    group = np.arange(1, len(places) + 1, dtype=np.int32)
    for one in np.argsort(tops):  # from the lowest: who is reached without going down?
        high = _pieces(height >= VALLEY * tops[one])
        reached = high[tuple(places.T)] == high[tuple(places[one])]
        reached &= tops >= tops[one]
        group[np.isin(group, group[reached])] = group[one]
    return group

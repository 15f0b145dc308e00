"""The shapes of all objects at once: how large, how convex, how long, which others they touch.

An object that is really two is less convex and larger than its neighbours; a part of an object
touches another part, and both together are convex. Every measure is counted over whole arrays,
without a loop over objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.items import Items

__all__ = ["Shapes", "highest_inside", "shapes_of", "spatial_axes"]

Labels = npt.NDArray[np.integer[Any]]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FEW = 3
"""With fewer objects there are no others to compare one with."""
USUAL = 0.025
"""-ln of the solidity of a typical object: the median of 20,059 labels of fluorescent nuclei."""
BLOCK_PX = 2**22
"""Pixels that are measured together: some 30 bytes are needed of each."""
DIRECTIONS = 32
"""In two dimensions: of a circle, the polygon of its outermost points has 0.6 % less area."""
INSIDE = 0.5
"""Part of the greatest depth of an object from which a pixel lies well inside."""
NEIGHBOURS = 8
"""Objects nearby that an object's area is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shapes:
    """Measures of pieces: an object, or what an object has in one plane.

    Attributes
    ----------
    owner : ndarray
        ``(n,)`` int64: the row of the items that a piece belongs to.
    area : ndarray
        ``(n,)`` in pixels (voxels).
    size, nearby : ndarray
        Natural logarithm of the area over the median area of all, and of the nearest eight; 0
        where there are fewer than three.
    solidity : ndarray
        Area over that of the convex hull, above 0 to 1.
    concave : ndarray
        Natural logarithm of the median solidity of all over that of the piece.
    elongation : ndarray
        Natural logarithm of the longest axis over the (geometric) mean of the others.
    touching : ndarray
        0 to 1: share of the outline that lies on other objects.
    united : ndarray
        0 to 1: how convex the object is together with a neighbour, times the share of its
        outline that lies on this one; the greatest of all neighbours.
    """

    owner: Ints
    area: Floats
    size: Floats
    nearby: Floats
    solidity: Floats
    concave: Floats
    elongation: Floats
    touching: Floats
    united: Floats

    def __len__(self) -> int:
        return int(self.owner.size)


def spatial_axes(items: Items, axes: str, ndim: int | None = None) -> int:
    """Return over how many of the last axes an object is one shape: 2 or 3.

    Parameters
    ----------
    items : Items
        The objects.
    axes : str
        Of the labels, such as ``tzyx``; empty if nobody knows them.
    ndim : int, optional
        2 or 3 where a network said whether it answers planes or volumes.
    """
    count = items.first.shape[1]
    if count < 3 or (axes and "z" not in axes) or not len(items):
        return 2
    if ndim is not None:
        return ndim
    # Labels of anybody: volumes, if most objects go through several planes.
    deep = items.stop[:, -3] - items.first[:, -3] > 1
    return 3 if 2 * int(deep.sum()) > deep.size else 2


def shapes_of(items: Items, labels: Labels, spatial: int = 2) -> Shapes:
    """Measure the shape of every object.

    Parameters
    ----------
    items : Items
        The objects of exactly these labels, ids rising.
    labels : ndarray
        Integer labels; 0 is background.
    spatial : int
        Over how many of the last axes an object is one shape; along the others, each plane of
        an object is a piece of its own.
    """
    parts = [_measured(*block) for block in _pieces(items, labels, spatial)]
    names = ("owner", "area", "solidity", "elongation", "touching", "united")
    columns = {
        name: np.concatenate([np.zeros(0), *(part[name] for part in parts)]) for name in names
    }
    places = np.concatenate([np.zeros((0, spatial + 1)), *(part["places"] for part in parts)])
    owner = columns.pop("owner").astype(np.int64)
    return Shapes(owner=owner, **columns, **_compared(columns["area"], columns["solidity"], places))


def highest_inside(
    items: Items, labels: Labels, values: npt.NDArray[Any], spatial: int = 2
) -> Floats:
    """Return the highest value well inside of each object, ``(n,)`` float64.

    Well inside is deeper than half of the greatest depth of its piece: the outline, where a
    boundary is expected, is left out.

    Parameters
    ----------
    items : Items
        The objects of exactly these labels, ids rising.
    labels : ndarray
        Integer labels.
    values : ndarray
        Of the same shape, such as the probability of a boundary; at least 0.
    spatial : int
        As in :func:`shapes_of`.
    """
    found = np.zeros(len(items))
    stack = values.reshape(-1, *labels.shape[-spatial:])
    for pieces, owner, _, where in _pieces(items, labels, spatial):
        own = pieces >= 0
        of = pieces[own]
        depth = _depths(pieces)[own]
        peak = np.zeros(owner.size, np.float32)
        np.maximum.at(peak, of, depth)
        deep = depth > INSIDE * peak[of]
        inside = np.asarray(stack[where][own], np.float64)[deep]
        np.maximum.at(found, owner[of[deep]], np.nan_to_num(inside))
    return found


def _pieces(
    items: Items, labels: Labels, spatial: int
) -> Iterator[tuple[npt.NDArray[np.int32], Ints, Ints, tuple[slice, ...]]]:
    """Yield parts of an image as the pieces in them.

    Yields
    ------
    pieces : ndarray
        int32 ``(plane, [z,] y, x)``: -1 is background, -2 an object of another part, else the
        number of a piece from 0.
    owner : ndarray
        ``(n,)`` the row of the items that each piece belongs to.
    plane : ndarray
        ``(n,)`` the plane of the whole image that each piece lies in.
    where : tuple of slice
        Where in ``labels.reshape(plane, ...)`` the part lies.
    """
    shape = labels.shape[-spatial:]
    stack = labels.reshape(-1, *shape)
    rows, step = len(items), max(1, BLOCK_PX // max(1, math.prod(shape)))
    if math.prod(shape) <= 2 * BLOCK_PX:
        for start in range(0, len(stack), step):
            planes = (slice(start, min(start + step, len(stack))),)
            yield from _numbered(items, stack[planes], np.ones(rows, np.bool_), planes)
        return
    # One plane (or volume) is too large: slabs, each with the objects that begin in it.
    thick = max(1, BLOCK_PX // max(1, math.prod(shape[1:])))
    first, stop = items.first[:, -spatial], items.stop[:, -spatial]
    for start in range(0, shape[0], thick):
        own = (first >= start) & (first < start + thick)
        if own.any():
            low, high = max(0, start - 1), min(shape[0], int(stop[own].max()) + 1)
            for plane in range(len(stack)):
                slab = (slice(plane, plane + 1), slice(low, high))
                yield from _numbered(items, stack[slab], own, slab)


def _numbered(
    items: Items, part: Labels, own: npt.NDArray[np.bool_], where: tuple[slice, ...]
) -> Iterator[tuple[npt.NDArray[np.int32], Ints, Ints, tuple[slice, ...]]]:
    inside = np.flatnonzero(part.reshape(-1) > 0)
    if not inside.size:
        return
    rows = _rows(items.ids, part.reshape(-1)[inside])
    plane = inside // (part.size // len(part))
    mine = own[rows]
    key = rows * len(part) + plane
    there = np.zeros(len(items) * len(part), np.bool_)
    there[key[mine]] = True
    number = np.cumsum(there, dtype=np.int32) - 1
    pieces = np.full(part.size, -1, np.int32)
    pieces[inside] = np.where(mine, number[key], -2)
    found = np.flatnonzero(there)
    if found.size:
        plane = found % len(part) + where[0].start
        yield pieces.reshape(part.shape), found // len(part), plane, where


def _rows(ids: Ints, values: npt.NDArray[Any]) -> Ints:
    """Return the row of each label."""
    if int(ids[-1]) > 4 * values.size + 10**6:
        return np.asarray(np.searchsorted(ids, values), np.int64)
    table = np.zeros(int(ids[-1]) + 1, np.int64)
    table[ids] = np.arange(ids.size)
    return np.asarray(table[values], np.int64)


def _measured(
    pieces: npt.NDArray[np.int32], owner: Ints, plane: Ints, where: tuple[slice, ...]
) -> dict[str, Any]:
    """Return the columns of the pieces of a part that need no look at other parts."""
    count, spatial = owner.size, pieces.ndim - 1
    of, start, length = _runs(pieces)
    area = np.bincount(of, length, count).astype(np.float64)
    middle, elongation = _axes(of, start, length, area)
    faces, touched, pairs, shared = _outline(pieces, count)
    points, heights = _outermost(of, start, length, count)
    united = np.zeros(count)
    if len(pairs):
        convex = _united(points, heights, area, pairs)
        for side in range(2):
            np.maximum.at(united, pairs[:, side], convex * shared / faces[pairs[:, side]])
    places = np.concatenate([plane[:, None] * 1e7, middle], axis=1)
    if len(where) > 1:
        places[:, 1] += where[1].start
    return {
        "owner": owner,
        "area": area,
        "solidity": np.minimum(1.0, area / _volume(points, spatial)),
        "elongation": elongation,
        "touching": touched / faces,
        "united": united,
        "places": places,
    }


def _runs(pieces: npt.NDArray[np.int32]) -> tuple[Ints, Floats, Floats]:
    """Return the runs of pixels along the last axis: piece, place of the first pixel, length."""
    begins, ends = pieces >= 0, pieces >= 0
    apart = pieces[..., 1:] != pieces[..., :-1]
    begins[..., 1:] &= apart
    ends[..., :-1] &= apart
    at = np.nonzero(begins)
    start = np.stack(at[1:], axis=1).astype(np.float64)
    length = (np.nonzero(ends)[-1] - at[-1] + 1).astype(np.float64)
    return pieces[begins].astype(np.int64), start, length


def _axes(of: Ints, start: Floats, length: Floats, area: Floats) -> tuple[Floats, Floats]:
    """Return the middle ``(n, spatial)`` of each piece, and its elongation."""
    spatial, count = start.shape[1], area.size
    at = start.copy()
    at[:, -1] += (length - 1) / 2
    middle = np.stack([np.bincount(of, length * a, count) for a in at.T], axis=1) / area[:, None]
    away = at - middle[of]
    moments = np.empty((count, spatial, spatial))
    for i in range(spatial):
        for j in range(i, spatial):
            moments[:, i, j] = moments[:, j, i] = np.bincount(
                of, length * away[:, i] * away[:, j], count
            )
    moments[:, -1, -1] += np.bincount(of, length * (length**2 - 1) / 12, count)
    moments /= area[:, None, None]
    moments += np.eye(spatial) / 12  # a pixel is a square, not a point
    axes = 0.5 * np.log(np.linalg.eigvalsh(moments))
    elongation: Floats = axes[:, -1] - axes[:, :-1].mean(axis=1)
    return middle, elongation


def _outline(pieces: npt.NDArray[np.int32], count: int) -> tuple[Floats, Floats, Ints, Floats]:
    """Return the outline of each piece in pixel faces, and how much of it lies on others.

    Then the pairs ``(k, 2)`` of pieces that touch, and the faces ``(k,)`` that they share.
    """
    faces, touched, keys = np.zeros(count), np.zeros(count), []
    for axis in range(1, pieces.ndim):
        low, high = _beside(pieces, axis)
        apart = low != high
        a, b = low[apart], high[apart]
        for here, there in ((a, b), (b, a)):
            faces += np.bincount(here[here >= 0], minlength=count)
            touched += np.bincount(here[(here >= 0) & (there != -1)], minlength=count)
        both = (a >= 0) & (b >= 0)
        keys.append(np.minimum(a, b)[both].astype(np.int64) * count + np.maximum(a, b)[both])
        for end in (0, -1):
            edge = np.take(pieces, end, axis=axis)
            faces += np.bincount(edge[edge >= 0], minlength=count)
    pairs, shared = np.unique(np.concatenate(keys), return_counts=True)
    both_ends = np.stack(np.divmod(pairs, count), axis=1)
    return faces, touched, both_ends, shared.astype(np.float64)


def _beside(values: npt.NDArray[Any], axis: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return views of all pixels that have a next one along an axis, and of these next ones."""
    before = [slice(None)] * values.ndim
    after = list(before)
    before[axis], after[axis] = slice(None, -1), slice(1, None)
    return values[tuple(before)], values[tuple(after)]


@lru_cache(maxsize=2)
def _directions(spatial: int) -> tuple[Floats, Ints, Ints]:
    """Return directions ``(k, spatial)``, the opposite of each, and the facets between them."""
    if spatial == 2:
        angle = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
        around = np.arange(DIRECTIONS)
        facets = np.stack([around, np.roll(around, -1)], axis=1)
        units = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        return units, np.roll(around, DIRECTIONS // 2), facets
    from scipy.spatial import ConvexHull

    # The 92 middles of edges and faces and the corners of an icosahedron, on the sphere.
    golden = (1 + math.sqrt(5)) / 2
    corners = np.array(
        [np.roll([0, a, b * golden], k) for k in range(3) for a in (-1, 1) for b in (-1, 1)]
    )
    units = corners / np.linalg.norm(corners[0])
    for _ in range(2):  # 42 directions, then 162
        triangles = ConvexHull(units).simplices
        edges = np.unique(np.sort(triangles[:, [[0, 1], [1, 2], [0, 2]]].reshape(-1, 2)), axis=0)
        halves = units[edges].sum(axis=1)
        units = np.concatenate([units, halves / np.linalg.norm(halves, axis=1, keepdims=True)])
    facets = ConvexHull(units).simplices.astype(np.int64)
    inward = np.linalg.det(units[facets]) < 0
    facets[inward] = facets[inward][:, ::-1]
    return units, np.argmin(units @ units.T, axis=1), facets


def _outermost(of: Ints, start: Floats, length: Floats, count: int) -> tuple[Floats, Floats]:
    """Return the outermost point ``(n, direction, spatial)`` of each piece, and how far out."""
    spatial = start.shape[1]
    end = start.copy()
    end[:, -1] += length - 1
    order = np.argsort(np.concatenate([of, of]), kind="stable")
    of = np.concatenate([of, of])[order]
    at = np.concatenate([start, end])[order]  # the corners of a hull are ends of runs
    starts = np.searchsorted(of, np.arange(count))
    # From the first of them on: which of two equally far points is taken then does not depend
    # on where in the image a piece lies.
    first = at[starts]
    at = at - first[of]
    units, opposite, _ = _directions(spatial)
    points = np.empty((count, len(units), spatial))
    for k, unit in enumerate(units):
        if opposite[k] < k:
            continue
        along = at @ unit
        for which, values in ((k, along), (int(opposite[k]), -along)):
            best = np.flatnonzero(values >= np.maximum.reduceat(values, starts)[of])
            row = np.empty(count, np.int64)
            row[of[best]] = best
            points[:, which] = at[row]
    # A pixel reaches half a pixel along each axis from its middle, as in scikit-image's hull.
    farthest = np.argmax(np.abs(units), axis=1)
    reach = np.zeros_like(units)
    reach[np.arange(len(units)), farthest] = 0.5 * np.sign(units[np.arange(len(units)), farthest])
    points += reach + first[:, None]
    return points, np.einsum("nks,ks->nk", points, units)


def _volume(points: Floats, spatial: int) -> Floats:
    """Return the area (volume) of the hull of outermost points ``(n, direction, spatial)``."""
    _, _, facets = _directions(spatial)
    points = points - points.mean(axis=1, keepdims=True)
    if spatial == 2:
        a, b = points[:, facets[:, 0]], points[:, facets[:, 1]]
        double = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
        return np.asarray(np.maximum(np.abs(double.sum(axis=1)) / 2, 0.5))
    a, b, c = (points[:, facets[:, k]] for k in range(3))
    return np.asarray(np.maximum(np.abs((np.cross(a, b) * c).sum(axis=(1, 2))) / 6, 0.5))


def _united(points: Floats, heights: Floats, area: Floats, pairs: Ints) -> Floats:
    """Return how convex two pieces are together, as the area over that of their hull."""
    one, two = pairs[:, 0], pairs[:, 1]
    farther = heights[one] >= heights[two]
    both = np.where(farther[..., None], points[one], points[two])
    return np.minimum(1.0, (area[one] + area[two]) / _volume(both, points.shape[2]))


def _depths(pieces: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Return how deep each pixel lies in its piece, in pixels.

    The mean of chessboard and city-block distance: ten times as fast as the Euclidean one.
    """
    from scipy.ndimage import distance_transform_cdt

    inner = pieces >= 0
    for axis in range(1, pieces.ndim):
        low, high = _beside(pieces, axis)
        alike = low == high
        for side in _beside(inner, axis):
            side &= alike
    depth = np.empty(pieces.shape, np.float32)
    for plane, inside in zip(depth, inner, strict=True):
        if inside.all():  # the distance from nothing has no value
            plane[...] = max(inside.shape)
            continue
        plane[...] = distance_transform_cdt(inside, "chessboard")
        plane += distance_transform_cdt(inside, "taxicab")
        plane /= 2
    return depth + 0.5


def _compared(area: Floats, solidity: Floats, places: Floats) -> dict[str, Floats]:
    """Return areas and solidities beside those of other pieces."""
    size = np.log(np.maximum(area, 1))
    hollow = -np.log(solidity)
    if size.size < FEW:
        zero = np.zeros(size.size)
        return {"size": zero, "nearby": zero, "concave": hollow - USUAL}
    from scipy.spatial import cKDTree

    around = min(NEIGHBOURS, size.size - 1)
    _, near = cKDTree(places).query(places, around + 1)
    return {
        "size": size - np.median(size),
        "nearby": size - np.median(size[near[:, 1:]], axis=1),
        "concave": hollow - np.median(hollow),
    }

"""Cutting regions along their valleys: seeded watershed without a priority queue.

Each pixel belongs to the peak that it reaches by always going to its highest neighbour.
That gives the basins of *all* peaks. The pass between two basins is the highest way across
their border; a peak that rises less than ``depth`` above its highest pass is no seed of its
own and joins what lies behind it. The surviving peaks are exactly the h-maxima (those that
``skimage.morphology.h_maxima`` finds), and each pixel goes to a seed to which the lowest
point of its way is as high as can be, which is what flooding means. The tests check both,
and that pieces equal those of ``skimage.segmentation.watershed`` where every peak is a seed.
All of it is whole-array numpy: thousands of small objects cost no loop in Python.

References: Najman & Schmitt 1996 (dynamics of contours), Cousty et al. 2009 (watershed
cuts: watersheds are minimum spanning forests).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.steps._union import joined

__all__ = ["Grid", "Passes", "basins", "join_basins", "narrow", "steepest", "steps_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Passes:
    """Steps from basin ``a`` to basin ``b``, and the lower of the two pixels; all ``(k,)``.

    Their order decides between equals: of the passes into a basin (``b``), or else out of it, the
    last one counts.
    """

    a: npt.NDArray[np.integer[Any]]
    b: npt.NDArray[np.integer[Any]]
    height: npt.NDArray[np.floating[Any]]


def basins(
    height: npt.NDArray[np.float32],
    region: npt.NDArray[np.int32],
    *,
    depth: float,
    floor: float = -np.inf,
    flooded: float = np.inf,
) -> tuple[npt.NDArray[np.int32], int]:
    """Cut each region into one piece per significant peak.

    Neighbours include diagonals: ridges that run diagonally would otherwise look like
    strings of separate peaks. Between equal heights, the later pixel in raster order
    counts as the higher.

    Parameters
    ----------
    height : ndarray
        float32, 2D or 3D, finite; objects are high, the borders between them low.
    region : ndarray
        int32, the same shape: 0 is outside, every other id is cut for itself.
    depth : float
        A peak is a seed if it rises at least so much above the pass to any higher peak
        (with 0: if it is higher than the pass at all).
    floor : float
        A peak that is not higher than this is no seed.
    flooded : float
        Peaks whose pass is higher than this are one seed, whatever their depth.

    Returns
    -------
    pieces : ndarray
        int32, ids 1..n in no particular order; 0 outside and in regions without a seed.
    n : int
        How many there are.
    """
    # With a margin of "outside", every neighbour is a fixed step away in flat memory.
    region = np.pad(region, 1)
    grid = Grid(
        heights=np.pad(height, 1).reshape(-1),
        regions=region.reshape(-1),
        inside=narrow(np.flatnonzero(region), region.size),
        steps=steps_of(region.shape),
    )
    labels = np.zeros(region.shape, np.int32)
    count = 0
    if grid.inside.size:
        own, peaks = _climb(grid)
        flat = labels.reshape(-1)
        flat[grid.inside] = own
        tops = grid.heights[peaks].astype(np.float64)
        group = np.arange(peaks.size)
        if np.bincount(grid.regions[peaks]).max() > 1:
            group, tops = join_basins(tops, _passes(grid, flat), depth, floor, flooded)
        seeds = tops > floor
        count = int(seeds.sum())
        number = np.where(seeds, np.cumsum(seeds), 0).astype(np.int32)
        flat[grid.inside] = number[group][own - 1]
    return labels[(slice(1, -1),) * labels.ndim], count


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Pixels in flat memory.

    ``heights`` and ``regions`` hold all pixels and a margin; ``inside`` ``(n,)`` are the
    flat indices of regions; ``steps`` lead to all neighbours, the earlier ones first.
    """

    heights: npt.NDArray[np.float32]
    regions: npt.NDArray[np.int32]
    inside: npt.NDArray[Any]
    steps: list[int]


def _climb(grid: Grid) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any]]:
    """Return the basin (from 1) of each pixel inside, and the flat index of each peak."""
    inside = grid.inside
    target = steepest(grid)
    up = np.empty(grid.regions.size, inside.dtype)
    while True:  # pointer doubling: as many rounds as the longest way has binary digits
        up[inside] = target
        further = up[target]
        if np.array_equal(further, target):
            break
        target = further
    peaks = inside[target == inside]
    up[peaks] = np.arange(1, peaks.size + 1, dtype=inside.dtype)
    return up[target].astype(np.int32, copy=False), peaks


def steepest(grid: Grid) -> npt.NDArray[Any]:
    """Return for each pixel inside the flat index of its highest neighbour, or its own."""
    best = grid.heights[grid.inside]
    own = grid.regions[grid.inside]
    target = grid.inside.copy()
    for step in grid.steps:
        there = grid.inside + grid.inside.dtype.type(step)
        height = grid.heights[there]
        higher = height >= best if step > 0 else height > best
        higher &= grid.regions[there] == own
        np.copyto(best, height, where=higher)
        np.copyto(target, there, where=higher)
    return target


def _passes(grid: Grid, labels: npt.NDArray[np.int32]) -> Passes:
    """Return all steps from one basin into another of the same region."""
    found_a, found_b, found_height = [], [], []
    own, region = labels[grid.inside], grid.regions[grid.inside]
    for step in grid.steps:
        if step < 0:
            continue  # each border has two sides
        there = grid.inside + grid.inside.dtype.type(step)
        border = (labels[there] != own) & (grid.regions[there] == region)
        near, far = grid.inside[border], there[border]
        found_a.append(labels[near].astype(np.intp) - 1)
        found_b.append(labels[far].astype(np.intp) - 1)
        found_height.append(np.minimum(grid.heights[near], grid.heights[far]))
    return Passes(
        a=np.concatenate(found_a),
        b=np.concatenate(found_b),
        height=np.concatenate(found_height).astype(np.float64),
    )


def join_basins(
    tops: npt.NDArray[np.float64],
    passes: Passes,
    depth: float,
    floor: float,
    flooded: float,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Join basins that are no seeds of their own to the neighbour behind their highest pass.

    Whoever does not rise enough above its highest pass joins, in whatever order: over that
    pass it is flooded first, and from there the higher of the two goes on. So all join at
    once, and again with what they have become, until everyone left is a seed.

    Returns
    -------
    group : ndarray
        The group, from 0, of each basin.
    tops : ndarray
        The height of each group's highest peak.
    """
    group = np.arange(tops.size)
    a, b, height = passes.a, passes.b, passes.height
    while True:
        highest = np.full(tops.size, -np.inf)
        np.maximum.at(highest, a, height)
        np.maximum.at(highest, b, height)
        rise = tops - highest
        gives_in = (rise < depth) | (rise <= 0) | (tops <= floor) | (highest > flooded)
        gives_in &= np.isfinite(highest)
        if not gives_in.any():
            return group, tops
        # One pass each, also where two are equally high: a second one would tie together
        # two neighbours that may both be seeds.
        over = np.full(tops.size, -1)
        for side in (a, b):
            way = np.flatnonzero(height == highest[side])
            over[side[way]] = way
        ways = over[gives_in]
        count, now = joined(tops.size, a[ways], b[ways])
        before, tops = tops, np.full(count, -np.inf)
        np.maximum.at(tops, now, before)
        group, a, b = now[group], now[a], now[b]
        apart = a != b
        a, b, height = a[apart], b[apart], height[apart]


def steps_of(shape: tuple[int, ...]) -> list[int]:
    """Return how far away each neighbour is in flat memory, diagonals included, rising."""
    strides = np.cumprod((1, *shape[:0:-1]))[::-1]
    offsets = itertools.product((-1, 0, 1), repeat=len(shape))
    return [int(np.dot(offset, strides)) for offset in offsets if any(offset)]


def narrow(index: npt.NDArray[np.int64], size: int) -> npt.NDArray[Any]:
    """Return indices as int32 where they fit: half the memory, and faster."""
    return index.astype(np.int32) if size < 2**31 else index

"""Cutting regions that are too large for memory: the pieces of ``_basins.basins``, band by band.

Two passes. The first climbs within each band; a way that leaves it at its lower edge gets a number
of its own, which is known once the next band has been climbed. The second collects the passes
between basins: one row for each ordered pair, its highest, and of equals the last in the order in
which ``basins`` has them. No other pass decides anything, so the same joining gives the same
pieces. In memory are one band, a few numbers for each basin, and the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.progress import check_cancelled
from napari_segnet.steps._bands import bands
from napari_segnet.steps._basins import (
    Grid,
    Passes,
    join_basins,
    narrow,
    steepest,
    steps_of,
)
from napari_segnet.steps.forecast import require_object_room

__all__ = ["Heights", "cut_in_bands"]

BAND_PX = 2**21
"""Pixels of a band; each takes some 50 bytes while it is worked on."""

BASIN_BYTES = 330
"""Of memory for each peak and the passes around it (measured on noise, 4.6 passes each)."""

Labels = npt.NDArray[np.int32]
Heights = Callable[[slice], npt.NDArray[np.float32]]
"""The landscape of a slice along the first axis."""


def cut_in_bands(
    labels: Labels,
    heights: Heights,
    *,
    depth: float,
    floor: float = -np.inf,
    flooded: float = np.inf,
    used: int = 0,
) -> int:
    """Cut each region into one piece per significant peak, in place.

    Parameters
    ----------
    labels : ndarray
        int32, 2D or 3D, may be a memory map: ids above 0 are regions, each of which is cut for
        itself; the others stay. Afterwards pieces are ``-used - 1``, ``-used - 2``, ...
    heights : callable
        Returns the landscape of a slice along the first axis, float32; objects are high.
    depth, floor, flooded : float
        As of :func:`napari_segnet.steps._basins.basins`. Regions without a seed become 0.
    used : int
        How many pieces there are already.

    Returns
    -------
    int
        How many pieces there are now.
    """
    parts = bands(labels.shape, BAND_PX)
    ways = _Ways()
    above: Labels | None = None
    for part in parts:
        check_cancelled()
        above = _climb_band(labels, heights, part, above, ways)
    basin, tops, regions = ways.resolved()
    require_object_room(tops.size, "peaks inside objects", BASIN_BYTES)
    rows = _Rows(int(tops.size))
    region_of = np.concatenate([np.zeros(1, np.int32), regions])
    for part in parts:
        check_cancelled()
        _collect_passes(labels, heights, part, basin, region_of, rows)
    group, tops = join_basins(tops, rows.passes(), depth, floor, flooded)
    seeds = tops > floor
    number = np.where(seeds, -np.int64(used) - np.cumsum(seeds), 0).astype(np.int32)
    pieces = np.concatenate([np.zeros(1, np.int32), number[group]])
    for part in parts:
        band = labels[part]
        np.copyto(band, pieces[np.maximum(band, 0)], where=band > 0)
    return used + int(seeds.sum())


# ---- First pass ----


class _Ways:
    """Where ways end, by the number that pixels carry after the first pass: a peak, or another."""

    def __init__(self) -> None:
        self.used = 0
        self._tops: list[npt.NDArray[np.float32]] = []
        self._regions: list[Labels] = []
        self._ends: list[npt.NDArray[np.int64]] = []
        self._open: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None

    def add(
        self, tops: npt.NDArray[np.float32], regions: Labels, leaving: npt.NDArray[np.int64]
    ) -> None:
        """Give numbers to peaks, then to ways that end at pixels ``leaving`` of the next row."""
        first = self.used + 1
        peaks = np.arange(first, first + tops.size)
        out = np.arange(first + tops.size, first + tops.size + leaving.size)
        self._tops.append(tops)
        self._regions.append(regions)
        self._ends += [peaks, np.zeros(leaving.size, np.int64)]
        self._open = (out, leaving)
        self.used += tops.size + leaving.size

    def close(self, row: Labels) -> None:
        """Say where the ways ended that left the band before: at these numbers of the next row."""
        if self._open is not None:
            _, leaving = self._open
            self._ends[-1] = row[leaving].astype(np.int64)
            self._open = None

    def resolved(self) -> tuple[Labels, npt.NDArray[np.float64], Labels]:
        """Return the basin (from 1) of each number; the top and the region of each basin."""
        end = np.concatenate([np.zeros(1, np.int64), *self._ends])
        while True:
            further = end[end]
            if np.array_equal(further, end):
                break
            end = further
        is_peak = end == np.arange(end.size)
        is_peak[0] = False
        number = np.cumsum(is_peak, dtype=np.int32)
        tops = np.concatenate([np.zeros(0, np.float32), *self._tops]).astype(np.float64)
        regions = np.concatenate([np.zeros(0, np.int32), *self._regions])
        number[0] = 0
        basin: Labels = number[end]
        basin[0] = 0
        return basin, tops, regions


def _climb_band(
    labels: Labels, heights: Heights, part: slice, above: Labels | None, ways: _Ways
) -> Labels:
    """Give each pixel of a band the number of its peak, or of its way out; return its last row.

    ``above`` is the last row of the band before, as it was: its regions.
    """
    low, high = int(above is not None), int(part.stop < len(labels))
    rows = slice(part.start - low, part.stop + high)
    region = np.maximum(labels[rows], 0)
    if above is not None:
        region[0] = above
    last: Labels = region[-1 - high].copy()
    grid, wide = _grid(region, heights(rows), slice(low, len(region) - high))
    first, stop = (1 + low) * wide, (len(region) - high + 1) * wide  # of the band in flat memory
    end = _ends_of(grid, first, stop)
    inside = grid.inside
    peaks = inside[end == inside]
    out = np.unique(end[end >= stop])
    number = np.zeros(grid.regions.size, np.int32)
    number[peaks] = np.arange(ways.used + 1, ways.used + 1 + peaks.size)
    number[out] = np.arange(ways.used + 1 + peaks.size, ways.used + 1 + peaks.size + out.size)
    if low:
        number[wide : 2 * wide] = _with_margin(np.maximum(labels[part.start - 1], 0))
    own = number[end]
    flat = np.zeros(grid.regions.size, np.int32)
    flat[inside] = own
    found = flat.reshape([n + 2 for n in region.shape])
    inner = (slice(1 + low, 1 + len(region) - high), *(slice(1, -1),) * (region.ndim - 1))
    band = labels[part]
    np.copyto(band, found[inner], where=band > 0)
    if low:
        ways.close(_with_margin(np.maximum(labels[part.start], 0)))
    ways.add(grid.heights[peaks], grid.regions[peaks], out.astype(np.int64) - stop)
    return last


def _ends_of(grid: Grid, first: int, stop: int) -> npt.NDArray[Any]:
    """Return the peak of each pixel inside, or the first pixel of its way outside the band."""
    inside, end = grid.inside, steepest(grid)
    up = np.arange(grid.regions.size, dtype=inside.dtype)  # what lies outside leads no further
    up[inside] = end
    while True:  # pointer doubling: as many rounds as the longest way has binary digits
        further = up[end]
        if np.array_equal(further, end):
            return end
        end = further
        up[inside] = end


def _grid(region: Labels, height: npt.NDArray[np.float32], rows: slice) -> tuple[Grid, int]:
    """Return pixels with a margin, those in ``rows`` being inside, and the width of a row."""
    padded = np.pad(region, 1)
    wide = int(np.prod(padded.shape[1:], dtype=np.int64))
    flat = padded.reshape(-1)
    start, stop = (rows.start + 1) * wide, (rows.stop + 1) * wide
    inside = np.flatnonzero(flat[start:stop]) + start
    grid = Grid(
        heights=np.pad(height, 1).reshape(-1),
        regions=flat,
        inside=narrow(inside, flat.size),
        steps=steps_of(padded.shape),
    )
    return grid, wide


def _with_margin(row: Labels) -> Labels:
    padded: Labels = np.pad(row, 1).reshape(-1)
    return padded


# ---- Second pass ----


@dataclass(slots=True, eq=False)
class _Some:
    """Passes ``(k,)``: the pair of basins as one number, the height, the place in the order."""

    pair: npt.NDArray[np.int64]
    height: npt.NDArray[np.float32]
    place: npt.NDArray[np.int64]

    def chosen(self, which: npt.NDArray[Any]) -> _Some:
        return _Some(self.pair[which], self.height[which], self.place[which])

    def best(self) -> _Some:
        """Return the highest of each pair, of equals the last."""
        order = np.lexsort((self.place, self.height, self.pair))
        pair = self.pair[order]
        last = np.ones(pair.size, bool)
        np.not_equal(pair[1:], pair[:-1], out=last[:-1])
        return self.chosen(order[last])

    @classmethod
    def joined(cls, some: list[_Some]) -> _Some:
        return cls(
            np.concatenate([np.zeros(0, np.int64), *(one.pair for one in some)]),
            np.concatenate([np.zeros(0, np.float32), *(one.height for one in some)]),
            np.concatenate([np.zeros(0, np.int64), *(one.place for one in some)]),
        )


class _Rows:
    """One row for each ordered pair of basins.

    A pair that a later band may know again has both its basins in the last row of this one: only
    such rows wait for it.
    """

    def __init__(self, basins: int) -> None:
        self.wide = basins + 1
        self._done: list[tuple[Labels, Labels, npt.NDArray[np.float32], npt.NDArray[np.int64]]] = []
        self._open = _Some.joined([])

    def add(self, some: list[_Some], last_row: npt.NDArray[np.bool_] | None) -> None:
        """Take the passes of a band; ``last_row`` tells its basins, None after the last band."""
        found = _Some.joined([self._open, *some]).best()
        a, b = np.divmod(found.pair, self.wide)
        waits = np.zeros(a.size, bool) if last_row is None else last_row[a] & last_row[b]
        self._open = found.chosen(waits)
        rest = ~waits
        self._done.append(
            (
                (a[rest] - 1).astype(np.int32),
                (b[rest] - 1).astype(np.int32),
                found.height[rest],
                found.place[rest],
            )
        )

    def passes(self) -> Passes:
        """Return all, in the order in which ``basins`` has them."""
        a, b, height, place = (np.concatenate(column) for column in zip(*self._done, strict=True))
        self._done.clear()
        order = np.argsort(place)
        return Passes(a=a[order], b=b[order], height=height[order])


def _collect_passes(
    labels: Labels,
    heights: Heights,
    part: slice,
    basin: Labels,
    region_of: Labels,
    rows: _Rows,
) -> None:
    """Give each pixel of a band its basin, and collect the passes from the band and below."""
    high = int(part.stop < len(labels))
    band = labels[part]
    np.copyto(band, basin[np.maximum(band, 0)], where=band > 0)
    own = np.maximum(labels[part.start : part.stop + high], 0)
    if high:
        own[-1] = basin[own[-1]]
    grid, _ = _grid(own, heights(slice(part.start, part.stop + high)), slice(0, len(band)))
    mine = grid.regions[grid.inside]
    # Places in the order of ``basins``: step by step, each in raster order over the whole.
    row_px = int(np.prod([n + 2 for n in labels.shape[1:]], dtype=np.int64))
    shift, whole = (part.start - 1) * row_px, (len(labels) + 2) * row_px
    some = []
    for rank, step in enumerate(step for step in grid.steps if step > 0):
        there = grid.inside + grid.inside.dtype.type(step)
        other = grid.regions[there]
        border = np.flatnonzero((other != mine) & (region_of[other] == region_of[mine]))
        near, far = grid.inside[border], there[border]
        some.append(
            _Some(
                mine[border].astype(np.int64) * rows.wide + other[border],
                np.minimum(grid.heights[near], grid.heights[far]),
                near.astype(np.int64) + (shift + rank * whole),
            ).best()
        )
    last_row = None
    if high:
        last_row = np.zeros(rows.wide, bool)
        last_row[np.maximum(band[-1], 0)] = True
    rows.add(some, last_row)

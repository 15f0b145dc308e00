"""Where objects lie: so that an edit costs as much as its box, not as the image."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.correct._edit import Box, extent, read, widen
from napari_segnet.items import extents
from napari_segnet.progress import Progress, job

__all__ = ["Places", "find_places", "piece_at"]

PIECE_PX = 2**22
"""Pixels that are looked through at once: some 30 ms."""
FIRST_PX = 32
"""Margin around a click at which the looking for an object's end begins; doubled each time."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """A box for each object, which holds all its pixels; it may be larger than needed.

    Attributes
    ----------
    ids : ndarray
        ``(n,)`` int64, rising.
    first, last : ndarray
        ``(n, dimensions)`` int64: first and last index along each.
    """

    ids: Ids
    first: Ids
    last: Ids

    def box(self, ids: Sequence[int]) -> Box | None:
        """Return a box that holds these objects; None if none of them is known."""
        rows = self._rows(np.asarray(ids, np.int64))
        if not rows.size:
            return None
        low, high = self.first[rows].min(axis=0), self.last[rows].max(axis=0) + 1
        return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))

    def touching(self, box: Box) -> list[int]:
        """Return the objects whose boxes have pixels in common with a box."""
        start = np.array([part.start for part in box])
        stop = np.array([part.stop for part in box])
        there = ((self.first < stop) & (self.last >= start)).all(axis=1)
        found: list[int] = self.ids[there].tolist()
        return found

    def with_pixels(self, box: Box, values: npt.NDArray[Any]) -> Places:
        """Return places that also hold what was written into a box; nothing is ever narrowed."""
        ids, first, last, _ = extents(values)
        offset = np.array([part.start for part in box])
        return self._joined(ids, first + offset, last + offset)

    def with_points(self, points: npt.NDArray[Any], values: npt.NDArray[Any]) -> Places:
        """Return places that also hold single pixels.

        Parameters
        ----------
        points : ndarray
            ``(n, dimensions)`` integer.
        values : ndarray
            ``(n,)`` integer, the id at each.
        """
        real = values > 0
        points, values = points[real].astype(np.int64), values[real].astype(np.int64)
        if not values.size:
            return self
        order = np.argsort(values, kind="stable")
        ids, starts = np.unique(values[order], return_index=True)
        first = np.minimum.reduceat(points[order], starts)
        last = np.maximum.reduceat(points[order], starts)
        return self._joined(ids, first, last)

    def _joined(self, ids: Ids, first: Ids, last: Ids) -> Places:
        if not ids.size:
            return self
        at = np.searchsorted(self.ids, ids)
        known = at < self.ids.size
        known[known] = self.ids[at[known]] == ids[known]
        rows = at[known]
        low, high = self.first.copy(), self.last.copy()
        low[rows] = np.minimum(low[rows], first[known])
        high[rows] = np.maximum(high[rows], last[known])
        new = ~known
        if not new.any():
            return Places(self.ids, low, high)
        return Places(
            np.insert(self.ids, at[new], ids[new]),
            np.insert(low, at[new], first[new], axis=0),
            np.insert(high, at[new], last[new], axis=0),
        )

    def _rows(self, ids: Ids) -> npt.NDArray[np.intp]:
        at = np.searchsorted(self.ids, ids)
        at = at[at < self.ids.size] if self.ids.size else at[:0]
        return at[np.isin(self.ids[at], ids)]


@job
def find_places(labels: Any) -> Generator[Progress, None, Places]:
    """Return where all objects lie; reads the labels once, piece by piece.

    Parameters
    ----------
    labels : array-like
        numpy, zarr or other, with basic slicing.
    """
    places = Places(
        np.empty(0, np.int64),
        np.empty((0, len(labels.shape)), np.int64),
        np.empty((0, len(labels.shape)), np.int64),
    )
    boxes = list(_pieces(labels))
    for number, box in enumerate(boxes):
        yield Progress(done=number, total=len(boxes), what="looking where objects lie")
        places = places.with_pixels(box, read(labels, box))
    return places


def piece_at(
    labels: Any, point: Sequence[int], axes: Sequence[int]
) -> tuple[Box, npt.NDArray[np.bool_]] | None:
    """Return the box of the connected piece at a pixel, looking ever farther around it.

    Parameters
    ----------
    labels : array-like
        numpy, zarr or other.
    point : sequence of int
        A pixel.
    axes : sequence of int
        Dimensions along which pixels are neighbours; along the others only the plane of the
        point is looked at.

    Returns
    -------
    box, mask : tuple of slice, ndarray
        Where the piece lies, and which pixels of that box it has; None on background or
        outside of the labels.
    """
    shape = labels.shape
    if not all(0 <= p < n for p, n in zip(point, shape, strict=True)):
        return None
    here = tuple(slice(int(p), int(p) + 1) for p in point)
    value = int(read(labels, here).reshape(-1)[0])
    if value == 0:
        return None
    reach = FIRST_PX
    while True:
        box = widen(here, reach, axes, shape)
        at = tuple(int(p) - part.start for p, part in zip(point, box, strict=True))
        piece = _connected_to(read(labels, box) == value, at)
        if not _goes_on(piece, box, axes, shape):
            inner = extent(piece)
            assert inner is not None  # it holds the point
            where = tuple(
                slice(b.start + i.start, b.start + i.stop) for b, i in zip(box, inner, strict=True)
            )
            return where, piece[inner]
        reach *= 2


def _connected_to(mask: npt.NDArray[np.bool_], at: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    from scipy.ndimage import label

    pieces, _ = label(mask)
    connected: npt.NDArray[np.bool_] = pieces == pieces[at]
    return connected


def _goes_on(
    piece: npt.NDArray[np.bool_], box: Box, axes: Sequence[int], shape: Sequence[int]
) -> bool:
    """Tell if a piece touches a side of its box behind which there are more pixels."""
    for axis in axes:
        before, behind = box[axis].start > 0, box[axis].stop < shape[axis]
        if (before and piece.take(0, axis).any()) or (behind and piece.take(-1, axis).any()):
            return True
    return False


def _pieces(labels: Any) -> Iterator[Box]:
    """Cut an array into boxes along its chunks, none much larger than ``PIECE_PX``."""
    shape = [int(n) for n in labels.shape]
    chunks = getattr(labels, "chunks", None) or (1,) * len(shape)
    steps = [max(1, int(c[0] if isinstance(c, tuple) else c)) for c in chunks]
    # Whole rows first, then as many of them as fit.
    for axis in reversed(range(len(shape))):
        others = int(np.prod([min(s, n) for s, n in zip(steps, shape, strict=True)]))
        times = max(1, PIECE_PX // max(1, others))
        steps[axis] = min(shape[axis], steps[axis] * times) or 1
    starts = [range(0, n, step) for n, step in zip(shape, steps, strict=True)]
    for corner in itertools.product(*starts):
        yield tuple(
            slice(a, min(a + step, n)) for a, step, n in zip(corner, steps, shape, strict=True)
        )

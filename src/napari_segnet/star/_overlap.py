"""How much of each other star-convex objects cover, where no compiled code is installed.

Polygons are cut into thin slices along y, which are as wide as both are there. Polyhedra are
compared pixel by pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.star.inside import cone_of, corners_of
from napari_segnet.star.rays import Rays

__all__ = ["Polygons", "Polyhedra"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
SLICES = 48
"""About so many slices cut the better of two polygons; at least two in a pixel's height while
objects are small. Kinks lie at whole pixels, so that half a pixel misses nothing but crossings."""
AT_ONCE = 2**21
"""Slices times edges that are looked at together: 8 MB each."""


class Polygons:
    """Objects of two dimensions, with their corners at whole pixels as StarDist has them.

    Attributes
    ----------
    sizes : ndarray
        ``(n,)`` area of each in pixels.
    """

    def __init__(self, points: npt.NDArray[Any], distances: Floats, rays: Rays) -> None:
        ends = corners_of(points, distances, rays)
        self._low, self._high = ends.min(1), ends.max(1)
        self._corners = np.trunc(ends)
        y, x = self._corners[..., 0].astype(np.float64), self._corners[..., 1].astype(np.float64)
        turns = x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)
        self.sizes: Floats = (0.5 * np.abs(turns.sum(1)) + 1e-10).astype(np.float32)

    def may_touch(self, row: int, others: Rows) -> npt.NDArray[np.bool_]:
        """Tell whose boxes meet that of one."""
        meet = (self._low[others] <= self._high[row]) & (self._high[others] >= self._low[row])
        return np.asarray(meet.all(1))

    def shared(self, row: int, others: Rows) -> Floats:
        """Return the area that each of ``others`` shares with one, in pixels."""
        first, last = self._corners[row, :, 0].min(), self._corners[row, :, 0].max()
        per_px = int(np.clip(np.ceil(SLICES / max(last - first, 1.0)), 1, 4))
        lines = np.arange(int((last - first) * per_px), dtype=np.float32)
        lines = (first + (lines + 0.5) / per_px).astype(np.float32)
        found = np.zeros(len(others), np.float32)
        if not lines.size:
            return found
        own = _spans(self._corners[row][None], lines)
        step = max(1, AT_ONCE // (len(lines) * self._corners.shape[1]))
        for start in range(0, len(others), step):
            theirs = _spans(self._corners[others[start : start + step]], lines)
            found[start : start + step] = _common(own, theirs).sum(1) / per_px
        return found


def _spans(corners: Floats, lines: Floats) -> Floats:
    """Return where lines along x enter and leave polygons: ``(n, lines, 2 k)``, in order.

    Beyond the last, all is infinite.
    """
    y, x = corners[..., 0], corners[..., 1]
    y1, x1 = np.roll(y, -1, 1), np.roll(x, -1, 1)
    rise = y1 - y
    slope = np.divide(x1 - x, rise, out=np.zeros_like(x), where=rise != 0)
    level = lines[None, :, None]
    crossed = (y[:, None] < level) != (y1[:, None] < level)
    at = np.where(crossed, x[:, None] + (level - y[:, None]) * slope[:, None], np.inf)
    count = int(crossed.sum(2).max(initial=0))
    if count <= 2:
        first = at.min(2)
        last = np.where(crossed, at, -np.inf).max(2)
        return np.stack([first, np.where(np.isfinite(last), last, np.inf)], axis=2)
    at = np.partition(at, tuple(range(count)), axis=2)[..., :count] if count < 8 else np.sort(at, 2)
    return np.asarray(at[..., : count + count % 2], np.float32)


def _common(own: Floats, theirs: Floats) -> Floats:
    """Return how long two sets of spans are together, per line: ``(n, lines)``."""
    total = np.zeros(theirs.shape[:2], np.float32)
    for a in range(0, own.shape[2], 2):
        for b in range(0, theirs.shape[2], 2):
            low = np.maximum(own[..., a], theirs[..., b])
            high = np.minimum(own[..., a + 1], theirs[..., b + 1])
            with np.errstate(invalid="ignore"):  # infinite minus infinite: no span
                total += np.nan_to_num(np.maximum(high - low, 0), nan=0.0, posinf=0.0)
    return total


class Polyhedra:
    """Objects of three dimensions around pixels.

    Attributes
    ----------
    sizes : ndarray
        ``(n,)`` volume of each in pixels.
    """

    def __init__(self, points: npt.NDArray[Any], distances: Floats, rays: Rays) -> None:
        self._points, self._distances, self._faces = points.astype(np.int64), distances, rays.faces
        ends = corners_of(points, distances, rays)
        self._low = np.rint(ends.min(1)).astype(np.int64)
        self._high = np.rint(ends.max(1)).astype(np.int64)
        self.sizes: Floats = _volumes(distances, rays)
        self._reach = np.max([points - self._low, self._high - points], axis=(0, 1)) + 1
        axes = [np.arange(-n, n + 1) for n in self._reach.tolist()]
        offsets = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
        face, shares = cone_of(offsets.reshape(-1, 3), rays)
        self._face = face.reshape(offsets.shape[:3])
        self._shares = shares.reshape(offsets.shape)

    def may_touch(self, row: int, others: Rows) -> npt.NDArray[np.bool_]:
        """Tell whose boxes meet that of one."""
        meet = (self._low[others] <= self._high[row]) & (self._high[others] >= self._low[row])
        return np.asarray(meet.all(1))

    def shared(self, row: int, others: Rows) -> Floats:
        """Return how many pixels each of ``others`` shares with one."""
        own = self._mask(row, self._low[row], self._high[row])
        found = np.zeros(len(others), np.float32)
        for number, other in enumerate(others.tolist()):
            low = np.maximum(self._low[row], self._low[other])
            high = np.minimum(self._high[row], self._high[other])
            start = low - self._low[row]
            part = own[tuple(slice(a, a + n) for a, n in zip(start, high - low + 1, strict=True))]
            found[number] = np.count_nonzero(part & self._mask(other, low, high))
        return found

    def _mask(self, row: int, low: Rows, high: Rows) -> npt.NDArray[np.bool_]:
        """Return which pixels from ``low`` to ``high``, both included, are in one."""
        start = low - self._points[row] + self._reach
        box = tuple(slice(a, a + n) for a, n in zip(start, high - low + 1, strict=True))
        per_face = 1 / np.maximum(self._distances[row], 1e-6)[self._faces]
        inside = np.einsum("zyxk,zyxk->zyx", self._shares[box], per_face[self._face[box]])
        return np.asarray(inside <= 1 + 1e-5)


def _volumes(distances: Floats, rays: Rays) -> Floats:
    """Return the volume of each polyhedron: the sum over the tetrahedra of its faces."""
    spans = np.linalg.det(rays.vertices.astype(np.float64)[rays.faces])
    parts = np.prod(distances.astype(np.float64)[:, rays.faces], axis=2)
    return np.asarray(np.abs(parts @ spans) / 6 + 1e-10, np.float32)

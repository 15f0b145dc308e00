"""Objects that other programs keep one by one become one label picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.outlines import fill

__all__ = ["HIDDEN", "Shape", "cropped", "paint", "polygon_shape"]

FARTHEST_PX = 2.0**31
"""Where a corner may lie; no picture has longer sides, and sums of larger numbers are wrong."""
HIDDEN = "is covered whole by other objects, and a pixel belongs to one object only"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """One object.

    Attributes
    ----------
    y, x : int
        Where its box begins, in pixels.
    mask : ndarray
        bool ``(y, x)``: its pixels in the box, which is inside of the image.
    kind : int
        Its class; 1 is the first.
    name : str
        For people.
    """

    y: int
    x: int
    mask: npt.NDArray[np.bool_]
    kind: int = 1
    name: str = ""

    @property
    def box(self) -> tuple[slice, slice]:
        """Where it lies in the image."""
        height, width = self.mask.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)


def paint(
    shapes: Iterable[Shape], size: tuple[int, int]
) -> tuple[npt.NDArray[np.int32], dict[int, int], list[str]]:
    """Paint objects, large ones first.

    Returns
    -------
    tuple
        int32 labels ``(y, x)``; the class of each label; names of the objects of which no pixel
        is left.
    """
    labels = np.zeros(size, np.int32)
    areas = [(int(shape.mask.sum()), shape) for shape in shapes]
    order = [shape for _, shape in sorted(areas, key=lambda pair: -pair[0])]
    for label, shape in enumerate(order, start=1):
        labels[shape.box][shape.mask] = label
    left = set(np.unique(labels).tolist())
    classes = {n: shape.kind for n, shape in enumerate(order, start=1) if n in left}
    hidden = [shape.name for n, shape in enumerate(order, start=1) if n not in left]
    return labels, classes, hidden


def polygon_shape(
    polygons: Iterable[Sequence[Any]], size: tuple[int, int]
) -> tuple[int, int, npt.NDArray[np.bool_]]:
    """Return the box and mask of polygons, ``x0 y0 x1 y1 ...`` or ``(x0 y0) (x1 y1) ...`` each.

    Parts with fewer than three corners are left out where others have more.

    Raises
    ------
    ValueError
        If none has, or one holds something other than numbers.
    """
    loops = [np.asarray(corners, float).reshape(-1) for corners in polygons]
    if any(not np.isfinite(loop).all() for loop in loops):
        raise ValueError("a corner is no number")
    if any((np.abs(loop) > FARTHEST_PX).any() for loop in loops):
        raise ValueError("a corner lies outside of any image")
    good = [loop for loop in loops if loop.size >= 6 and loop.size % 2 == 0]
    if not good:
        raise ValueError("a polygon has fewer than three corners")
    every = np.concatenate([loop.reshape(-1, 2) for loop in good])
    low = np.clip(np.floor(every.min(0)) - 1, 0, size[::-1]).astype(int)
    high = np.clip(np.ceil(every.max(0)) + 1, 0, size[::-1]).astype(int)
    x, y = int(low[0]), int(low[1])
    moved = [(loop.reshape(-1, 2) - (x, y)).reshape(-1).tolist() for loop in good]
    return y, x, fill(moved, (int(high[1]) - y, int(high[0]) - x))


def cropped(mask: npt.NDArray[np.bool_]) -> tuple[int, int, npt.NDArray[np.bool_]]:
    """Return the box and mask of a mask ``(y, x)``: a thousand whole ones would not fit."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not rows.size:
        return 0, 0, np.zeros((0, 0), bool)
    y, x = int(rows[0]), int(columns[0])
    return y, x, mask[y : int(rows[-1]) + 1, x : int(columns[-1]) + 1].copy()

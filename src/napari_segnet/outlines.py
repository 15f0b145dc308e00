"""Outlines of objects as polygons along the edges of their pixels, and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Ring", "fill", "outlines", "rings"]

Corner = tuple[int, int]
Ring = list[tuple[int, int]]
"""Corners ``(x, y)`` of a closed line that crosses itself nowhere; the first is not repeated."""


def outlines(mask: npt.NDArray[np.bool_]) -> list[list[float]]:
    """Return the outer outline of each part of a mask ``(y, x)``.

    Corners are those of pixels, so that the polygon covers exactly the mask, but for holes,
    which polygons of COCO cannot have. Pixels that touch at a corner only are two parts.

    Returns
    -------
    list of list of float
        ``x0 y0 x1 y1 ...`` each, in edges: the first pixel reaches from 0 to 1.
    """
    padded = np.pad(mask, 1)
    steps = _steps(padded)
    found: list[list[float]] = []
    while steps:
        loop = _loop(steps)
        if _area(loop) > 0:  # inner outlines run the other way round
            found.append([float(n - 1) for y, x in _corners(loop) for n in (x, y)])
    return found


def rings(mask: npt.NDArray[np.bool_]) -> list[list[Ring]]:
    """Return the exact outline of each part of a mask ``(y, x)``, holes included.

    Pixels that touch at a corner only are two parts. No ring visits a corner twice, as the
    polygons of OGC and GeoJSON want it.

    Returns
    -------
    list of list of Ring
        For each part its outer ring, clockwise where rows go down, then its holes, the other way
        round; in edges: the first pixel reaches from 0 to 1.
    """
    from scipy import ndimage

    parts, count = ndimage.label(mask)
    found: list[list[Ring]] = []
    for number, box in enumerate(ndimage.find_objects(parts, count) if count else (), 1):
        steps, y0, x0 = _steps(np.pad(parts[box] == number, 1)), box[0].start, box[1].start
        outer: list[Ring] = []
        holes: list[Ring] = []
        while steps:
            for way in _simple(_loop(steps)):
                ring = [(x - 1 + x0, y - 1 + y0) for y, x in _corners(way)]
                (outer if _area(way) > 0 else holes).append(ring)
        found.append([*outer, *holes])
    return found


def _simple(way: list[Corner]) -> list[list[Corner]]:
    """Cut a closed way apart where it comes to a corner again."""
    found: list[list[Corner]] = []
    walked: list[Corner] = []
    place: dict[Corner, int] = {}
    for corner in way:
        if corner in place:
            begin = place[corner]
            found.append(walked[begin:])
            for gone in walked[begin:]:
                del place[gone]
            del walked[begin:]
        place[corner] = len(walked)
        walked.append(corner)
    return [*found, walked]


def _steps(padded: npt.NDArray[np.bool_]) -> dict[Corner, list[Corner]]:
    """Return the edges between inside and outside, from corner to corner, inside on the right."""
    steps: dict[Corner, list[Corner]] = defaultdict(list)
    for dy, dx, start, stop in (
        (-1, 0, (0, 0), (0, 1)),  # nothing above: to the right
        (0, 1, (0, 1), (1, 1)),
        (1, 0, (1, 1), (1, 0)),
        (0, -1, (1, 0), (0, 0)),
    ):
        outside = ~np.roll(padded, (-dy, -dx), (0, 1))
        for y, x in np.argwhere(padded & outside).tolist():
            steps[y + start[0], x + start[1]].append((y + stop[0], x + stop[1]))
    return steps


def _loop(steps: dict[Corner, list[Corner]]) -> list[Corner]:
    """Take one closed way out of the edges."""
    first = here = next(iter(steps))
    before = (0, 0)
    way: list[Corner] = []
    while True:
        ends = steps[here]
        # Where two parts meet at a corner, stay with the own one: turn right.
        chosen = next((e for e in ends if _turns_right(before, here, e)), ends[0])
        ends.remove(chosen)
        if not ends:
            del steps[here]
        way.append(here)
        before, here = here, chosen
        if here == first:
            return way


def _turns_right(before: Corner, here: Corner, after: Corner) -> bool:
    a = (here[0] - before[0], here[1] - before[1])
    b = (after[0] - here[0], after[1] - here[1])
    return a[1] * b[0] - a[0] * b[1] > 0


def _area(way: Sequence[Corner]) -> float:
    """Return the area inside of a way clockwise (rows go down), negative the other way round."""
    y, x = np.array(way, float).T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def _corners(way: list[Corner]) -> list[Corner]:
    """Leave out the corners in the middle of straight lines."""
    return [
        here
        for i, here in enumerate(way)
        if not (
            way[i - 1][0] == here[0] == way[(i + 1) % len(way)][0]
            or way[i - 1][1] == here[1] == way[(i + 1) % len(way)][1]
        )
    ]


def fill(polygons: Iterable[Sequence[float]], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the mask ``(y, x)`` of pixels whose centre lies in one of the polygons.

    Raises
    ------
    ValueError
        If one has fewer than three corners.
    """
    from skimage.draw import polygon

    mask = np.zeros(shape, bool)
    for corners in polygons:
        if len(corners) < 6 or len(corners) % 2:
            raise ValueError("a polygon has fewer than three corners")
        x, y = np.asarray(corners, float).reshape(-1, 2).T
        mask[polygon(y - 0.5, x - 0.5, shape)] = True  # type: ignore[no-untyped-call]
    return mask

"""Holes inside objects are filled."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.progress import check_cancelled
from napari_segnet.sinks import large_array
from napari_segnet.steps._bands import bands
from napari_segnet.steps.components import connected
from napari_segnet.steps.ids import boxes, chunks, look_up

if TYPE_CHECKING:
    from napari_segnet.steps._types import LabelSettings

__all__ = ["FillHoles", "closed_background"]

Labels = npt.NDArray[np.int32]
SEVERAL = -1
BOX_PX = 2**22
"""Holes in a larger box of an object are found band by band."""


class FillHoles:
    """Background that one object encloses becomes part of it.

    A hole touches the object and cannot reach the outside without crossing it; background
    crosses edges of pixels (faces of voxels) only, not corners. In a volume a hole is
    closed on all sides, unless it has only one plane. No other object is ever overwritten:
    one that lies inside the hole stays.
    """

    name = "fill_holes"

    def refine(self, labels: Labels, settings: LabelSettings) -> Labels:
        """Return labels with holes filled; works in place."""
        labels = np.ascontiguousarray(labels, dtype=np.int32)
        if labels.ndim == 3 and len(labels) == 1:
            return self.refine(labels[0], settings)[np.newaxis]
        closed = closed_background(labels)
        if closed is None:
            return labels
        owners = _owners(labels, closed)
        shared = owners == SEVERAL
        owners[shared] = 0
        flat, numbers = labels.reshape(-1), closed.reshape(-1)
        for part in chunks(flat.size):
            inside = np.flatnonzero(numbers[part])
            flat[part][inside] = owners[numbers[part][inside]]
        if shared.any():
            _fill_shared(labels, closed, shared)
        return labels


def closed_background(labels: npt.NDArray[Any]) -> Labels | None:
    """Label the pieces of background that do not reach the image's edge, or None."""
    background = large_array(labels.shape, np.bool_)
    pieces = connected(np.equal(labels, 0, out=background))
    del background
    count = int(pieces.max(initial=0))
    closed = np.ones(count + 1, bool)
    closed[0] = False
    for axis in range(labels.ndim):
        for end in (0, -1):
            closed[np.unique(pieces.take(end, axis=axis))] = False
    if not closed.any():
        return None
    numbers = np.cumsum(closed, dtype=np.int32)
    numbers *= closed
    return look_up(pieces, numbers)


def _contacts(
    labels: Labels, pockets: Labels, which: npt.NDArray[np.bool_] | None = None
) -> Iterator[tuple[Labels, Labels]]:
    """Return pockets and the objects that they touch, a stretch of pixels and a side at a time.

    A pair comes as often as its pixels touch each other.
    """
    strides = np.cumprod((1, *labels.shape[:0:-1]))[::-1]
    flat, pocket_of = labels.reshape(-1), pockets.reshape(-1)
    for part in chunks(flat.size):
        check_cancelled()
        # Never at the image's edge: all neighbours exist.
        inside = np.flatnonzero(pocket_of[part]) + part.start
        numbers = pocket_of[inside]
        if which is not None:
            chosen = which[numbers]
            inside, numbers = inside[chosen], numbers[chosen]
        for stride in strides.tolist():
            for step in (-stride, stride):
                touched = flat[inside + step]
                real = touched > 0
                yield numbers[real], touched[real]


def _owners(labels: Labels, pockets: Labels) -> Labels:
    """Return the object that each pocket touches, or SEVERAL."""
    owners: Labels = large_array((int(pockets.max()) + 1,), np.int32)
    owners[...] = 0
    for pocket, touched in _contacts(labels, pockets):
        fresh = owners[pocket] == 0
        owners[pocket[fresh]] = touched[fresh]
        owners[pocket[owners[pocket] != touched]] = SEVERAL
    return owners


def _fill_shared(labels: Labels, pockets: Labels, shared: npt.NDArray[np.bool_]) -> None:
    """Fill pockets at which several objects lie, if one of them goes all around.

    Most such pockets are gaps between objects: only an object whose box reaches beyond
    the pocket's on all sides can enclose it, which leaves hardly any to look at.
    """
    first, last = boxes(labels)
    objects, inner = _perhaps_around(labels, pockets, shared, (first, last))
    mine = np.zeros(shared.size, bool)
    starts = np.flatnonzero(np.diff(objects, prepend=0))
    for start, stop in pairwise((*starts, objects.size)):
        check_cancelled()
        number = int(objects[start])
        ends = zip(first[:, number - 1], last[:, number - 1], strict=True)
        box = tuple(slice(int(a), int(b) + 1) for a, b in ends)
        mine[inner[start:stop]] = True
        _fill_one(labels[box], number, pockets[box], mine)
        mine[inner[start:stop]] = False


def _perhaps_around(
    labels: Labels, pockets: Labels, shared: npt.NDArray[np.bool_], places: tuple[Labels, Labels]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return objects, rising, and a pocket that each touches and reaches beyond on all sides."""
    first, last = places
    pocket_first, pocket_last = boxes(pockets)
    wide = shared.size
    found = [np.zeros(0, np.int64)]
    for pocket, touched in _contacts(labels, pockets, shared):
        beyond = np.ones(pocket.size, bool)
        for axis in range(labels.ndim):
            beyond &= first[axis][touched - 1] < pocket_first[axis][pocket - 1]
            beyond &= last[axis][touched - 1] > pocket_last[axis][pocket - 1]
        # numpy 1 would keep the 32 bits of an array times a number.
        found.append(np.unique(touched[beyond].astype(np.int64) * wide + pocket[beyond]))
    return np.divmod(np.unique(np.concatenate(found)), wide)


def _fill_one(labels: Labels, number: int, pockets: Labels, mine: npt.NDArray[np.bool_]) -> None:
    """Fill those pockets in the box of an object that it encloses."""
    import fill_voids

    if labels.size <= BOX_PX:
        parts, holes = [slice(None)], fill_voids.fill(labels == number)
    else:
        own = np.equal(labels, number, out=large_array(labels.shape, np.bool_))
        parts, holes = bands(labels.shape), closed_background(own)
    for part in parts if holes is not None else ():
        rows = labels[part]
        rows[(holes[part] > 0) & mine[pockets[part]] & (rows == 0)] = number

"""Holes inside objects are filled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.progress import check_cancelled
from napari_segnet.sinks import large_array
from napari_segnet.steps.components import connected
from napari_segnet.steps.ids import boxes, chunks, look_up

if TYPE_CHECKING:
    from napari_segnet.steps._types import LabelSettings

__all__ = ["FillHoles"]

Labels = npt.NDArray[np.int32]


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
        pockets = _pockets(labels)
        if pockets is None:
            return labels
        pocket, neighbour = _contacts(labels, pockets)
        owners = np.bincount(pocket, minlength=int(pockets.max()) + 1)
        table = np.zeros(owners.size, np.int32)
        alone = owners[pocket] == 1
        table[pocket[alone]] = neighbour[alone]
        flat, numbers = labels.reshape(-1), pockets.reshape(-1)
        for part in chunks(flat.size):
            inside = np.flatnonzero(numbers[part])
            flat[part][inside] = table[numbers[part][inside]]
        if not alone.all():
            _fill_shared(labels, pockets, pocket[~alone], neighbour[~alone])
        return labels


def _pockets(labels: Labels) -> Labels | None:
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
    numbers = np.where(closed, np.cumsum(closed), 0).astype(np.int32)
    return look_up(pieces, numbers)


def _contacts(
    labels: Labels, pockets: Labels
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return each pair of a pocket and an object that touch, once."""
    strides = np.cumprod((1, *labels.shape[:0:-1]))[::-1]
    flat, pocket_of = labels.reshape(-1), pockets.reshape(-1)
    key: list[npt.NDArray[np.int64]] = []
    wide = int(labels.max(initial=0)) + 1
    for part in chunks(flat.size):
        # Never at the image's edge: all neighbours exist.
        inside = np.flatnonzero(pocket_of[part]) + part.start
        numbers = pocket_of[inside].astype(np.int64)
        found: list[Any] = []
        for stride in strides.tolist():
            for step in (-stride, stride):
                touched = flat[inside + step]
                real = touched > 0
                found.append(numbers[real] * wide + touched[real])
        key.append(np.unique(np.concatenate(found)))
    pairs = np.concatenate(key)
    del key
    pairs.sort()  # in place: noise has as many pockets as memory holds
    pocket, neighbour = np.divmod(pairs[np.diff(pairs, prepend=-1) > 0], wide)
    return pocket, neighbour


def _fill_shared(
    labels: Labels,
    pockets: Labels,
    pocket: npt.NDArray[np.int64],
    neighbour: npt.NDArray[np.int64],
) -> None:
    """Fill pockets at which several objects lie, if one of them goes all around.

    Most such pockets are gaps between objects: only an object whose box reaches beyond
    the pocket's on all sides can enclose it, which leaves hardly any to look at.
    """
    import fill_voids

    first, last = boxes(labels)
    pocket_first, pocket_last = _extent(pockets)
    beyond = first[neighbour - 1] < pocket_first[pocket - 1]
    beyond &= last[neighbour - 1] > pocket_last[pocket - 1]
    around = beyond.all(axis=1)
    pocket, neighbour = pocket[around], neighbour[around]
    order = np.argsort(neighbour, kind="stable")
    pocket = pocket[order]
    object_ids, starts = np.unique(neighbour[order], return_index=True)
    # Each object looks at its own pairs only: noise has millions of them.
    inner = np.split(pocket, starts[1:])
    for object_id, own in zip(object_ids.tolist(), inner, strict=False):
        check_cancelled()
        ends = zip(first[object_id - 1], last[object_id - 1], strict=True)
        box = tuple(slice(int(a), int(b) + 1) for a, b in ends)
        filled = fill_voids.fill(labels[box] == object_id)
        mine = np.isin(pockets[box], own)
        labels[box][filled & mine & (labels[box] == 0)] = object_id


def _extent(pockets: Labels) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return what ``boxes`` returns; quicker, since next to no pixel is in a pocket."""
    flat = pockets.reshape(-1)
    first = np.full((int(flat.max(initial=0)), pockets.ndim), np.iinfo(np.int64).max)
    last = np.full(first.shape, -1)
    for part in chunks(flat.size):
        inside = np.flatnonzero(flat[part]) + part.start
        numbers = flat[inside] - 1
        places = np.stack(np.unravel_index(inside, pockets.shape), axis=1)
        np.minimum.at(first, numbers, places)
        np.maximum.at(last, numbers, places)
    return first, last

"""Detections of overlapping tiles become one set, as if the image had been seen whole.

An object near a border is seen by several tiles. Two detections of different tiles are of
the same object if their masks agree where both tiles look. Then

* a detection that the border of its tile cuts gives way to one that is whole;
* of two whole ones that stays whose tile shows more around it, at a tie the higher score;
* detections that are all cut (the object is larger than the overlap) are joined.

Agreement is measured only inside the part of the image that both tiles saw: a half that
ends at a border is compared with the same half of the other, not with all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_segnet.boxes import overlapping_pairs
from napari_segnet.segmentation import Instances

__all__ = ["Part", "merge_instances"]

_SAMPLES = 32
"""Masks are compared at so many points along each side: finer than a 28 pixel mask."""

_PAIRS_AT_ONCE = 512
"""Pairs compared together: some tens of MB, whatever the number of detections."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """The detections of one tile.

    Attributes
    ----------
    instances : Instances
        In pixels of the network's input: boxes from ``0 0`` to ``shape`` ``(y, x)``.
    box : tuple of float
        ``y0 x0 y1 x1`` of what the tile read, in image pixels; ``instances.shape`` lies
        over it, so that a network's pixels may be larger or smaller than the image's.
    plane : int
        Index of its plane in ``[t,] [z,]`` order, flattened.
    """

    instances: Instances
    box: tuple[float, float, float, float]
    plane: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """All detections in image pixels; ``(n, ...)`` each."""

    boxes: npt.NDArray[np.float32]
    plane: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    masks: npt.NDArray[np.float32]
    tile: npt.NDArray[np.int64]  # index of the part
    seen: npt.NDArray[np.float32]  # (n, 4) what that tile read
    cut: npt.NDArray[np.bool_]  # touches a border of its tile inside the image
    margin: npt.NDArray[np.float32]  # (n,) how far such a border is away


def merge_instances(
    parts: Sequence[Part],
    *,
    shape: tuple[int, ...],
    axes: str,
    agreement: float = 0.5,
    border_px: float = 2.0,
) -> Instances:
    """Bring the detections of all tiles and planes together.

    Parameters
    ----------
    parts : sequence of Part
        One for each tile of each plane, in any order; at least one.
    shape : tuple of int
        ``([t,] [z,] y, x)`` of the image in pixels.
    axes : str
        One letter per entry of ``shape``.
    agreement : float
        Overlap of two masks (intersection over union where both tiles look) above which
        they are of one object.
    border_px : float
        A box that comes so near to its tile's border is cut by it, in image pixels. A box
        head places edges within a pixel or two.

    Returns
    -------
    Instances
        In image pixels, sorted by plane, then by descending score.
    """
    if not parts:
        raise ValueError("merge_instances needs at least one part")
    found = _gather(parts, shape, border_px)
    pairs = _same_object(found, agreement)
    partial = _partial(found, pairs, border_px)
    dropped = _give_way(found, pairs, partial)
    pieces = partial.all(axis=1) & ~dropped[pairs].any(axis=1)
    joined = _join(found, pairs[pieces])
    keep = np.flatnonzero(~dropped)
    keep = keep[joined.first[keep] == keep]
    keep = keep[np.lexsort((keep, -joined.scores[keep], found.plane[keep]))]
    return Instances(
        boxes=joined.boxes[keep],
        plane=found.plane[keep],
        scores=joined.scores[keep],
        classes=joined.classes[keep],
        masks=joined.masks[keep],
        shape=shape,
        axes=axes,
    )


def _gather(parts: Sequence[Part], shape: tuple[int, ...], border_px: float) -> _Found:
    boxes, plane, tile, seen = [], [], [], []
    for index, part in enumerate(parts):
        n = len(part.instances.boxes)
        read = np.asarray(part.box, np.float32)
        scale = (read[2:] - read[:2]) / np.asarray(part.instances.shape[-2:], np.float32)
        boxes.append(part.instances.boxes * np.tile(scale, 2) + np.tile(read[:2], 2))
        plane.append(np.full(n, part.plane, np.int64))
        tile.append(np.full(n, index, np.int64))
        seen.append(np.broadcast_to(read, (n, 4)))
    placed, tiles = np.concatenate(boxes), np.concatenate(seen)
    limits = np.asarray((0, 0, *shape[-2:]), np.float32)
    # The image's own edge is no border: nothing more could be seen beyond.
    before = np.where(tiles[:, :2] > limits[:2], placed[:, :2] - tiles[:, :2], np.inf)
    behind = np.where(tiles[:, 2:] < limits[2:], tiles[:, 2:] - placed[:, 2:], np.inf)
    margin = np.concatenate((before, behind), axis=1).min(axis=1, initial=np.inf)
    height, width = shape[-2:]
    return _Found(
        boxes=np.clip(placed, 0, np.asarray([height, width] * 2, np.float32)),
        plane=np.concatenate(plane),
        scores=np.concatenate([part.instances.scores for part in parts]),
        classes=np.concatenate([part.instances.classes for part in parts]),
        masks=np.concatenate([part.instances.masks for part in parts]),
        tile=np.concatenate(tile),
        seen=tiles,
        cut=margin <= border_px,
        margin=margin.astype(np.float32),
    )


def _same_object(found: _Found, agreement: float) -> npt.NDArray[np.int64]:
    """Return pairs ``(k, 2)`` of detections of different tiles whose masks agree."""
    pairs = overlapping_pairs(found.boxes, found.plane)
    pairs = pairs[found.tile[pairs[:, 0]] != found.tile[pairs[:, 1]]]
    # A cut half may well look like another class: a whole object overrules it all the same.
    alike = found.classes[pairs[:, 0]] == found.classes[pairs[:, 1]]
    pairs = pairs[alike | (found.cut[pairs].sum(axis=1) == 1)]
    same = np.zeros(len(pairs), np.bool_)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        same[some] = _overlap(found, pairs[some]) > agreement
    agreed: npt.NDArray[np.int64] = pairs[same]
    return agreed


def _overlap(found: _Found, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return intersection over union of two masks where both tiles look, ``(k,)``."""
    one, two = pairs.T
    common = np.concatenate(
        (
            np.maximum(found.seen[one, :2], found.seen[two, :2]),
            np.minimum(found.seen[one, 2:], found.seen[two, 2:]),
        ),
        axis=1,
    )
    low = np.maximum(np.minimum(found.boxes[one, :2], found.boxes[two, :2]), common[:, :2])
    high = np.minimum(np.maximum(found.boxes[one, 2:], found.boxes[two, 2:]), common[:, 2:])
    ys, xs = _points(low, high, _SAMPLES)
    first = _values(found.masks[one], found.boxes[one], ys, xs) >= 0.5
    second = _values(found.masks[two], found.boxes[two], ys, xs) >= 0.5
    union = (first | second).sum(axis=(1, 2))
    both = (first & second).sum(axis=(1, 2))
    # Tiles that do not share any pixel have nothing in which they could agree.
    both[(high <= low).any(axis=1)] = 0
    agreement: npt.NDArray[np.float64] = both / np.maximum(union, 1)
    return agreement


def _partial(
    found: _Found, pairs: npt.NDArray[np.int64], border_px: float
) -> npt.NDArray[np.bool_]:
    """Tell for each of a pair ``(k, 2)`` if its tile saw only a part of the object.

    Its own box need not reach the border: it is enough that the other one goes beyond it.
    """
    other = found.boxes[pairs[:, ::-1]]
    seen = found.seen[pairs]
    beyond = (other[..., :2] < seen[..., :2] - border_px).any(axis=-1)
    beyond |= (other[..., 2:] > seen[..., 2:] + border_px).any(axis=-1)
    return found.cut[pairs] | beyond


def _give_way(
    found: _Found, pairs: npt.NDArray[np.int64], partial: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Mark what a whole detection of another tile replaces, ``(n,)``."""
    dropped = np.zeros(len(found.boxes), np.bool_)
    mixed = partial.sum(axis=1) == 1
    dropped[pairs[mixed][partial[mixed]]] = True
    whole = pairs[~partial.any(axis=1)]
    # Greedy as in non-maximum suppression: the best seen decides first, the earlier on ties.
    rank = np.empty(len(found.scores), np.int64)
    rank[np.lexsort((-found.scores, -found.margin))] = np.arange(len(rank))
    ahead = rank[whole[:, 0]] < rank[whole[:, 1]]
    strong = np.where(ahead, whole[:, 0], whole[:, 1])
    weak = np.where(ahead, whole[:, 1], whole[:, 0])
    order = np.argsort(rank[strong], kind="stable")
    for winner, loser in zip(strong[order].tolist(), weak[order].tolist(), strict=True):
        if not dropped[winner]:
            dropped[loser] = True
    return dropped


@dataclass(frozen=True, slots=True, eq=False)
class _Joined:
    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    masks: npt.NDArray[np.float32]
    first: npt.NDArray[np.int64]  # the member that now stands for its group


def _join(found: _Found, pairs: npt.NDArray[np.int64]) -> _Joined:
    """Put pieces of one object together; the rest stays as it is."""
    first = _groups(len(found.boxes), pairs)
    boxes, scores, masks = found.boxes.copy(), found.scores.copy(), found.masks
    pieces = np.unique(pairs)
    if not len(pieces):
        return _Joined(boxes, scores, found.classes, masks, first)
    masks = masks.copy()
    pieces = pieces[np.argsort(first[pieces], kind="stable")]
    leaders, begins = np.unique(first[pieces], return_index=True)
    for leader, members in zip(leaders.tolist(), np.split(pieces, begins[1:]), strict=True):
        low = found.boxes[members, :2].min(axis=0)
        high = found.boxes[members, 2:].max(axis=0)
        ys, xs = _points(low[None], high[None], masks.shape[-1])
        n = len(members)
        own = _values(
            found.masks[members],
            found.boxes[members],
            np.repeat(ys, n, axis=0),
            np.repeat(xs, n, axis=0),
        )
        boxes[leader] = (*low, *high)
        masks[leader] = own.max(axis=0)
        areas = np.prod(found.boxes[members, 2:] - found.boxes[members, :2], axis=1)
        scores[leader] = np.average(found.scores[members], weights=np.maximum(areas, 1e-6))
    return _Joined(boxes, scores, found.classes, masks, first)


def _groups(n: int, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for each of ``n`` the smallest index that pairs connect it with."""
    first = list(range(n))

    def find(k: int) -> int:
        while first[k] != k:
            first[k] = first[first[k]]
            k = first[k]
        return k

    for one, two in pairs.tolist():
        a, b = sorted((find(one), find(two)))
        first[b] = a
    return np.asarray([find(k) for k in range(n)], np.int64)


def _points(
    low: npt.NDArray[np.float32], high: npt.NDArray[np.float32], count: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return y and x ``(k, count)`` of the centres of a grid laid over each box."""
    part = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(count)
    at = low[:, :, None] + (high - low)[:, :, None] * part
    return at[:, 0], at[:, 1]


def _values(
    masks: npt.NDArray[np.float32],
    boxes: npt.NDArray[np.float32],
    ys: npt.NDArray[np.float32],
    xs: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Return the probabilities ``(k, len y, len x)`` at image points; 0 outside the box."""
    rows = _weights(boxes[:, 0], boxes[:, 2], ys, masks.shape[-2])
    columns = _weights(boxes[:, 1], boxes[:, 3], xs, masks.shape[-1])
    return (rows @ masks @ columns.transpose(0, 2, 1)).astype(np.float32, copy=False)


def _weights(
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
    at: npt.NDArray[np.float32],
    size: int,
) -> npt.NDArray[np.float32]:
    """Return bilinear weights ``(k, points, size)`` with half-pixel centres."""
    length = np.maximum(high - low, np.float32(1e-6))[:, None]
    where = (at - low[:, None]) / length * np.float32(size) - np.float32(0.5)
    where = np.minimum(np.maximum(where, np.float32(0)), np.float32(size - 1))
    distance = np.abs(where[:, :, None] - np.arange(size, dtype=np.float32))
    inside = (at >= low[:, None]) & (at <= high[:, None])
    weights: npt.NDArray[np.float32] = np.maximum(np.float32(1) - distance, np.float32(0))
    return weights * inside[:, :, None]

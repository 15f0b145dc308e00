"""Boxes ``y0 x0 y1 x1``: which of them overlap, and which the stronger ones suppress.

Pure geometry. Coordinates are edges in pixels: a box over the first pixel is ``0 0 1 1``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["overlapping_pairs", "pairwise_iou", "suppress"]

_SLACK = 0.999
"""Far more than float32 may round an IoU."""
_PAIRS_AT_ONCE = 1_000_000
"""Candidate pairs looked at together: 16 MB an index array, whatever the number of boxes."""


def overlapping_pairs(
    boxes: npt.NDArray[Any], groups: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.int64]:
    """Return the pairs of boxes that share some area.

    Sweeps along y instead of comparing all with all: 100,000 nuclei on one picture are
    30 million candidates, not 5 thousand million.

    Parameters
    ----------
    boxes : ndarray
        ``(n, 4)``, ``y0 x0 y1 x1`` in pixels.
    groups : ndarray, optional
        ``(n,)`` int64; only boxes of the same group (plane, class) are paired.

    Returns
    -------
    ndarray
        ``(k, 2)`` int64, indices into ``boxes``, each pair once.
    """
    return np.concatenate([np.empty((0, 2), np.int64), *_overlapping(boxes, groups)])


def pairwise_iou(boxes: npt.NDArray[Any], pairs: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return intersection over union ``(k,)`` of the pairs ``(k, 2)`` of boxes ``(n, 4)``.

    float32 for boxes of float32, rounded as torchvision does it, else float64.
    """
    sides_as = np.float32 if boxes.dtype == np.float32 else np.float64
    sides: list[Any] = [np.asarray(side, sides_as) for side in boxes.reshape(-1, 4).T]
    y0, x0, y1, x1 = sides
    area = (y1 - y0) * (x1 - x0)
    one, two = pairs.T
    high = np.minimum(y1[one], y1[two]) - np.maximum(y0[one], y0[two])
    wide = np.minimum(x1[one], x1[two]) - np.maximum(x0[one], x0[two])
    shared = np.maximum(high, 0) * np.maximum(wide, 0)
    union = area[one] + area[two] - shared
    iou: npt.NDArray[Any] = np.zeros_like(shared)
    np.divide(shared, union, out=iou, where=union > 0)
    return iou


def suppress(
    boxes: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    groups: npt.NDArray[np.int64],
    iou: float,
) -> npt.NDArray[np.int64]:
    """Greedy non-maximum suppression, each group for itself.

    From the highest score down, each box that is still there removes the weaker ones of
    its group whose overlap with it is more than ``iou``. Of equal scores the first wins.

    Parameters
    ----------
    boxes : ndarray
        ``(n, 4)``, ``y0 x0 y1 x1`` in pixels.
    scores : ndarray
        ``(n,)``.
    groups : ndarray
        ``(n,)`` int64, such as plane and class together.
    iou : float
        Intersection over union, 0 to 1; 1 removes nothing.

    Returns
    -------
    ndarray
        Indices of the boxes that stay, highest score first.
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    boxes, groups = boxes[order], groups[order]
    most = np.float64(iou)  # compared as torchvision does it, whatever the boxes are
    near = _overlapping(boxes, groups, least=iou)
    chunks = (pairs[pairwise_iou(boxes, pairs) > most] for pairs in near)
    pairs = np.sort(np.concatenate([np.empty((0, 2), np.int64), *chunks]), axis=1)
    # Sorted by the stronger one: whether it is still there is settled when its turn comes.
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    there = [True] * len(order)
    for strong, weak in pairs.tolist():
        if there[strong]:
            there[weak] = False
    return order[np.flatnonzero(there)]


def _overlapping(
    boxes: npt.NDArray[Any], groups: npt.NDArray[np.int64] | None, least: float = 0.0
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the pairs of boxes that share some area, a part of them at a time.

    Those with an IoU below ``least`` may be missing: a share of the area is at most the share
    of the height, so few of those that begin lower have to be looked at.
    """
    top, left, bottom, right = _apart(boxes, groups)
    order = np.argsort(top, kind="stable")
    top, left, bottom, right = top[order], left[order], bottom[order], right[order]
    reach = bottom - _SLACK * least * (bottom - top)
    for first, second in _sweep(top, reach):
        both = np.minimum(right[first], right[second]) > np.maximum(left[first], left[second])
        both &= np.minimum(bottom[first], bottom[second]) > top[second]
        yield np.stack((order[first[both]], order[second[both]]), axis=1)


def _apart(
    boxes: npt.NDArray[Any], groups: npt.NDArray[np.int64] | None
) -> tuple[npt.NDArray[np.float64], ...]:
    """Return top, left, bottom, right, each group moved to its own range of y."""
    top, left, bottom, right = np.asarray(boxes, np.float64).reshape(-1, 4).T
    if groups is not None and len(top):
        _, rank = np.unique(groups, return_inverse=True)
        shift = rank * (bottom.max() - top.min() + 1.0)
        top, bottom = top + shift, bottom + shift
    return top, left, bottom, right


def _sweep(
    top: npt.NDArray[np.float64], reach: npt.NDArray[np.float64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield index arrays of pairs ``i < j`` where j begins above what i reaches to."""
    n = len(top)
    end = np.searchsorted(top, reach, side="left")
    counts = np.maximum(end - np.arange(n) - 1, 0)
    ends = np.cumsum(counts)
    start = 0
    while start < n:
        done = int(ends[start] - counts[start])
        stop = max(int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, side="right")), start + 1)
        some = counts[start:stop]
        first = np.repeat(np.arange(start, stop), some)
        step = np.arange(len(first)) - np.repeat(np.cumsum(some) - some, some)
        yield first, first + 1 + step
        start = stop

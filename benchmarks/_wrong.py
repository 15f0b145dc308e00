"""Segmentations that are wrong in known places: true nuclei merged, split, deleted, invented."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

SHARE = 0.1
"""Of the true objects that are made wrong."""
GAP_PX = 4
"""Nuclei that are not farther apart may be merged."""


@dataclass(frozen=True)
class Wrong:
    """Labels with mistakes, and where these are.

    Attributes
    ----------
    labels : ndarray
        int32 ``(y, x)``.
    objects : dict of int to str
        Id -> ``merged``, ``split`` or ``invented``.
    deleted : ndarray
        int32 ``(y, x)``: the objects that lack, with ids of their own.
    """

    labels: np.ndarray
    objects: dict[int, str]
    deleted: np.ndarray


def spoil(truth: np.ndarray, rng: np.random.Generator, share: float = SHARE) -> Wrong:
    """Make some of the objects wrong, each kind of mistake as often as the others."""
    labels, deleted = truth.astype(np.int32).copy(), np.zeros(truth.shape, np.int32)
    objects: dict[int, str] = {}
    ids = [i for i in np.unique(truth).tolist() if i]
    fresh = max(ids, default=0) + 1
    touched: set[int] = set()
    for label in ids:
        if rng.uniform() >= share or label in touched:
            continue
        kind = str(rng.choice(["merged", "split", "deleted", "invented"]))
        if kind == "merged":
            other = _neighbour(labels, label, touched | set(objects))
            if other is None:
                kind = "split"
            else:
                _merge(labels, label, other)
                touched |= {label, other}
                objects[label] = kind
        if kind == "split":
            half = _half(labels == label, rng)
            if min(half.sum(), (labels == label).sum() - half.sum()) < 8:
                kind = "deleted"
            else:
                labels[half] = fresh
                objects |= {label: kind, fresh: kind}
                fresh += 1
        if kind == "deleted":
            deleted[labels == label] = label
            labels[labels == label] = 0
        if kind == "invented":
            place = _free(labels, truth, label, rng)
            if place is not None:
                labels[place] = fresh
                objects[fresh] = kind
                fresh += 1
        touched.add(label)
    return Wrong(labels=labels, objects=objects, deleted=deleted)


def _neighbour(labels: np.ndarray, label: int, taken: set[int]) -> int | None:
    near = ndimage.binary_dilation(labels == label, iterations=GAP_PX)
    around, counts = np.unique(labels[near & (labels != label)], return_counts=True)
    free = [
        (c, i)
        for i, c in zip(around.tolist(), counts.tolist(), strict=True)
        if i and i not in taken
    ]
    return max(free)[1] if free else None


def _merge(labels: np.ndarray, label: int, other: int) -> None:
    both = (labels == label) | (labels == other)
    closed = ndimage.binary_closing(np.pad(both, GAP_PX), iterations=GAP_PX)
    closed = closed[GAP_PX:-GAP_PX, GAP_PX:-GAP_PX]
    labels[both | (closed & (labels == 0))] = label


def _half(inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one side of a cut across the longer axis, somewhere near the middle."""
    at = np.argwhere(inside)
    centred = at - at.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    along = centred @ axes[0]
    side = along > rng.uniform(-0.25, 0.25) * np.abs(along).max()
    half = np.zeros(inside.shape, bool)
    half[tuple(at[side].T)] = True
    return half


def _free(
    labels: np.ndarray, truth: np.ndarray, label: int, rng: np.random.Generator
) -> tuple[np.ndarray, ...] | None:
    """Return the pixels of an object of this shape at a place where there is none."""
    at = np.argwhere(truth == label)
    at = at - at.min(axis=0)
    height, width = at.max(axis=0) + 1
    for _ in range(60):
        y = int(rng.integers(0, max(1, labels.shape[0] - height)))
        x = int(rng.integers(0, max(1, labels.shape[1] - width)))
        there = tuple((at + np.array([y, x])).T)
        if not (labels[there] > 0).any() and not (truth[there] > 0).any():
            return there
    return None

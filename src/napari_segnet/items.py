"""What there is to look at: the objects of a label image, and places where one may lack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.by_label import values_of
from napari_segnet.journal import slabs

__all__ = ["Items", "extents", "items_of", "means_of", "remeasured", "worse"]

PIECE_PX = 2**20
"""Pixels that are looked through at once: some 10 ms, in which nothing else in Python runs."""

Box = tuple[slice, ...]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Items:
    """A table of objects, one row each: columns rather than rows, for there are thousands.

    Attributes
    ----------
    ids : ndarray
        ``(n,)`` int64: the label; negative where a network sees an object that has none.
    first, stop : ndarray
        ``(n, axes)`` int64: the box of each, in pixels.
    areas : ndarray
        ``(n,)`` int64, in pixels (or voxels).
    scores : ndarray
        ``(n,)`` float64 from 0 to 1; NaN where nobody gave one.
    classes : ndarray
        ``(n,)`` int64; 0 where unknown.
    uncertainty : ndarray
        ``(n,)`` float64 from 0 (sure) to 1; NaN where unknown.
    why : tuple of str
        ``(n,)`` what the uncertainty comes from, in a few words.
    said : str
        How the uncertainty was found, for the user.
    shapes : mapping of int to ndarray
        For an object that may lack: its pixels in its box, as the network sees it.
    """

    ids: Ints
    first: Ints
    stop: Ints
    areas: Ints
    scores: Floats
    classes: Ints
    uncertainty: Floats
    why: tuple[str, ...]
    said: str = ""
    shapes: Mapping[int, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.ids.size)

    def box(self, row: int) -> Box:
        """Return where an object lies."""
        ends = zip(self.first[row].tolist(), self.stop[row].tolist(), strict=True)
        return tuple(slice(a, b) for a, b in ends)

    def row_of(self, label: int) -> int | None:
        """Return the row of a label."""
        found = np.flatnonzero(self.ids == label)
        return int(found[0]) if found.size else None

    def chosen(self, rows: npt.NDArray[Any]) -> Items:
        """Return some of the rows, in that order."""
        every = np.arange(len(self))
        picked = every[rows]
        if picked.size == len(self) and (picked == every).all():
            return self
        return replace(
            self,
            ids=self.ids[picked],
            first=self.first[picked],
            stop=self.stop[picked],
            areas=self.areas[picked],
            scores=self.scores[picked],
            classes=self.classes[picked],
            uncertainty=self.uncertainty[picked],
            why=tuple(
                compress(self.why, rows.tolist())  # three times as fast, for 100,000 objects
                if rows.dtype == np.bool_
                else map(self.why.__getitem__, picked.tolist())
            ),
        )

    def joined(self, other: Items) -> Items:
        """Return the rows of both."""
        return replace(
            self,
            ids=np.concatenate([self.ids, other.ids]),
            first=np.concatenate([self.first, other.first]),
            stop=np.concatenate([self.stop, other.stop]),
            areas=np.concatenate([self.areas, other.areas]),
            scores=np.concatenate([self.scores, other.scores]),
            classes=np.concatenate([self.classes, other.classes]),
            uncertainty=np.concatenate([self.uncertainty, other.uncertainty]),
            why=(*self.why, *other.why),
            shapes={**self.shapes, **other.shapes},
        )

    def with_table(self, scores: Mapping[int, float], classes: Mapping[int, int]) -> Items:
        """Return the items with the score and class of each label, where they are known."""
        return replace(
            self,
            scores=values_of(scores, self.ids, np.nan),
            classes=values_of(classes, self.ids, 0),
        )


def items_of(labels: npt.NDArray[Any], offset: tuple[int, ...] | None = None) -> Items:
    """Return the objects of a label image, without uncertainty.

    Parameters
    ----------
    labels : ndarray
        Integer labels with any number of axes; 0 is background.
    offset : tuple of int, optional
        Where the array begins in the whole.
    """
    parts = []
    for box in slabs(labels.shape, PIECE_PX):  # the window gets its turn in between
        ids, first, last, counts = extents(labels[box])
        start = np.array([part.start for part in box])
        parts.append((ids, first + start, last + start, counts))
    none = np.empty((0, labels.ndim), np.int64)
    all_ids = np.concatenate([none[:, 0], *(ids for ids, *_ in parts)])
    ids, row = np.unique(all_ids, return_inverse=True)
    first = np.full((ids.size, labels.ndim), np.iinfo(np.int64).max)
    last, counts = np.full((ids.size, labels.ndim), -1), np.zeros(ids.size, np.int64)
    done = 0
    for those, low, high, count in parts:
        rows = row[done : done + those.size]  # each object once
        first[rows] = np.minimum(first[rows], low)
        last[rows] = np.maximum(last[rows], high)
        counts[rows] += count
        done += those.size
    shift = np.array(offset if offset is not None else (0,) * labels.ndim, np.int64)
    unknown = np.full(ids.size, np.nan)
    return Items(
        ids=ids,
        first=first + shift,
        stop=last + 1 + shift,
        areas=counts,
        scores=unknown,
        classes=np.zeros(ids.size, np.int64),
        uncertainty=unknown.copy(),
        why=("",) * ids.size,
    )


def extents(values: npt.NDArray[Any]) -> tuple[Ints, Ints, Ints, Ints]:
    """Return the objects in an array: ids, first and last indices, numbers of pixels.

    Parameters
    ----------
    values : ndarray
        Integer labels; what is below 1 is background.

    Returns
    -------
    ids : ndarray
        ``(n,)`` int64, rising.
    first, last : ndarray
        ``(n, axes)`` int64.
    counts : ndarray
        ``(n,)`` int64.
    """
    none = np.empty((0, values.ndim), np.int64)
    flat, row_px = values.reshape(-1), values.shape[-1]
    if not flat.size:
        return none[:, 0], none, none, none[:, 0]
    # Runs along the last axis are far fewer than pixels, and need no object of Python's.
    begins = np.ones(flat.size, np.bool_)
    np.not_equal(flat[1:], flat[:-1], out=begins[1:])
    begins[::row_px] = True
    at = np.flatnonzero(begins)
    lengths = np.diff(at, append=flat.size)
    inside = flat[at] > 0
    at, lengths = at[inside], lengths[inside]
    if not at.size:
        return none[:, 0], none, none, none[:, 0]
    order = np.argsort(flat[at], kind="stable")
    at, lengths = at[order], lengths[order]
    labels = flat[at].astype(np.int64)
    starts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    low = np.unravel_index(at, values.shape)
    high = (*low[:-1], low[-1] + lengths - 1)
    first = np.stack([np.minimum.reduceat(axis, starts) for axis in low], axis=1)
    last = np.stack([np.maximum.reduceat(axis, starts) for axis in high], axis=1)
    return labels[starts], first, last, np.add.reduceat(lengths, starts)


def _is_too_long(highest: int, pixels: int) -> bool:
    """Tell if a table up to the highest id would be much longer than the image."""
    return highest > 4 * pixels + 10**6


def remeasured(items: Items, labels: Any, touched: npt.ArrayLike, box: Box) -> Items:
    """Return the table after an edit; what it costs follows the edit, not the image.

    Objects that the edit made are new rows at the end, those that are gone have none.

    Parameters
    ----------
    items : Items
        As they were before.
    labels : array-like
        After the edit: numpy or zarr, of which only a box is read.
    touched : array-like
        Every id that any pixel in the box had before or has now.
    box : tuple of slice
        Where pixels changed.
    """
    ids = np.unique(np.asarray(touched, np.int64))
    ids = ids[ids > 0]
    known = np.flatnonzero(np.isin(items.ids, ids))
    low = np.array([part.start for part in box], np.int64)
    high = np.array([part.stop for part in box], np.int64)
    if known.size:  # where the touched objects were may hold pixels of them outside of the edit
        low = np.minimum(low, items.first[known].min(axis=0))
        high = np.maximum(high, items.stop[known].max(axis=0))
    around = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    part = np.asarray(labels[around])
    part = np.where(np.isin(part, ids), part, 0)
    now = items_of(part, tuple(low.tolist()))
    is_touched = np.isin(items.ids, ids)
    kept = (
        items if not is_touched.any() else items.chosen(~is_touched | np.isin(items.ids, now.ids))
    )
    rows = np.flatnonzero(np.isin(kept.ids, ids))
    source = np.searchsorted(now.ids, kept.ids[rows])
    first, stop, areas = kept.first.copy(), kept.stop.copy(), kept.areas.copy()
    first[rows], stop[rows], areas[rows] = now.first[source], now.stop[source], now.areas[source]
    kept = replace(kept, first=first, stop=stop, areas=areas)
    fresh = now.chosen(~np.isin(now.ids, kept.ids))
    return kept.joined(fresh) if len(fresh) else kept


def means_of(labels: npt.NDArray[Any], values: npt.NDArray[Any], ids: Ints) -> Floats:
    """Return the mean of the values over the pixels of each id.

    Parameters
    ----------
    labels : ndarray
        Integer labels.
    values : ndarray
        Of the same shape; NaN counts as 0.
    ids : ndarray
        ``(n,)`` of which labels.
    """
    from napari_segnet.steps.ids import chunks

    size = int(ids.max(initial=0)) + 1
    if _is_too_long(size, labels.size):
        known, places = np.unique(labels, return_inverse=True)
        rows = np.minimum(np.searchsorted(known, ids), known.size - 1)
        found = means_of(places.reshape(labels.shape), values, rows)
        return np.where(known[rows] == ids, found, 0.0)
    sums, counts = np.zeros(size), np.zeros(size)
    flat, map_ = labels.reshape(-1), values.reshape(-1)
    for part in chunks(flat.size):
        weights = np.nan_to_num(map_[part].astype(np.float64))
        sums += np.bincount(flat[part], weights, size)[:size]
        counts += np.bincount(flat[part], minlength=size)[:size]
    means: Floats = sums[ids] / np.maximum(counts[ids], 1)
    return means


def worse(items: Items, others: Items) -> Items:
    """Return the items with the higher uncertainty of both; the others are the first rows."""
    uncertainty, why = items.uncertainty.copy(), list(items.why)
    for row in np.flatnonzero(others.uncertainty > uncertainty[: len(others)]).tolist():
        uncertainty[row], why[row] = others.uncertainty[row], others.why[row]
    said = f"{items.said}, and {others.said}"
    return replace(items, uncertainty=uncertainty, why=tuple(why), said=said)

"""Ids of labels: in raster order, unique over planes, looked up in place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.sinks import large_array

__all__ = [
    "add_by_id",
    "boxes",
    "chunks",
    "count_pixels",
    "look_up",
    "offset_unique",
    "relabel_raster",
]

# Pixels worked on at once where an operation needs wide temporaries (int64, float64):
# 2**22 of them are 32 MB, small beside any image, and large enough to hide the loop.
CHUNK_PX = 2**22


AT_ONCE_PX = 2**28
MANY = 2**17
"""Up to so many pixels and ids are renumbered at once by fastremap, the quicker way: it takes a
copy of the labels, and some 60 bytes for each id."""


def chunks(size: int) -> Iterator[slice]:
    """Cut ``size`` pixels, flattened in raster order, into slices of bounded length."""
    for start in range(0, size, CHUNK_PX):
        yield slice(start, min(start + CHUNK_PX, size))


def relabel_raster(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Give ids 1..n in the raster order of each object's first pixel; 0 stays 0.

    Parameters
    ----------
    labels : ndarray
        int32 of any shape; changed in place where it is C-contiguous.

    Returns
    -------
    ndarray
        int32, the same shape; C-contiguous.
    """
    import fastremap

    labels = np.ascontiguousarray(labels, dtype=np.int32)
    if labels.size == 0:
        return labels
    if labels.size > AT_ONCE_PX or MANY < int(labels.max()) <= labels.size:
        return look_up(labels, _raster_table(labels.reshape(-1)))
    # It counts in the order in which values appear; what it returns is a narrower copy.
    fastremap.renumber(labels.reshape(-1), preserve_zero=True, in_place=True)
    return labels


def _raster_table(flat: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the new id of each old one, chunk by chunk: 4 bytes for each."""
    table = large_array((int(flat.max(initial=0)) + 1,), np.int32)
    table[...] = 0
    used = 0
    for part in chunks(flat.size):
        values = flat[part]
        begins = values[np.flatnonzero(np.diff(values, prepend=np.int32(-1)))]  # of runs
        new = begins[(begins > 0) & (table[begins] == 0)]
        # Written from the last on, each id keeps the place where it comes first.
        places = np.arange(-1, -1 - new.size, -1, dtype=np.int32)
        table[new[::-1]] = places[::-1]
        first = new[table[new] == places]
        table[first] = np.arange(used + 1, used + 1 + first.size, dtype=np.int32)
        used += first.size
    return table


def offset_unique(labels: npt.NDArray[np.int32], used: int) -> int:
    """Let the ids of a plane or volume continue after those already used, in place.

    Parameters
    ----------
    labels : ndarray
        int32 of any shape; every id above 0 grows by ``used``. May be a view.
    used : int
        The highest id used so far.

    Returns
    -------
    int
        The highest id used now: pass it on with the next plane.
    """
    highest = int(labels.max(initial=0))
    if used:
        np.add(labels, used, out=labels, where=labels > 0)
    return used + highest


def look_up(
    labels: npt.NDArray[np.int32], table: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.int32]:
    """Replace each id by ``table[id]``, in place where ``labels`` is C-contiguous.

    Parameters
    ----------
    labels : ndarray
        int32 of any shape, all ids within ``0 .. len(table) - 1``.
    table : ndarray
        ``(highest id + 1,)`` integer: the new id of each old one.
    """
    labels = np.ascontiguousarray(labels, dtype=np.int32)
    flat = labels.reshape(-1)
    table = table.astype(np.int32, copy=False)
    for part in chunks(flat.size):
        flat[part] = table[flat[part]]
    return labels


def count_pixels(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return ``(highest id + 1,)`` int64: the number of pixels of each id, 0 included."""
    flat = labels.reshape(-1)
    counts = large_array((int(labels.max(initial=0)) + 1,), np.int64)
    counts[...] = 0
    for part in chunks(flat.size):
        ids = flat[part][flat[part] > 0]
        counts[0] += flat[part].size - ids.size
        add_by_id(counts, ids)
    return counts


def add_by_id(
    totals: npt.NDArray[Any], ids: npt.NDArray[np.int32], values: npt.NDArray[Any] | None = None
) -> None:
    """Add to the total of each pixel's id its value, or 1; in place.

    Parameters
    ----------
    totals : ndarray
        ``(highest id + 1,)``.
    ids, values : ndarray
        ``(n,)`` of the pixels.
    """
    if not ids.size:
        return
    low, high = int(ids.min()), int(ids.max())  # ids rise with the rows: the others are elsewhere
    if high - low < 4 * ids.size:
        found = np.bincount(ids - low, values)
        totals[low : low + found.size] += found
    else:  # but those of an object that goes through all rows
        np.add.at(totals, ids, 1 if values is None else values)


def boxes(labels: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return where each id from 1 to the highest lies.

    Returns
    -------
    first, last : ndarray
        ``(axes, highest id)`` int32: its first and last index along each axis. An id that
        no pixel has gets boxes without meaning.
    """
    flat, wide = labels.reshape(-1), labels.shape[-1]
    found = (labels.ndim, int(labels.max(initial=0)) + 1)
    first, last = large_array(found, np.int32), large_array(found, np.int32)
    first[...] = np.iinfo(np.int32).max
    last[...] = -1
    for part in chunks(flat.size):
        values = flat[part]
        ends = np.diff(values) != 0
        ends[wide - 1 - part.start % wide :: wide] = True  # a row ends there
        stops = np.append(np.flatnonzero(ends), values.size - 1)
        starts = np.append(0, stops[:-1] + 1)
        real = np.flatnonzero(values[starts])
        starts, stops = starts[real], stops[real]
        ids = values[starts]
        at = np.unravel_index(starts + part.start, labels.shape)
        for axis, index in enumerate(at):
            where = index.astype(np.int32)
            np.minimum.at(first[axis], ids, where)
            if axis == labels.ndim - 1:
                where += (stops - starts).astype(np.int32)
            np.maximum.at(last[axis], ids, where)
    return first[:, 1:], last[:, 1:]

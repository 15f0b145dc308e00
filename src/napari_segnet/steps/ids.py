"""Ids of labels: in raster order, unique over planes, looked up in place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.steps._bands import bands

__all__ = ["boxes", "count_pixels", "look_up", "offset_unique", "relabel_raster"]

# Pixels worked on at once where an operation needs wide temporaries (int64, float64):
# 2**22 of them are 32 MB, small beside any image, and large enough to hide the loop.
CHUNK_PX = 2**22


AT_ONCE_PX = 2**28
"""Up to so many pixels are renumbered at once, for which fastremap takes up to 1 GB besides."""


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
    if labels.size > AT_ONCE_PX:
        return look_up(labels, _raster_table(labels.reshape(-1)))
    # It counts in the order in which values appear; what it returns is a narrower copy.
    fastremap.renumber(labels.reshape(-1), preserve_zero=True, in_place=True)
    return labels


def _raster_table(flat: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the new id of each old one, chunk by chunk: what fastremap does, without its copy."""
    table = np.zeros(int(flat.max(initial=0)) + 1, np.int32)
    used = 0
    for part in chunks(flat.size):
        values = flat[part]
        begins = values[np.flatnonzero(np.diff(values, prepend=np.int32(-1)))]  # of runs
        new = begins[(begins > 0) & (table[begins] == 0)]
        found, first = np.unique(new, return_index=True)
        table[found[np.argsort(first)]] = np.arange(used + 1, used + 1 + found.size)
        used += found.size
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
    counts = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
    for part in chunks(flat.size):
        ids = flat[part][flat[part] > 0]
        counts[0] += flat[part].size - ids.size
        low = int(ids.min(initial=counts.size))  # ids rise with the rows: the others are elsewhere
        found = np.bincount(ids - low)
        counts[low : low + found.size] += found
    return counts


def boxes(labels: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where each id from 1 to the highest lies.

    Returns
    -------
    first, last : ndarray
        ``(highest id, axes)`` int64: its first and last index along each axis. An id that
        no pixel has gets boxes without meaning.
    """
    from scipy.ndimage import find_objects

    labels = np.ascontiguousarray(labels)
    highest = int(labels.max(initial=0))
    parts = bands(labels.shape)
    if highest >= min((labels[part].size for part in parts), default=0):
        # Tiny, or with gaps between ids: cc3d refuses these.
        places = [p or (slice(0, 1),) * labels.ndim for p in find_objects(labels)]
        ends = np.array([[(axis.start, axis.stop - 1) for axis in p] for p in places], np.int64)
        ends = ends.reshape(highest, labels.ndim, 2)
        return ends[..., 0], ends[..., 1]
    first = np.full((highest, labels.ndim), np.iinfo(np.int64).max)
    last = np.zeros_like(first)
    for part in parts:
        _widen(first, last, labels[part], part.start)
    return first, last


def _widen(
    first: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
    band: npt.NDArray[np.int32],
    start: int,
) -> None:
    """Widen boxes by what a band of the labels holds of their ids."""
    import cc3d

    found = cc3d.statistics(band.view(np.uint32), no_slice_conversion=True)
    real = np.flatnonzero(found["voxel_counts"][1:])
    ends = found["bounding_boxes"][1:][real].astype(np.int64)
    ends[:, :2] += start
    first[real] = np.minimum(first[real], ends[:, 0::2])
    last[real] = np.maximum(last[real], ends[:, 1::2])

"""What an image is known by after a restart: a digest of its pixels.

It says the same for the same shape, type and values of the pixels, whatever holds them (numpy,
dask, zarr), however they are cut into chunks, and whatever their file or layer is called. Up to
``WHOLE_BYTES`` all pixels count. Of larger images some tiles count, at places that follow from
the shape alone, so that no more than ``WHOLE_BYTES`` or so is ever read; such a digest begins
with ``tiles``. It is computed in a thread, once for the pixels of a layer.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.widgets.layers.axes import level_0
from napari_segnet.widgets.layers.private import unwrapped

if TYPE_CHECKING:
    import napari.layers

__all__ = ["digest_if_known", "digest_of", "pixels_digest"]

WHOLE_BYTES = 2**26
"""64 MiB: some 0.1 s of hashing, and what a slow share reads in a second."""
PIECE_BYTES = 2**22
TILE_PX = 256
MOST_PLANES = 16
TILES = 256
"""Tiles of all planes together: 16 million pixels, 32 MiB at 16 bits."""

_turn = threading.Lock()
"""One image at a time: the computer has other work."""
_known: weakref.WeakKeyDictionary[Any, tuple[Any, Future[str]]] = weakref.WeakKeyDictionary()


def digest_if_known(layer: napari.layers.Image) -> str | None:
    """Return the digest of a layer's pixels; None while a thread computes it, begun here.

    Empty where the pixels cannot be read: such an image is not known again.
    """
    future = _digest(layer)
    return future.result() if future.done() else None


def digest_of(layer: napari.layers.Image, patience_s: float | None = None) -> str:
    """Return the digest of a layer's pixels; waits for it.

    Empty where the pixels cannot be read, or where patience ends first.
    """
    try:
        return _digest(layer).result(patience_s)
    except TimeoutError:
        return ""


def _digest(layer: napari.layers.Image) -> Future[str]:
    real, data = unwrapped(layer), level_0(layer)
    of, future = _known.get(real, (None, None))
    if future is None or of is not data:
        future = Future()
        _known[real] = (data, future)
        threading.Thread(target=_compute, args=(data, future), daemon=True).start()
    return future


def _compute(data: Any, future: Future[str]) -> None:
    try:
        with _turn:
            found = pixels_digest(data)
    except Exception:
        # Any array may stand behind a layer, and raise anything; napari shows that error where
        # it reads the same pixels. Here the image just cannot be known again.
        found = ""
    future.set_result(found)


def pixels_digest(data: Any) -> str:
    """Return a digest of an array: 32 hexadecimal digits, after ``tiles:`` if not all count.

    Parameters
    ----------
    data : array-like
        With ``shape``, ``dtype`` and basic slicing. Dimensions of length 1 do not count.
    """
    dtype = np.dtype(data.dtype).newbyteorder("<")
    shape = tuple(int(n) for n in data.shape)
    known = hashlib.blake2b(digest_size=16)
    known.update(repr((tuple(n for n in shape if n != 1), dtype.str)).encode())
    whole = math.prod(shape) * dtype.itemsize <= WHOLE_BYTES
    for box in _bands(shape, dtype.itemsize) if whole else _tiles(shape):
        known.update(np.ascontiguousarray(np.asarray(data[box]), dtype).data.cast("B"))
    return known.hexdigest() if whole else f"tiles:{known.hexdigest()}"


def _bands(shape: tuple[int, ...], itemsize: int) -> Iterator[tuple[slice, ...]]:
    """Yield boxes that hold all pixels in their order, of about ``PIECE_BYTES``."""
    axis = next((a for a, n in enumerate(shape) if n > 1), None)
    if axis is None or 0 in shape:
        if 0 not in shape:
            yield (slice(None),) * len(shape)
        return
    row = math.prod(shape[axis + 1 :]) * itemsize
    step = max(1, PIECE_BYTES // max(1, row))
    for start in range(0, shape[axis], step):
        box = [slice(None)] * len(shape)
        box[axis] = slice(start, min(start + step, shape[axis]))
        yield tuple(box)


def _tiles(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield tiles along the two longest dimensions, in planes from first to last."""
    longest = sorted(sorted(range(len(shape)), key=lambda a: (-shape[a], -a))[:2])
    others = [a for a in range(len(shape)) if a not in longest]
    count = math.prod(shape[a] for a in others)
    planes = np.unique(np.linspace(0, count - 1, min(count, MOST_PLANES)).astype(np.int64))
    per_side = max(1, math.isqrt(TILES // len(planes)))
    starts = []
    for axis in longest:
        room = max(0, shape[axis] - TILE_PX)
        starts.append(np.unique(np.linspace(0, room, per_side).astype(np.int64)).tolist())
    for plane in planes.tolist():
        at = np.unravel_index(plane, [shape[a] for a in others]) if others else ()
        for corner in itertools.product(*starts):
            box = [slice(None)] * len(shape)
            for axis, place in zip(others, at, strict=True):
                box[axis] = slice(int(place), int(place) + 1)
            for axis, start in zip(longest, corner, strict=True):
                box[axis] = slice(start, min(start + TILE_PX, shape[axis]))
            yield tuple(box)

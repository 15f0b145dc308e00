"""The pixels of a Zarr array, read chunk by chunk when they are asked for."""

from __future__ import annotations

import itertools
import math
import os
import re
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import ImageError
from napari_segnet.extras import zarr_package
from napari_segnet.readers._address import Place, RemoteFolder
from napari_segnet.readers._damage import decoding, require_memory
from napari_segnet.readers._lazy import Box, LazyPixels

__all__ = ["ZarrPixels"]

CACHE_BYTES, MOST_CACHE_BYTES = 64 * 2**20, 256 * 2**20
"""Decoded chunks kept per array: at least, and where a row of chunks over the whole width is
more. So tiles and bands of rows side by side decode each chunk once."""

BLOSC_HEAD = struct.Struct("<BBBBIII")
"""Versions, flags, size of an item; bytes unpacked, of a block, and packed, this head included
(https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst)."""

MANY_CHUNKS = 20_000
"""From so many on, the files of chunks are listed instead of looked for one by one."""
NUMBERS = re.compile(r"[0-9]+")

LINES = ("aiohttp", "asyncio", "botocore", "aiobotocore", "gcsfs", "requests")
"""Packages whose errors are those of a connection."""


@contextmanager
def _decoding(folder: Place) -> Iterator[None]:
    """Turn what fails into an ImageError: of a disk or a file, or of a connection."""
    try:
        with decoding(folder, "Zarr"):
            yield
    except ImageError as error:
        cause = error.__cause__
        if isinstance(folder, RemoteFolder) and _is_of_the_line(cause):
            raise folder.refused(cause) from cause
        raise


def _is_of_the_line(cause: BaseException | None) -> TypeGuard[Exception]:
    """Tell errors of a connection from those of damaged bytes."""
    own = type(cause).__module__.partition(".")[0]
    return isinstance(cause, OSError | TimeoutError) or own in LINES


class ZarrPixels(LazyPixels):
    """A Zarr array whose chunks are decoded once while neighbouring boxes are read.

    Supports basic indexing; safe to use from several threads. Another process opens it again.

    Parameters
    ----------
    folder : Path or RemoteFolder
        Of the array; judged by ``_zarr_meta.require_plain`` before.
    zarr_format : int
        2 or 3.
    """

    def __init__(self, folder: Place, zarr_format: int) -> None:
        zarr = zarr_package(folder.name)
        with _decoding(folder):
            array = zarr.open_array(store=str(folder), mode="r", zarr_format=zarr_format)
            super().__init__(array.shape, array.dtype)
            self.chunks = tuple(max(1, int(n)) for n in array.chunks)
        self._array = array
        self._key = array.metadata.encode_chunk_key
        # One file for each chunk, but for shards: what is not there is seen before it is decoded.
        self._has_files = isinstance(folder, Path) and getattr(array, "shards", None) is None
        self._missing: npt.NDArray[Any] | None = None
        self._is_blosc = isinstance(folder, Path) and _outermost(array) == "blosc"
        self._folder = folder
        self._zarr_format = zarr_format
        self._lock = threading.RLock()
        self._cache: OrderedDict[tuple[int, ...], npt.NDArray[Any]] = OrderedDict()
        self._cached_bytes = 0
        row = math.prod(min(c, n) for c, n in zip(self.chunks[:-1], self.shape, strict=False))
        row_bytes = row * (self.shape[-1] if self.shape else 1) * self.dtype.itemsize
        self._most_bytes = min(max(CACHE_BYTES, 2 * row_bytes), MOST_CACHE_BYTES)

    def __reduce__(self) -> tuple[Any, ...]:
        return ZarrPixels, (self._folder, self._zarr_format)

    def _box(self, box: Box) -> npt.NDArray[Any]:
        with _decoding(self._folder):
            out = np.empty([s.stop - s.start for s in box], self.dtype)
        if not out.size:
            return out
        ranges = [
            range(s.start // c, -(-s.stop // c)) for s, c in zip(box, self.chunks, strict=True)
        ]
        for where in self._written(ranges, out):
            chunk = self._chunk(where)
            first = [i * c for i, c in zip(where, self.chunks, strict=True)]
            low = [max(s.start, f) for s, f in zip(box, first, strict=True)]
            high = [min(s.stop, f + n) for s, f, n in zip(box, first, chunk.shape, strict=True)]
            target = tuple(
                slice(a - s.start, b - s.start) for a, b, s in zip(low, high, box, strict=True)
            )
            source = tuple(slice(a - f, b - f) for a, b, f in zip(low, high, first, strict=True))
            out[target] = chunk[source]
        return out

    def _written(self, ranges: Sequence[range], out: npt.NDArray[Any]) -> Iterable[tuple[int, ...]]:
        """Return the chunks to read; where many were never written, these are filled at once."""
        every = itertools.product(*ranges)
        if not self._has_files or math.prod(map(len, ranges)) < MANY_CHUNKS:
            return every
        there = self._files()
        if there is None:
            return every
        inside = {
            where for where in there if all(i in one for i, one in zip(where, ranges, strict=True))
        }
        absent = next((where for where in every if where not in inside), None)
        if absent is not None:
            self._chunk(absent)
            if self._missing is None:  # it was written meanwhile
                return itertools.product(*ranges)
            out[...] = self._missing
        return sorted(inside)

    def _files(self) -> set[tuple[int, ...]] | None:
        """Return the chunks that have a file; None where folders of them are links."""
        folder, found = str(self._folder), set[tuple[int, ...]]()
        with _decoding(self._folder):
            for parent, folders, names in os.walk(folder):
                if any(os.path.islink(os.path.join(parent, name)) for name in folders):
                    return None
                for name in names:
                    key = os.path.relpath(os.path.join(parent, name), folder).replace(os.sep, "/")
                    where = tuple(int(n) for n in NUMBERS.findall(key))
                    if len(where) == len(self.shape) and self._key(where) == key:
                        found.add(where)
        return found

    def _chunk(self, where: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return a decoded chunk, cut off where the array ends."""
        with self._lock:
            found = self._cache.get(where)
            if found is not None:
                self._cache.move_to_end(where)
                return found
            absent = self._is_absent(where)
            if absent and self._missing is not None:
                return np.broadcast_to(self._missing, self._lengths(where))
            need = math.prod(self.chunks) * self.dtype.itemsize
            if need > CACHE_BYTES:
                require_memory(self._folder, 2 * need, "Save it in smaller chunks.")
            box = tuple(
                slice(i * c, min((i + 1) * c, n))
                for i, c, n in zip(where, self.chunks, self.shape, strict=True)
            )
            with _decoding(self._folder):
                if self._is_blosc:
                    _require_whole(self._folder / self._key(where))
                made = np.asarray(self._array[box])
            # One number everywhere, as Zarr says, unless the chunk was written meanwhile.
            if absent and made.size and self._is_absent(where):
                self._missing = made.ravel()[:1].copy()[0, ...]
                return made
            self._cache[where] = made
            self._cached_bytes += made.nbytes
            while self._cached_bytes > self._most_bytes and len(self._cache) > 1:
                _, old = self._cache.popitem(last=False)
                self._cached_bytes -= old.nbytes
            return made

    def _is_absent(self, where: tuple[int, ...]) -> bool:
        """Tell if a chunk was never written: Zarr then gives its fill value."""
        if not self._has_files:
            return False
        with _decoding(self._folder):
            return not os.path.lexists(self._folder / self._key(where))

    def _lengths(self, where: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(
            min(c, n - i * c) for i, c, n in zip(where, self.chunks, self.shape, strict=True)
        )


def _outermost(array: Any) -> object:
    """Return the name of the codec whose bytes a chunk's file holds."""
    said = array.metadata.to_dict()
    last = said.get("compressor") if said["zarr_format"] == 2 else said["codecs"][-1]
    return (last.get("id") or last.get("name")) if isinstance(last, dict) else last


def _require_whole(chunk: Path) -> None:
    """Raise ValueError for a chunk of Blosc that is cut off.

    Its decoder believes the length in the head and would read memory behind the bytes.
    """
    try:
        with chunk.open("rb") as file:
            head, size = file.read(BLOSC_HEAD.size), os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return  # never written: the fill value
    if len(head) < BLOSC_HEAD.size or BLOSC_HEAD.unpack(head)[-1] > size:
        raise ValueError(f"its chunk {chunk.name} is cut off")

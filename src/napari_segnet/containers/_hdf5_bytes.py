"""The bytes of an HDF5 file: where they lie, and how long the texts in it claim to be."""

from __future__ import annotations

import functools
import io
import math
import mmap
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from napari_segnet.containers._storage import Region
from napari_segnet.errors import BrokenWeightsError
from napari_segnet.stamp import stamp_of

__all__ = ["Part", "text_lengths"]

MOST_TEXTS = 100_000
"""In one attribute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An HDF5 file: a file of its own, or an entry of a zip.

    Attributes
    ----------
    region : Region
        Its bytes.
    """

    region: Region

    @classmethod
    def whole(cls, path: Path) -> Part:
        """Return a file as a whole."""
        state = path.stat()
        whole = Region(path=path, start=0, length=state.st_size, stamp=stamp_of(state))
        return cls(region=whole)

    @property
    def path(self) -> Path:
        """The file that it lies in."""
        return self.region.path

    @contextmanager
    def file(self) -> Iterator[BinaryIO]:
        """Open its bytes for reading."""
        region = self.region
        if region.entry is not None:
            yield io.BytesIO(_unpacked(region))
            return
        with region.path.open("rb", buffering=0) as file:
            yield _Window(file, region.start, region.length)  # type: ignore[misc]

    @contextmanager
    def bytes(self) -> Iterator[Any]:
        """Give all its bytes, which only take memory while they are looked at."""
        region = self.region
        if region.entry is not None:
            yield _unpacked(region)
            return
        with region.path.open("rb") as file:
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            with whole, memoryview(whole) as view:
                yield _Bytes(whole, view, region.start, region.length)


@dataclass(frozen=True, slots=True, eq=False)
class _Bytes:
    """Some bytes of a mapped file, with as much of ``bytes`` as is needed."""

    whole: mmap.mmap
    view: memoryview
    start: int
    length: int

    def find(self, part: bytes, first: int) -> int:
        """Return where a part begins; -1 if nowhere."""
        found = self.whole.find(part, self.start + first, self.start + self.length)
        return found - self.start if found >= 0 else -1

    def __getitem__(self, at: slice) -> bytes:
        first, last = (min(max(n, 0), self.length) for n in (at.start, at.stop))
        return bytes(self.view[self.start + first : self.start + last])


class _Window(io.RawIOBase):
    """Some bytes of a file as a file; it cannot be written."""

    def __init__(self, file: io.FileIO, start: int, length: int) -> None:
        self._file, self._start, self._length, self._at = file, start, length, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte; see :meth:`io.IOBase.seek`."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the byte that is next."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as there are bytes."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._length - self._at))
        self._file.seek(self._start + self._at)
        got = self._file.readinto(view[:count])
        self._at += got
        return got


@functools.lru_cache(maxsize=1)
def _unpacked(region: Region) -> bytes:
    """Return a compressed entry of a zip; its listing was checked against bombs."""
    try:
        with zipfile.ZipFile(region.path) as archive, archive.open(str(region.entry)) as file:
            return file.read(region.length)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BrokenWeightsError(
            f"{region.path.name} is damaged: its part {region.entry} cannot be unpacked ({error}). "
            "Download or copy it again."
        ) from error


VARIABLE = 9
"""Class of a type whose length differs from value to value (specification, IV.A.2.d)."""
LETTER = b"\1\0\0\0"
"""Bytes of a letter, the type that texts of any length are made of (specification, IV.A.2.d)."""
IMPOSSIBLE = 2**32


def text_lengths(data: Any, name: bytes) -> Iterator[int]:
    """Yield how long the texts of all attributes of a name claim to be, in bytes.

    Attributes stand in headers that are never packed: version, name, type, space, then for each
    text its length and place (HDF5 File Format Specification 3.0, IV.A.2.m). One whose type
    lies elsewhere cannot be checked, and counts as endless.
    """
    wanted, at = name + b"\0", -1
    while (at := data.find(wanted, at + 1)) >= 0:
        for version, before in ((1, 8), (2, 8), (3, 9)):
            head = data[at - before : at]
            if len(head) < before or head[0] != version:
                continue
            sizes = [int.from_bytes(head[i : i + 2], "little") for i in (2, 4, 6)]
            if sizes[0] != len(wanted):
                continue
            if version > 1 and head[1]:
                yield IMPOSSIBLE
                continue
            to = [-(-n // 8) * 8 if version == 1 else n for n in sizes]
            kind = at + to[0]
            space, texts = kind + to[1], kind + to[1] + to[2]
            first = data[kind : kind + 1]
            if first and first[0] & 15 == VARIABLE:
                if data[kind + 12 : kind + 16] != LETTER:
                    yield IMPOSSIBLE
                    continue
                yield from _lengths_of(data, texts, _count(data[space : space + 8 + 8 * 32]))


def _is_heap(data: Any, at: int) -> bool:
    """Tell if texts lie at a place as they should: in a damaged heap HDF5 may search for ever.

    A heap begins with its size; objects follow, each with number, uses and size, and the number
    0 is the room that is left (specification, III.E).
    """
    head = data[at : at + 16]
    size = int.from_bytes(head[8:16], "little")
    if head[:5] != b"GCOL\1" or len(data[at + size - 1 : at + size]) != 1:
        return False
    place = 16
    while place + 16 <= size:
        row = data[at + place : at + place + 16]
        number, held = int.from_bytes(row[:2], "little"), int.from_bytes(row[8:], "little")
        if number == 0:
            return held == size - place
        place += 16 + -(-held // 8) * 8
    return place <= size


def _count(space: bytes) -> int:
    """Return the number of values in a dataspace message (specification, IV.A.2.b)."""
    start = 8 if space[:1] == b"\1" else 4
    rank = space[1] if len(space) > 1 else 0
    dims = [int.from_bytes(space[start + 8 * i : start + 8 * i + 8], "little") for i in range(rank)]
    return math.prod(dims)


def _lengths_of(data: Any, at: int, count: int) -> Iterator[int]:
    if count > MOST_TEXTS:
        yield IMPOSSIBLE
        return
    rows, sound = data[at : at + 16 * count], dict[int, bool]()
    for i in range(0, len(rows), 16):
        length, heap = (int.from_bytes(rows[i + a : i + b], "little") for a, b in ((0, 4), (4, 12)))
        if length and heap not in sound:
            sound[heap] = _is_heap(data, heap)
        yield length if not length or sound[heap] else IMPOSSIBLE
    yield 0  # a list without texts is fine

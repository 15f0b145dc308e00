"""Plain numbers in a file, read when they are asked for and only if the file is the same.

A memory map would do, were it not that a file that another program cuts short meanwhile ends
the process (SIGBUS), and one that is written over gives other pixels without a word.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import ImageError
from napari_segnet.readers._damage import decoding
from napari_segnet.readers._lazy import Box, LazyPixels, normal_index
from napari_segnet.stamp import Stamp, stamp_of

__all__ = ["FilePixels", "require_same"]

BAND_BYTES = 32 * 2**20
"""The most that is read at once beyond what was asked for, and kept for the next tile."""

PIXEL_BYTES = 64
"""Samples of a pixel that are read together: fewer bytes than a line of the processor's cache."""

ROW_BYTES = 64 * 2**10
"""Of rows longer than this the wanted part is read row by row: each costs about 1 µs, in which
some 16 KB are read, and tiles side by side share the rows."""


def require_same(path: Path, found: Stamp, stamp: Stamp) -> None:
    """Raise an ``ImageError`` unless a file is the one that was opened."""
    if found == stamp:
        return
    cut = f" It had {stamp[0]:,} bytes and has {found[0]:,}." if found[0] != stamp[0] else ""
    raise ImageError(
        f"{path.name} has changed since it was opened: another program wrote to it or replaced "
        f"it.{cut} Open it again when that is done."
    )


class FilePixels(LazyPixels):
    """An array of plain numbers that lie in a file in one run.

    Supports basic indexing; safe to use from several threads. The file is open only while
    it is read. Raises :class:`ImageError` if it is not the file that was opened any more.

    Parameters
    ----------
    path : Path
        The file.
    dtype : dtype
        As in the file, with its byte order.
    offset : int
        Bytes before the first number.
    shape : tuple of int
        Last dimension fastest.
    stamp : Stamp
        Of the file when its header was read.
    """

    def __init__(
        self, path: Path, dtype: npt.DTypeLike, offset: int, shape: tuple[int, ...], stamp: Stamp
    ) -> None:
        super().__init__(shape, dtype)
        self._path = path
        self._offset = offset
        self._stamp = stamp
        # The rows that were read last: of which plane, and from which row on. Their memory is
        # used again, since getting it anew costs as much as reading.
        self._lock = threading.Lock()
        self._band: tuple[tuple[int, ...], int, npt.NDArray[Any]] | None = None
        self._memory = np.empty(0, np.uint8)

    def __reduce__(self) -> tuple[Any, ...]:
        return FilePixels, (self._path, self.dtype, self._offset, self.shape, self._stamp)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        asked, final = normal_index(index, self.shape)
        box, cut = self._widened(asked)
        steps = tuple(f.step or 1 if isinstance(f, slice) else 1 for f in final)
        with decoding(self._path, "image"):
            out = np.empty([s.stop - s.start for s in box], self.dtype)
        if not out.size:
            return out[cut][final]
        run = self._run_dim(box)
        if run > 0 and any(abs(step) > 1 for step in steps[:run]):
            return self._every_step(box, steps, run)[cut][_after_steps(final, run)]
        with decoding(self._path, "image"), self._path.open("rb", buffering=0) as file:
            require_same(self._path, stamp_of(os.fstat(file.fileno())), self._stamp)
            self._read(file, box, run, out)
            require_same(self._path, stamp_of(os.fstat(file.fileno())), self._stamp)
        return out[cut][final]

    def _widened(self, box: Box) -> tuple[Box, Box]:
        """Take in the rest of the samples of each pixel, and say what to cut out again."""
        wide, cut = list(box), [slice(None)] * self.ndim
        for dim in reversed(range(1, self.ndim)):
            if math.prod(self.shape[dim:]) * self.dtype.itemsize > PIXEL_BYTES:
                break
            wide[dim], cut[dim] = slice(0, self.shape[dim]), box[dim]
        return tuple(wide), tuple(cut)

    def _every_step(self, box: Box, steps: tuple[int, ...], run: int) -> npt.NDArray[Any]:
        """Read only the rows and planes that a stepped index picks, not those between."""
        picks = [
            range(s.start, s.stop)[::step] for s, step in zip(box[:run], steps[:run], strict=True)
        ]
        rest = box[run:]
        out = np.empty([*map(len, picks), *(s.stop - s.start for s in rest)], self.dtype)
        for where in itertools.product(*(range(len(p)) for p in picks)):
            at = tuple(slice(p[i], p[i] + 1) for p, i in zip(picks, where, strict=True))
            out[where] = self[(*at, *rest)][(0,) * run]
        return out

    def _run_dim(self, box: Box) -> int:
        """Return the dimension from which on a box is one run of bytes."""
        for dim in reversed(range(self.ndim)):
            if box[dim].stop - box[dim].start < self.shape[dim]:
                return dim
        return 0

    def _read(self, file: FileIO, box: Box, run: int, out: npt.NDArray[Any]) -> None:
        lead = [range(s.start, s.stop) for s in box[:run]]
        if not lead:
            self._fill(file, tuple(s.start for s in box), out)
            return
        rows = lead.pop()
        for outer in itertools.product(*lead):
            target = out[tuple(i - p.start for i, p in zip(outer, lead, strict=True))]
            row_bytes = math.prod(self.shape[run:]) * self.dtype.itemsize
            if row_bytes > ROW_BYTES or row_bytes * len(rows) > BAND_BYTES:
                for number, row in enumerate(rows):
                    self._fill(file, (*outer, row, *(s.start for s in box[run:])), target[number])
                continue
            with self._lock:
                target[...] = self._rows(file, outer, rows)[(slice(None), *box[run:])]

    def _rows(self, file: FileIO, outer: tuple[int, ...], rows: range) -> npt.NDArray[Any]:
        """Return whole rows; those read last are kept, since tiles lie side by side."""
        kept = self._band
        if kept is not None and kept[0] == outer:
            _, first, band = kept
            if first <= rows.start and rows.stop <= first + len(band):
                return band[rows.start - first : rows.stop - first]
        shape = (len(rows), *self.shape[len(outer) + 1 :])
        need = math.prod(shape) * self.dtype.itemsize
        if len(self._memory) < need:
            self._memory = np.empty(need, np.uint8)
        band = self._memory[:need].view(self.dtype).reshape(shape)
        self._band = None  # until it is whole
        self._fill(file, (*outer, rows.start, *(0,) * (band.ndim - 1)), band)
        self._band = outer, rows.start, band
        return band

    def _fill(self, file: FileIO, first: tuple[int, ...], out: npt.NDArray[Any]) -> None:
        """Read a run of numbers that begins at an index into an array without gaps."""
        position = int(np.ravel_multi_index(first, self.shape)) * self.dtype.itemsize
        file.seek(self._offset + position)
        view = out.reshape(-1).view(np.uint8).data
        while view:
            got = file.readinto(view)
            if not got:
                raise ImageError(
                    f"{self._path.name} is not complete: it ends in the middle of its pixels. "
                    "Copy or export it again."
                )
            view = view[got:]


def _after_steps(final: tuple[slice | int, ...], run: int) -> tuple[slice | int, ...]:
    """Return what is left to do of an index when its steps before ``run`` have been made."""
    return (*(slice(None) if isinstance(f, slice) else f for f in final[:run]), *final[run:])

"""The pixels of a TIFF series, read tile by tile when they are asked for."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import ImageError
from napari_segnet.readers._damage import decoding
from napari_segnet.readers._file_pixels import FilePixels, require_same
from napari_segnet.readers._lazy import Box, LazyPixels
from napari_segnet.readers._tiff_series import open_series
from napari_segnet.stamp import Stamp, stamp_of

__all__ = ["TiffPixels", "grid"]

CACHE_BYTES = 64 * 2**20
"""Decoded tiles kept per image: a band of rows of a 10,000 px wide picture, so that tiles
side by side do not decode the same full-width strips again."""


class TiffPixels(LazyPixels):
    """An array over a TIFF series that reads and decodes only the tiles it is asked for.

    Supports basic indexing (slices, integers, an ellipsis). Safe to use from several
    threads; the file is open only while it is read. Damage met while reading raises an
    :class:`ImageError` that names the file.

    Parameters
    ----------
    path : Path
        The TIFF file.
    series : tifffile.TiffPageSeries
        The series at full resolution; its file may be closed.
    stamps : dict of str to Stamp
        Of each file of the series when it was opened.
    level : int
        Which of its sizes it is; 0 is the full one.
    """

    def __init__(self, path: Path, series: Any, stamps: dict[str, Stamp], level: int = 0) -> None:
        super().__init__(series.shape, series.dtype)
        self._path = path
        self._stamps = stamps
        self._level = level
        self._series = series
        self._page_dims = len(series.keyframe.shape)
        self._lock = threading.RLock()
        self._cache: OrderedDict[tuple[int, int], npt.NDArray[Any]] = OrderedDict()
        self._cached_bytes = 0

    @staticmethod
    def fits(series: Any) -> bool:
        """Tell if the series is a plain stack of equal pages."""
        page = tuple(series.keyframe.shape)
        lead = series.shape[: len(series.shape) - len(page)]
        return (
            series.transform is None
            and tuple(series.shape[len(lead) :]) == page
            and int(np.prod(lead, dtype=np.int64)) == len(series)
            and series.dtype == series.keyframe.dtype
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._path, self._stamps, self._level)

    def _box(self, box: Box) -> npt.NDArray[Any]:
        lead = len(box) - self._page_dims
        with decoding(self._path, "image"):
            out = np.zeros([s.stop - s.start for s in box], self.dtype)
        if out.size:
            with decoding(self._path, "image"), self._lock, self._opened():
                for where in itertools.product(*(range(s.start, s.stop) for s in box[:lead])):
                    number = int(np.ravel_multi_index(where, self.shape[:lead])) if lead else 0
                    target = out[tuple(i - s.start for i, s in zip(where, box, strict=False))]
                    self._read_page(number, box[lead:], target)
        return out

    # ---- One page ----

    def _read_page(self, number: int, box: Box, out: npt.NDArray[Any]) -> None:
        """Copy ``box`` (in the page's own dimensions) of a page into ``out``."""
        page = self._series[number]
        if page is None:  # a plane that was never recorded reads as zeros; a note says so
            return
        self._require_same(page)
        self._read_segments(number, page, box, out)
        self._require_same(page)

    def _require_same(self, page: Any) -> None:
        """Look at the file by its name: what is open may have been replaced meanwhile."""
        file = Path(page.parent.filehandle.path)
        require_same(file, stamp_of(file.stat()), self._stamps[str(file)])

    def _read_segments(self, number: int, page: Any, box: Box, out: npt.NDArray[Any]) -> None:
        keyframe = self._series.keyframe
        whole = _five_slices(keyframe, box)
        out5 = out.reshape([s.stop - s.start for s in whole])
        if keyframe.is_final and page.is_contiguous:
            out5[...] = self._plain(page)[whole]
            return
        for index in _segments(keyframe, whole):
            segment, at = self._segment(number, page, index)
            ends = [a + n for a, n in zip(at, segment.shape, strict=True)]
            low = [max(s.start, a) for s, a in zip(whole, at, strict=True)]
            high = [min(s.stop, e) for s, e in zip(whole, ends, strict=True)]
            if any(a >= b for a, b in zip(low, high, strict=True)):
                continue
            target = tuple(
                slice(a - s.start, b - s.start) for a, b, s in zip(low, high, whole, strict=True)
            )
            source = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, at, strict=True))
            out5[target] = segment[source]

    def _plain(self, page: Any) -> FilePixels:
        """Return a page that lies in its file as it is."""
        dtype = self.dtype.newbyteorder(page.parent.byteorder)
        shape = self._series.keyframe.shaped
        file = page.parent.filehandle.path
        return FilePixels(Path(file), dtype, int(page.dataoffsets[0]), shape, self._stamps[file])

    def _segment(
        self, number: int, page: Any, index: int
    ) -> tuple[npt.NDArray[Any], tuple[int, ...]]:
        """Return a decoded tile ``(s, z, y, x, samples)`` and where it begins."""
        keyframe = self._series.keyframe
        key = (number, index)
        found = self._cache.get(key)
        at = _segment_origin(keyframe, index)
        if found is not None:
            self._cache.move_to_end(key)
            return found, at
        options: dict[str, Any] = {}
        if keyframe.compression in {6, 7, 34892, 33007}:  # JPEG: tables may lie outside
            options = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
        data, _, shape = keyframe.decode(self._bytes(page, index), index, **options)
        if data is None:  # a tile that was never written
            data = np.full(shape, keyframe.nodata, self.dtype)
        segment = np.asarray(data, self.dtype)[np.newaxis]
        self._keep(key, segment)
        return segment, at

    def _bytes(self, page: Any, index: int) -> bytes | None:
        if index >= len(page.dataoffsets) or index >= len(page.databytecounts):
            raise ImageError(
                f"{self._path.name} is damaged: it lists fewer tiles than its size needs. "
                "Copy or export it again."
            )
        offset, count = int(page.dataoffsets[index]), int(page.databytecounts[index])
        if offset == 0 or count == 0:
            return None
        file = page.parent.filehandle
        if file.closed:  # a file of a set; the first one is open already
            file.open()
            try:
                file.seek(offset)
                data: bytes = file.read(count)
            finally:
                file.close()
        else:
            file.seek(offset)
            data = file.read(count)
        if len(data) < count:
            raise ImageError(
                f"{self._path.name} is not complete: it ends in the middle of its pixels. "
                "Copy or export it again."
            )
        return data

    # ---- File and cache ----

    def _opened(self) -> _Opened:
        return _Opened(self._series.parent.filehandle)

    def _keep(self, key: tuple[int, int], segment: npt.NDArray[Any]) -> None:
        self._cache[key] = segment
        self._cached_bytes += segment.nbytes
        while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
            _, old = self._cache.popitem(last=False)
            self._cached_bytes -= old.nbytes


class _Opened:
    """Keeps a file open for one read, and no longer."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> None:
        self._was_closed = self._file.closed
        if self._was_closed:
            self._file.open()

    def __exit__(self, *_: object) -> None:
        if self._was_closed:
            self._file.close()


def _five_slices(keyframe: Any, box: Box) -> Box:
    """Spread a box in the page's own dimensions over tifffile's five (s, z, y, x, samples)."""
    places = {"S": 4 if keyframe.axes.endswith("S") else 0, "Z": 1, "Y": 2, "X": 3}
    five = [slice(0, n) for n in keyframe.shaped]
    for axis, part in zip(keyframe.axes, box, strict=True):
        five[places[axis]] = part
    return tuple(five)


def _chunk(keyframe: Any) -> tuple[int, ...]:
    """Shape of one tile or strip as (s, z, y, x, samples)."""
    _, _, height, width, samples = keyframe.shaped
    if keyframe.is_tiled:
        return (
            1,
            max(1, keyframe.tiledepth),
            keyframe.tilelength,
            keyframe.tilewidth,
            samples,
        )
    return 1, 1, min(keyframe.rowsperstrip, height), width, samples


def grid(keyframe: Any) -> tuple[int, ...]:
    """How many tiles or strips there are along (s, z, y, x, samples)."""
    pairs = zip(keyframe.shaped, _chunk(keyframe), strict=True)
    return tuple(-(-n // c) for n, c in pairs)


def _segment_origin(keyframe: Any, index: int) -> tuple[int, ...]:
    where = np.unravel_index(index, grid(keyframe))
    return tuple(int(i) * c for i, c in zip(where, _chunk(keyframe), strict=True))


def _segments(keyframe: Any, box: Box) -> Iterator[int]:
    """Yield the numbers of the tiles that a box of (s, z, y, x, samples) touches."""
    tiles, chunk = grid(keyframe), _chunk(keyframe)
    ranges = (range(s.start // c, -(-s.stop // c)) for s, c in zip(box, chunk, strict=True))
    for where in itertools.product(*ranges):
        yield int(np.ravel_multi_index(where, tiles))


def _reopen(path: Path, stamps: dict[str, Stamp], level: int = 0) -> TiffPixels:
    """Open the pixels again in another process."""
    with decoding(path, "image"), open_series(path) as series:
        return TiffPixels(path, series.levels[level], stamps, level)

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

__all__ = ["FirstSamples", "PalettePixels", "TiffPixels", "normal_index"]

CACHE_BYTES = 64 * 2**20
"""Decoded tiles kept per image: a band of rows of a 10,000 px wide picture, so that tiles
side by side do not decode the same full-width strips again."""

Box = tuple[slice, ...]


class TiffPixels:
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
    """

    def __init__(self, path: Path, series: Any) -> None:
        self._path = path
        self._series = series
        self._page_dims = len(series.keyframe.shape)
        self._lock = threading.RLock()
        self._cache: OrderedDict[tuple[int, int], npt.NDArray[Any]] = OrderedDict()
        self._cached_bytes = 0
        self.shape: tuple[int, ...] = tuple(int(n) for n in series.shape)
        self.dtype: np.dtype[Any] = np.dtype(series.dtype)

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
        return _reopen, (self._path,)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        whole = self[...]
        return whole if dtype is None else whole.astype(dtype)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        box, final = normal_index(index, self.shape)
        out = np.zeros([s.stop - s.start for s in box], self.dtype)
        lead = len(box) - self._page_dims
        if out.size:
            with decoding(self._path, "image"), self._lock, self._opened():
                for where in itertools.product(*(range(s.start, s.stop) for s in box[:lead])):
                    number = int(np.ravel_multi_index(where, self.shape[:lead])) if lead else 0
                    target = out[tuple(i - s.start for i, s in zip(where, box, strict=False))]
                    self._read_page(number, box[lead:], target)
        return out[final]

    # ---- One page ----

    def _read_page(self, number: int, box: Box, out: npt.NDArray[Any]) -> None:
        """Copy ``box`` (in the page's own dimensions) of a page into ``out``."""
        page = self._series[number]
        if page is None:  # a plane that was never recorded reads as zeros
            return
        keyframe = self._series.keyframe
        whole = _five_slices(keyframe, box)
        out5 = out.reshape([s.stop - s.start for s in whole])
        if keyframe.is_final and page.is_contiguous:
            out5[...] = self._mapped(page)[whole]
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

    def _mapped(self, page: Any) -> npt.NDArray[Any]:
        dtype = self.dtype.newbyteorder(page.parent.byteorder)
        shape = self._series.keyframe.shaped
        file = page.parent.filehandle.path
        return np.memmap(file, dtype, "r", int(page.dataoffsets[0]), shape)

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


class PalettePixels:
    """Colours in place of the numbers of a palette; adds a last dimension of 3.

    Parameters
    ----------
    numbers : array-like
        Unsigned numbers, any shape.
    colours : ndarray
        ``(n, 3)`` uint8.
    """

    def __init__(self, numbers: Any, colours: npt.NDArray[np.uint8]) -> None:
        self._numbers = numbers
        self._colours = colours
        self.shape: tuple[int, ...] = (*numbers.shape, 3)
        self.dtype = colours.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        whole = self[...]
        return whole if dtype is None else whole.astype(dtype)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        box, final = normal_index(index, self.shape)
        numbers = np.asarray(self._numbers[box[:-1]])
        last = len(self._colours) - 1  # a number without a colour takes the last one
        colours = self._colours[np.minimum(numbers, last)][..., box[-1]]
        return np.asarray(colours[final])


class FirstSamples:
    """The first few entries along one axis; a single one loses its dimension.

    Parameters
    ----------
    data : array-like
        Any array with basic indexing.
    axis, keep : int
        Which axis, and how many of its entries.
    """

    def __init__(self, data: Any, axis: int, keep: int) -> None:
        self._data = data
        self._axis = axis
        lengths = list(data.shape)
        lengths[axis : axis + 1] = [keep] if keep > 1 else []
        self._squeeze = keep == 1
        self.shape: tuple[int, ...] = tuple(lengths)
        self.dtype: np.dtype[Any] = np.dtype(data.dtype)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        whole = self[...]
        return whole if dtype is None else whole.astype(dtype)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        box, final = normal_index(index, self.shape)
        if not self._squeeze:
            return np.asarray(self._data[box])[final]
        inner: tuple[Any, ...] = (*box[: self._axis], 0, *box[self._axis :])
        return np.asarray(self._data[inner])[final]


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


def normal_index(index: Any, shape: tuple[int, ...]) -> tuple[Box, tuple[slice | int, ...]]:
    """Split a basic index into the box that must be read and what to take of it.

    Returns
    -------
    box : tuple of slice
        One slice per dimension, step 1, inside the shape.
    final : tuple of slice or int
        Applied to the box it gives the answer.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    if len(parts) > len(shape):
        raise IndexError(f"{len(parts)} indices for {len(shape)} dimensions")
    box: list[slice] = []
    final: list[slice | int] = []
    for part, n in zip(parts, shape, strict=True):
        if isinstance(part, slice):
            picks = range(*part.indices(n))
            first, last = (min(picks), max(picks)) if picks else (0, -1)
            box.append(slice(first, last + 1))
            final.append(slice(None, None, picks.step) if picks else slice(0, 0))
            continue
        i = int(part) + (n if part < 0 else 0)
        if not 0 <= i < n:
            raise IndexError(f"index {part} is out of range for length {n}")
        box.append(slice(i, i + 1))
        final.append(0)
    return tuple(box), tuple(final)


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


def _grid(keyframe: Any) -> tuple[int, ...]:
    """How many tiles or strips there are along (s, z, y, x, samples)."""
    pairs = zip(keyframe.shaped, _chunk(keyframe), strict=True)
    return tuple(-(-n // c) for n, c in pairs)


def _segment_origin(keyframe: Any, index: int) -> tuple[int, ...]:
    where = np.unravel_index(index, _grid(keyframe))
    return tuple(int(i) * c for i, c in zip(where, _chunk(keyframe), strict=True))


def _segments(keyframe: Any, box: Box) -> Iterator[int]:
    """Yield the numbers of the tiles that a box of (s, z, y, x, samples) touches."""
    grid, chunk = _grid(keyframe), _chunk(keyframe)
    ranges = (range(s.start // c, -(-s.stop // c)) for s, c in zip(box, chunk, strict=True))
    for where in itertools.product(*ranges):
        yield int(np.ravel_multi_index(where, grid))


def _reopen(path: Path) -> TiffPixels:
    """Open the pixels again in another process."""
    from napari_segnet.readers.tiff import open_series

    with open_series(path) as series:
        return TiffPixels(path, series)

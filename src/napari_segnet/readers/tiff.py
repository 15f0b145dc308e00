"""TIFF, BigTIFF, OME-TIFF and the TIFF of ImageJ."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from napari_segnet.errors import ImageError
from napari_segnet.image import Image
from napari_segnet.readers._damage import decoding, require_memory
from napari_segnet.readers._file_pixels import FilePixels
from napari_segnet.readers._tiff_colours import Meant, meant, orientation
from napari_segnet.readers._tiff_meta import (
    channel_names,
    pixel_sizes_um,
    said_axes,
    series_axes,
    size_notes,
)
from napari_segnet.readers._tiff_series import complaints_of_tifffile, open_series
from napari_segnet.readers._tiff_whole import (
    complaint_notes,
    imagej_planes,
    present_planes,
    require_coding,
    require_pixels,
)
from napari_segnet.readers._views import Turned
from napari_segnet.stamp import Stamp, stamp_of

__all__ = ["TiffReader"]

MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
"""Little- and big-endian, classic and BigTIFF."""


MOST_FOR_NOTHING = 1024
"""Bytes that a packed strip or tile may have beyond twice its pixels."""
BESIDE = ("label", "macro", "map", "overview", "thumbnail")
"""What the pictures beside the one of a slide are called: nobody misses them."""


class TiffReader:
    """TIFF: the first picture (of a slide the largest) and its coarser copies, read when asked for.

    Compressed pixels are decoded tile by tile. Declared alpha is left out; a palette is
    applied unless ImageJ or OME wrote it (there it only colours the display); 1-bit pixels
    become 0 and 1, CMYK, YCbCr and CIELab red, green, blue; white from zero is inverted, and
    a picture that lies on its side is turned upright. Notes say so.
    """

    name = "TIFF"
    suffixes: tuple[str, ...] = (
        ".tif", ".tiff", ".bif", ".btf", ".lsm", ".ndpi", ".qptiff", ".scn", ".stk", ".svs",
    )  # fmt: skip

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell a TIFF by its byte order mark and version."""
        return head.startswith(MAGIC)

    def read(self, path: Path, axes: str | None) -> Image:
        """Read what the file says of itself; its pixels stay on the disk."""
        return self._read(path, axes, as_numbers=False)

    def read_numbers(self, path: Path, axes: str | None) -> Image:
        """Read numbers as they are stored: no palette, no white from zero."""
        return self._read(path, axes, as_numbers=True)

    def axes(self, path: Path) -> str | None:
        """Return the axes that the file itself says."""
        with decoding(path, "TIFF"), open_series(path) as series:
            return said_axes(series, path)

    def _read(self, path: Path, axes: str | None, *, as_numbers: bool) -> Image:
        with decoding(path, "TIFF"):
            stamp = stamp_of(path.stat())
            with complaints_of_tifffile() as complaints, open_series(path) as series:
                return _image(path, series, axes, stamp, complaints, as_numbers=as_numbers)


def _image(
    path: Path,
    series: Any,
    axes: str | None,
    stamp: Stamp,
    complaints: list[str],
    *,
    as_numbers: bool,
) -> Image:
    tif = series.parent
    notes = [*imagej_planes(path, tif, series), *require_pixels(path, series)]
    notes += complaint_notes(path, complaints)
    stored = _pixels(path, series, stamp)
    stored, missing = present_planes(path, series, stored, series.axes.lower(), complaints)
    pixels = meant(path, tif, series, stored, as_numbers=as_numbers)
    own = _own_axes(path, series, pixels, axes)
    data, own_sizes, turned = _upright(path, series, pixels.data, axes or own)
    named = axes or own
    kept = {a for a, b in zip(own, named, strict=False) if a == b}
    levels, damaged = _levels(path, series, stamp, data, axes or own, as_numbers=as_numbers)
    count = dict(zip(named, data.shape, strict=False)).get("c", 1)
    rgb = pixels.rgb and "c" in kept and count == 3
    names = ("red", "green", "blue") if rgb else channel_names(tif, series, count)
    return Image(
        data=data,
        levels=levels,
        axes=named,
        pixel_size_um={a: own_sizes[a] for a in named if a in own_sizes and a in kept},
        channel_names=names if "c" in kept or count == 1 else (),
        rgb=rgb,
        name=path.stem,
        source=str(path),
        notes=(
            *notes, *missing, *pixels.notes, *turned, *size_notes(tif, series), *damaged,
            *_others(series),
        ),
    )  # fmt: skip


def _levels(
    path: Path, series: Any, stamp: Stamp, data: Any, axes: str, *, as_numbers: bool
) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Return the coarser copies of a picture that are like it, and a note if one is damaged."""
    found: list[Any] = []
    for number, level in enumerate(series.levels[1:], 1):
        try:
            stored = _pixels(path, level, stamp, number)
            if stored is None:
                continue
            pixels = meant(path, series.parent, level, stored, as_numbers=as_numbers)
            copy, _, _ = _upright(path, level, pixels.data, axes)
        except ImageError:
            note = "A coarser copy of the image is damaged, so the full one is read instead."
            return tuple(found), (note,)
        alike = len(copy.shape) == len(data.shape) and copy.dtype == data.dtype
        if alike and all(0 < a <= b for a, b in zip(copy.shape, data.shape, strict=True)):
            found.append(copy)
    return tuple(found), ()


def _upright(
    path: Path, series: Any, data: Any, axes: str
) -> tuple[Any, dict[str, float], tuple[str, ...]]:
    """Turn the picture as its orientation says; return it, its pixel sizes, and a note."""
    sizes = pixel_sizes_um(series.parent, series)
    turn, note = orientation(path, series.parent, series)
    if turn == 1 or not {"y", "x"} <= set(axes) or len(axes) != len(data.shape):
        return data, sizes, (note,) if note else ()
    if turn >= 5:  # rows and columns change places
        swap = {"y": "x", "x": "y"}
        sizes = {swap.get(axis, axis): size for axis, size in sizes.items()}
    return Turned(data, axes.index("y"), axes.index("x"), turn), sizes, (note,)


def _others(series: Any) -> tuple[str, ...]:
    """Say that a file holds further pictures, which nobody looks at."""
    page = series.keyframe
    if int(page.subfiletype) & 1 and page.subifds:
        return (
            "The image that was read is marked as a reduced copy; the full one lies below it "
            "(in a SubIFD), which is not read here. Export it as a TIFF of its own.",
        )
    others = [one for one in series.parent.series if one is not series]
    count = sum(str(one.name).lower() not in BESIDE for one in others)
    if count < 1:
        return ()
    more = "one more image" if count == 1 else f"{count} more images"
    shape = " x ".join(str(n) for n in series.shape)
    return (
        f"The file holds {more}; only the first ({shape}) was read. Save "
        "the others as files of their own to have them segmented too.",
    )


def _own_axes(path: Path, series: Any, pixels: Meant, given: str | None) -> str:
    """Axes as the file has them; what it does not say is no error if the user tells."""
    dims, colours = len(pixels.data.shape), "c" if pixels.palette else ""
    try:
        own = series_axes(series, path)
    except ImageError:
        if given is None:
            raise
        return "?" * dims
    if len(own + colours) > dims:
        own = own.replace("c", "")  # a single sample was left and its dimension is gone
    return own + colours


def _pixels(path: Path, series: Any, stamp: Stamp, level: int = 0) -> Any:
    """Return an array that reads what is asked for; None for a coarser copy that cannot so."""
    import numpy as np

    from napari_segnet.readers._tiff_pixels import TiffPixels

    page = series.keyframe
    require_coding(path, page)
    if series.dataoffset is not None and page.is_final and not series.is_multifile:
        dtype = np.dtype(series.dtype).newbyteorder(series.parent.byteorder)
        _check_end(path, series.dataoffset + series.size * dtype.itemsize)
        return FilePixels(path, dtype, series.dataoffset, tuple(series.shape), stamp)
    for number in (0, len(series) - 1):
        _check_page(path, series[number])
    if TiffPixels.fits(series):
        files = {page.parent.filehandle.path for page in series if page is not None}
        stamps = {file: stamp_of(Path(file).stat()) for file in files}
        stamps[series.parent.filehandle.path] = stamp
        return TiffPixels(path, series, stamps, level)
    if level:
        return None
    require_memory(path, 2 * series.nbytes)
    return np.asarray(series.asarray())


def _check_page(path: Path, page: Any) -> None:
    if page is None or page.parent.filehandle.path != str(path.resolve()):
        return
    counts = [int(n) for n in page.databytecounts]
    ends = [int(o) + n for o, n in zip(page.dataoffsets, counts, strict=False)]
    _check_end(path, max(ends, default=0))
    # Pieces that are the same may be there once; packed, they are hardly larger than unpacked.
    itemsize = 8 if page.dtype is None else page.dtype.itemsize
    stated = math.prod(page.chunked) * math.prod(page.chunks) * itemsize
    if sum(counts) > max(path.stat().st_size, 2 * stated + MOST_FOR_NOTHING * len(counts)):
        raise ImageError(
            f"{path.name} is damaged: its {len(counts):,} strips or tiles say that they have "
            f"{sum(counts):,} bytes, and its pixels need {stated:,}. Copy or export it again."
        )


def _check_end(path: Path, end: int) -> None:
    size = path.stat().st_size
    if end > size:
        raise ImageError(
            f"{path.name} is not complete: it should have at least {end} bytes and has {size}. "
            "Copy or export it again."
        )

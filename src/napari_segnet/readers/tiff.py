"""TIFF, BigTIFF, OME-TIFF and the TIFF of ImageJ."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.errors import ImageError
from napari_segnet.image import Image
from napari_segnet.readers._damage import decoding, require_memory
from napari_segnet.readers._tiff_meta import channel_names, pixel_sizes_um, series_axes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["TiffReader", "open_series"]

MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
"""Little- and big-endian, classic and BigTIFF."""

UNCOMPRESSED = 1
RGB, PALETTE, YCBCR = 2, 3, 6
DECLARED_ALPHA = (1, 2)
"""Values of the ExtraSamples tag for associated and unassociated alpha."""

CUT_OFF = ("invalid page offset", "corrupted tag list of page", "invalid offset to page")
"""How tifffile's log says that the chain of pages leads out of the file."""


class TiffReader:
    """TIFF: the first series at its full resolution, read from the disk when asked for.

    Uncompressed pixels are memory-mapped, others decoded tile by tile. Declared alpha is
    dropped; a palette is applied unless ImageJ or OME wrote it (there it only colours the
    display); 1-bit pixels become 0 and 1.
    """

    name = "TIFF"
    suffixes: tuple[str, ...] = (".tif", ".tiff")

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell a TIFF by its byte order mark and version."""
        return head.startswith(MAGIC)

    def read(self, path: Path, axes: str | None) -> Image:
        """Read what the file says of itself; its pixels stay on the disk."""
        with decoding(path, "TIFF"), open_series(path) as series:
            return _image(path, series, axes)


@contextmanager
def open_series(path: Path) -> Iterator[Any]:
    """Open the first series of a TIFF; the file is closed at the end of the block.

    Raises
    ------
    ImageError
        If the file holds no picture or is cut off.
    """
    with _complaints() as complaints, _opened(path) as tif:
        pages = len(tif.pages)  # follows the chain of pages to its end
        every: Any = tif.series if pages else ()
        series = every[0] if every else None
        if any(sign in text for text in complaints for sign in CUT_OFF):
            raise ImageError(
                f"{path.name} is not complete: only {pages} of its pages could be found. "
                "Copy or export it again."
            )
        if series is None:
            raise ImageError(f"{path.name} holds no picture. Copy or export it again.")
        if 0 in series.shape or series.dtype is None or not series.shape:
            raise ImageError(
                f"{path.name} is empty or of an unknown pixel type: its shape is "
                f"{tuple(series.shape)}. Save it again as uint8, uint16 or float32."
            )
        if len(series.shape) < 2:
            raise ImageError(
                f"{path.name} has one dimension {tuple(series.shape)}, but a picture has at "
                "least two (rows and columns)."
            )
        yield series


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a TIFF; equal pages that were written one by one are a stack.

    tifffile marks what each call of its ``write`` wrote as a picture of its own. Who writes a
    stack in a loop means a stack, and any other program sees one.
    """
    import tifffile

    with tifffile.TiffFile(path) as tif:
        if not (tif.is_shaped and len(tif.pages) > 1 and _single_pages(tif.series)):
            yield tif
            return
    with tifffile.TiffFile(path, is_shaped=False) as tif:
        yield tif


def _single_pages(every: Any) -> bool:
    alike = {(tuple(s.shape), s.axes, str(s.dtype), len(s)) for s in every}
    return len(every) > 1 and len(alike) == 1 and len(every[0]) == 1


def _image(path: Path, series: Any, axes: str | None) -> Image:
    tif, page = series.parent, series.keyframe
    data = _pixels(path, series)
    palette = _palette(tif, series)
    samples = series.axes.find("S")
    if palette is not None:
        from napari_segnet.readers._tiff_pixels import PalettePixels

        data = PalettePixels(data, palette)
    elif samples >= 0 and (keep := _colour_samples(page)) < data.shape[samples]:
        data, samples = _first_samples(data, samples, keep)
    coloured = palette is not None or (samples >= 0 and _is_rgb(page))
    own = _own_axes(path, series, data, palette is not None, axes)
    named = axes or own
    kept = {a for a, b in zip(own, named, strict=False) if a == b}
    sizes = pixel_sizes_um(tif, series)
    count = dict(zip(named, data.shape, strict=False)).get("c", 1)
    rgb = coloured and "c" in kept and count == 3
    names = ("red", "green", "blue") if rgb else channel_names(tif, series, count)
    return Image(
        data=data,
        axes=named,
        pixel_size_um={a: sizes[a] for a in named if a in sizes and a in kept},
        channel_names=names if "c" in kept or count == 1 else (),
        rgb=rgb,
        name=path.stem,
        source=str(path),
        notes=_others(series),
    )


def _others(series: Any) -> tuple[str, ...]:
    """Say that a file holds further pictures, which nobody looks at."""
    count = len(series.parent.series) - 1
    if count < 1:
        return ()
    more = "one more picture" if count == 1 else f"{count} more pictures"
    shape = " x ".join(str(n) for n in series.shape)
    return (
        f"The file holds {more}; only the first ({shape}) was read. Save "
        "the others as files of their own to have them segmented too.",
    )


def _own_axes(path: Path, series: Any, data: Any, palette: bool, told: str | None) -> str:
    """Axes as the file has them; what it does not say is no error if the user tells."""
    try:
        own = series_axes(series, path) + ("c" if palette else "")
    except ImageError:
        if told is None:
            raise
        own = "?" * len(data.shape)
    if len(own) == len(data.shape):
        return own
    return own.replace("c", "")  # a single sample was left and its dimension is gone


def _pixels(path: Path, series: Any) -> Any:
    """Return a memory map, or an array that decodes what is asked for."""
    import numpy as np

    from napari_segnet.readers._tiff_pixels import TiffPixels

    page = series.keyframe
    if series.dataoffset is not None and page.is_final and not series.is_multifile:
        dtype = np.dtype(series.dtype).newbyteorder(series.parent.byteorder)
        _check_end(path, series.dataoffset + series.size * dtype.itemsize)
        return np.memmap(path, dtype, "r", series.dataoffset, tuple(series.shape))
    for number in (0, len(series) - 1):
        _check_page(path, series[number])
    if TiffPixels.fits(series):
        return TiffPixels(path, series)
    require_memory(path, 2 * series.nbytes)
    return np.asarray(series.asarray())


def _check_page(path: Path, page: Any) -> None:
    if page is None or page.parent.filehandle.path != str(path.resolve()):
        return
    ends = [int(o) + int(n) for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
    _check_end(path, max(ends, default=0))


def _check_end(path: Path, end: int) -> None:
    size = path.stat().st_size
    if end > size:
        raise ImageError(
            f"{path.name} is not complete: it should have at least {end} bytes and has {size}. "
            "Copy or export it again."
        )


def _is_rgb(page: Any) -> bool:
    """JPEG and its like store YCbCr; tifffile gives red, green, blue back."""
    jpeg = page.photometric == YCBCR and page.compression != UNCOMPRESSED
    return bool(page.photometric == RGB or jpeg)


def _colour_samples(page: Any) -> int:
    """Return how many samples are left when declared alpha is dropped."""
    samples = int(page.samplesperpixel)
    extra = tuple(int(e) for e in page.extrasamples)
    return samples - sum(e in DECLARED_ALPHA for e in extra[-1:])


def _first_samples(data: Any, axis: int, keep: int) -> tuple[Any, int]:
    """Leave out the alpha; a single sample loses its dimension (axis -1 then)."""
    from napari_segnet.readers._tiff_pixels import FirstSamples

    return FirstSamples(data, axis, keep), axis if keep > 1 else -1


def _palette(tif: Any, series: Any) -> npt.NDArray[np.uint8] | None:
    """Return ``(n, 3)`` uint8 colours of a palette that is part of the picture."""
    import numpy as np

    page = series.keyframe
    if page.photometric != PALETTE or page.colormap is None:
        return None
    if tif.is_imagej or series.kind in ("imagej", "ome"):
        return None
    colours = np.asarray(page.colormap).T
    # TIFF colours are 16 bits; some programs wrote 8 (libtiff's own check is the same).
    return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect what tifffile logs in this thread, and keep it off the user's terminal."""
    lines: list[str] = []
    thread = threading.get_ident()

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                lines.append(record.getMessage())

    log = logging.getLogger("tifffile")
    handler = Collect(level=logging.WARNING)
    log.addHandler(handler)
    try:
        yield lines
    finally:
        log.removeHandler(handler)

"""The first series of a TIFF, as tifffile tells it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_segnet.errors import ImageError

__all__ = ["complaints_of_tifffile", "open_series"]

SLIDES = ("bif", "ndpi", "qpi", "scn", "svs")
"""Files of slide scanners, by tifffile's names: Ventana, Hamamatsu, Akoya, Leica, Aperio."""
CUT_OFF = (
    *("invalid page offset", "corrupted tag list of page", "invalid offset to page"),
    "invalid circular reference",
)
"""How tifffile's log says that the chain of pages leads out of the file, or back into itself."""


@contextmanager
def open_series(path: Path) -> Iterator[Any]:
    """Open the first series of a TIFF; the file is closed at the end of the block.

    Raises
    ------
    ImageError
        If the file holds no picture or is cut off.
    """
    with complaints_of_tifffile() as complaints, _opened(path) as tif:
        pages = len(tif.pages)  # follows the chain of pages to its end
        if pages and tif.pages.first.offset in (tif.pages.first.subifds or ()):
            raise ImageError(
                f"{path.name} is damaged: its first page names itself as a copy of it (SubIFDs). "
                "Copy or export it again."
            )
        every: Any = tif.series if pages else ()
        series = _main(tif, every) if every else None
        if any(sign in text for text in complaints for sign in CUT_OFF):
            raise ImageError(
                f"{path.name} is not complete: only {pages} of its pages could be found. "
                "Copy or export it again."
            )
        if series is None:
            raise ImageError(f"{path.name} holds no image. Copy or export it again.")
        if 0 in series.shape or series.dtype is None or not series.shape:
            raise ImageError(
                f"{path.name} is empty or of an unknown pixel type: its shape is "
                f"{tuple(series.shape)}. Save it again as uint8, uint16 or float32."
            )
        if len(series.shape) < 2:
            raise ImageError(
                f"{path.name} has one dimension {tuple(series.shape)}, but an image has at "
                "least two (rows and columns)."
            )
        yield series


def _main(tif: Any, every: Any) -> Any:
    """Return the picture that is meant: the first; of a slide the largest, wherever it is."""
    if not any(getattr(tif, f"is_{kind}", False) for kind in SLIDES):
        return every[0]
    return max(every, key=lambda series: int(np.prod(series.shape, dtype=np.int64)))


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


@contextmanager
def complaints_of_tifffile() -> Iterator[list[str]]:
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

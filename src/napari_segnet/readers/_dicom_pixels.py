"""Pixels of a DICOM series, decoded frame by frame when they are asked for."""

from __future__ import annotations

import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import ImageError, MissingExtraError
from napari_segnet.readers._damage import decoding
from napari_segnet.readers._dicom_frames import DEFLATED, Frame, quiet
from napari_segnet.readers._file_pixels import require_same
from napari_segnet.readers._lazy import Box, LazyPixels
from napari_segnet.stamp import stamp_of

__all__ = ["DicomPixels", "require_decoder"]

KEPT_BYTES = 128 * 2**20
"""Of decoded frames, since tiles lie side by side: some 250 slices of 512² and 16 bits."""

REMEDY = (
    "Install more with: pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg, or convert "
    "the series to an unpacked one."
)
INVERTED = "MONOCHROME1"
IMPLICIT = "1.2.840.10008.1.2"
"""How a file without a header of its own is written, by the standard's default."""


class DicomPixels(LazyPixels):
    """Frames of one size as one array, rescaled, and dark where they are meant to be.

    Supports basic indexing; safe to use from several threads.

    Parameters
    ----------
    frames : sequence of Frame
        In order, as many as ``lead`` has places.
    lead : tuple of int
        Dimensions before rows and columns.
    """

    def __init__(self, frames: Sequence[Frame], lead: tuple[int, ...]) -> None:
        first = frames[0]
        colours = (3,) if first.samples > 1 else ()
        super().__init__((*lead, first.rows, first.columns, *colours), _dtype(frames))
        self._frames = tuple(frames)
        self._lead = lead
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, npt.NDArray[Any]] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return DicomPixels, (self._frames, self._lead)

    def _box(self, box: Box) -> npt.NDArray[Any]:
        picks = [range(s.start, s.stop) for s in box[: len(self._lead)]]
        rest = box[len(self._lead) :]
        out = np.empty([*map(len, picks), *(s.stop - s.start for s in rest)], self.dtype)
        for where in itertools.product(*(range(len(p)) for p in picks)):
            at = tuple(p[i] for p, i in zip(picks, where, strict=True))
            number = int(np.ravel_multi_index(at, self._lead)) if at else 0
            out[where] = self._plane(number)[rest]
        return out

    def _plane(self, number: int) -> npt.NDArray[Any]:
        with self._lock:
            if number not in self._kept:
                self._kept[number] = self._decoded(self._frames[number])
                size = self._kept[number].nbytes
                while len(self._kept) > max(1, KEPT_BYTES // max(size, 1)):
                    self._kept.popitem(last=False)
            self._kept.move_to_end(number)
            return self._kept[number]

    def _decoded(self, frame: Frame) -> npt.NDArray[Any]:
        with decoding(frame.path, "DICOM"), quiet():
            require_same(frame.path, stamp_of(os.stat(frame.path)), frame.stamp)
            stored = _unpacked(frame)
            require_same(frame.path, stamp_of(os.stat(frame.path)), frame.stamp)
        wanted = self.shape[len(self._lead) :]
        if stored.shape != wanted:
            raise ImageError(
                f"{frame.path.name} is damaged: its pixels have the shape {stored.shape}, and its "
                f"header says {wanted}. Export it again."
            )
        return _meant(stored, frame, self.dtype)


def _unpacked(frame: Frame) -> npt.NDArray[Any]:
    from pydicom.uid import UID

    try:
        return _stored(frame)
    except RuntimeError as error:  # pydicom's word for: no package that is there could do it
        if not UID(frame.syntax).is_compressed:
            raise
        raise ImageError(
            f"{frame.path.name} is packed as {UID(frame.syntax).name}, and the packages that are "
            f"installed cannot unpack it. {REMEDY} If that does not help, it is damaged."
        ) from error


def _stored(frame: Frame) -> npt.NDArray[Any]:
    """Return the numbers of a frame as the file has them, colours as RGB."""
    import pydicom
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import UID

    if frame.syntax and frame.syntax != DEFLATED and not frame.mixed:
        # By path: only this frame is read of a file that holds many.
        return np.asarray(pixel_array(frame.path, index=frame.number))
    header = pydicom.dcmread(frame.path, force=True)
    if frame.syntax:
        return np.asarray(pixel_array(header, index=frame.number))
    if not hasattr(header, "file_meta"):
        header.file_meta = pydicom.dataset.FileMetaDataset()
    implicit, little = header.original_encoding
    explicit = "1.2.840.10008.1.2.1" if little else "1.2.840.10008.1.2.2"
    header.file_meta.TransferSyntaxUID = UID(IMPLICIT if implicit else explicit)
    return np.asarray(pixel_array(header, index=frame.number))


def _meant(stored: npt.NDArray[Any], frame: Frame, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Invert where zero is white, then rescale."""
    plain = (frame.slope, frame.intercept) == (1.0, 0.0)
    if frame.photometric != INVERTED and plain:
        return stored.astype(dtype, copy=False)
    values = stored.astype(np.float64)
    if frame.photometric == INVERTED:
        lowest, highest = _range(frame)
        values = highest + lowest - values
    return (values * frame.slope + frame.intercept).astype(dtype)


def _range(frame: Frame) -> tuple[int, int]:
    """Return the lowest and highest number that the bits in use can hold."""
    if frame.dtype.startswith("int"):
        return -(2 ** (frame.bits - 1)), 2 ** (frame.bits - 1) - 1
    return 0, 2**frame.bits - 1


def _dtype(frames: Sequence[Frame]) -> np.dtype[Any]:
    """Return a type for all frames: whole numbers where rescaling keeps them whole."""
    stored = np.result_type(*{np.dtype(f.dtype) for f in frames})
    if stored.kind == "f" or all((f.slope, f.intercept) == (1.0, 0.0) for f in frames):
        return stored
    ends: list[float] = []
    for frame in frames:
        if not (frame.slope.is_integer() and frame.intercept.is_integer()):
            return np.dtype(np.float32 if stored.itemsize <= 2 else np.float64)
        ends += [n * frame.slope + frame.intercept for n in _range(frame)]
    for kind in (np.int16, np.int32):
        limits = np.iinfo(kind)
        if limits.min <= min(ends) and max(ends) <= limits.max:
            return np.dtype(kind)
    return np.dtype(np.float64)


def require_decoder(frames: Sequence[Frame]) -> None:
    """Refuse a series whose packing nothing that is installed can undo.

    Raises
    ------
    ImageError
        If DICOM's packing is of a kind that nobody here knows.
    MissingExtraError
        If a package would open it; names it.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    for syntax, path in {f.syntax: f.path for f in frames if f.syntax}.items():
        uid = UID(syntax)
        if not uid.is_transfer_syntax:
            raise ImageError(
                f"{path.name} is packed in an unknown way ({syntax[:80]}). Convert it."
            )
        if not uid.is_compressed or uid.is_deflated:
            continue
        try:
            decoder = get_decoder(uid)
        except NotImplementedError as error:
            raise ImageError(
                f"{path.name} is packed as {uid.name}, which does not open here. Convert the "
                "series to an unpacked one, for example with dcmtk's dcmdjpeg."
            ) from error
        if not decoder.is_available:
            raise MissingExtraError(
                f"{path.name} is packed as {uid.name}, and no package that unpacks it is "
                f"installed. {REMEDY}"
            )

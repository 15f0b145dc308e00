"""Numbers of a NIfTI file: unpacked once where they are packed, scaled when they are read."""

from __future__ import annotations

import gzip
import math
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import ImageError
from napari_segnet.readers._damage import decoding, require_memory
from napari_segnet.readers._file_pixels import require_same
from napari_segnet.readers._lazy import Box, LazyPixels
from napari_segnet.stamp import Stamp, stamp_of

__all__ = ["GZIP_RATIO", "PackedPixels", "Scaled"]

GZIP_RATIO = 1032
"""No gzip file holds more than so many bytes for one of its own (https://zlib.net/zlib_tech.html):
a header that promises more is wrong, and known to be before any memory is spent."""

STEP_BYTES = 16 * 2**20
UNPACK = "Unpack it (gunzip): a .nii without .gz is read piece by piece."


class PackedPixels(LazyPixels):
    """Plain numbers inside a gzip file, unpacked into memory when they are first asked for.

    Parameters
    ----------
    path : Path
        The file.
    dtype : dtype
        As in the file, with its byte order.
    offset : int
        Bytes before the first number, unpacked.
    shape : tuple of int
        Last dimension fastest.
    stamp : Stamp
        Of the file when its header was read.

    Raises
    ------
    ImageError
        If the file cannot hold so many numbers, or memory cannot.
    """

    def __init__(
        self, path: Path, dtype: npt.DTypeLike, offset: int, shape: tuple[int, ...], stamp: Stamp
    ) -> None:
        super().__init__(shape, dtype)
        self._path = path
        self._offset = offset
        self._stamp = stamp
        self._lock = threading.Lock()
        self._whole: npt.NDArray[Any] | None = None
        self._nbytes = math.prod(self.shape) * self.dtype.itemsize
        if offset + self._nbytes > GZIP_RATIO * stamp[0]:
            raise ImageError(
                f"{path.name} is damaged or not complete: its header says {self._nbytes:,} bytes "
                f"of pixels, which a packed file of {stamp[0]:,} bytes cannot hold. Copy or "
                "export it again."
            )
        require_memory(path, self._nbytes, UNPACK)

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedPixels, (self._path, self.dtype, self._offset, self.shape, self._stamp)

    def _box(self, box: Box) -> npt.NDArray[Any]:
        with self._lock:
            if self._whole is None:
                require_memory(self._path, self._nbytes, UNPACK)
                with decoding(self._path, "gzip"):
                    self._whole = self._unpacked()
            return self._whole[box]

    def _unpacked(self) -> npt.NDArray[Any]:
        whole = np.empty(self.shape, self.dtype)
        with self._path.open("rb") as packed:
            require_same(self._path, stamp_of(os.fstat(packed.fileno())), self._stamp)
            with gzip.GzipFile(fileobj=packed) as file:
                file.seek(self._offset)
                view = whole.reshape(-1).view(np.uint8).data
                while view:
                    got = file.readinto(view[:STEP_BYTES])
                    if not got:
                        raise ImageError(
                            f"{self._path.name} is not complete: it ends in the middle of its "
                            "pixels. Copy or export it again."
                        )
                    view = view[got:]
                file.read(1)  # the checksum behind the last number is compared
            require_same(self._path, stamp_of(os.fstat(packed.fileno())), self._stamp)
        whole.flags.writeable = False
        return whole


class Scaled(LazyPixels):
    """Numbers times a slope plus an intercept, in float64 as nibabel gives them.

    Parameters
    ----------
    data : array-like
        Any array with basic indexing.
    slope, inter : float
        ``scl_slope`` and ``scl_inter``.
    """

    def __init__(self, data: Any, slope: float, inter: float) -> None:
        super().__init__(data.shape, np.float64)
        self._data = data
        self._slope = slope
        self._inter = inter

    def _box(self, box: Box) -> npt.NDArray[Any]:
        block = np.asarray(self._data[box]).astype(np.float64)
        block *= self._slope
        block += self._inter
        return block

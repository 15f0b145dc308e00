"""An answer in a nameless temporary file, which the system pages in and out."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import OutputError
from napari_segnet.sinks.keep import Keep
from napari_segnet.sinks.memory import ArraySink

__all__ = ["file_array", "file_sink"]


def file_sink(keep: Keep) -> ArraySink:
    """Return a sink whose answer is a memory map of a temporary file."""
    return ArraySink(file_array(keep.shape, np.dtype(keep.dtype)))


def file_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return an array in a nameless temporary file, its space reserved.

    The system can page it out, and the file vanishes with the array, also after a crash.

    Raises
    ------
    OutputError
        If the disk has no room for it.
    """
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    # The map keeps the file open after the block.
    with tempfile.TemporaryFile(prefix="napari-segnet-") as file:
        try:
            if hasattr(os, "posix_fallocate"):
                # Writing to a map on a full disk would kill the process: ask first.
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        except OSError as error:
            raise OutputError(
                f"The probability maps need {size / 1e9:.1f} GB in the temporary folder "
                f"{tempfile.gettempdir()}, which has no room for them ({error.strerror}). Free "
                "space there, or set TMPDIR to a folder on a larger disk."
            ) from error
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)

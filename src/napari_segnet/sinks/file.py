"""An answer in a nameless temporary file, which the system pages in and out."""

from __future__ import annotations

import os
import tempfile
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import OutputError
from napari_segnet.room import room_bytes, scratch_folder
from napari_segnet.sinks.keep import Keep
from napari_segnet.sinks.memory import ArraySink

__all__ = ["IN_MEMORY_BYTES", "file_array", "file_sink", "in_memory_bytes", "large_array"]

IN_MEMORY_BYTES = 1024**3
"""What is larger lies in a temporary file, where the system can page it."""


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
    with _temporary_file() as file:
        try:
            if hasattr(os, "posix_fallocate"):
                # Writing to a map on a full disk would kill the process: ask first.
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        except OSError as error:
            raise OutputError(
                f"Maps and labels need {size / 1e9:.1f} GB in the temporary folder "
                f"{scratch_folder()}, which has no room for them ({error.strerror}). Free "
                "space there, name a folder on a larger disk with --scratch, or set TMPDIR to one."
            ) from error
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def _temporary_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(prefix="napari-segnet-", dir=scratch_folder())
    except OSError as error:
        raise OutputError(
            f"No temporary file can be made in {scratch_folder()} ({error.strerror}). Name another "
            "folder with --scratch, or set TMPDIR to one."
        ) from error


def in_memory_bytes() -> int:
    """Return how large an array in memory may be: less where the user set a limit."""
    return room_bytes(8 * IN_MEMORY_BYTES) // 8


def large_array(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array of any content: in memory, or beyond :func:`in_memory_bytes` in a file.

    Raises
    ------
    OutputError
        If the disk has no room for it.
    """
    kind = np.dtype(dtype)
    if int(np.prod(shape, dtype=np.int64)) * kind.itemsize <= in_memory_bytes():
        return np.empty(shape, kind)
    return np.asarray(file_array(shape, kind))

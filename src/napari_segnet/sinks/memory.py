"""An answer in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.half import halved
from napari_segnet.sinks.keep import Keep

__all__ = ["ArraySink", "memory_sink"]


class ArraySink:
    """Tiles written into an array that is there already; see :class:`napari_segnet.sinks.Sink`.

    Parameters
    ----------
    array : ndarray
        float32 or float16; may be a memory map.
    """

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self._array = array

    def write(self, where: tuple[slice, ...], values: npt.NDArray[np.float32]) -> None:
        """Keep a box."""
        self._array[where] = halved(values) if self._array.dtype == np.float16 else values

    def finish(self) -> npt.NDArray[Any]:
        """Return the array."""
        return self._array


def memory_sink(keep: Keep) -> ArraySink:
    """Return a sink whose answer is an array in memory."""
    return ArraySink(np.empty(keep.shape, np.dtype(keep.dtype)))

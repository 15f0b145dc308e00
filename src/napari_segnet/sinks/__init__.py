"""Where the tiles of an answer go: each is written once it is there, none is held back.

A :class:`Sink` receives boxes of one answer and gives the whole in the end. Tiles that overlap
do not meet in a sink: they are weighed against each other before (``stitch/``). To add a kind,
write a file with a function that makes one of a :class:`Keep` and name it in ``SINKS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_segnet.sinks.blocks import Blocks, KeptPlace
from napari_segnet.sinks.file import IN_MEMORY_BYTES, file_sink, in_memory_bytes, large_array
from napari_segnet.sinks.keep import Keep
from napari_segnet.sinks.memory import memory_sink

__all__ = [
    "IN_MEMORY_BYTES",
    "SINKS",
    "Blocks",
    "Keep",
    "KeptPlace",
    "Sink",
    "choose_keep",
    "large_array",
    "open_sink",
]


class Sink(Protocol):
    """Receives the tiles of one answer, in any order, each pixel at least once."""

    def write(self, where: tuple[slice, ...], values: npt.NDArray[np.float32]) -> None:
        """Keep a box.

        Parameters
        ----------
        where : tuple of slice
            One per axis of the answer: ``(channel, [t,] [z,] y, x)``, in pixels.
        values : ndarray
            float32, of the size of that box; what is kept may have fewer digits.
        """

    def finish(self) -> Any:
        """Return the whole: a numpy array, or what is read like one."""


SINKS: Mapping[str, Callable[[Keep], Sink]] = {"memory": memory_sink, "file": file_sink}
"""What opens each kind of place."""


def choose_keep(shape: tuple[int, ...], wish: str) -> Keep:
    """Decide where maps of a shape are kept, and in how many digits.

    Parameters
    ----------
    shape : tuple of int
        ``(channel, [t,] [z,] y, x)``.
    wish : str
        The setting ``maps``: ``auto``, ``float32`` or ``float16``.
    """
    nbytes = int(np.prod(shape, dtype=np.int64)) * 4
    large = nbytes > IN_MEMORY_BYTES
    half = wish == "float16" or (wish == "auto" and large)
    return Keep(
        shape=shape,
        dtype="float16" if half else "float32",
        place="file" if large or nbytes > in_memory_bytes() else "memory",
    )


def open_sink(keep: Keep) -> Sink:
    """Return an empty sink of that place, shape and dtype.

    Raises
    ------
    OutputError
        If there is no room for it.
    """
    return SINKS[keep.place](keep)

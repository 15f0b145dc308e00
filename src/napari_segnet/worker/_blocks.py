"""Arrays between two processes: in memory that both see, where the system has it, else in the pipe.

On Linux what is large lies in a file without a name (``memfd``): it vanishes with the last process
that has it open, however that ends. Who receives it opens it by the number of who sent it.
"""

from __future__ import annotations

import mmap
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SHARES", "Block", "lend", "taken"]

SHARES = hasattr(os, "memfd_create")
"""Whether this system has such memory."""
LEAST_BYTES = 2**16
"""What is smaller goes through the pipe, which holds as much at once."""


@dataclass(frozen=True, slots=True)
class Block:
    """Where a large part of a message lies.

    Attributes
    ----------
    path : str
        By which the receiver opens it.
    size : int
        In bytes.
    """

    path: str
    size: int


def lend(buffers: Sequence[pickle.PickleBuffer]) -> tuple[list[Block | bytes], list[int]]:
    """Put the large parts of a message where another process sees them.

    Returns
    -------
    parts : list of Block or bytes
        What goes through the pipe in their place.
    open : list of int
        What is to be closed once the other has it.
    """
    parts: list[Block | bytes] = []
    lent: list[int] = []
    for buffer in buffers:
        raw = buffer.raw()
        if not SHARES or raw.nbytes < LEAST_BYTES:
            parts.append(raw.tobytes())
            continue
        lent.append(os.memfd_create("napari-segnet"))
        done = 0
        while done < raw.nbytes:  # a write is of 2 GB at most
            done += os.write(lent[-1], raw[done:])
        parts.append(Block(f"/proc/{os.getpid()}/fd/{lent[-1]}", raw.nbytes))
    return parts, lent


def taken(parts: Sequence[Block | bytes]) -> list[bytearray | mmap.mmap]:
    """Return the parts of a message, to be written to as one likes.

    Raises
    ------
    OSError
        If who sent them has ended.
    """
    return [_opened(part) if isinstance(part, Block) else bytearray(part) for part in parts]


def _opened(block: Block) -> mmap.mmap:
    file = os.open(block.path, os.O_RDWR)
    try:
        return mmap.mmap(file, block.size)
    finally:
        os.close(file)  # the map keeps it

"""What labels take of memory and disk: refused before it is taken."""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari_segnet.errors import MemoryExhaustedError
from napari_segnet.room import require_scratch, room_bytes, scratch_folder
from napari_segnet.sinks.file import in_memory_bytes

__all__ = ["require_flood_room", "require_label_room", "require_object_room"]

LABEL_BYTES = 4
FILE_BYTES = {"components": 9, "watershed": 9, "offsets": 14}
"""Of a pixel while a plane (volume) is labelled: labels, and pieces of background or distances with
a mask; of offsets pieces, slopes, middles with their holes. The other labelers keep labels alone in
files."""

FLOOD_BYTES = 64
"""Of memory for each pixel of a box that is flooded at once: 27 to 39 for flooding (measured), 17
for its landscape, seeds and mask."""

MANY_OBJECTS = 2**20
"""Fewer need no forecast: their tables take 100 MB."""
OBJECT_BYTES = 100
"""Of memory for each object: boxes, sizes, scores, and what its holes are found with."""


def require_label_room(shape: Sequence[int], ndim: int, instances: str, name: str) -> str:
    """Refuse labels that the disk cannot hold where memory does not.

    Parameters
    ----------
    shape : sequence of int
        ``([t,] [z,] y, x)`` of the image in pixels.
    ndim : int
        2 if planes are labelled one by one, 3 if volumes are.
    instances : str
        The labeler, resolved.
    name : str
        Of the image.

    Returns
    -------
    str
        What the user should know: how large they are, and where they are made. Empty where all of
        it lies in memory.

    Raises
    ------
    OutputError
        If there is no room for the temporary files.
    """
    unit, whole, most = math.prod(shape[-ndim:]), math.prod(shape), in_memory_bytes()
    need = 0
    if LABEL_BYTES * unit > most:
        need += FILE_BYTES.get(instances, LABEL_BYTES) * unit
    if whole > unit and LABEL_BYTES * whole > most:
        need += LABEL_BYTES * whole
    if not need:
        return ""
    what = f"Labels of {name}"
    require_scratch(need, what)
    return (
        f"{what} take {need / 1e9:.1f} GB while they are made, so they are made in blocks, in "
        f"temporary files in {scratch_folder()}."
    )


def require_object_room(count: int, what: str = "objects", each: int = OBJECT_BYTES) -> None:
    """Refuse more objects than memory holds the tables of.

    Parameters
    ----------
    count : int
        How many there are.
    what : str
        What they are, in the plural.
    each : int
        Bytes for each.

    Raises
    ------
    MemoryExhaustedError
        If there is no room for them.
    """
    if count > MANY_OBJECTS:
        _require_room(
            count * each,
            f"{count:,} {what} were found, whose tables take {{needed}} GB where {{free}} GB of "
            "memory may be taken. So many are mostly noise: raise the threshold, show the image "
            "smaller (scale), or allow more memory (--memory).",
        )


def require_flood_room(pixels: int) -> None:
    """Refuse to flood a connected piece whose box memory does not hold.

    Parameters
    ----------
    pixels : int
        Of its box.

    Raises
    ------
    MemoryExhaustedError
        If there is no room for it.
    """
    _require_room(
        pixels * FLOOD_BYTES,
        f"One connected piece lies in a box of {pixels:,} pixels, which takes {{needed}} GB to cut "
        "into objects where {free} GB of memory may be taken. Raise the threshold, segment a "
        "region of the image, or allow more memory (--memory).",
    )


def _require_room(needed: int, says: str) -> None:
    """Refuse what takes more bytes than may be taken; ``says`` has places for both in GB."""
    import psutil

    free = room_bytes(int(psutil.virtual_memory().available))
    if needed > free:
        raise MemoryExhaustedError(
            says.format(needed=f"{needed / 1e9:.1f}", free=f"{free / 1e9:.1f}")
        )

"""What labels take of memory and disk, known before a network has run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari_segnet.room import require_scratch, scratch_folder
from napari_segnet.sinks.file import in_memory_bytes

__all__ = ["require_label_room"]

LABEL_BYTES = 4
FILE_BYTES = {"components": 9, "watershed": 9}
"""Of a pixel while a plane (volume) is labelled: labels, and pieces of background or distances with
a mask. The other labelers keep labels alone in files."""


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

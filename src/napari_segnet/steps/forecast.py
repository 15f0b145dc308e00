"""What labels take of memory at least, known before a network has run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari_segnet.room import require_room

__all__ = ["require_label_room"]

WATERSHED_BYTES = 12
"""Of a pixel, where objects lie apart; tissue in one piece takes 60 to 400 (measured). The other
labelers keep what is large in temporary files."""


def require_label_room(shape: Sequence[int], ndim: int, instances: str, name: str) -> None:
    """Refuse labels that memory cannot hold.

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

    Raises
    ------
    MemoryExhaustedError
        If even the least that they take is more than there is.
    """
    if instances == "watershed":
        what = f"Labels of {name} (instances=watershed; components take less)"
        require_room(WATERSHED_BYTES * math.prod(shape[-ndim:]), what)

"""Are the numbers of a label picture objects, or a mask, or classes? Their pieces tell.

An object is one piece (or nearly so); a mask, saved as 0 and 255 or 0 and 1, has one number for
all objects together, and classes have few numbers that each lie in many places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Numbers", "numbers_of", "pieces_of"]

COMPARABLE = 0.1
"""Of the largest piece of the same number: smaller ones are splinters of an object."""
MOST_CLASSES = 50
"""With more numbers than this nobody means classes; counting pieces is spared."""
WHITE = 255
"""The number of a mask that is saved as black and white."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What numbers a label picture holds, background apart.

    Attributes
    ----------
    count : int
        How many different ones.
    highest : int
        The highest one.
    pieces : int
        Separate pieces of them all, splinters not counted.
    scattered : int
        How many numbers lie in two pieces or more.
    """

    count: int
    highest: int
    pieces: int = 0
    scattered: int = 0

    @property
    def is_mask(self) -> bool:
        """Whether one number lies in several pieces."""
        return self.count == 1 and self.pieces > 1

    @property
    def is_surely_mask(self) -> bool:
        """Whether that can be said without looking at other pictures of the same making."""
        return self.is_mask and (self.highest == WHITE or self.pieces > 2)

    @property
    def are_classes(self) -> bool:
        """Whether several numbers, most of them in several pieces, look like classes."""
        several = 2 * self.scattered >= self.count >= 2
        return several and (self.scattered > 1 or self.pieces > 4)


def numbers_of(labels: npt.NDArray[Any]) -> Numbers:
    """Look at labels ``([t, z,] y, x)``; pieces are counted for few numbers only."""
    import fastremap

    if labels.dtype == np.bool_:
        labels = labels.view(np.uint8)
    ids = fastremap.unique(np.ascontiguousarray(labels))
    ids = ids[ids > 0]
    highest = int(ids[-1]) if ids.size else 0
    if not 0 < ids.size <= MOST_CLASSES:
        return Numbers(count=int(ids.size), highest=highest)
    small = np.where(labels > 0, np.searchsorted(ids, labels) + 1, 0).astype(np.uint8)
    found = pieces_of(small)
    areas = np.bincount(found.ravel())
    owner = np.zeros(areas.size, np.uint8)
    owner[found.ravel()] = small.ravel()
    pieces = scattered = 0
    for number in range(1, ids.size + 1):
        own = areas[owner == number]
        count = int((own >= COMPARABLE * own.max()).sum())
        pieces += count
        scattered += count > 1
    return Numbers(count=int(ids.size), highest=highest, pieces=pieces, scattered=scattered)


def pieces_of(labels: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Give each connected piece of equal values a number of its own; 0 stays background.

    Neighbours share an edge (in 3D a face), as in the step ``components``; times are not
    connected.

    Parameters
    ----------
    labels : ndarray
        Whole numbers ``([t, z,] y, x)``.

    Returns
    -------
    ndarray
        int32, the same shape; ids 1..n.
    """
    import cc3d

    depth = labels.shape[-3:]
    found = np.zeros(labels.shape, np.int32)
    last = 0
    for one, made in zip(labels.reshape(-1, *depth), found.reshape(-1, *depth), strict=True):
        flat = one.reshape(one.shape[-2:]) if one.shape[0] == 1 else one
        flat = np.require(flat, requirements=["C", "W"])  # cc3d takes no memory that is read only
        pieces = cc3d.connected_components(flat, connectivity=4 if flat.ndim == 2 else 6)
        made[...] = np.where(pieces > 0, pieces.astype(np.int32) + last, 0).reshape(one.shape)
        last = int(made.max(initial=last))
    return found

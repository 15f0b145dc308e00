"""Sizes that depend on the image: known by their values at some sizes of it.

Exports of a network compute sizes by chains of operations (take the shape, gather a length, cast
it to float, multiply, round down, cast it back ...). Such a chain is not taken apart: it is
computed, with the numbers of several images at once, the *probes*. Their sizes differ along
each axis, odd ones are among them. A size is then recognised by all its values, such as "the
length of that other map" or "half of it, rounded down". Sizes that a network cannot take drop out
where it cannot take them; of a network for one size of image there is one probe.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Ints", "NotReadable", "Probes", "placed"]

Ints = npt.NDArray[np.int64]
"""One whole number for each probe."""

_PAIRS = (
    *((512, 1024), (1536, 2048), (256, 384), (1024, 640), (320, 448), (96, 160), (208, 176)),
    *((200, 136), (100, 124), (150, 118), (131, 167), (197, 113), (233, 250), (118, 131)),
    *((572, 604), (700, 652)),
)
"""Of ``y`` and ``x``: multiples of every power of two, odd ones, and two of valid U-Nets."""
_DEPTHS = (2048, 512, 640, 256, 384, 224, 112, 72, 76, 90, 101, 87, 94, 63, 588, 636)
_BATCHES = (2, 1, 3)


class NotReadable(Exception):
    """What a program says cannot be a graph; the message continues "..., but"."""


def placed(axis: int, rank: int) -> int:
    """Return which axis of so many a number says, from the first or from the last on.

    Raises
    ------
    NotReadable
        If there is no such axis.
    """
    if not -rank <= axis < rank:
        raise NotReadable(f"it names axis {axis} of {rank}")
    return axis % rank


class Probes:
    """Images at which sizes are computed.

    Parameters
    ----------
    lengths : sequence of int or None
        ``([z,] y, x)`` in pixels; None: any.
    batch : int or None
        Images at once; None: any.

    Attributes
    ----------
    batch : ndarray
        int64 ``(probe,)``.
    lengths : tuple of ndarray
        int64 ``(probe,)`` for each axis.
    alive : ndarray
        bool ``(probe,)``: sizes that the network has taken so far.
    other : ndarray
        bool ``(probe,)``: sizes at which it does something else, see :meth:`choose`.
    """

    def __init__(self, lengths: Sequence[int | None], batch: int | None) -> None:
        free = any(n is None for n in lengths)
        count = len(_PAIRS) if free else 1
        own = [(depth, *pair) for depth, pair in zip(_DEPTHS, _PAIRS, strict=True)][:count]
        columns = list(zip(*own, strict=True))[-len(lengths) :]
        self.lengths = tuple(
            np.array(column if n is None else [n] * count, np.int64)
            for column, n in zip(columns, lengths, strict=True)
        )
        batches = [_BATCHES[i % 3] for i in range(count)] if batch is None else [batch] * count
        self.batch: Ints = np.array(batches, np.int64)
        self.alive = np.ones(count, bool)
        self.fixed = not free
        self.other = np.zeros(count, bool)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.batch)

    def number(self, value: int) -> Ints:
        """Return the same number at every probe."""
        return np.full(self.count, value, np.int64)

    def require(self, fine: npt.NDArray[np.bool_], why: str) -> None:
        """Go on with the probes at which something holds.

        Raises
        ------
        NotReadable
            If none is left.
        """
        left = self.alive & fine
        if not left.any():
            raise NotReadable(why)
        self.alive = left

    def choose(self, holds: npt.NDArray[np.bool_]) -> bool:
        """Return what holds at the first size, and go on with those at which it does.

        Whoever reads a program has to see that its graph takes none of the ``other`` sizes.
        """
        first = bool(holds[self.alive][0])
        self.other = self.other | (self.alive & (holds != first))
        self.alive = self.alive & (holds == first)
        return first

    def equal(self, one: npt.ArrayLike, two: npt.ArrayLike) -> bool:
        """Tell if two numbers are the same at every probe."""
        same = np.broadcast_to(np.asarray(one) == np.asarray(two), (self.count,))
        return bool(same[self.alive].all())

    def divides(self, one: Ints, two: Ints) -> bool:
        """Tell if the first divides the second at every probe."""
        first, second = one[self.alive], two[self.alive]
        return bool((first > 0).all() and (second % first == 0).all())

    def single(self, value: npt.NDArray[np.generic]) -> int | None:
        """Return a number that is the same at every probe; None if it is not."""
        found = np.broadcast_to(value, (self.count,))[self.alive]
        return int(found[0]) if (found == found[0]).all() else None

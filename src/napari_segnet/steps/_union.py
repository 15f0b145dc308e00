"""Which numbers belong together: connected components of a graph of pairs, in whole-array numpy.

scipy's are as fast for a million numbers, but take five times as long for some dozens, and their
import takes long, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["joined"]


def joined(
    count: int, a: npt.NDArray[np.integer[Any]], b: npt.NDArray[np.integer[Any]]
) -> tuple[int, npt.NDArray[np.intp]]:
    """Join pairs of numbers, and all that hang together by them.

    Each takes the smallest number that one of its partners has, and what that one has taken
    meanwhile, until nothing changes; of a chain of n, some log n rounds.

    Parameters
    ----------
    count : int
        Numbers are from 0 to ``count - 1``.
    a, b : ndarray
        ``(k,)`` the two numbers of each pair.

    Returns
    -------
    groups : int
        How many there are.
    group : ndarray
        ``(count,)`` the group of each number, from 0, in the order of their smallest numbers.
    """
    least = np.arange(count)
    while True:
        left, right = least[a], least[b]
        both, further = np.minimum(left, right), least.copy()
        np.minimum.at(further, left, both)
        np.minimum.at(further, right, both)
        further = further[further]
        if np.array_equal(further, least):
            break
        least = further
    number = np.cumsum(least == np.arange(count)) - 1
    return int(number[-1]) + 1 if count else 0, number[least]

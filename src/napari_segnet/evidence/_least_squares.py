"""Least squares without negative numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["nonnegative"]

Values = npt.NDArray[np.float64]

ROUNDS = 3
"""Times the number of unknowns: so many steps end the search, as in SciPy."""


def nonnegative(matrix: Values, target: Values) -> Values:
    """Return the ``x`` without negative numbers at which ``matrix @ x`` is nearest to a target.

    The method is that of Lawson and Hanson (*Solving Least Squares Problems*, 1974, chapter 23).
    It is written out here because ``scipy.optimize`` takes half a second to import.

    Parameters
    ----------
    matrix : ndarray
        ``(equations, unknowns)`` float64, finite.
    target : ndarray
        ``(equations,)`` float64, finite.

    Returns
    -------
    ndarray
        ``(unknowns,)`` float64.

    Raises
    ------
    RuntimeError
        After three steps for each unknown without an end.
    """
    count = matrix.shape[1]
    found, free = np.zeros(count), np.zeros(count, bool)
    least = 10 * max(matrix.shape) * np.finfo(float).eps * np.abs(matrix).sum(0).max(initial=0.0)
    barred = np.zeros(count, bool)
    for _ in range(ROUNDS * count + 1):
        slope = matrix.T @ (target - matrix @ found)
        slope[free | barred] = -np.inf
        if not count or slope.max() <= least:
            return found
        at = int(slope.argmax())
        free[at] = True
        tried = _solved(matrix, target, free)
        if tried[at] <= 0:
            # Rounding alone made it look useful.
            free[at], barred[at] = False, True
            continue
        barred[:] = False
        found = _within(matrix, target, free, found, tried)
    raise RuntimeError("the least squares did not end")


def _within(
    matrix: Values, target: Values, free: npt.NDArray[np.bool_], found: Values, tried: Values
) -> Values:
    """Go from one solution towards another until nothing is negative; ``free`` is changed."""
    while (tried[free] <= 0).any():
        negative = free & (tried <= 0)
        step = (found[negative] / (found[negative] - tried[negative])).min()
        found = found + step * (tried - found)
        gone = free & ((found <= np.finfo(float).eps) | (negative & (found <= 0)))
        if not gone.any():
            gone = negative & (found == found[negative].min())
        found[gone], free[gone] = 0.0, False
        tried = _solved(matrix, target, free)
    return tried


def _solved(matrix: Values, target: Values, free: npt.NDArray[np.bool_]) -> Values:
    """Return the least squares of the free unknowns; the others are zero."""
    found: Values = np.zeros(matrix.shape[1])
    found[free] = np.linalg.lstsq(matrix[:, free], target, rcond=None)[0]
    return found

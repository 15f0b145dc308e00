"""Labels of where pixels end: those that end together are an object."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["gathered"]

# All as in ``get_masks_torch`` of Cellpose 3 (BSD-3, ``dynamics.py``).
PEAK_PX = 5
"""A peak of the pixels that end in one place has none higher in a window of this edge."""
LEAST_IN_PEAK = 10
"""More pixels than that end in the one pixel of a peak."""
REACH_PX = 5
"""A peak takes in what is joined to it up to so far away ..."""
LEAST_AROUND = 2
"""... by pixels in which more than so many end."""

Ints = npt.NDArray[np.int64]


def gathered(ends: Ints, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """Return labels of pixels by where they end.

    Parameters
    ----------
    ends : ndarray
        ``(2, n)`` y and x where each pixel of ``inside`` ends, in their order, inside the picture.
    inside : ndarray
        bool ``(y, x)``.

    Returns
    -------
    ndarray
        int32 ``(y, x)``: ids rise with the height of the peaks, with gaps; 0 where a pixel ends
        near no peak.
    """
    from scipy.ndimage import maximum_filter

    wide = tuple(n + 2 * REACH_PX for n in inside.shape)
    flat = np.ravel_multi_index((ends[0] + REACH_PX, ends[1] + REACH_PX), wide)
    counts = np.bincount(flat, minlength=wide[0] * wide[1]).reshape(wide).astype(np.int32)
    highest = maximum_filter(counts, PEAK_PX, mode="constant")
    peaks = np.argwhere((counts == highest) & (counts > LEAST_IN_PEAK))
    # Where two reach one pixel, it is that of the higher peak: it comes last.
    peaks = peaks[np.argsort(counts[tuple(peaks.T)], kind="stable")]
    ground = np.zeros(wide, np.int32)
    number, y, x = np.nonzero(_reached(counts, peaks))
    ground[peaks[number, 0] + y - REACH_PX, peaks[number, 1] + x - REACH_PX] = number + 1
    labels = np.zeros(inside.shape, np.int32)
    labels[inside] = ground.reshape(-1)[flat]
    return labels


def _reached(counts: npt.NDArray[np.int32], peaks: Ints) -> npt.NDArray[np.bool_]:
    """Return which pixels around each peak are its own, ``(peak, y, x)``."""
    around = np.arange(-REACH_PX, REACH_PX + 1)
    rows = peaks[:, 0, None, None] + around[:, None]
    columns = peaks[:, 1, None, None] + around
    many: npt.NDArray[np.bool_] = counts[rows, columns] > LEAST_AROUND
    own: npt.NDArray[np.bool_] = np.zeros_like(many)
    own[:, REACH_PX, REACH_PX] = True
    for _ in range(REACH_PX):
        taller = own.copy()
        taller[:, 1:] |= own[:, :-1]
        taller[:, :-1] |= own[:, 1:]
        own = taller.copy()
        own[..., 1:] |= taller[..., :-1]
        own[..., :-1] |= taller[..., 1:]
        own &= many
    return own

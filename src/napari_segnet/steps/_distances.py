"""The distance to the border of each region, of images that are too large for memory.

Exact, window by window: what lies in a window and nearer to its border than the window's end is the
distance in the whole; where it is not, a larger window is taken.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from napari_segnet.progress import check_cancelled
from napari_segnet.sinks import large_array
from napari_segnet.steps._bands import bands

__all__ = ["relative_distances"]

WINDOW_PX = 2**22
"""Pixels of the part of a window that is kept; 8 bytes each, and those around it."""
REACH_PX = 48
"""How far a window looks at first, in pixels of the finest axis."""

Labels = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


def relative_distances(labels: Labels, pixel_size: tuple[float, ...]) -> Floats:
    """Return the distance to the border of each region in units of its largest.

    Parameters
    ----------
    labels : ndarray
        int32, 2D or 3D: ids above 0 are regions. The image's edge is no border.
    pixel_size : tuple of float
        Per axis, in any unit.

    Returns
    -------
    ndarray
        float32, 0 outside of regions; beyond a size in a temporary file.
    """
    far: Floats = large_array(labels.shape, np.float32)
    highest = np.zeros(int(labels.max(initial=0)) + 1, np.float32)
    reach = REACH_PX * min(pixel_size)
    for kept in _windows(labels.shape):
        check_cancelled()
        far[kept], reach = _in_window(labels, kept, pixel_size, reach)
        region = np.maximum(labels[kept], 0)
        np.maximum.at(highest, region.reshape(-1), far[kept].reshape(-1))
    highest[0] = 1
    for part in bands(labels.shape):
        far[part] /= highest[np.maximum(labels[part], 0)]
    return far


def _in_window(
    labels: Labels, kept: tuple[slice, ...], pixel_size: tuple[float, ...], reach: float
) -> tuple[Floats, float]:
    """Return the distances in ``kept``, and how far one had to look."""
    import edt

    while True:
        margins = [int(np.ceil(reach / size)) for size in pixel_size]
        box = tuple(
            slice(max(0, part.start - m), min(n, part.stop + m))
            for part, m, n in zip(kept, margins, labels.shape, strict=True)
        )
        region = np.maximum(labels[box], 0)
        # A region without any border in sight is infinitely far from it.
        found = edt.edt(region, anisotropy=pixel_size, black_border=False, parallel=1)
        ends = zip(kept, box, strict=True)
        inner: Floats = found[tuple(slice(k.start - b.start, k.stop - b.start) for k, b in ends)]
        whole = all(b.stop - b.start == n for b, n in zip(box, labels.shape, strict=True))
        most = float(inner.max(initial=0))
        if whole or most <= reach:
            return np.nan_to_num(inner, posinf=1.0), reach
        reach = most if np.isfinite(most) else 2 * reach


def _windows(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Cut an array into boxes of about equal edges."""
    edge = max(1, int(WINDOW_PX ** (1 / len(shape))))
    parts = [[slice(s, min(s + edge, n)) for s in range(0, n, edge)] for n in shape]
    return [tuple(box) for box in product(*parts)]

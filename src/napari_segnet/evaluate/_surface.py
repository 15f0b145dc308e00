"""How far the surfaces of two masks lie apart: the 95 % surface distance (HD95).

The surface of a mask is what of it has a neighbour outside (sharing an edge, in 3D a face); what
lies beyond the border of the image counts as outside. Each surface pixel has a distance, centre to
centre, to the nearest surface pixel of the other mask; the larger of both masks' 95th percentiles
(linear between ranks) is the figure. So do Metrics Reloaded
(https://doi.org/10.1038/s41592-023-02151-z) and MONAI
(``monai.metrics.compute_hausdorff_distance``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["distances_95", "surface_of"]

PERCENT = 95


def distances_95(
    first: npt.NDArray[np.bool_],
    second: npt.NDArray[np.bool_],
    spacings: Sequence[Sequence[float]],
    where: npt.NDArray[np.bool_] | None = None,
) -> tuple[float, ...]:
    """Return the 95 % surface distance of two masks for each of several voxel sizes.

    Parameters
    ----------
    first, second : ndarray of bool
        The same shape, with any number of spatial axes.
    spacings : sequence of sequence of float
        The size of a voxel along each axis; all ones give pixels.
    where : ndarray of bool, optional
        The part that is judged; its border is no surface.

    Returns
    -------
    tuple of float
        One for each of ``spacings``, in its unit; NaN where a mask is empty: there is no
        distance to nothing.
    """
    from scipy.spatial import KDTree

    box = _box_of(first | second)
    if box is None:
        return (np.nan,) * len(spacings)
    near = None if where is None else where[box]
    points = [np.argwhere(surface_of(mask[box], near)) for mask in (first, second)]
    if not all(map(len, points)):
        return (np.nan,) * len(spacings)
    found = []
    for spacing in spacings:
        # Only surfaces are looked at: a distance transform would fill the whole volume.
        ours, theirs = (each * np.asarray(spacing, float) for each in points)
        there, back = (
            KDTree(target, balanced_tree=False, compact_nodes=False).query(one)[0]
            for one, target in ((ours, theirs), (theirs, ours))
        )
        found.append(float(max(np.percentile(there, PERCENT), np.percentile(back, PERCENT))))
    return tuple(found)


def surface_of(
    mask: npt.NDArray[np.bool_], where: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.bool_]:
    """Return which pixels of a mask have a neighbour outside of it.

    Parameters
    ----------
    mask : ndarray of bool
        Any number of axes.
    where : ndarray of bool, optional
        What is judged. A neighbour that is not judged is neither inside nor outside.
    """
    from scipy.ndimage import binary_erosion

    unsure = mask if where is None else mask | ~where
    surface: npt.NDArray[np.bool_] = mask & ~binary_erosion(unsure)
    return surface if where is None else surface & where


def _box_of(mask: npt.NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Return the box of a mask with a margin of one pixel, as far as the image goes."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(i for i in range(mask.ndim) if i != axis)
        there: npt.NDArray[Any] = np.flatnonzero(mask.any(axis=others))
        if not there.size:
            return None
        box.append(slice(max(int(there[0]) - 1, 0), int(there[-1]) + 2))
    return tuple(box)

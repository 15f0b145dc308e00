"""Of objects that overlap the best is kept, as StarDist has it.

The overlap of two is what they share, divided by the smaller of both. What a worse object is
dropped for depends on better ones alone, so those that are left above a score are the same
whatever lies below it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.progress import check_cancelled
from napari_segnet.star._compiled import compiled
from napari_segnet.star._overlap import Polygons, Polyhedra
from napari_segnet.star.rays import Rays

__all__ = ["suppress"]

Floats = npt.NDArray[np.float32]


def suppress(
    points: npt.NDArray[Any],
    distances: Floats,
    scores: Floats,
    rays: Rays,
    most: float,
    *,
    use_library: bool = True,
) -> npt.NDArray[np.int64]:
    """Return which objects are kept, best first.

    Parameters
    ----------
    points : ndarray
        ``(n, axes)`` in pixels.
    distances : ndarray
        ``(n, rays)`` float32 above 0.
    scores : ndarray
        ``(n,)`` float32.
    rays : Rays
        The directions.
    most : float
        Largest overlap of two that are kept.
    use_library : bool
        Whether the compiled code of StarDist is used where it is installed.

    Returns
    -------
    ndarray
        ``(k,)`` int64 rows.
    """
    # Reversed, not negated: of equal ones the last comes first, as there.
    order = np.argsort(scores, kind="stable")[::-1].astype(np.int64)
    if len(order) < 2:
        return order
    points, distances = points[order], np.ascontiguousarray(distances[order], np.float32)
    # Of polyhedra the library compares convex hulls first.
    module = compiled() if use_library and rays.ndim == 2 else None
    check_cancelled()
    if module is None:
        return np.asarray(order[_kept(points, distances, rays, most)])
    places = np.ascontiguousarray(points, np.float32)
    kept = module.c_non_max_suppression_inds(distances, places, 1, 1, 0, np.float32(most))
    return np.asarray(order[np.asarray(kept, bool)])


def _kept(
    points: npt.NDArray[Any], distances: Floats, rays: Rays, most: float
) -> npt.NDArray[np.bool_]:
    """Return which objects, best first, no better one covers too much."""
    from scipy.spatial import cKDTree

    shapes = (Polygons if rays.ndim == 2 else Polyhedra)(points, distances, rays)
    lengths = np.linalg.norm(rays.vertices, axis=1)
    reach = (distances * lengths).max(1)
    find: Callable[..., list[int]] = cKDTree(points).query_ball_point
    kept = np.ones(len(points), bool)
    furthest = float(reach.max())
    for row in range(len(points)):
        if not kept[row]:
            continue
        if row % 64 == 0:
            check_cancelled()
        near = np.asarray(find(points[row], float(reach[row]) + furthest), np.int64)
        near = near[near > row]
        near = near[kept[near]]
        near = near[shapes.may_touch(row, near)]
        if near.size:
            kept[
                near[
                    shapes.shared(row, near)
                    > most * np.minimum(shapes.sizes[row], shapes.sizes[near])
                ]
            ] = False
    return kept

"""What a network of StarDist should say of labels: how far the edge is, how deep a pixel lies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_segnet.star.rays import Rays

__all__ = ["inner_distance", "star_distances"]

Floats = npt.NDArray[np.float32]


def star_distances(labels: npt.NDArray[np.int32], rays: Rays, grid: tuple[int, ...]) -> Floats:
    """Return how far each pixel of an object is from its edge along each ray.

    As ``star_dist`` and ``star_dist3D`` of StarDist: in steps of the ray's length until another
    label, or the end of the array, is reached: in two dimensions half a pixel back from there, in
    three to that pixel.

    Parameters
    ----------
    labels : ndarray
        ``([z,] y, x)`` int32; 0 is background.
    rays : Rays
        The directions.
    grid : tuple of int
        Every how many pixels along each axis.

    Returns
    -------
    ndarray
        ``(rays, [z,] y, x)`` float32 in pixels, smaller than the labels by the grid; 0 in the
        background.
    """
    shown = labels[tuple(slice(None, None, step) for step in grid)]
    found = np.zeros((len(rays), *shown.shape), np.float32)
    places = np.argwhere(shown > 0)
    own = shown[tuple(places.T)]
    start = (places * np.array(grid)).astype(np.float32)
    # One ring of background: a step beyond the end ends there.
    padded = np.pad(labels, 1)
    strides = np.cumprod([1, *padded.shape[:0:-1]])[::-1]
    flat, most = padded.reshape(-1), np.array(padded.shape) - 1
    far = np.zeros((len(rays), len(places)), np.float32)
    ray, place = (each.reshape(-1) for each in np.indices(far.shape, np.int32))
    gone = np.zeros_like(rays.vertices)
    # Half a pixel, along the axis that a ray follows most.
    back = 1 - 0.5 / np.abs(rays.vertices).max(1, keepdims=True)
    while ray.size:
        # float32, added step by step: as the library has it.
        gone = gone + rays.vertices
        ends = gone - back * rays.vertices if rays.ndim == 2 else np.rint(gone)
        reached = np.linalg.norm(ends, axis=1).astype(np.float32)
        at = np.zeros(ray.size, np.int64)
        for axis, stride in enumerate(strides.tolist()):
            along = np.rint(start[place, axis] + gone[ray, axis]).astype(np.int64) + 1
            at += stride * np.clip(along, 0, most[axis])
        ended = flat[at] != own[place]
        far[ray[ended], place[ended]] = reached[ray[ended]]
        ray, place = ray[~ended], place[~ended]
    found[(slice(None), *places.T)] = far
    return found


def inner_distance(
    labels: npt.NDArray[np.int32], anisotropy: tuple[float, ...] | None = None
) -> Floats:
    """Return how deep each pixel lies in its object, from 0 at the edge to 1 where it is deepest.

    As ``edt_prob`` of StarDist: where the image ends, an object does not.

    Parameters
    ----------
    labels : ndarray
        ``([z,] y, x)`` int32.
    anisotropy : tuple of float, optional
        Size of a pixel along each axis.
    """
    import edt
    from scipy import ndimage

    first = labels.flat[0] if labels.size else 0
    if first > 0 and (labels == first).all():
        inside = inner_distance(np.pad(labels, 1), anisotropy)
        return inside[(slice(1, -1),) * labels.ndim]
    depth: Floats = edt.edt(
        np.ascontiguousarray(labels), anisotropy=anisotropy or (1.0,) * labels.ndim
    )
    ids = np.arange(labels.max(initial=0) + 1)
    deepest = np.maximum(ndimage.maximum(depth, labels, ids), 1e-6).astype(np.float32)
    result: Floats = depth / deepest[labels]
    return np.where(labels > 0, result, np.float32(0))

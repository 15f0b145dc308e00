"""Which pixels lie in a star-convex object."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.star.rays import Rays

__all__ = ["boxes_of", "contains", "corners_of", "mask_of"]

Floats = npt.NDArray[np.float32]
Box = tuple[slice, ...]
ON_FACE = 1e-5
"""A pixel so near to a face, relative to its distance, is inside."""
MOST_REACH, REACH_STEP = 60, 8
"""Around pixels, offsets of up to so many pixels are looked up: in 28 MB at most."""
AT_ONCE = 2**22
"""Numbers of pixels times faces that are looked at together: 50 MB."""


def corners_of(points: npt.NDArray[Any], distances: Floats, rays: Rays) -> Floats:
    """Return where the rays of objects end: ``(n, rays, axes)`` float32 in pixels."""
    ends: Floats = (distances[..., None] * rays.vertices + points[:, None]).astype(np.float32)
    return ends


def boxes_of(points: npt.NDArray[Any], distances: Floats, rays: Rays) -> Floats:
    """Return the box around each object: ``(n, 2, axes)`` float32, least and greatest place."""
    ends = corners_of(points, distances, rays)
    return np.stack([ends.min(1), ends.max(1)], axis=1)


def mask_of(
    point: npt.NDArray[Any], distances: Floats, rays: Rays, shape: tuple[int, ...]
) -> tuple[Box, npt.NDArray[np.bool_]]:
    """Return the pixels of one object.

    In two dimensions those of ``skimage.draw.polygon``, in three those within a tetrahedron of
    its point and a face: as StarDist paints them.

    Parameters
    ----------
    point : ndarray
        ``(axes,)`` in pixels of the array.
    distances : ndarray
        ``(rays,)`` float32 in lengths of the rays.
    rays : Rays
        The directions.
    shape : tuple of int
        ``([z,] y, x)`` of the array.

    Returns
    -------
    where : tuple of slice
        A box inside the array; empty where nothing of the object is in it.
    mask : ndarray
        bool, as large as that box.
    """
    ends = corners_of(np.asarray(point)[None], np.asarray(distances)[None], rays)[0]
    low = np.clip(np.floor(ends.min(0)).astype(np.int64), 0, shape)
    high = np.clip(np.ceil(ends.max(0)).astype(np.int64) + 1, low, shape)
    where = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    mask = np.zeros(high - low, bool)
    if not mask.size:
        return where, mask
    if rays.ndim == 2:
        from skimage.draw import polygon

        # In the places of the whole array: what rounding does there does not depend on the box.
        rows, columns = polygon(ends[:, 0], ends[:, 1], shape)  # type: ignore[no-untyped-call]
        mask[rows - low[0], columns - low[1]] = True
        return where, mask
    place = np.asarray(point)
    reach = int(max(np.abs(low - place).max(), np.abs(high - place).max())) + 1
    whole = np.rint(place).astype(np.int64)
    if reach <= MOST_REACH and (whole == place).all():
        # The same offsets for all objects around pixels: which cone each is in is known.
        reach += -reach % REACH_STEP
        face, shares = _cube(rays.vertices.tobytes(), rays.faces.tobytes(), reach)
        at = tuple(
            slice(a - p + reach, b - p + reach) for a, b, p in zip(low, high, whole, strict=True)
        )
        mask[...] = _reached(face[at], shares[at], distances, rays)
        return where, mask
    axes = [np.arange(a, b) for a, b in zip(low, high, strict=True)]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) - place
    face, shares = cone_of(offsets, rays)
    mask[...] = _reached(face, shares, distances, rays).reshape(mask.shape)
    return where, mask


def contains(
    points: npt.NDArray[Any], distances: Floats, rays: Rays, place: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Tell which of many objects a place is in.

    Parameters
    ----------
    points, distances, rays
        The objects: ``(n, axes)``, ``(n, rays)`` and the directions.
    place : ndarray
        ``(axes,)`` in the pixels of the points.
    """
    offsets = np.asarray(place, np.float64) - points
    if rays.ndim == 3:
        face, shares = cone_of(offsets, rays)
        found: npt.NDArray[np.bool_] = _within(face, shares, distances, rays)
        return found
    ends = distances[..., None] * rays.vertices.astype(np.float64)
    after = np.roll(ends, -1, axis=1)
    # Of the triangles between the point and two neighbouring rays.
    y, x = offsets[:, None, 0], offsets[:, None, 1]
    area = ends[..., 0] * after[..., 1] - ends[..., 1] * after[..., 0]
    area = np.where(np.abs(area) < 1e-12, 1e-12, area)
    one = (y * after[..., 1] - x * after[..., 0]) / area
    other = (ends[..., 0] * x - ends[..., 1] * y) / area
    inside = (one >= -ON_FACE) & (other >= -ON_FACE) & (one + other <= 1 + ON_FACE)
    return np.asarray(inside.any(1))


# ---- Cones of faces, in three dimensions -------------------------------------------------


@functools.lru_cache(maxsize=8)
def _inverses(vertices: bytes, faces: bytes) -> Floats:
    """Return ``(faces, 3, 3)``: what turns an offset into shares of the three rays of a face."""
    rays = np.frombuffer(vertices, np.float32).reshape(-1, 3).astype(np.float64)
    spans = rays[np.frombuffer(faces, np.int32).reshape(-1, 3)]  # (faces, ray, axis)
    flat = np.abs(np.linalg.det(spans)) < 1e-12
    spans[flat] = np.eye(3)
    inverse = np.linalg.inv(spans.swapaxes(1, 2))
    inverse[flat] = np.nan  # nothing is in a cone without room
    return inverse.astype(np.float32)


def cone_of(offsets: npt.NDArray[Any], rays: Rays) -> tuple[npt.NDArray[np.int32], Floats]:
    """Return in the cone of which face each offset lies, and its shares of the three rays.

    Parameters
    ----------
    offsets : ndarray
        ``(n, 3)`` from the point.
    rays : Rays
        The directions.

    Returns
    -------
    face : ndarray
        ``(n,)`` int32.
    shares : ndarray
        ``(n, 3)`` float32: the offset is the sum of so much of each ray.
    """
    inverse = _inverses(rays.vertices.tobytes(), rays.faces.tobytes())
    face = np.zeros(len(offsets), np.int32)
    shares = np.zeros((len(offsets), 3), np.float32)
    step = max(1, AT_ONCE // (3 * len(inverse)))
    flat = inverse.reshape(-1, 3).T
    for start in range(0, len(offsets), step):
        part = np.asarray(offsets[start : start + step], np.float32)
        found = (part @ flat).reshape(len(part), -1, 3)
        # In its cone all three are positive; rounding may leave the least of them just below.
        least = np.nan_to_num(found.min(2), nan=-np.inf)
        best = least.argmax(1)
        face[start : start + step] = best
        shares[start : start + step] = found[np.arange(len(part)), best]
    return face, shares


def _within(
    face: npt.NDArray[np.int32], shares: Floats, distances: Floats, rays: Rays
) -> npt.NDArray[np.bool_]:
    """Tell where the shares of each row reach no further than its distances ``(n, rays)``."""
    reach = np.take_along_axis(distances, rays.faces[face], axis=1)
    return np.asarray((shares / np.maximum(reach, 1e-6)).sum(1) <= 1 + ON_FACE)


def _reached(
    face: npt.NDArray[np.int32], shares: Floats, distances: Floats, rays: Rays
) -> npt.NDArray[np.bool_]:
    """Tell where the shares reach no further than the distances ``(rays,)`` of one object."""
    per_face = 1 / np.maximum(np.asarray(distances), 1e-6)[rays.faces]
    return np.asarray(np.einsum("...k,...k->...", shares, per_face[face]) <= 1 + ON_FACE)


@functools.lru_cache(maxsize=2)
def _cube(vertices: bytes, faces: bytes, reach: int) -> tuple[npt.NDArray[np.int32], Floats]:
    """Return the cone of each offset up to ``reach`` pixels along each axis, and its shares."""
    rays = Rays(
        vertices=np.frombuffer(vertices, np.float32).reshape(-1, 3),
        faces=np.frombuffer(faces, np.int32).reshape(-1, 3),
    )
    axis = np.arange(-reach, reach + 1)
    offsets = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    face, shares = cone_of(offsets.reshape(-1, 3), rays)
    return face.reshape(offsets.shape[:3]), shares.reshape(offsets.shape)

"""What a hand has drawn, as pixels: lines and outlines in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.correct._edit import Box, Points, read
from napari_segnet.errors import EditError

__all__ = ["ids_along", "line_pixels", "outline"]


def outline(
    points: Points, axes: Sequence[int], shape: Sequence[int]
) -> tuple[Box, npt.NDArray[np.bool_]]:
    """Return the pixels inside an outline in one plane.

    Parameters
    ----------
    points : sequence
        ``(n, dimensions)`` in pixels, closed by itself; pixel 0 reaches from -0.5 to 0.5.
    axes : sequence of int
        The two dimensions of the plane; along the others all points have the same index.
    shape : sequence of int
        Of the labels; what lies outside is cut off.

    Returns
    -------
    box, mask : tuple of slice, ndarray
        The mask is bool, of the box's shape.

    Raises
    ------
    EditError
        If nothing of the labels lies inside.
    """
    from skimage.draw import polygon

    drawn = np.asarray(points, np.float64)
    rows, columns = sorted(axes)
    low = np.floor(drawn[:, [rows, columns]].min(axis=0) + 0.5).astype(int)
    high = np.ceil(drawn[:, [rows, columns]].max(axis=0) + 0.5).astype(int)
    low = np.maximum(low, 0)
    high = np.minimum(high, [shape[rows], shape[columns]])
    parts = [slice(int(p), int(p) + 1) for p in np.rint(drawn[0])]
    parts[rows], parts[columns] = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    elsewhere = any(
        not 0 <= part.start < part.stop <= n for part, n in zip(parts, shape, strict=True)
    )
    if elsewhere:
        raise EditError("What was drawn lies outside of the labels. Draw it over the image.")
    size = [part.stop - part.start for part in parts]
    flat = np.zeros((size[rows], size[columns]), bool)
    ys, xs = (drawn[:, [rows, columns]] - low).T
    flat[polygon(ys, xs, flat.shape)] = True  # type: ignore[no-untyped-call]
    if not flat.any():
        raise EditError("What was drawn holds no pixel. Draw an outline around something.")
    return tuple(parts), flat.reshape(size)


def line_pixels(points: Points) -> npt.NDArray[np.int64]:
    """Return the pixels along a line, ``(n, dimensions)``, in order, without repetition.

    Each touches the next at least at a corner.
    """
    corners = np.asarray(points, np.float64)
    found = [np.rint(corners[:1])]
    for start, end in pairwise(corners):
        steps = int(np.ceil(np.abs(end - start).max())) + 1
        found.append(np.rint(np.linspace(start, end, steps + 1)))
    pixels = np.concatenate(found).astype(np.int64)
    new = np.r_[True, (np.diff(pixels, axis=0) != 0).any(axis=1)]
    return pixels[new]


def ids_along(labels: Any, points: Points) -> list[int]:
    """Return the id at each pixel along a line, in order; 0 is background."""
    pixels = line_pixels(points)
    shape = np.asarray(labels.shape)
    pixels = pixels[((pixels >= 0) & (pixels < shape)).all(axis=1)]
    if not len(pixels):
        return []
    low, high = pixels.min(axis=0), pixels.max(axis=0) + 1
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    region = read(labels, box)
    ids: list[int] = region[tuple((pixels - low).T)].tolist()
    return ids

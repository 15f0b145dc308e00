"""How much an object deserves a second look, by what its pixels say of it; no network runs here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.star_polygons.label import rays_of
from napari_segnet.items import Items
from napari_segnet.mistakes import uncertainty_by_both, uncertainty_by_measures
from napari_segnet.segmentation import StarPolygons
from napari_segnet.shapes import shapes_of, spatial_axes
from napari_segnet.star import boxes_of

__all__ = ["uncertainty_by_stars"]

Labels = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]


def uncertainty_by_stars(items: Items, labels: Labels, answer: StarPolygons) -> Items:
    """Doubt what the network is not sure of, whose pixels see other edges, or by its shape.

    Every pixel of an object says where all of its edge is. Where one object is taken for two, or
    two for one, they disagree: the share of its size by which their boxes differ counts.

    Parameters
    ----------
    items : Items
        The objects of the labels.
    labels : ndarray
        ``([t,] [z,] y, x)``.
    answer : StarPolygons
        What the network said of the same pixels.
    """
    rows, owners = _owned(items, labels, answer)
    best = np.zeros(len(items))
    np.maximum.at(best, owners, answer.scores[rows].astype(np.float64))
    boxes = boxes_of(answer.points[rows], answer.distances[rows], rays_of(answer))
    edges = (boxes * np.array(answer.zoom)).reshape(len(rows), 2 * answer.ndim).astype(np.float64)
    weight = answer.scores[rows].astype(np.float64)
    apart = _apart(edges, weight, owners, len(items))
    own = (items.stop - items.first)[:, -answer.ndim :].astype(np.float64)
    found = np.bincount(owners, minlength=len(items)) > 0
    signs = {
        "low score": 1 - best,
        "its pixels see other edges": np.where(found, apart, 0.0),
        "size differs from the network's": np.where(found, _differs(edges, weight, owners, own), 0),
    }
    uncertainty = 1 - np.prod([1 - np.clip(sign, 0, 1) for sign in signs.values()], axis=0)
    names = tuple(signs)
    first = np.argmax(np.stack(list(signs.values())), axis=0).tolist()
    why = tuple(names[k] if there else "no object" for k, there in zip(first, found, strict=True))
    by_star = replace(items, uncertainty=np.where(found, uncertainty, 1.0), why=why)
    spatial = spatial_axes(items, answer.maps.axes[1:], answer.ndim)
    by_shape = uncertainty_by_measures(items, shapes_of(items, labels, spatial))
    said = "score, agreement of the pixels about the edge, size and shape"
    return replace(uncertainty_by_both(by_star, by_shape), said=said)


def _owned(
    items: Items, labels: Labels, answer: StarPolygons
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return which suspected objects have their point in a label, and the row of that label."""
    units = labels.reshape(-1, *labels.shape[-answer.ndim :])
    places = ((answer.points + 0.5) * np.array(answer.zoom)).astype(np.int64)
    places = np.minimum(places, np.array(units.shape[1:]) - 1)
    ids = units[(answer.unit, *places.T)].astype(np.int64)
    order = np.argsort(items.ids, kind="stable")
    at = np.searchsorted(items.ids[order], ids).clip(0, max(0, len(items) - 1))
    mine = (ids > 0) & (items.ids[order][at] == ids) if len(items) else np.zeros(len(ids), bool)
    rows = np.flatnonzero(mine)
    return rows, order[at[rows]] if len(items) else rows


def _mean(values: Floats, weight: Floats, owners: npt.NDArray[np.int64], count: int) -> Floats:
    total = np.zeros((count, *values.shape[1:]))
    np.add.at(total, owners, values * weight[:, None])
    result: Floats = total / np.maximum(np.bincount(owners, weight, count), 1e-9)[:, None]
    return result


def _apart(edges: Floats, weight: Floats, owners: npt.NDArray[np.int64], count: int) -> Floats:
    """Return by which share of its size the edges of an object's box vary between its pixels."""
    mean = _mean(edges, weight, owners, count)
    spread = np.sqrt(_mean((edges - mean[owners]) ** 2, weight, owners, count))
    axes = edges.shape[1] // 2
    size = np.maximum(mean[:, axes:] - mean[:, :axes], 1.0)
    result: Floats = ((spread[:, :axes] + spread[:, axes:]) / size).mean(1)
    return result


def _differs(edges: Floats, weight: Floats, owners: npt.NDArray[np.int64], own: Floats) -> Floats:
    """Return by which share the box of a label differs from what its pixels say."""
    mean = _mean(edges, weight, owners, len(own))
    axes = edges.shape[1] // 2
    size = np.maximum(mean[:, axes:] - mean[:, :axes], 1.0)
    larger, smaller = np.maximum(own, size), np.minimum(own, size)
    # A pixel more or less is no difference.
    result: Floats = np.maximum(larger - smaller - 1, 0).sum(1) / larger.sum(1)
    return result

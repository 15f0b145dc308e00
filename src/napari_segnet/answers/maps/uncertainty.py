"""How much an object deserves a second look, by the maps it was made of; no network runs here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Output
from napari_segnet.items import Items, means_of, worse
from napari_segnet.mistakes import uncertainty_by_measures
from napari_segnet.segmentation import Maps
from napari_segnet.shapes import highest_inside, shapes_of, spatial_axes

__all__ = [
    "AT_SEAMS",
    "entropy",
    "probabilities",
    "uncertainty_by_flips",
    "uncertainty_by_maps",
    "uncertainty_by_tiles",
]

Labels = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]

DENSE = ("foreground", "class", "boundary", "other")
"""Outputs that are probabilities; a distance is none."""
AT_SEAMS = "differs at the seam of tiles"
"""Why an object is uncertain of which tiles say different things."""


def entropy(probability: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the entropy of yes or no in bits: 0 where it is sure, 1 where it is even."""
    p = np.clip(np.asarray(probability, np.float32), 1e-6, 1 - 1e-6)
    bits: npt.NDArray[np.float32] = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return bits


def uncertainty_by_maps(items: Items, labels: Labels, maps: Maps) -> Items:
    """Suspect objects by their shape, and where the network is undecided or sees a border inside.

    Of the probabilities that the network gives, the one with the highest mean entropy over the
    pixels of the object counts, its rim included. Classes of pixels have no shape: of them the
    entropy alone counts.

    Parameters
    ----------
    items : Items
        The objects of the labels.
    labels : ndarray
        In the order of ``maps.axes`` without channels.
    maps : Maps
        What the network said of the same pixels.
    """
    found = _plain_uncertainty(items, labels, maps)
    if maps.apart is None or not maps.apart.any():
        return found
    return worse(found, uncertainty_by_tiles(items, labels, maps.apart))


def uncertainty_by_tiles(items: Items, labels: Labels, apart: npt.NDArray[Any]) -> Items:
    """Rate objects of which tiles that overlap say different things; see ``Maps.apart``.

    The mean over the pixels that several tiles answered, times two, as of flips.
    """
    both = (apart > 0).astype(np.float32)
    share = means_of(labels, both, items.ids)
    mean = means_of(labels, apart, items.ids) / np.maximum(share, np.finfo(np.float64).tiny)
    uncertainty = np.where(share > 0, np.minimum(1.0, 2 * mean), 0.0)
    return _with(items, uncertainty, AT_SEAMS, "agreement of tiles at seams")


def _plain_uncertainty(items: Items, labels: Labels, maps: Maps) -> Items:
    worst = np.zeros(len(items))
    for channel in probabilities(maps.outputs):
        worst = np.maximum(worst, means_of(labels, entropy(maps.data[channel]), items.ids))
    if _are_classes(items, maps):
        return _with(items, worst, "the network is undecided", "entropy of the network's maps")
    spatial = spatial_axes(items, maps.axes.replace("c", ""), maps.ndim)
    channel_of_border = maps.channel_of("boundary")
    border = None
    if channel_of_border is not None:
        border = highest_inside(items, labels, maps.data[channel_of_border], spatial)
    found = uncertainty_by_measures(items, shapes_of(items, labels, spatial), worst, border)
    return replace(found, said="size, shape, and entropy of the network's maps")


def _are_classes(items: Items, maps: Maps) -> bool:
    """Tell if labels are classes of pixels: no more of them than the network has classes."""
    classes = max((o.channels for o in maps.outputs if o.role == "class"), default=0)
    return classes > 1 and int(items.ids.max(initial=0)) <= classes


def uncertainty_by_flips(items: Items, labels: Labels, maps: Maps, others: list[Maps]) -> Items:
    """Suspect objects of which the network says something else when the image is turned over.

    The mean distance between the foreground probabilities, times two: 0.5 of a difference is
    as much as there can be between a yes and an even.
    """
    channel = probabilities(maps.outputs)[0]
    own = np.asarray(maps.data[channel], np.float32)
    apart = [np.abs(np.asarray(o.data[channel], np.float32) - own) for o in others]
    uncertainty = np.minimum(1.0, 2 * means_of(labels, np.mean(apart, axis=0), items.ids))
    return _with(items, uncertainty, "differs when flipped", "agreement under flips")


def probabilities(outputs: Sequence[Output]) -> list[int]:
    """Return the channels that are probabilities of something, foreground first."""
    found: list[tuple[int, int]] = []
    first = 0
    for output in outputs:
        if output.role in DENSE:
            rank = DENSE.index(output.role)
            found += [(rank, c) for c in range(first, first + output.channels)]
        first += output.channels
    return [channel for _, channel in sorted(found)] or [0]


def _with(items: Items, uncertainty: Floats, why: str, said: str) -> Items:
    return replace(items, uncertainty=uncertainty, why=(why,) * len(items), said=said)

"""How much an object deserves a second look, from 0 to 1.

All of it is arithmetic on labels; no network runs here. What each kind of answer says of
labels that were made of it stands in ``answers/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.by_label import values_of
from napari_segnet.items import Items, items_of, means_of
from napari_segnet.mistakes import uncertainty_by_both, uncertainty_by_measures
from napari_segnet.shapes import shapes_of, spatial_axes
from napari_segnet.steps.overlap import Overlaps, overlaps

__all__ = ["MOSTLY", "uncertainty_by_prediction", "uncertainty_by_shape", "uncertainty_by_size"]

Labels = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]

MOSTLY = 0.5
"""An object lies in another if more than this part of it does."""
SECOND = 3.0
"""A second part of a third of an object is as sure a sign of a merge as there can be. Chosen
on spoilt truth: 2 to 6 all find more than 80 % of the mistakes in the first fifth."""
OUTLINE = 0.5
"""How much an outline that differs counts, beside objects that do: small ones differ much."""


def uncertainty_by_prediction(
    labels: Labels,
    predicted: Labels,
    scores: Mapping[int, float],
    inside: npt.NDArray[Any] | None,
    axes: str = "",
) -> Items:
    """Doubt labels that a network does not agree with, and those of unusual size and shape.

    Both count: a merge that the network makes, too, is seen by its shape alone. Four signs of
    disagreement: several predicted objects lie in the label; another label shares its predicted
    object; there is no such object; the outline differs. And where the network sees an
    object that no label covers, that is an item of its own.

    Parameters
    ----------
    labels : ndarray
        What is reviewed.
    predicted : ndarray
        The network's labels of the same pixels.
    scores : mapping of int to float
        How sure the network is of each of its objects, 0 to 1.
    inside : ndarray or None
        Foreground probability, if the network says it: what is not there is the more uncertain.
    axes : str
        Of the labels, as for :func:`uncertainty_by_shape`.

    Returns
    -------
    Items
        The objects of ``labels``, then the missing ones with ids -1, -2, ...
    """
    table = overlaps(labels, predicted)
    items = items_of(labels)
    areas, others = table.first_areas, table.second_areas
    merged = _second_part(table.first, table.pixels, others[table.second], areas)
    shared = _second_part(table.second, table.pixels, areas[table.first], others)
    split = np.zeros(len(items))
    mostly = table.pixels > MOSTLY * table.first_areas[table.first]
    np.maximum.at(split, table.first[mostly], shared[table.second[mostly]])
    best = np.zeros(len(items))
    np.maximum.at(best, table.first, table.pixels / table.unions)
    absent = 1 - best if inside is None else 1 - means_of(labels, inside, items.ids)
    absent[best > MOSTLY] = 0
    signs = np.stack([merged, split, absent, OUTLINE * (1 - best)])
    names = ("several in one", "cut in pieces", "nothing there", "another outline")
    worst = signs.argmax(axis=0)
    uncertainty = signs.max(axis=0).clip(0, 1)
    compared = replace(items, uncertainty=uncertainty, why=tuple(names[k] for k in worst.tolist()))
    both = uncertainty_by_both(compared, uncertainty_by_shape(items, labels, axes))
    found = replace(both, said="compared with the network's own objects; size and shape")
    return found.joined(_missing(table, predicted, scores))


def _second_part(
    into: npt.NDArray[np.int64],
    pixels: npt.NDArray[np.int64],
    of: npt.NDArray[np.int64],
    whole: npt.NDArray[np.int64],
) -> Floats:
    """Return how large the second of the parts is that an object is made of, times ``SECOND``.

    Parameters
    ----------
    into : ndarray
        ``(k,)`` the whole of each pair.
    pixels : ndarray
        ``(k,)`` what the pair shares.
    of : ndarray
        ``(k,)`` area of the part of each pair: it counts if most of it lies in the whole.
    whole : ndarray
        ``(n,)`` area of each whole.
    """
    part = np.flatnonzero(pixels > MOSTLY * of)
    order = part[np.lexsort((-pixels[part], into[part]))]
    same = np.zeros(order.size, np.bool_)
    same[1:] = into[order][1:] == into[order][:-1]
    first = np.flatnonzero(~same)
    second = first[(first + 1 < order.size)] + 1
    second = order[second[same[second]]]
    found = np.zeros(whole.size)
    found[into[second]] = pixels[second] / whole[into[second]]
    made: Floats = np.minimum(1.0, SECOND * found)
    return made


def _missing(table: Overlaps, predicted: Labels, scores: Mapping[int, float]) -> Items:
    """Return the predicted objects of which less than half is covered by labels."""
    shared = np.bincount(table.second, table.pixels, table.second_ids.size)
    covered = shared.astype(np.float64) / np.maximum(table.second_areas, 1)
    bare = np.flatnonzero(covered < MOSTLY)
    ids = table.second_ids[bare]
    own = items_of(predicted)
    rows = own.chosen(np.searchsorted(own.ids, ids))
    sure = values_of(scores, ids, 1.0)
    shapes = {-k - 1: predicted[rows.box(k)] == ids[k] for k in range(ids.size)}
    return replace(
        rows,
        shapes=shapes,
        ids=-np.arange(1, ids.size + 1),
        scores=sure,
        uncertainty=sure * (1 - covered[bare]),
        why=("missing?",) * ids.size,
    )


def uncertainty_by_shape(items: Items, labels: Labels, axes: str = "") -> Items:
    """Suspect objects by size and shape: all that is known without a network.

    Parameters
    ----------
    items : Items
        The objects of exactly these labels.
    labels : ndarray
        What is reviewed.
    axes : str
        Of the labels, such as ``zyx``; empty if nobody knows them: then three axes are a volume
        if most objects go through several planes.
    """
    shapes = shapes_of(items, labels, spatial_axes(items, axes))
    found = uncertainty_by_measures(items, shapes)
    return replace(found, said="only size and shape, since no network was chosen")


def uncertainty_by_size(items: Items) -> Items:
    """Suspect objects whose size is unlike that of the others: what other orders are measured by.

    Distance of the logarithm of the area from the median, in robust standard deviations; four
    of them are 1.
    """
    size = np.log(np.maximum(items.areas, 1).astype(np.float64))
    if not size.size:
        return replace(items, said="only how unusual the size is")
    middle = float(np.median(size))
    spread = 1.4826 * float(np.median(np.abs(size - middle))) + 0.05
    away = (size - middle) / spread
    why = tuple("larger than others" if a > 0 else "smaller than others" for a in away.tolist())
    return replace(
        items,
        uncertainty=np.minimum(1.0, np.abs(away) / 4),
        why=why,
        said="only how unusual the size is",
    )

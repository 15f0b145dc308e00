"""How much an object deserves a second look, from 0 to 1.

All of it is arithmetic on labels and on what a network said; no network runs here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.review._items import Items, items_of
from napari_segnet.segmentation import Instances, Maps
from napari_segnet.steps.overlap import Overlaps, overlaps

__all__ = [
    "MOSTLY",
    "doubt_by_detections",
    "doubt_by_flips",
    "doubt_by_maps",
    "doubt_by_prediction",
    "doubt_by_size",
    "entropy",
]

Labels = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]

MOSTLY = 0.5
"""An object lies in another if more than this part of it does."""
SECOND = 3.0
"""A second part of a third of an object is as sure a sign of a merge as there can be. Chosen
on spoilt truth: 2 to 6 all find more than 80 % of the mistakes in the first fifth."""
OUTLINE = 0.5
"""How much an outline that differs counts, beside objects that do: small ones differ much."""
DENSE = ("foreground", "class", "boundary", "other")
"""Outputs that are probabilities; a distance is none."""


def entropy(probability: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the entropy of yes or no in bits: 0 where it is sure, 1 where it is even."""
    p = np.clip(np.asarray(probability, np.float32), 1e-6, 1 - 1e-6)
    bits: npt.NDArray[np.float32] = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return bits


def doubt_by_maps(items: Items, labels: Labels, maps: Maps) -> Items:
    """Doubt objects in which the network is undecided, within their outline or at it.

    The mean entropy over the pixels of the object, its rim included, of each probability that
    the network gives; the highest of them counts. (On the built-in network's own mistakes the
    rim alone finds 46 % in the first fifth, this 62 %.)

    Parameters
    ----------
    items : Items
        The objects of the labels.
    labels : ndarray
        In the order of ``maps.axes`` without channels.
    maps : Maps
        What the network said of the same pixels.
    """
    worst = np.zeros(len(items))
    for channel in _probabilities(maps):
        worst = np.maximum(worst, _means(labels, entropy(maps.data[channel]), items.ids))
    return _with(items, worst, "the network is undecided", "entropy of the network's maps")


def doubt_by_flips(items: Items, labels: Labels, maps: Maps, others: list[Maps]) -> Items:
    """Doubt objects of which the network says something else when the image is turned over.

    The mean distance between the foreground probabilities, times two: 0.5 of a difference is
    as much as there can be between a yes and an even.
    """
    channel = _probabilities(maps)[0]
    own = np.asarray(maps.data[channel], np.float32)
    apart = [np.abs(np.asarray(o.data[channel], np.float32) - own) for o in others]
    doubts = np.minimum(1.0, 2 * _means(labels, np.mean(apart, axis=0), items.ids))
    return _with(items, doubts, "differs when flipped", "agreement under flips")


def doubt_by_prediction(
    labels: Labels, predicted: Labels, scores: Mapping[int, float], inside: npt.NDArray[Any] | None
) -> Items:
    """Doubt labels that a network does not agree with.

    Four signs: several predicted objects lie in the label; another label shares its predicted
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
        Foreground probability, if the network says it: what is not there is the more doubted.

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
    absent = 1 - best if inside is None else 1 - _means(labels, inside, items.ids)
    absent[best > MOSTLY] = 0
    signs = np.stack([merged, split, absent, OUTLINE * (1 - best)])
    names = ("several in one", "cut in pieces", "nothing there", "another outline")
    worst = signs.argmax(axis=0)
    doubts = signs.max(axis=0).clip(0, 1)
    found = replace(
        items,
        doubts=doubts,
        why=tuple(names[k] for k in worst.tolist()),
        said="compared with the network's own objects",
    )
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
    sure = np.array([scores.get(int(i), 1.0) for i in ids], np.float64)
    shapes = {-k - 1: predicted[rows.box(k)] == ids[k] for k in range(ids.size)}
    return replace(
        rows,
        shapes=shapes,
        ids=-np.arange(1, ids.size + 1),
        scores=sure,
        doubts=sure * (1 - covered[bare]),
        why=("missing?",) * ids.size,
    )


def doubt_by_detections(
    items: Items, labels: Labels, answer: Instances, seams: tuple[npt.NDArray[Any], ...] = ()
) -> Items:
    """Doubt what a Mask R-CNN is not sure of, or whose mask does not fill its box.

    Parameters
    ----------
    items : Items
        The objects of the labels.
    labels : ndarray
        In the order of ``answer.axes``.
    answer : Instances
        What the network said of the same pixels.
    seams : tuple of ndarray
        Where tiles meet, for y and for x: an object that a seam crosses is looked at sooner.
    """
    doubts, why = np.ones(len(items)), ["no detection"] * len(items)
    planes = (
        np.ravel_multi_index(tuple(items.first[:, :-2].T), answer.shape[:-2] or (1,))
        if (len(answer.shape) > 2)
        else np.zeros(len(items), np.int64)
    )
    own = np.concatenate([items.first[:, -2:], items.stop[:, -2:]], axis=1).astype(np.float64)
    for row, fit, which in _best_boxes(own, planes, answer):
        mask = answer.masks[which]
        firm = float(np.abs(2 * mask.astype(np.float32) - 1).mean())
        signs = {
            "low score": 1 - float(answer.scores[which]),
            "mask and box differ": 1 - fit,
            "soft mask": 1 - firm,
            "at a seam": 0.5 if _crosses(own[row], seams) else 0.0,
        }
        why[row] = max(signs, key=lambda name: signs[name])
        doubts[row] = 1 - np.prod([1 - min(1.0, max(0.0, sign)) for sign in signs.values()])
    return replace(items, doubts=doubts, why=tuple(why), said="score, mask and box of detections")


def _best_boxes(
    boxes: Floats, planes: npt.NDArray[Any], answer: Instances
) -> list[tuple[int, float, int]]:
    """Return row, overlap and detection of the box that fits each object best."""
    from napari_segnet.boxes import overlapping_pairs, pairwise_iou

    both = np.concatenate([boxes, answer.boxes.astype(np.float64)])
    groups = np.concatenate([planes, answer.plane]).astype(np.int64)
    pairs = np.sort(overlapping_pairs(both, groups), axis=1)
    pairs = pairs[(pairs[:, 0] < len(boxes)) & (pairs[:, 1] >= len(boxes))]
    fits = pairwise_iou(both, pairs)
    order = np.argsort(-fits, kind="stable")
    rows, first = np.unique(pairs[order, 0], return_index=True)
    found = order[first]
    return [
        (int(row), float(fits[k]), int(pairs[k, 1]) - len(boxes))
        for row, k in zip(rows.tolist(), found.tolist(), strict=True)
    ]


def _crosses(box: Floats, seams: tuple[npt.NDArray[Any], ...]) -> bool:
    """Tell if a seam goes through a box, or along its edge."""
    return any(
        bool(((lines >= box[axis]) & (lines <= box[axis + 2])).any())
        for axis, lines in enumerate(seams)
    )


def doubt_by_size(items: Items) -> Items:
    """Doubt objects whose size is unlike that of the others: all that is known without a network.

    Distance of the logarithm of the area from the median, in robust standard deviations; four
    of them are 1.
    """
    size = np.log(np.maximum(items.areas, 1).astype(np.float64))
    if not size.size:
        return replace(items, said="size, since no network was chosen")
    middle = float(np.median(size))
    spread = 1.4826 * float(np.median(np.abs(size - middle))) + 0.05
    away = (size - middle) / spread
    why = tuple("larger than others" if a > 0 else "smaller than others" for a in away.tolist())
    return replace(
        items,
        doubts=np.minimum(1.0, np.abs(away) / 4),
        why=why,
        said="only how unusual the size is, since no network was chosen",
    )


def _probabilities(maps: Maps) -> list[int]:
    """Return the channels that are probabilities of something, foreground first."""
    found: list[tuple[int, int]] = []
    first = 0
    for output in maps.outputs:
        if output.role in DENSE:
            rank = DENSE.index(output.role)
            found += [(rank, c) for c in range(first, first + output.channels)]
        first += output.channels
    return [channel for _, channel in sorted(found)] or [0]


def _means(labels: Labels, values: npt.NDArray[Any], ids: npt.NDArray[np.int64]) -> Floats:
    """Return the mean of the values over the pixels of each id."""
    from napari_segnet.steps.ids import chunks

    size = int(ids.max(initial=0)) + 1
    sums, counts = np.zeros(size), np.zeros(size)
    flat, map_ = labels.reshape(-1), values.reshape(-1)
    for part in chunks(flat.size):
        weights = np.nan_to_num(map_[part].astype(np.float64))
        sums += np.bincount(flat[part], weights, size)[:size]
        counts += np.bincount(flat[part], minlength=size)[:size]
    means: Floats = sums[ids] / np.maximum(counts[ids], 1)
    return means


def _with(items: Items, doubts: Floats, why: str, said: str) -> Items:
    return replace(items, doubts=doubts, why=(why,) * len(items), said=said)

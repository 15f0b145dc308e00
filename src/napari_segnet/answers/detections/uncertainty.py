"""How much an object deserves a second look, by the detections; no network runs here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.boxes import overlapping_pairs, pairwise_iou
from napari_segnet.items import Items
from napari_segnet.mistakes import uncertainty_by_both, uncertainty_by_measures
from napari_segnet.segmentation import Instances
from napari_segnet.shapes import shapes_of

__all__ = ["uncertainty_by_detections"]

Labels = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]


def uncertainty_by_detections(
    items: Items, labels: Labels, answer: Instances, seams: tuple[npt.NDArray[Any], ...] = ()
) -> Items:
    """Doubt what a network is not sure of, whose mask does not fill its box, or by its shape.

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
    uncertainty, why = np.ones(len(items)), ["no detection"] * len(items)
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
        uncertainty[row] = 1 - np.prod([1 - min(1.0, max(0.0, sign)) for sign in signs.values()])
    by_detection = replace(items, uncertainty=uncertainty, why=tuple(why))
    by_shape = uncertainty_by_measures(items, shapes_of(items, labels))
    both = uncertainty_by_both(by_detection, by_shape)
    return replace(both, said="score, mask and box of detections, size and shape")


def _best_boxes(
    boxes: Floats, planes: npt.NDArray[Any], answer: Instances
) -> list[tuple[int, float, int]]:
    """Return row, overlap and detection of the box that fits each object best."""
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

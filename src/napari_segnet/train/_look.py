"""What the network makes of the held-out part while it learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.crops import Crop
from napari_segnet.evaluate import pool, score_objects
from napari_segnet.inference import LabelSettings, label
from napari_segnet.progress import check_cancelled, run
from napari_segnet.segmentation import Origin, Prediction, Segmentation
from napari_segnet.train._learner import Figures, Learner

__all__ = ["Look", "look"]

MOST = 16
"""Crops that are labelled after every round: a second or two."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """A held-out crop with the labels that the network makes now.

    Attributes
    ----------
    pixels : ndarray
        ``(c, [z,] y, x)`` float32, as the network sees it.
    labels, truth : ndarray
        ``([z,] y, x)`` int32.
    trusted : ndarray
        ``([z,] y, x)`` bool: where the truth may be compared with.
    """

    pixels: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    truth: npt.NDArray[np.int32]
    trusted: npt.NDArray[np.bool_]


def look(learner: Learner, network: Checkpoint, crops: list[Crop]) -> tuple[Figures, Look | None]:
    """Label some held-out crops and score the labels.

    Returns
    -------
    tuple of (str, float)
        ``val_ap50`` for objects; nothing for classes, which ``val_dice`` tells.
    Look or None
        The crop with the most objects; None if there is no crop.
    """
    found: list[Look] = []
    kind = "semantic"
    for crop in crops[:MOST]:
        check_cancelled()
        made = _labelled(learner, network, crop)
        kind = made.kind
        pixels = _middle(crop.pixels, crop.labels.shape)
        seen = crop.trusted[0] > 0
        inner = _box_of(seen)
        found.append(
            Look(
                pixels=pixels[(slice(None), *inner)],
                labels=made.labels[inner],
                truth=crop.labels[inner],
                trusted=seen[inner],
            )
        )
    if not found:
        return (), None
    best = max(found, key=lambda one: np.unique(one.truth * one.trusted).size)
    if kind != "instance":
        return (), best
    scores = pool(score_objects(one.labels * one.trusted, one.truth * one.trusted) for one in found)
    return (("val_ap50", scores.ap50),), best


def _labelled(learner: Learner, network: Checkpoint, crop: Crop) -> Segmentation:
    prediction = Prediction(
        answer=learner.predict(crop),
        pixel_size_um={},
        class_names=(),
        origin=Origin(checkpoint={}, image={}, predict={}),
        advice=network.card.get("label", {}),
    )
    return run(label(prediction, LabelSettings()))


def _box_of(seen: npt.NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the box of the trusted pixels; all of them where there are none.

    Beyond the edge of an image a crop shows its mirror image, which is never trusted.
    """
    places = np.nonzero(seen)
    if not places[0].size:
        return tuple(slice(None) for _ in seen.shape)
    return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in places)


def _middle(pixels: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return the part of the input that the answer is for."""
    edges = [(n - m) // 2 for n, m in zip(pixels.shape[1:], shape, strict=True)]
    return pixels[(slice(None), *(slice(e, e + n) for e, n in zip(edges, shape, strict=True)))]

"""What all kinds of answer share when labels are made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import numpy.typing as npt

from napari_segnet.segmentation import Kind, Prediction, Segmentation
from napari_segnet.steps import LabelSettings

__all__ = ["Table", "renamed", "segmentation_of"]


@dataclass(slots=True)
class Table:
    """Score and class of each label, as the units come in."""

    ids: list[npt.NDArray[np.int64]] = field(default_factory=list)
    scores: list[npt.NDArray[np.float32]] = field(default_factory=list)
    classes: list[npt.NDArray[np.int64]] = field(default_factory=list)
    pixels: list[npt.NDArray[np.int64]] = field(default_factory=list)

    def joined(self, ids: npt.NDArray[np.int64]) -> tuple[dict[int, float], dict[int, int]]:
        """Return score and class by id; where several rows share an id, their pixel mean.

        Parameters
        ----------
        ids : ndarray
            ``(n,)`` the id that each row has in the end.
        """
        pixels = np.concatenate([*self.pixels, np.zeros(0, np.int64)])
        scores = np.concatenate([*self.scores, np.zeros(0, np.float32)])
        classes = np.concatenate([*self.classes, np.zeros(0, np.int64)])
        unique, place = np.unique(ids, return_inverse=True)
        weight = np.bincount(place, pixels, minlength=unique.size)
        mean = np.bincount(place, scores * pixels, minlength=unique.size) / np.maximum(weight, 1)
        largest = np.lexsort((pixels, place))
        class_of = dict(zip(place[largest].tolist(), classes[largest].tolist(), strict=True))
        score = {int(i): round(float(s), 4) for i, s in zip(unique, mean, strict=True)}
        return score, {int(i): class_of[k] for k, i in enumerate(unique)}


def renamed(
    labels: npt.NDArray[np.int32],
    rename: Callable[[npt.NDArray[np.int32]], npt.NDArray[np.int32]],
    ids: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Give labels other ids; return them and the new id of each old one."""
    before = labels.copy()
    after = rename(labels)
    new = np.zeros(int(before.max(initial=0)) + 1, np.int64)
    new[before.reshape(-1)] = after.reshape(-1)
    return after, new[ids]


def segmentation_of(
    prediction: Prediction,
    labels: npt.NDArray[np.int32],
    axes: str,
    kind: Kind,
    table: tuple[dict[int, float], dict[int, int]],
    settings: LabelSettings,
) -> Segmentation:
    """Return labels with the score and class of each, ``table``, and what they come from."""
    scores, classes = table
    return Segmentation(
        labels=labels,
        axes=axes,
        pixel_size_um=prediction.pixel_size_um,
        kind=kind,
        label_class=classes,
        label_score=scores,
        class_names=prediction.class_names,
        origin=replace(prediction.origin, label=asdict(settings)),
    )

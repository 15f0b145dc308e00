"""What all kinds of answer share when labels are made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.by_label import ByLabel
from napari_segnet.segmentation import Kind, Prediction, Segmentation
from napari_segnet.sinks import large_array
from napari_segnet.steps import LabelSettings
from napari_segnet.steps.ids import chunks

__all__ = ["Table", "renamed", "segmentation_of"]


@dataclass(slots=True)
class Table:
    """Score and class of each label, as the units come in."""

    ids: list[npt.NDArray[np.int64]] = field(default_factory=list)
    scores: list[npt.NDArray[np.float32]] = field(default_factory=list)
    classes: list[npt.NDArray[np.int64]] = field(default_factory=list)
    pixels: list[npt.NDArray[np.int64]] = field(default_factory=list)

    def joined(self, ids: npt.NDArray[np.int64]) -> tuple[ByLabel[float], ByLabel[int]]:
        """Return score and class by id; where several rows share an id, their pixel mean.

        Parameters
        ----------
        ids : ndarray
            ``(n,)`` the id that each row has in the end.
        """
        scores = _one(self.scores, np.float32)
        classes = _one(self.classes, np.int64)
        if (ids[1:] > ids[:-1]).all():  # each row is an object
            mean = scores.astype(np.float64)
        else:
            pixels = _one(self.pixels, np.int64)
            unique, place = np.unique(ids, return_inverse=True)
            weight = np.bincount(place, pixels)
            mean = np.bincount(place, scores * pixels) / np.maximum(weight, 1)
            largest = np.lexsort((pixels, place))
            last = np.append(np.diff(place[largest]) > 0, True)
            ids, classes = unique, classes[largest[last]]
        labels = ids.astype(np.int32)
        mean.round(4, out=mean)
        return ByLabel(labels, mean), ByLabel(labels, classes.astype(np.int32))


def _one(parts: list[npt.NDArray[Any]], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return arrays as one, without a copy where there is only one."""
    return parts[0] if len(parts) == 1 else np.concatenate([*parts, np.zeros(0, dtype)])


def renamed(
    labels: npt.NDArray[np.int32],
    rename: Callable[[npt.NDArray[np.int32]], npt.NDArray[np.int32]],
    ids: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Give labels other ids; return them and the new id of each old one."""
    before = large_array(labels.shape, np.int32)
    before[...] = labels
    after = rename(labels)
    new = np.zeros(int(before.max(initial=0)) + 1, np.int64)
    old, now = before.reshape(-1), after.reshape(-1)
    for part in chunks(old.size):
        new[old[part]] = now[part]
    return after, new[ids]


def segmentation_of(
    prediction: Prediction,
    labels: npt.NDArray[np.int32],
    axes: str,
    kind: Kind,
    table: tuple[ByLabel[float], ByLabel[int]],
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

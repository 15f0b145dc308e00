"""Dice, IoU and surface distance of classes: regions, whichever object a pixel belongs to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.dataset import numbers_of
from napari_segnet.evaluate._surface import distances_95

__all__ = [
    "FOREGROUND",
    "ClassScores",
    "class_scores",
    "mean",
    "numbers_as_classes",
    "pool_classes",
]

FOREGROUND = 0
"""Stands for everything that is not background, where numbers are objects."""
SAME = 0.5
"""Of the pixels that are foreground in both: so many have the same number where it is a class."""
FEW = 8
"""Up to so many numbers in one piece each are classes, such as organs; more are objects."""
UM_PER_MM = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScores:
    """How well one class is segmented, in one image or pooled over many.

    Attributes
    ----------
    number : int
        In labels and truth; 0 stands for all foreground together.
    both_px, true_px, pred_px : int
        Pixels (voxels) of the class in both, in truth, in prediction.
    hd95_px, hd95_um : float
        The 95 % surface distance in pixels, each axis counting its own, and in µm by the voxel
        size. Of many images (or times) the mean over those in which both have the class. NaN where
        none has, and µm where the voxel size is not known.
    one_sided : int
        Images (times) in which only the truth or only the prediction has the class: there is no
        distance.
    """

    number: int
    both_px: int
    true_px: int
    pred_px: int
    hd95_px: float = math.nan
    hd95_um: float = math.nan
    one_sided: int = 0

    @property
    def key(self) -> str:
        """Its number as text, or ``foreground``."""
        return str(self.number) if self.number != FOREGROUND else "foreground"

    @property
    def dice(self) -> float:
        """2 both / (true + predicted); NaN where there is neither."""
        total = self.true_px + self.pred_px
        return 2 * self.both_px / total if total else math.nan

    @property
    def iou(self) -> float:
        """Both / (true + predicted - both); NaN where there is neither."""
        union = self.true_px + self.pred_px - self.both_px
        return self.both_px / union if union else math.nan

    @property
    def hd95_mm(self) -> float:
        """The 95 % surface distance in mm."""
        return self.hd95_um / UM_PER_MM

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; null where there is none."""
        keys = ("dice", "iou", "hd95_px", "hd95_um", "hd95_mm")
        figures: dict[str, Any] = {
            key: None if math.isnan(value := getattr(self, key)) else value for key in keys
        }
        counts = {
            "true_px": self.true_px,
            "pred_px": self.pred_px,
            "n_without_hd95": self.one_sided,
        }
        return figures | counts


def class_scores(
    labels: npt.NDArray[np.integer[Any]],
    truth: npt.NDArray[np.integer[Any]],
    number: int,
    *,
    axes: str,
    pixel_size_um: Mapping[str, float],
    where: npt.NDArray[np.bool_] | None = None,
) -> ClassScores:
    """Score one class of one image.

    Parameters
    ----------
    labels, truth : ndarray
        Whole numbers of the same shape.
    number : int
        The class, or ``FOREGROUND``.
    axes : str
        A letter for each dimension; along ``t`` each time has surfaces of its own.
    pixel_size_um : mapping of str to float
        Micrometres per pixel by letter; may lack some.
    where : ndarray of bool, optional
        The part that is judged.
    """
    ours, theirs = (x > 0 if number == FOREGROUND else x == number for x in (labels, truth))
    judged = slice(None) if where is None else where
    spatial = [axis for axis in axes if axis != "t"]
    spacings: list[Sequence[float]] = [[1.0] * len(spatial)]
    if all(axis in pixel_size_um for axis in spatial):
        spacings.append([pixel_size_um[axis] for axis in spatial])
    of_times, one_sided = [], 0
    for first, second, part in _times(ours, theirs, where, axes):
        there = [bool((x if part is None else x & part).any()) for x in (first, second)]
        one_sided += there[0] != there[1]
        if all(there):
            of_times.append(distances_95(first, second, spacings, part))
    distances = [mean(values) for values in zip(*of_times, strict=True)]
    return ClassScores(
        number=number,
        both_px=int((ours & theirs)[judged].sum()),
        true_px=int(theirs[judged].sum()),
        pred_px=int(ours[judged].sum()),
        hd95_px=distances[0] if distances else math.nan,
        hd95_um=distances[1] if len(distances) > 1 else math.nan,
        one_sided=one_sided,
    )


def _times(
    ours: npt.NDArray[np.bool_],
    theirs: npt.NDArray[np.bool_],
    where: npt.NDArray[np.bool_] | None,
    axes: str,
) -> Iterable[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_] | None]]:
    if "t" not in axes:
        yield ours, theirs, where
        return
    at = axes.index("t")
    arrays = [None if x is None else np.moveaxis(x, at, 0) for x in (ours, theirs, where)]
    first, second, part = arrays
    assert first is not None and second is not None
    for time in range(first.shape[0]):
        yield first[time], second[time], None if part is None else part[time]


def numbers_as_classes(
    labels: npt.NDArray[np.integer[Any]], truth: npt.NDArray[np.integer[Any]]
) -> tuple[tuple[int, ...] | None, bool]:
    """Return the numbers, rising, if they may be classes, and if they look so; else None.

    Classes are few. They lie in several pieces each (:func:`~napari_segnet.dataset.numbers_of`), or
    where both have foreground their number is mostly the same: the order of objects is chance.
    """
    looked = [numbers_of(one) for one in (labels, truth)]
    if any(one.count and not one.pieces for one in looked):
        return None, False  # too many to be classes
    found = np.union1d(*(np.unique(one) for one in (labels, truth)))
    numbers = tuple(int(number) for number in found if number > 0)
    both = (labels > 0) & (truth > 0)
    agree = bool(((labels == truth) & both).sum() >= SAME * both.sum())
    several = [one.are_classes for one in looked]
    if all(several) or (any(several) and agree):
        return numbers, True
    # One image does not tell three classes from three objects; the others of its folder may.
    return (numbers, agree) if len(numbers) <= FEW else (None, False)


def pool_classes(images: Sequence[Sequence[ClassScores]]) -> tuple[ClassScores, ...]:
    """Pool the classes of many images: pixels are summed, distances averaged."""
    of_class: dict[int, list[ClassScores]] = {}
    for one in (one for image in images for one in image):
        of_class.setdefault(one.number, []).append(one)
    return tuple(
        ClassScores(
            number=number,
            both_px=sum(one.both_px for one in of_class[number]),
            true_px=sum(one.true_px for one in of_class[number]),
            pred_px=sum(one.pred_px for one in of_class[number]),
            hd95_px=mean(one.hd95_px for one in of_class[number]),
            hd95_um=mean(one.hd95_um for one in of_class[number]),
            one_sided=sum(one.one_sided for one in of_class[number]),
        )
        for number in sorted(of_class)
    )


def mean(values: Iterable[float]) -> float:
    """Return the mean of what is a number; NaN where nothing is."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan

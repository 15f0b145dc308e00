"""Scores of labels against truth.

All figures are pooled: true positives (TP), false positives (FP) and false negatives (FN)
are summed over all images before a quotient is made, so that an image counts by its
objects. A predicted and a true object match at a threshold t if their intersection over
union (IoU) is at least t; each matches at most once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_segnet.evaluate._classes import ClassScores, mean, pool_classes

__all__ = [
    "IOU_PERCENT",
    "Scores",
    "pool",
]

IOU_PERCENT = tuple(range(50, 100, 5))
"""The thresholds of the mean AP, in percent: COCO's and the Data Science Bowl's. Whole
numbers, since IoU is a fraction of whole numbers: 3/5 reaches 60 % exactly, while the
floating-point sum 0.5 + 2 * 0.05 would miss it."""

OBJECT_FIGURES = ("ap50", "ap75", "ap", "precision50", "recall50", "f1_50", "pq", "dice")
CLASS_MEANS = ("mean_dice", "mean_iou", "mean_hd95_px", "mean_hd95_um")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Counts of one image or of many, and the figures that they make.

    Where nothing was there to find and nothing was found, a quotient has no value: NaN
    here, null in JSON. Such an image changes no pooled figure.

    Attributes
    ----------
    tp : tuple of int
        Matches at each threshold of ``IOU_PERCENT``.
    n_true, n_pred : int
        Objects in truth and prediction.
    matched_iou : float
        Sum of the IoU of all matches at 50 %.
    both_px, true_px, pred_px : int
        Pixels that are foreground in both, in truth, in prediction.
    name : str
        For a single image: its name.
    notes : tuple of str
        What may make the figures mean something else than they seem to, one sentence each.
    foreground : ClassScores or None
        All that is not background as one class; None where only objects were scored.
    by_number : tuple of ClassScores or None
        Each number as a class; None where they cannot be classes.
    are_classes : bool
        Whether they are: what ``classes`` and their means follow.
    images : tuple of Scores
        The images that these scores pool; empty for a single one.
    """

    tp: tuple[int, ...]
    n_true: int
    n_pred: int
    matched_iou: float
    both_px: int
    true_px: int
    pred_px: int
    name: str = ""
    notes: tuple[str, ...] = ()
    foreground: ClassScores | None = None
    by_number: tuple[ClassScores, ...] | None = None
    are_classes: bool = False
    images: tuple[Scores, ...] = ()

    def __repr__(self) -> str:
        figures = ", ".join(f"{key} {getattr(self, key):.3f}" for key in ("ap50", "dice"))
        many = f", {len(self.images)} images" if self.images else ""
        return f"Scores({figures}, {self.n_pred} found, {self.n_true} true{many})"

    @property
    def classes(self) -> tuple[ClassScores, ...]:
        """Scores of each class; of the foreground alone where numbers are objects."""
        if self.are_classes and self.by_number is not None:
            return self.by_number
        return (self.foreground,) if self.foreground else ()

    @property
    def mean_dice(self) -> float:
        """Mean Dice of the classes; background is none of them."""
        return mean(one.dice for one in self.classes)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the classes; background is none of them."""
        return mean(one.iou for one in self.classes)

    @property
    def mean_hd95_px(self) -> float:
        """Mean of the classes' 95 % surface distances, in pixels."""
        return mean(one.hd95_px for one in self.classes)

    @property
    def mean_hd95_um(self) -> float:
        """Mean of the classes' 95 % surface distances, in µm."""
        return mean(one.hd95_um for one in self.classes)

    def ap_at(self, percent: int) -> float:
        """Return TP / (TP + FP + FN) at one of ``IOU_PERCENT``."""
        tp = self.tp[IOU_PERCENT.index(percent)]
        return _quotient(tp, self.n_true + self.n_pred - tp)

    @property
    def ap50(self) -> float:
        """AP where half of the union is enough."""
        return self.ap_at(50)

    @property
    def ap75(self) -> float:
        """AP where three quarters of the union are asked for."""
        return self.ap_at(75)

    @property
    def ap(self) -> float:
        """Mean of AP over all of ``IOU_PERCENT``."""
        return sum(self.ap_at(percent) for percent in IOU_PERCENT) / len(IOU_PERCENT)

    @property
    def precision50(self) -> float:
        """TP / (TP + FP) at 50 %; 0 if nothing was found of what is there."""
        return _quotient(self.tp[0], self.n_pred or bool(self.n_true))

    @property
    def recall50(self) -> float:
        """TP / (TP + FN) at 50 %; 0 if all that was found is not there."""
        return _quotient(self.tp[0], self.n_true or bool(self.n_pred))

    @property
    def f1_50(self) -> float:
        """2 TP / (2 TP + FP + FN) at 50 %."""
        return _quotient(2 * self.tp[0], self.n_true + self.n_pred)

    @property
    def pq(self) -> float:
        """Panoptic quality: summed IoU of the matches / (TP + FP / 2 + FN / 2) at 50 %."""
        return _quotient(2 * self.matched_iou, self.n_true + self.n_pred)

    @property
    def dice(self) -> float:
        """Dice of foreground against background, whichever object a pixel belongs to."""
        return _quotient(2 * self.both_px, self.true_px + self.pred_px)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; ``images`` lists the same of each image, by ``name``."""
        figures: dict[str, Any] = {
            key: None if math.isnan(value := getattr(self, key)) else value
            for key in (*OBJECT_FIGURES, *CLASS_MEANS)
        }
        figures |= {"n_true": self.n_true, "n_pred": self.n_pred}
        figures["classes"] = {one.key: one.to_json() for one in self.classes}
        figures["images"] = []
        for image in self.images:
            own = image.to_json()
            own.pop("images")
            figures["images"].append({"name": image.name, **own})
        return figures


def pool(scores: Iterable[Scores]) -> Scores:
    """Pool the scores of many images: counts are summed before a quotient is made."""
    images = tuple(scores)
    counts = np.asarray([image.tp for image in images], np.int64).reshape(-1, len(IOU_PERCENT))
    as_numbers = [image.by_number for image in images if image.by_number is not None]
    by_number = pool_classes(as_numbers) if len(as_numbers) == len(images) else None
    # Numbers are classes in all images or in none: most of those that have any decide.
    judged = [image.are_classes for image in images if image.true_px or image.pred_px]
    are_classes = by_number is not None and 2 * sum(judged) > len(judged)
    whole = pool_classes([(image.foreground,) for image in images if image.foreground])
    return Scores(
        tp=tuple(int(n) for n in counts.sum(axis=0)),
        n_true=sum(image.n_true for image in images),
        n_pred=sum(image.n_pred for image in images),
        matched_iou=math.fsum(image.matched_iou for image in images),
        both_px=sum(image.both_px for image in images),
        true_px=sum(image.true_px for image in images),
        pred_px=sum(image.pred_px for image in images),
        notes=_counted(note for image in images for note in image.notes),
        foreground=whole[0] if whole else None,
        by_number=by_number,
        are_classes=are_classes,
        images=tuple(replace(image, images=(), are_classes=are_classes) for image in images),
    )


def _counted(notes: Iterable[str]) -> tuple[str, ...]:
    """Return each note once, with how many images it is about."""
    count = Counter(notes)
    return tuple(f"{n} image{'' if n == 1 else 's'}: {note}" for note, n in count.items())


def _quotient(part: float, whole: float) -> float:
    return part / whole if whole else math.nan

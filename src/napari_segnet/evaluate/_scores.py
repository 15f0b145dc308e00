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
import numpy.typing as npt

from napari_segnet.dataset import numbers_of
from napari_segnet.errors import MismatchError
from napari_segnet.steps.overlap import Overlaps, overlaps

__all__ = [
    "IOU_PERCENT",
    "Scores",
    "as_labels",
    "evaluate",
    "evaluate_many",
    "matched_pairs",
    "pool",
]

IOU_PERCENT = tuple(range(50, 100, 5))
"""The thresholds of the mean AP, in percent: COCO's and the Data Science Bowl's. Whole
numbers, since IoU is a fraction of whole numbers: 3/5 reaches 60 % exactly, while the
floating-point sum 0.5 + 2 * 0.05 would miss it."""

AGREE = 0.5
"""Dice of foregrounds from which on it is odd that no object matches."""


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
    images: tuple[Scores, ...] = ()

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
            for key in ("ap50", "ap75", "ap", "precision50", "recall50", "f1_50", "pq", "dice")
        }
        figures |= {"n_true": self.n_true, "n_pred": self.n_pred}
        figures["images"] = []
        for image in self.images:
            own = image.to_json()
            own.pop("images")
            figures["images"].append({"name": image.name, **own})
        return figures


def evaluate(labels: npt.ArrayLike, truth: npt.ArrayLike, *, name: str = "") -> Scores:
    """Score the labels of one image against the truth.

    Parameters
    ----------
    labels, truth : array-like
        Integer or bool, the same shape with any number of axes; 0 is background, every
        other number is one object wherever its pixels lie. Ids need not be consecutive.
        A stack whose ids begin anew in each plane is scored plane by plane instead:
        ``evaluate_many(zip(labels, truth))``.
    name : str
        What the image is called in reports.

    Returns
    -------
    Scores
        Of this image.

    Raises
    ------
    MismatchError
        If the shapes differ, or if a label is negative or not a whole number.
    """
    predicted = as_labels(labels, "The prediction" + (f" for {name}" if name else ""))
    true = as_labels(truth, "The truth" + (f" of {name}" if name else ""))
    if predicted.shape != true.shape:
        raise MismatchError(
            f"Labels and truth{f' of {name}' if name else ''} must have the same shape; the "
            f"labels have {predicted.shape}, the truth has {true.shape}. Check that they belong "
            "to the same image and that neither was cropped or rescaled."
        )
    table = overlaps(true, predicted)
    tp, matched_iou = _match(table)
    scores = Scores(
        tp=tp,
        n_true=table.first_ids.size,
        n_pred=table.second_ids.size,
        matched_iou=matched_iou,
        both_px=int(table.pixels.sum()),
        true_px=int(table.first_areas.sum()),
        pred_px=int(table.second_areas.sum()),
        name=name,
    )
    return replace(scores, notes=_hints(scores, predicted, true))


def _hints(scores: Scores, predicted: npt.NDArray[Any], true: npt.NDArray[Any]) -> tuple[str, ...]:
    """Say why objects may not match although the labels are good."""
    if not (scores.n_true and scores.n_pred) or 2 * scores.tp[0] > max(
        scores.n_true, scores.n_pred
    ):
        return ()
    found = [
        _odd_numbers(what, labels)
        for what, labels in (("prediction", predicted), ("truth", true))
        if labels.ndim > 1
    ]
    if not any(found) and not scores.tp[0] and scores.dice > AGREE:
        found.append(
            "No object matches although the foregrounds agree: objects are merged or split in the "
            "prediction or in the truth."
        )
    return tuple(filter(None, found))


def _odd_numbers(what: str, labels: npt.NDArray[Any]) -> str:
    numbers = numbers_of(labels)
    if numbers.is_mask:
        return (
            f"The {what} has one number, {numbers.highest}, in several separate pieces, and counts "
            "as one object. If it is a mask, let each piece be one (evaluate --labels pieces)."
        )
    if numbers.are_classes:
        return (
            f"The {what} has numbers that each lie in several separate pieces, and each counts as "
            "one object. If they are classes, or begin anew in each plane, let each piece be one "
            "(evaluate --labels pieces)."
        )
    return ""


def evaluate_many(pairs: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]]) -> Scores:
    """Score many images, each a pair of labels and truth, and pool them."""
    return pool(evaluate(*pair, name=str(number)) for number, pair in enumerate(pairs))


def as_labels(values: npt.ArrayLike, what: str) -> npt.NDArray[np.integer[Any]]:
    """Return an array of whole numbers from 0 on, or raise ``MismatchError`` for ``what``."""
    array = np.asarray(values)
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype.kind not in "iu":
        raise MismatchError(
            f"{what} must be labels, whole numbers with 0 for background; it is {array.dtype}. "
            "Save labels as an integer type, such as uint16."
        )
    if array.size and array.dtype.kind == "i" and array.min() < 0:
        raise MismatchError(
            f"{what} has negative labels (the least is {array.min()}); 0 is background and "
            "objects are 1 and above. Set what should be ignored to 0."
        )
    if array.dtype == np.uint64 and array.size and array.max() >= 2**63:
        # The largest ids do not fit a signed number: any numbering will do.
        numbers = np.unique(array, return_inverse=True)[1].reshape(array.shape)
        return np.where(array == 0, 0, numbers + 1)
    return array


def matched_pairs(table: Overlaps) -> npt.NDArray[np.int64]:
    """Return which overlaps (indices into ``table.first``) are matches at an IoU of 50 %.

    An object can hardly choose between two partners. Suppose P has an IoU of 1/2 or more
    with both T and U: then 3 |P & T| >= |P| + |T| and 3 |P & U| >= |P| + |U|, and as T and
    U do not overlap, |P & T| + |P & U| <= |P|; together |T| + |U| <= |P|. But |P & T| <= |T|
    makes |P| <= 2 |T|, and |U| likewise: T and U are the two halves of P, of IoU 1/2
    exactly, and touch nothing else. Either half is as good a match as the other, so taking
    each object once gives what StarDist's optimal assignment gives, without its matrix of
    all objects by all objects.
    """
    good = np.flatnonzero(2 * table.pixels >= table.unions)
    once = _first_of(table.first[good]) & _first_of(table.second[good])
    return good[once]


def _match(table: Overlaps) -> tuple[tuple[int, ...], float]:
    """Count the matches at each threshold, and sum the IoU of those at 50 %."""
    pairs = matched_pairs(table)
    shared, unions = table.pixels[pairs], table.unions[pairs]
    tp = tuple(int((100 * shared >= percent * unions).sum()) for percent in IOU_PERCENT)
    return tp, float((shared / unions).sum())


def _first_of(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which entries are the first with their id."""
    first = np.zeros(ids.size, bool)
    first[np.unique(ids, return_index=True)[1]] = True
    return first


def pool(scores: Iterable[Scores]) -> Scores:
    """Pool the scores of many images: counts are summed before a quotient is made."""
    images = tuple(scores)
    counts = np.asarray([image.tp for image in images], np.int64).reshape(-1, len(IOU_PERCENT))
    return Scores(
        tp=tuple(int(n) for n in counts.sum(axis=0)),
        n_true=sum(image.n_true for image in images),
        n_pred=sum(image.n_pred for image in images),
        matched_iou=math.fsum(image.matched_iou for image in images),
        both_px=sum(image.both_px for image in images),
        true_px=sum(image.true_px for image in images),
        pred_px=sum(image.pred_px for image in images),
        notes=_counted(note for image in images for note in image.notes),
        images=tuple(replace(image, images=()) for image in images),
    )


def _counted(notes: Iterable[str]) -> tuple[str, ...]:
    """Return each note once, with how many images it is about."""
    count = Counter(notes)
    return tuple(f"{n} image{'' if n == 1 else 's'}: {note}" for note, n in count.items())


def _quotient(part: float, whole: float) -> float:
    return part / whole if whole else math.nan

"""Scores of one image: objects that match, and classes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_segnet.dataset import numbers_of
from napari_segnet.errors import MismatchError
from napari_segnet.evaluate._classes import FOREGROUND, class_scores, numbers_as_classes
from napari_segnet.evaluate._files import read_labels
from napari_segnet.evaluate._scores import IOU_PERCENT, Scores, pool
from napari_segnet.steps.overlap import Overlaps, overlaps

__all__ = [
    "Classes",
    "as_labels",
    "evaluate",
    "evaluate_many",
    "matched_pairs",
    "score_objects",
]

Classes = Literal["auto", "foreground", "numbers"] | Sequence[int]
"""What the classes of labels are: ``foreground``, all of it as one; ``numbers``, each number one;
these numbers; ``auto``, numbers where they look like classes, else the foreground."""

MOST_NUMBERS = 256
"""As classes: as many as a uint8 picture can have. More are objects."""

AGREE = 0.5
"""Dice of foregrounds from which on it is odd that no object matches."""


def evaluate(
    labels: npt.ArrayLike | str | os.PathLike[str],
    truth: npt.ArrayLike | str | os.PathLike[str],
    *,
    name: str = "",
    classes: Classes = "auto",
    where: npt.ArrayLike | None = None,
    ignore: Sequence[int] = (),
    axes: str | None = None,
    pixel_size_um: Mapping[str, float] | None = None,
) -> Scores:
    """Score the labels of one image against the truth.

    Parameters
    ----------
    labels, truth : array-like, str or Path
        Integer or bool, or a file of such, the same shape with any number of axes; 0 is
        background, every other number is one object wherever its pixels lie. Ids need not be
        consecutive. A stack whose ids begin anew in each plane is scored plane by plane instead:
        ``evaluate_many(zip(labels, truth))``.
    name : str
        What the image is called in reports.
    classes : {"auto", "foreground", "numbers"} or sequence of int
        Of which regions Dice, IoU and surface distance are given: ``foreground``, all of it as
        one; ``numbers``, each number a class; a list, these numbers alone; ``auto``, numbers
        where they look like classes, else the foreground.
    where : array-like, optional
        Not 0 where labels are judged, of the same shape; objects are cut at its border.
    ignore : sequence of int
        Numbers in the truth of pixels that nobody decided, such as 255; they are not judged.
    axes : str, optional
        A letter for each dimension, slow to fast; without, the last three are z, y, x, those
        before them times.
    pixel_size_um : mapping of str to float, optional
        Micrometres per pixel by letter, for surface distances in µm.

    Returns
    -------
    Scores
        Of this image.

    Raises
    ------
    MismatchError
        If shapes differ, if a label is negative or not a whole number, or if nothing is
        judged.
    """
    predicted, true, judged = _judged(labels, truth, where, ignore, name)
    of_classes = _of_classes(predicted, true, judged, classes, axes, pixel_size_um or {})
    if judged is not None:
        predicted, true = (np.where(judged, x, 0) for x in (predicted, true))
    return replace(_score(predicted, true, name), **of_classes)


def score_objects(labels: npt.ArrayLike, truth: npt.ArrayLike, *, name: str = "") -> Scores:
    """Score objects as :func:`evaluate` does, but no classes: their surfaces take longer."""
    predicted, true, _ = _judged(labels, truth, None, (), name)
    return _score(predicted, true, name)


def _judged(
    labels: npt.ArrayLike | str | os.PathLike[str],
    truth: npt.ArrayLike | str | os.PathLike[str],
    where: npt.ArrayLike | None,
    ignore: Sequence[int],
    name: str,
) -> tuple[
    npt.NDArray[np.integer[Any]], npt.NDArray[np.integer[Any]], npt.NDArray[np.bool_] | None
]:
    """Return labels and truth as whole numbers, and which pixels are judged (None: all)."""
    of = f" of {name}" if name else ""
    judged = None if where is None else np.asarray(where) != 0
    if len(ignore):
        raw = np.asarray(_of_file(truth))
        undecided = np.isin(raw, ignore)
        truth = np.where(undecided, np.zeros((), raw.dtype), raw)
        judged = ~undecided if judged is None or judged.shape != raw.shape else judged & ~undecided
    predicted = as_labels(labels, "The prediction" + (f" for {name}" if name else ""))
    true = as_labels(truth, f"The truth{of}")
    if predicted.shape != true.shape:
        raise MismatchError(
            f"Labels and truth{of} must have the same shape; the "
            f"labels have {predicted.shape}, the truth has {true.shape}. Check that they belong "
            "to the same image and that neither was cropped or rescaled."
        )
    if judged is not None and judged.shape != true.shape:
        raise MismatchError(
            f"The judged part{of} must have the shape of the truth, {true.shape}; it has "
            f"{judged.shape}. Draw it on the same image."
        )
    if judged is not None and not judged.any():
        raise MismatchError(
            f"No pixel{of} is judged: the part is empty, or the truth is undecided everywhere. "
            "Choose another part, or fewer numbers to ignore."
        )
    return predicted, true, judged


def _of_classes(
    predicted: npt.NDArray[Any],
    true: npt.NDArray[Any],
    judged: npt.NDArray[np.bool_] | None,
    classes: Classes,
    axes: str | None,
    pixel_size_um: Mapping[str, float],
) -> dict[str, Any]:
    """Return what :class:`Scores` holds of classes, by attribute."""
    if axes is None:
        if predicted.ndim > 3:  # of any more dimensions each place is a time
            predicted, true = (x.reshape(-1, *x.shape[-3:]) for x in (predicted, true))
            judged = None if judged is None else judged.reshape(predicted.shape)
        axes = "tzyx"[-predicted.ndim :] if predicted.ndim else ""
    numbers, are_classes = _numbers(predicted, true, classes)
    foreground, *each = (
        class_scores(predicted, true, number, axes=axes, pixel_size_um=pixel_size_um, where=judged)
        for number in (FOREGROUND, *(numbers or ()))
    )
    by_number = None if numbers is None else tuple(each)
    return {"foreground": foreground, "by_number": by_number, "are_classes": are_classes}


def _numbers(
    predicted: npt.NDArray[Any], true: npt.NDArray[Any], classes: Classes
) -> tuple[tuple[int, ...] | None, bool]:
    """Return the numbers that may be classes, and whether they are taken for classes."""
    if classes == "foreground":
        return None, False
    if classes == "auto":
        return numbers_as_classes(predicted, true)
    if classes != "numbers":
        return tuple(sorted({int(number) for number in classes})), True
    found = [int(n) for n in np.union1d(np.unique(predicted), np.unique(true)) if n > 0]
    if len(found) > MOST_NUMBERS:
        raise MismatchError(
            f"Labels and truth have {len(found)} different numbers; as classes {MOST_NUMBERS} are "
            "the most. They seem to be objects: let the foreground be the class "
            "(evaluate --classes foreground), or name the classes (--classes 1,2)."
        )
    return tuple(found), True


def _score(
    predicted: npt.NDArray[np.integer[Any]], true: npt.NDArray[np.integer[Any]], name: str
) -> Scores:
    """Count matching objects of whole numbers of the same shape."""
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


def as_labels(
    values: npt.ArrayLike | str | os.PathLike[str], what: str
) -> npt.NDArray[np.integer[Any]]:
    """Return whole numbers from 0 on, of an array or a file, or raise for ``what``."""
    values = _of_file(values)
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


def _of_file(values: npt.ArrayLike | str | os.PathLike[str]) -> npt.ArrayLike:
    """Return the labels of a file where a path is given."""
    return read_labels(Path(values)) if isinstance(values, str | os.PathLike) else values


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

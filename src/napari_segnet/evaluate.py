"""Scores of labels against truth.

All figures are pooled: true positives (TP), false positives (FP) and false negatives (FN)
are summed over all images before a quotient is made, so that an image counts by its
objects. A predicted and a true object match at a threshold t if their intersection over
union (IoU) is at least t; each matches at most once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import ImageError, MismatchError
from napari_segnet.steps.overlap import Overlaps, overlaps

__all__ = [
    "IOU_PERCENT",
    "Scores",
    "as_labels",
    "evaluate",
    "evaluate_many",
    "matched_pairs",
    "pair_folders",
    "pool",
    "read_labels",
]

IOU_PERCENT = tuple(range(50, 100, 5))
"""The thresholds of the mean AP, in percent: COCO's and the Data Science Bowl's. Whole
numbers, since IoU is a fraction of whole numbers: 3/5 reaches 60 % exactly, while the
floating-point sum 0.5 + 2 * 0.05 would miss it."""

MAPS = ".maps.tif"
"""Beside the labels of an image, ``segment`` may write such a file."""


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
    return Scores(
        tp=tp,
        n_true=table.first_ids.size,
        n_pred=table.second_ids.size,
        matched_iou=matched_iou,
        both_px=int(table.pixels.sum()),
        true_px=int(table.first_areas.sum()),
        pred_px=int(table.second_areas.sum()),
        name=name,
    )


def evaluate_many(pairs: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]]) -> Scores:
    """Score many images, each a pair of labels and truth, and pool them."""
    return pool(evaluate(*pair, name=str(number)) for number, pair in enumerate(pairs))


def pair_folders(predicted: Path, truth: Path) -> list[tuple[str, Path, Path]]:
    """Pair label files by stem, sorted: ``cells.labels.tif`` belongs to ``cells.png``.

    Parameters
    ----------
    predicted, truth : Path
        Two files, which make one pair whatever they are called, or two folders. Of a
        folder, files that begin with a dot, ``*.maps.tif`` and what is no picture are left
        out, and if two files share a stem, the one with ``.labels`` counts.

    Returns
    -------
    list of (str, Path, Path)
        Stem, predicted file, true file.

    Raises
    ------
    MismatchError
        If a path does not exist, one is a file and one a folder, a folder is empty or
        has two files for one stem, or a stem stands on one side only (all are named).
    """
    for path in (predicted, truth):
        if not path.exists():
            raise MismatchError(f"There is no file or folder {path}. Check its name.")
    if predicted.is_dir() != truth.is_dir():
        folder, file = (predicted, truth) if predicted.is_dir() else (truth, predicted)
        raise MismatchError(
            f"Give two files or two folders: {folder} is a folder, {file} is a file."
        )
    if predicted.is_file():
        return [(_stem(predicted), predicted, truth)]
    ours, theirs = _by_stem(predicted), _by_stem(truth)
    if ours.keys() != theirs.keys():
        raise MismatchError(
            "Every prediction needs its truth, a file of the same stem."
            + _unpaired(ours.keys() - theirs.keys(), predicted, truth)
            + _unpaired(theirs.keys() - ours.keys(), truth, predicted)
            + " Add what is missing or move the others out of the folder."
        )
    return [(stem, ours[stem], theirs[stem]) for stem in sorted(ours)]


def read_labels(path: Path) -> npt.NDArray[np.integer[Any]]:
    """Read a label file, without axes of length one.

    Raises
    ------
    ImageError
        If it cannot be read, or is coloured, or has several channels or broken numbers.
    """
    from napari_segnet.readers import open_labels

    image = open_labels(path)
    if image.rgb or image.sizes["c"] > 1:
        raise ImageError(
            f"{path.name} has {image.sizes['c']} channels (colours); labels need one number per "
            "pixel: 0 for background, then one per object. Export the label image itself, not a "
            "coloured picture of it."
        )
    pixels = np.squeeze(image.read())
    if pixels.dtype.kind == "f":
        whole = np.rint(pixels)
        if not np.isfinite(pixels).all() or not np.array_equal(whole, pixels):
            raise ImageError(
                f"{path.name} has broken numbers ({pixels.dtype}); labels are whole numbers: 0 for "
                "background, then one per object. Is it an image or a probability map?"
            )
        pixels = whole.astype(np.int64)
    return pixels


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
        images=tuple(replace(image, images=()) for image in images),
    )


def _quotient(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _stem(path: Path) -> str:
    from napari_segnet.readers import image_stem

    return image_stem(path).removesuffix(".labels")


def _by_stem(folder: Path) -> dict[str, Path]:
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith(".") and not _is_beside(path):
            files.setdefault(_stem(path), []).append(path)
    if not files:
        raise MismatchError(f"There are no label files in the folder {folder}.")
    return {stem: _only(stem, paths) for stem, paths in files.items()}


def _is_beside(path: Path) -> bool:
    """Tell if a file lies beside labels: tables, notes, and what else ``segment`` writes."""
    from napari_segnet.readers import READERS

    opens = any(path.suffix.lower() in reader.suffixes for reader in READERS)
    return not opens or path.name.lower().endswith(MAPS)


def _only(stem: str, paths: list[Path]) -> Path:
    from napari_segnet.readers import image_stem

    named = [path for path in paths if image_stem(path).endswith(".labels")]
    chosen = named or paths
    if len(chosen) > 1:
        raise MismatchError(
            f"Several files could be the labels of {stem}: "
            f"{', '.join(path.name for path in chosen)}. Leave one of them in {chosen[0].parent}."
        )
    return chosen[0]


def _unpaired(stems: Iterable[str], here: Path, there: Path) -> str:
    names = sorted(stems)
    if not names:
        return ""
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f" In {here} but not in {there}: {shown}."

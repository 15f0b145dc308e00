"""Scores of labels against truth.

All figures are pooled: true positives (TP), false positives (FP) and false negatives (FN)
are summed over all images before a quotient is made, so that an image counts by its
objects. A predicted and a true object match at a threshold t if their intersection over
union (IoU) is at least t; each matches at most once.

Beside objects, classes are scored: Dice, IoU and the 95 % surface distance of each.
"""

from napari_segnet.evaluate._classes import ClassScores
from napari_segnet.evaluate._files import (
    LabelFile,
    Pairing,
    pair_folders,
    pairing,
    read_label_file,
    read_labels,
    whole_numbers,
)
from napari_segnet.evaluate._image import (
    Classes,
    as_labels,
    evaluate,
    evaluate_many,
    matched_pairs,
    score_objects,
)
from napari_segnet.evaluate._scores import IOU_PERCENT, Scores, pool
from napari_segnet.evaluate._surface import distances_95
from napari_segnet.evaluate._table import rows_of

__all__ = [
    "IOU_PERCENT",
    "ClassScores",
    "Classes",
    "LabelFile",
    "Pairing",
    "Scores",
    "as_labels",
    "distances_95",
    "evaluate",
    "evaluate_many",
    "matched_pairs",
    "pair_folders",
    "pairing",
    "pool",
    "read_label_file",
    "read_labels",
    "rows_of",
    "score_objects",
    "whole_numbers",
]

"""Scores of labels against truth.

All figures are pooled: true positives (TP), false positives (FP) and false negatives (FN)
are summed over all images before a quotient is made, so that an image counts by its
objects. A predicted and a true object match at a threshold t if their intersection over
union (IoU) is at least t; each matches at most once.
"""

from napari_segnet.evaluate._files import Pairing, pair_folders, pairing, read_labels
from napari_segnet.evaluate._scores import (
    IOU_PERCENT,
    Scores,
    as_labels,
    evaluate,
    evaluate_many,
    matched_pairs,
    pool,
)

__all__ = [
    "IOU_PERCENT",
    "Pairing",
    "Scores",
    "as_labels",
    "evaluate",
    "evaluate_many",
    "matched_pairs",
    "pair_folders",
    "pairing",
    "pool",
    "read_labels",
]

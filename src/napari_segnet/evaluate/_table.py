"""Scores as rows of text: an image each, and a last one for all together."""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari_segnet.evaluate._scores import CLASS_MEANS, OBJECT_FIGURES, Scores

__all__ = ["rows_of"]

OF_CLASS = ("dice", "iou", "hd95_px", "hd95_um", "hd95_mm")


def rows_of(scores: Scores) -> list[list[str]]:
    """Return a header, a row for each image and one named ``all``; an empty text is no value.

    Columns of a class end in its number: ``dice_1``, ``iou_1``, ``hd95_px_1``.
    """
    keys = [one.key for one in scores.classes]
    header = ["image", *OBJECT_FIGURES, "n_true", "n_pred", *CLASS_MEANS]
    header += [f"{figure}_{key}" for key in keys for figure in OF_CLASS]
    return [header, *(_row(one, keys) for one in (*scores.images, scores))]


def _row(one: Scores, keys: Sequence[str]) -> list[str]:
    figures = [getattr(one, key) for key in OBJECT_FIGURES]
    figures += [one.n_true, one.n_pred, *(getattr(one, key) for key in CLASS_MEANS)]
    of_key = {each.key: each for each in one.classes}
    for key in keys:
        figures += [getattr(of_key[key], f) if key in of_key else math.nan for f in OF_CLASS]
    return [one.name or "all", *("" if math.isnan(n) else f"{n:.6g}" for n in figures)]

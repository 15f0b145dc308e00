"""What is wrong with labels, object by object: missed, false, merged and split.

Scores say how good labels are; this says where to look. Objects that match at an IoU of
50 % (:func:`napari_segnet.evaluate.matched_pairs`) are right. Of the others

* *merged*: one predicted object holds most of two or more true ones;
* *split*: two or more predicted objects lie mostly in one true one, and fill most of it;
* *missed*: a true object that is none of these;
* *false*: a predicted object that is none of these.

An object that was found with too wrong an outline is one *missed* and one *false*, as in
the scores. "Most" is half of the pixels or more: an object cannot lie mostly in two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import MismatchError
from napari_segnet.evaluate import as_labels, matched_pairs
from napari_segnet.steps.overlap import Overlaps, overlaps

__all__ = ["KINDS", "Difference", "Kind", "differences", "draw"]

Kind = Literal["missed", "false", "merged", "split"]

KINDS: tuple[Kind, ...] = ("missed", "false", "merged", "split")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One mistake.

    Attributes
    ----------
    kind : Kind
        ``missed``, ``false``, ``merged`` or ``split``.
    true_ids, pred_ids : tuple of int
        The objects that take part, rising.
    box : tuple of slice
        Where its objects lie together, one slice for each axis.
    area_px : int
        Pixels (voxels) of the object that it is about: the true one if it was missed or
        split, the predicted one if it is false or merges others.
    """

    kind: Kind
    true_ids: tuple[int, ...]
    pred_ids: tuple[int, ...]
    box: tuple[slice, ...]
    area_px: int


def differences(labels: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[Difference, ...]:
    """Compare labels with the truth, object by object.

    Parameters
    ----------
    labels, truth : array-like
        Integer or bool, the same shape with any number of axes; 0 is background. Ids need
        not be consecutive.

    Returns
    -------
    tuple of Difference
        By kind in the order of ``KINDS``, then by falling size.

    Raises
    ------
    MismatchError
        If the shapes differ, or if a label is negative or not a whole number.
    """
    predicted, true = as_labels(labels, "The prediction"), as_labels(truth, "The truth")
    if predicted.shape != true.shape:
        raise MismatchError(
            f"Labels and truth must have the same shape; the labels have {predicted.shape}, the "
            f"truth has {true.shape}. Choose two layers of the same image."
        )
    table = overlaps(true, predicted)
    found = _Found(table)
    true_boxes, pred_boxes = _boxes(true, table.first_ids), _boxes(predicted, table.second_ids)
    made = [
        Difference(
            kind=kind,
            true_ids=tuple(table.first_ids[list(trues)].tolist()),
            pred_ids=tuple(table.second_ids[list(preds)].tolist()),
            box=_around([true_boxes[t] for t in trues] + [pred_boxes[p] for p in preds]),
            area_px=int(
                table.first_areas[trues[0]]
                if kind in ("missed", "split")
                else table.second_areas[preds[0]]
            ),
        )
        for kind, trues, preds in found.mistakes()
    ]
    return tuple(
        sorted(made, key=lambda one: (KINDS.index(one.kind), -one.area_px, one.box[0].start))
    )


def draw(
    found: Sequence[Difference], labels: npt.ArrayLike, truth: npt.ArrayLike, kind: Kind
) -> npt.NDArray[np.int32]:
    """Return a label image of the mistakes of one kind.

    Parameters
    ----------
    found : sequence of Difference
        Of :func:`differences`.
    labels, truth : array-like
        As given to it.
    kind : Kind
        Which to draw.

    Returns
    -------
    ndarray
        int32, the shape of ``labels``; a pixel is 1 + the place in ``found`` of the mistake
        it belongs to. Missed and split objects have their true outline, false ones and
        those that merge others their predicted one.
    """
    true = kind in ("missed", "split")
    source = np.asarray(truth if true else labels)
    drawn = np.zeros(source.shape, np.int32)
    for number, one in enumerate(found, start=1):
        if one.kind == kind:
            part = source[one.box]
            own = one.true_ids[0] if true else one.pred_ids[0]
            drawn[one.box][part == own] = number
    return drawn


class _Found:
    """Which objects of an overlap table match, merge and split; ids are places in it."""

    def __init__(self, table: Overlaps) -> None:
        right = matched_pairs(table)
        self._true_left = np.ones(table.first_ids.size, bool)
        self._true_left[table.first[right]] = False
        self._pred_left = np.ones(table.second_ids.size, bool)
        self._pred_left[table.second[right]] = False
        # Pairs of which one lies mostly in the other; half of it is enough.
        self._in_pred = 2 * table.pixels >= table.first_areas[table.first]
        self._in_true = 2 * table.pixels >= table.second_areas[table.second]
        self._table = table

    def mistakes(self) -> list[tuple[Kind, tuple[int, ...], tuple[int, ...]]]:
        table = self._table
        merged = self._several(table.second, table.first, self._in_pred, self._pred_left)
        split = self._several(table.first, table.second, self._in_true, self._true_left)
        split = {t: parts for t, parts in split.items() if self._filled(t, parts)}
        true_named = set(split).union(*merged.values())
        pred_named = set(merged).union(*split.values())
        found: list[tuple[Kind, tuple[int, ...], tuple[int, ...]]] = []
        for true in np.flatnonzero(self._true_left).tolist():
            if true not in true_named:
                found.append(("missed", (true,), ()))
        for pred in np.flatnonzero(self._pred_left).tolist():
            if pred not in pred_named:
                found.append(("false", (), (pred,)))
        found += [("merged", trues, (pred,)) for pred, trues in merged.items()]
        found += [("split", (true,), parts) for true, parts in split.items()]
        return found

    def _several(
        self,
        whole: npt.NDArray[np.int64],
        part: npt.NDArray[np.int64],
        mostly: npt.NDArray[np.bool_],
        left: npt.NDArray[np.bool_],
    ) -> dict[int, tuple[int, ...]]:
        """Return the objects that are not right and hold most of two or more others."""
        held: dict[int, list[int]] = {}
        for one in np.flatnonzero(mostly & left[whole]).tolist():
            held.setdefault(int(whole[one]), []).append(int(part[one]))
        return {key: tuple(sorted(parts)) for key, parts in held.items() if len(parts) > 1}

    def _filled(self, true: int, parts: tuple[int, ...]) -> bool:
        """Tell if the parts fill half of a true object: specks in it do not split it."""
        table = self._table
        own = (table.first == true) & np.isin(table.second, parts)
        return bool(2 * table.pixels[own].sum() >= table.first_areas[true])


def _boxes(labels: npt.NDArray[Any], ids: npt.NDArray[np.int64]) -> list[tuple[slice, ...]]:
    """Return where each of the rising ids lies."""
    from scipy.ndimage import find_objects

    if ids.size == 0:
        return []
    highest = int(ids[-1])
    if highest > 2 * labels.size:  # as ids of other programs may be: number them anew
        places = np.searchsorted(ids, labels) + 1
        return list(find_objects(np.where(labels == 0, 0, places).astype(np.int32)))
    found = find_objects(labels.astype(np.int64, copy=False), max_label=highest)
    return [found[i - 1] for i in ids.tolist()]


def _around(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    return tuple(
        slice(min(s.start for s in axis), max(s.stop for s in axis))
        for axis in zip(*boxes, strict=True)
    )

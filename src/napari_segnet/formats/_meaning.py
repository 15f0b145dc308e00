"""What the numbers of label pictures mean: objects, a mask of them all, or classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from napari_segnet.dataset import numbers_of, pieces_of
from napari_segnet.errors import SegnetError
from napari_segnet.formats._pair import Entry, Pair, Remark

__all__ = ["MEANINGS", "Meaning", "Meanings"]

Meaning = Literal["auto", "objects", "pieces"]
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)
MOST_LOOKED_AT = 30
"""Label pictures of a folder that are looked at to tell a mask from a single object."""


class Meanings:
    """Tells for the label pictures of one folder what their numbers mean.

    Parameters
    ----------
    entries : sequence of Entry
        All of the folder.
    meaning : Meaning
        ``auto``: where one number lies in several pieces, and no picture has more numbers, it
        is a mask, and each piece an object; else numbers are objects. ``objects``: always.
        ``pieces``: each piece is an object, and of several numbers each is a class.
    """

    def __init__(self, entries: Sequence[Entry], meaning: Meaning = "auto") -> None:
        self._entries, self._meaning = entries, meaning
        self._masks: bool | None = None

    def resolved(self, pair: Pair) -> Pair:
        """Return a pair whose labels are one number per object, with what was decided."""
        if not pair.drawn or self._meaning == "objects":
            return pair
        if pair.classes and self._meaning == "auto":
            return pair  # a listing says what each number is
        numbers = numbers_of(pair.labels)
        if self._meaning == "pieces":
            return _in_pieces(pair, as_classes=numbers.count > 1)
        if numbers.count > 1:
            self._masks = False
        if numbers.is_mask and self._are_masks():
            why = (
                f"has one number, {numbers.highest}, in several separate pieces: a mask, of which "
                "each piece is an object now (--labels objects keeps the number)"
            )
            return _noted(_in_pieces(pair), why)
        if numbers.is_mask:
            why = (
                "has one number in several separate pieces, and is left as one object, since other "
                "images number their objects (--labels pieces makes each piece one)"
            )
            return _noted(pair, why)
        if numbers.are_classes:
            why = (
                "has numbers that each lie in several separate pieces, as classes do: right for a "
                "network of classes (for one of objects, --labels pieces makes each piece one)"
            )
            return _noted(pair, why)
        return pair

    def _are_masks(self) -> bool:
        """Tell if no picture of the folder has more than one number."""
        if self._masks is None:
            self._masks = not any(_has_several(e) for e in self._entries[:MOST_LOOKED_AT])
        return self._masks


def _has_several(entry: Entry) -> bool:
    try:
        return numbers_of(entry.read().labels).count > 1
    except SegnetError:
        return False  # it is named when its turn comes


def _in_pieces(pair: Pair, as_classes: bool = False) -> Pair:
    pieces = pieces_of(pair.labels)
    if not as_classes:
        return replace(pair, labels=pieces)
    kind = np.zeros(int(pieces.max(initial=0)) + 1, np.int32)
    kind[pieces.ravel()] = pair.labels.ravel()
    numbers = sorted(set(kind[1:].tolist()))
    return replace(
        pair,
        labels=pieces,
        classes={i: 1 + numbers.index(n) for i, n in enumerate(kind.tolist()) if i},
        class_names=("background", *(f"class {n}" for n in numbers)),
    )


def _noted(pair: Pair, why: str) -> Pair:
    return replace(pair, remarks=(*pair.remarks, Remark(kind="image", what=pair.name, why=why)))

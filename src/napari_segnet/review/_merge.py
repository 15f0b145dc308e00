"""A new prediction for labels that a user has corrected: a three-way merge.

The last prediction, the user's labels and the new prediction are compared. What the user
touched stays as it is; what nobody touched becomes what the network says now. Where the new
prediction says something else of what the user touched, the user wins, and the object is
looked at again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import MismatchError
from napari_segnet.review._review import Review
from napari_segnet.review._uncertainty import MOSTLY
from napari_segnet.steps.overlap import overlaps

__all__ = ["Merged", "merge"]

AGREES = 0.75
"""Intersection over union from which two objects are the same, drawn by two hands; of two
halves, neither agrees with the whole."""

Labels = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Merged:
    """Labels after a merge.

    Attributes
    ----------
    labels : ndarray
        int32, of the shape of all three.
    kept : frozenset of int
        Objects of the user that stayed pixel by pixel: edited, accepted or locked.
    renumbered : dict of int to int
        Id in the new prediction -> id in ``labels``, for each of its objects that is there.
        An object that both predictions have keeps its id; no id is used again for another.
    conflicts : tuple of int
        Objects of the user of which the new prediction says something else.
    base : ndarray
        int32: the new prediction under the ids of ``labels``, what was left out of it
        included: the ``last`` of the next merge.
    highest_id : int
        The highest id that was ever given out.
    """

    labels: npt.NDArray[np.int32]
    kept: frozenset[int]
    renumbered: dict[int, int]
    conflicts: tuple[int, ...]
    base: npt.NDArray[np.int32]
    highest_id: int


def merge(
    last: Labels, mine: Labels, new: Labels, review: Review | None = None, highest_id: int = 0
) -> Merged:
    """Merge a user's corrections with a new prediction.

    Parameters
    ----------
    last : ndarray
        The labels that the user began with.
    mine : ndarray
        The same with corrections.
    new : ndarray
        What a network says now; its ids are its own.
    review : Review, optional
        Accepted, fixed and locked objects, and objects in reviewed regions, stay like edited
        ones. So does the emptiness of reviewed regions and of what the user deleted.
    highest_id : int
        The highest id that was ever given out; higher than all of ``mine`` if it counts.

    Raises
    ------
    MismatchError
        If the three are not of one shape.
    """
    if not last.shape == mine.shape == new.shape:
        raise MismatchError(
            f"Three label images of one shape are needed; these have {tuple(last.shape)}, "
            f"{tuple(mine.shape)} and {tuple(new.shape)} pixels. Run the network on the same "
            "region again."
        )
    review = review or Review()
    kept = _kept(last, mine, review)
    untouchable = np.isin(mine, sorted(kept))
    # What was an object and is background by the user's hand stays so.
    cleared = (mine == 0) & (last > 0)
    for region in review.regions:
        cleared[region] |= mine[region] == 0
    blocked = untouchable | cleared
    free = np.where(blocked, 0, new)
    gone = _mostly_blocked(new, free)
    free[np.isin(free, gone)] = 0
    numbers, highest = _numbers(np.where(untouchable, 0, mine), free, highest_id, mine, last)
    merged = np.where(untouchable, mine, 0).astype(np.int32)
    ids = np.array(sorted(numbers), np.int64)
    if ids.size:
        place = np.searchsorted(ids, free)
        table = np.array([numbers[i] for i in ids.tolist()], np.int32)
        there = free > 0
        merged[there] = table[place[there]]
    kept_labels = np.where(untouchable, mine, 0)
    base, highest = _base(new, numbers, kept_labels, highest)
    return Merged(
        labels=merged,
        kept=frozenset(kept),
        renumbered=numbers,
        conflicts=_conflicts(kept_labels, new),
        base=base,
        highest_id=highest,
    )


def _kept(last: Labels, mine: Labels, review: Review) -> set[int]:
    """Return the ids in ``mine`` that are the user's: edited, accepted, locked."""
    from napari_segnet.items import items_of

    changed = last != mine
    kept = {int(i) for i in np.unique(mine[changed]).tolist()}
    # One that lost pixels has changed, too, though none of its own is another.
    kept |= {int(i) for i in np.unique(last[changed]).tolist()}
    items = items_of(np.asarray(mine))
    for row, label in enumerate(items.ids.tolist()):
        if label in review.locked or review.is_seen(label, items.box(row)):
            kept.add(label)
    return (kept & set(items.ids.tolist())) - {0}


def _mostly_blocked(new: Labels, free: Labels) -> npt.NDArray[np.int64]:
    """Return the new objects of which most lies where the user has decided."""
    size = int(new.max(initial=0)) + 1
    all_px = np.bincount(new.reshape(-1), minlength=size)
    left_px = np.bincount(free.reshape(-1), minlength=size)
    lost = left_px < MOSTLY * all_px
    lost[0] = False
    return np.flatnonzero(lost)


def _numbers(
    old: Labels, free: Labels, highest_id: int, mine: Labels, last: Labels
) -> tuple[dict[int, int], int]:
    """Return the id of each new object: that of its match among the old ones, else a fresh one."""
    highest = max(highest_id, int(mine.max(initial=0)), int(last.max(initial=0)))
    table = overlaps(free, old)
    numbers: dict[int, int] = {}
    # Of an object that matches by half of the union there is one at most.
    good = 2 * table.pixels > table.unions
    for f, s in zip(table.first[good].tolist(), table.second[good].tolist(), strict=True):
        numbers[int(table.first_ids[f])] = int(table.second_ids[s])
    for label in table.first_ids.tolist():
        if label not in numbers:
            highest += 1
            numbers[label] = highest
    return numbers, highest


def _base(
    new: Labels, numbers: dict[int, int], kept: Labels, highest: int
) -> tuple[npt.NDArray[np.int32], int]:
    """Return the new prediction with ids of the merge; what was left out has ids of its own."""
    table = np.zeros(int(new.max(initial=0)) + 1, np.int32)
    shared = overlaps(new, kept)
    good = 2 * shared.pixels > shared.unions
    table[shared.first_ids[shared.first[good]]] = shared.second_ids[shared.second[good]]
    for label in shared.first_ids.tolist():
        if label in numbers:
            table[label] = numbers[label]
        elif not table[label]:
            highest += 1
            table[label] = highest
    return table[new], highest


def _conflicts(kept: Labels, new: Labels) -> tuple[int, ...]:
    """Return the kept objects that no new one agrees with."""
    table = overlaps(kept, new)
    best = np.zeros(table.first_ids.size)
    np.maximum.at(best, table.first, table.pixels / table.unions)
    return tuple(table.first_ids[best < AGREES].tolist())

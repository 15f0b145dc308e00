"""What a user has said of the objects of a label image."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.versioned import VersionedDict, related_keys

__all__ = ["Box", "Review", "Said", "State"]

Box = tuple[slice, ...]
"""One slice per dimension of the labels, with start and stop, in pixels."""

RIM_PX = 3
"""How far around an accepted object the background counts as looked at, too."""


class State(StrEnum):
    """What is known of an object; a conflict: a new prediction says something else."""

    UNSEEN = "unseen"
    ACCEPTED = "accepted"
    FIXED = "fixed"
    WRONG = "wrong"
    CONFLICT = "conflict"


_STATES = {str(state): state for state in State}
"""Faster than an enum's own, where there are 100,000 objects."""
PART_PX = 2**18
"""Pixels that are looked at together: a millisecond."""
FEW_PX = 2**15
"""Pixels that are looked at first."""


RIGHT = (State.ACCEPTED, State.FIXED)
"""States of objects that are right."""


def is_right(state: State) -> bool:
    """Tell if a state is that of an object that is right."""
    return state is State.ACCEPTED or state is State.FIXED


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a user has said of the objects of a label image.

    Attributes
    ----------
    states : mapping of int to State
        By id; who is not named is ``unseen``.
    locked : frozenset of int
        Objects whose pixels no edit and no network changes.
    regions : tuple of Box
        Where everything is right: objects, background, and that nothing lacks.
    dismissed : tuple of tuple of int
        Pixels at which a network sees an object and the user says that there is none.
    """

    states: Mapping[int, State] = field(default_factory=dict)
    locked: frozenset[int] = frozenset()
    regions: tuple[Box, ...] = ()
    dismissed: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        """Keep the states so that what differs between two reviews is known."""
        if not isinstance(self.states, VersionedDict):
            object.__setattr__(self, "states", VersionedDict(self.states))

    def state(self, label: int) -> State:
        """Return the state of an object."""
        return self.states.get(label, State.UNSEEN)

    def with_state(self, labels: Iterable[int], state: State) -> Review:
        """Return the review with the state of some objects."""
        return self.with_states(dict.fromkeys(map(int, labels), state))

    def with_states(self, states: Mapping[int, State]) -> Review:
        """Return the review with other states of some objects, by id."""
        known = {label: state for label, state in states.items() if state is not State.UNSEEN}
        return replace(
            self, states=_versioned(self).with_changes(known, states.keys() - known.keys())
        )

    def with_locked(self, labels: Iterable[int]) -> Review:
        """Return the review with further objects locked."""
        return replace(self, locked=self.locked | {int(label) for label in labels})

    def with_unlocked(self, labels: Iterable[int]) -> Review:
        """Return the review with some objects free to change."""
        return replace(self, locked=self.locked - {int(label) for label in labels})

    def with_region(self, box: Box) -> Review:
        """Return the review with a box in which everything is right."""
        return self if box in self.regions else replace(self, regions=(*self.regions, box))

    def with_dismissed(self, pixel: Iterable[int]) -> Review:
        """Return the review with a place at which there is no object, whatever a network says."""
        return replace(self, dismissed=(*self.dismissed, tuple(int(n) for n in pixel)))

    def instead_of(self, other: Review) -> Said:
        """Return what makes this review of another one; it is as large as what differs."""
        related = self.labels_unlike(other)
        keys = self.states.keys() | other.states.keys() if related is None else related
        mine, theirs = self.states.get, other.states.get
        return Said(
            states={
                label: mine(label, State.UNSEEN)
                for label in keys
                if mine(label) is not theirs(label)
            },
            lock=self.locked - other.locked,
            unlock=other.locked - self.locked,
            regions=None if self.regions == other.regions else self.regions,
            dismissed=None if self.dismissed == other.dismissed else self.dismissed,
        )

    def labels_unlike(self, other: Review) -> frozenset[int] | None:
        """Return the objects whose states can differ from those of another review.

        None if that is not known: neither was made from the other, or long ago.
        """
        return related_keys(self.states, other.states)

    def is_seen(self, label: int, box: Box | None = None) -> bool:
        """Tell if an object needs no further look: by its state, or since a region holds it."""
        if is_right(self.state(label)):
            return True
        if self.state(label) is not State.UNSEEN or box is None:
            return False
        return any(_holds(region, box) for region in self.regions)

    def trusted(self, labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
        """Return which pixels a network may be trained from.

        Those of accepted and fixed objects, the background within three pixels of them (an
        outline says as much of its outside as of its inside), and whole regions; never those
        of objects that are marked as wrong or in conflict.

        Parameters
        ----------
        labels : ndarray
            Integer labels in the layer's shape.

        Returns
        -------
        ndarray
            bool, of the same shape.
        """
        from scipy import ndimage

        seen, wrong = self.labels_by_judgement()
        trusted = np.isin(labels, seen)
        if seen.size:
            # Planes of a stack lie far apart: a rim goes along the last two axes only.
            flat = min(2, labels.ndim)
            reach = np.ones((1,) * (labels.ndim - flat) + (2 * RIM_PX + 1,) * flat, np.bool_)
            near = ndimage.binary_dilation(trusted, reach)
            trusted |= near & (labels == 0)
        for region in self.regions:
            trusted[region] = True
        if wrong.size:
            trusted &= ~np.isin(labels, wrong)
        return trusted

    def is_informative(self, labels: npt.NDArray[np.integer[Any]]) -> bool:
        """Tell if there is anything to learn from; stops at the first pixel that is trusted.

        Not so where all that was done is a deletion: the object has no pixels any more.

        Parameters
        ----------
        labels : ndarray
            Integer labels in the layer's shape.
        """
        first = np.unique(labels.flat[:FEW_PX]).tolist()
        if any(is_right(self.state(label)) for label in first):
            return True  # most often, and without a list of all objects
        seen, wrong = self.labels_by_judgement()
        if any(not np.isin(labels[region], wrong).all() for region in self.regions):
            return True
        rows = max(1, PART_PX // max(1, math.prod(labels.shape[1:])))
        parts = (labels[start : start + rows] for start in range(0, len(labels), rows))
        return bool(seen.size) and any(bool(np.isin(part, seen).any()) for part in parts)

    def labels_by_judgement(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the labels of objects that are right, and of all others that have a state."""
        count = len(self.states)
        labels, right = np.fromiter(self.states, np.int64, count), np.zeros(count, np.bool_)
        for state in RIGHT:  # an enum's own hash and equality take many times as long
            same = map(operator.is_, self.states.values(), itertools.repeat(state))
            right |= np.fromiter(same, np.bool_, count)
        return labels[right], labels[~right]

    def progress(self, labels: Collection[int], boxes: Mapping[int, Box]) -> tuple[int, int]:
        """Return how many of these objects were looked at, and how many there are."""
        done = sum(1 for label in labels if self.is_seen(label, boxes.get(label)))
        return done, len(labels)

    def to_json(self, known: tuple[Review, Mapping[str, Any]] | None = None) -> dict[str, Any]:
        """Return plain JSON values.

        Parameters
        ----------
        known : tuple of Review and mapping, optional
            An earlier review and what this returned of it: only the states that differ are
            written anew.
        """
        return {
            "states": self._states_as_json(known),
            "locked": sorted(self.locked),
            "regions": [[[part.start, part.stop] for part in box] for box in self.regions],
            "dismissed": [list(pixel) for pixel in self.dismissed],
        }

    def _states_as_json(
        self, known: tuple[Review, Mapping[str, Any]] | None
    ) -> VersionedDict[str, str]:
        if known is not None:
            keys = _versioned(self).changed_since(known[0].states)
            stored = _as_written(known[1].get("states"), known[0])
            if keys is not None and stored is not None:
                there = {key: self.states[key] for key in keys if key in self.states}
                return stored.with_changes(
                    {str(label): str(state) for label, state in there.items()},
                    [str(key) for key in keys if key not in there],
                )
        texts = (state._value_ for state in self.states.values())  # ``value`` takes four times that
        return VersionedDict(dict(zip(map(str, self.states), texts, strict=True)))

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Review:
        """Return the review of :meth:`to_json`; what a file lacks is empty."""
        return cls(
            states={
                int(k): _STATES.get(v) or State(v) for k, v in stored.get("states", {}).items()
            },
            locked=frozenset(int(k) for k in stored.get("locked", ())),
            regions=tuple(
                tuple(slice(int(a), int(b)) for a, b in box) for box in stored.get("regions", ())
            ),
            dismissed=tuple(tuple(int(n) for n in pixel) for pixel in stored.get("dismissed", ())),
        )


def _as_written(stored: Any, review: Review) -> VersionedDict[str, str] | None:
    """Return states that a review was read from, if they are just what it would write."""
    if isinstance(stored, VersionedDict):
        return stored
    if isinstance(stored, dict) and list(stored) == list(map(str, review.states)):
        return VersionedDict(stored)
    return None


def _versioned(review: Review) -> VersionedDict[int, State]:
    assert isinstance(review.states, VersionedDict)  # its __post_init__ makes it one
    return review.states


def _holds(region: Box, box: Box) -> bool:
    return all(a.start <= b.start and b.stop <= a.stop for a, b in zip(region, box, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What makes one review of another: a step back or forth.

    Attributes
    ----------
    states : mapping of int to State
        Of the objects whose state differs.
    lock, unlock : frozenset of int
        Objects that are locked, and that are not any more.
    regions, dismissed : tuple or None
        As in :class:`Review`; None: as they are.
    """

    states: Mapping[int, State]
    lock: frozenset[int]
    unlock: frozenset[int]
    regions: tuple[Box, ...] | None
    dismissed: tuple[tuple[int, ...], ...] | None

    def to(self, review: Review) -> Review:
        """Return a review with this said; what else was said of it stays."""
        return Review(
            states=review.with_states(self.states).states,
            locked=(review.locked | self.lock) - self.unlock,
            regions=review.regions if self.regions is None else self.regions,
            dismissed=review.dismissed if self.dismissed is None else self.dismissed,
        )

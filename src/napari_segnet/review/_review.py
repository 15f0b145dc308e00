"""What a user has said of the objects of a label image."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

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


_TEXT = {state: str(state) for state in State}
_STATES = {str(state): state for state in State}
"""Faster than an enum's own, where there are 100,000 objects."""
PART_PX = 2**18
"""Pixels that are looked at together: a millisecond."""
SEEN = frozenset({State.ACCEPTED, State.FIXED})
"""States of objects that are right."""


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

    def state(self, label: int) -> State:
        """Return the state of an object."""
        return self.states.get(label, State.UNSEEN)

    def with_state(self, labels: Iterable[int], state: State) -> Review:
        """Return the review with the state of some objects."""
        states = dict(self.states)
        for label in labels:
            if state is State.UNSEEN:
                states.pop(int(label), None)
            else:
                states[int(label)] = state
        return replace(self, states=states)

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
        mine, theirs = self.states, other.states
        states = dict.fromkeys(theirs.keys() - mine.keys(), State.UNSEEN)
        # Without a tuple for each of 100,000 objects, for which Python would collect garbage.
        states |= {label: state for label, state in mine.items() if theirs.get(label) is not state}
        return Said(
            states=states,
            lock=self.locked - other.locked,
            unlock=other.locked - self.locked,
            regions=None if self.regions == other.regions else self.regions,
            dismissed=None if self.dismissed == other.dismissed else self.dismissed,
        )

    def is_seen(self, label: int, box: Box | None = None) -> bool:
        """Tell if an object needs no further look: by its state, or since a region holds it."""
        if self.state(label) in SEEN:
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

        seen = [label for label, state in self.states.items() if state in SEEN]
        trusted = np.isin(labels, seen) if seen else np.zeros(labels.shape, np.bool_)
        if seen:
            # Planes of a stack lie far apart: a rim goes along the last two axes only.
            flat = min(2, labels.ndim)
            reach = np.ones((1,) * (labels.ndim - flat) + (2 * RIM_PX + 1,) * flat, np.bool_)
            near = ndimage.binary_dilation(trusted, reach)
            trusted |= near & (labels == 0)
        for region in self.regions:
            trusted[region] = True
        wrong = [label for label, state in self.states.items() if state not in SEEN]
        if wrong:
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
        seen = [label for label, state in self.states.items() if state in SEEN]
        wrong = [label for label, state in self.states.items() if state not in SEEN]
        if any(not np.isin(labels[region], wrong).all() for region in self.regions):
            return True
        rows = max(1, PART_PX // max(1, math.prod(labels.shape[1:])))
        parts = (labels[start : start + rows] for start in range(0, len(labels), rows))
        return bool(seen) and any(bool(np.isin(part, seen).any()) for part in parts)

    def progress(self, labels: Collection[int], boxes: Mapping[int, Box]) -> tuple[int, int]:
        """Return how many of these objects were looked at, and how many there are."""
        done = sum(1 for label in labels if self.is_seen(label, boxes.get(label)))
        return done, len(labels)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "states": {str(label): _TEXT[state] for label, state in self.states.items()},
            "locked": sorted(self.locked),
            "regions": [[[part.start, part.stop] for part in box] for box in self.regions],
            "dismissed": [list(pixel) for pixel in self.dismissed],
        }

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
        states = {**review.states, **self.states}
        kept = {label: state for label, state in states.items() if state is not State.UNSEEN}
        return Review(
            states=kept,
            locked=(review.locked | self.lock) - self.unlock,
            regions=review.regions if self.regions is None else self.regions,
            dismissed=review.dismissed if self.dismissed is None else self.dismissed,
        )

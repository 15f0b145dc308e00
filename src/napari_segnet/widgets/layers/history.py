"""What was done to a Labels layer and what was undone, step by step.

Strokes, fills and edits emit ``paint``; undo and redo only ``set_data``, which also comes for
every move of a slider, and neither comes for undo in a hidden layer. But each of them moves
napari's own history of the layer, so that is what is looked at: at every event, and by whoever
needs to know at once. There is one :class:`History` for a layer. It tells all who follow it of
the same steps, in the order in which they began to follow; the table and ids of
:mod:`~napari_segnet.widgets.layers.editing` come first.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_segnet.journal import Change, changes_at
from napari_segnet.widgets.layers.private import (
    Pixels,
    history_limit,
    parts_of,
    staged,
    steps_done,
    steps_undone,
    unwrapped,
)

if TYPE_CHECKING:
    import napari.layers

__all__ = ["Break", "History", "Kind", "Points", "Step", "Token", "history_of", "unfinished"]

Atom = Any
"""What napari keeps of one change; read by ``private.parts_of`` alone."""
Kind = Literal["edit", "undo", "redo"]
Break = Literal["new history", "overflow", "other labels"]
"""Why what comes does not follow from the steps before: napari forgot its history (as when
``layer.editable`` is set off and on); more was done between two looks than it keeps; the layer
got another array."""
Points = tuple[npt.NDArray[np.int64], npt.NDArray[Any]]
"""``(n, dimensions)`` and the value of each, ``(n,)``."""


class Token:
    """Which step it is: the same for a step, its undo and its redo; no other has it."""

    __slots__ = ("_atom",)

    def __init__(self, atom: Atom) -> None:
        self._atom = atom  # kept, so that its number is not given to another

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and self._atom is other._atom

    def __hash__(self) -> int:
        return id(self._atom)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """A step of a layer's history that was done or taken back.

    Attributes
    ----------
    kind : Kind
        ``edit``: a stroke, a fill or an edit that is new. ``undo``, ``redo``: of an earlier one.
    atoms : tuple
        What napari keeps of it, in the order in which it was done first.
    known : tuple of Change or None
        What an edit of ours set, where it is known without reading the atoms.
    """

    kind: Kind
    atoms: tuple[Atom, ...]
    known: tuple[Change, ...] | None = None

    @property
    def done(self) -> bool:
        """False for an undo."""
        return self.kind != "undo"

    @property
    def token(self) -> Token:
        """Which step it is, whether done, undone or done again."""
        return Token(self.atoms[0])

    def changes(self) -> tuple[Change, ...]:
        """Return what was set, in order; an undo sets the values of before.

        It may take a while for many scattered pixels, and reads nothing of the layer: so a
        thread may do it.
        """
        if self.known is not None:
            return self.known
        found = [change for atom in self.atoms for change in _changes(atom)]
        if self.done:
            return tuple(found)
        return tuple(change.inverse() for change in reversed(found))

    def points(self) -> list[Points]:
        """Return the pixels that were set, and the values that they have got.

        Not read from the layer: napari tells of a stroke before it writes it.
        """
        found = []
        for part in map(parts_of, self.atoms):
            values = part.after if self.done else part.before
            if isinstance(part, Pixels):
                at = np.stack(part.indices, axis=1)
            else:
                start = np.array([axis.start for axis in part.where])
                shape = tuple(axis.stop - axis.start for axis in part.where)
                mask = np.ones(shape, bool) if part.mask is None else part.mask
                at = np.argwhere(mask) + start
            found.append((at, np.broadcast_to(values, (len(at),))))
        return found

    def touched(self) -> tuple[npt.NDArray[np.int64], tuple[slice, ...]]:
        """Return the ids that lost or got pixels, ``(n,)`` rising, and the box of these pixels.

        Both are empty where nothing was set.
        """
        ids, ends = [np.zeros(0, np.int64)], []
        for part in map(parts_of, self.atoms):
            if isinstance(part, Pixels):
                if not part.indices[0].size:
                    continue
                ends.append([(int(axis.min()), int(axis.max()) + 1) for axis in part.indices])
            else:
                ends.append([(axis.start, axis.stop) for axis in part.where])
            ids += [np.unique(part.before), np.unique(part.after)]
        if not ends:
            return ids[0], ()
        box = tuple(
            slice(min(a for a, _ in axis), max(b for _, b in axis))
            for axis in zip(*ends, strict=True)
        )
        there = np.unique(np.concatenate(ids)).astype(np.int64)
        return there[there > 0], box


Follower = tuple["weakref.ref[Any]", tuple[Any, Any]]
"""Whose methods are called, and these: one for steps, one (or None) for breaks. No
``WeakMethod``: one that is collected together with its object fails in Python's own code."""

_histories: weakref.WeakKeyDictionary[Any, History] = weakref.WeakKeyDictionary()


def history_of(layer: napari.layers.Labels) -> History:
    """Return the watcher of a layer's history; begun at the first call."""
    real = unwrapped(layer)
    found = _histories.get(real)
    if found is None:
        found = _histories[real] = History(real)
    return found


class History:
    """Tells of each step of a layer's history that was done or undone; one for a layer."""

    def __init__(self, layer: napari.layers.Labels) -> None:
        self._layer = weakref.ref(layer)
        self._followers: list[Follower] = []
        self._deque = steps_done(layer)
        self._known = [tuple(step) for step in self._deque]
        self._taken = _tokens_undone(layer)
        self._expected: tuple[Change, ...] | None = None
        self._busy = False
        for event in (layer.events.paint, layer.events.set_data, layer.events.editable):
            event.connect(self.look)
        layer.events.data.connect(self._replaced)

    # ---- Who is told ----

    def follow(
        self,
        follower: Any,
        broken: Any = None,
        *,
        first: bool = False,
    ) -> None:
        """Tell a method of every step, and another one of every break.

        Parameters
        ----------
        follower : bound method
            Gets a Step; its object is not kept alive here.
        broken : bound method, optional
            Gets a Break; of the same object.
        first : bool
            Before all others that follow by now.
        """
        calls = (follower.__func__, None if broken is None else broken.__func__)
        entry = (weakref.ref(follower.__self__), calls)
        self._followers.insert(0 if first else len(self._followers), entry)

    def leave(self, follower: object) -> None:
        """Tell the methods of an object no more."""
        self._followers = [one for one in self._followers if one[0]() not in (None, follower)]

    # ---- Looking ----

    def look(self, event: object = None) -> None:
        """Tell of what has happened since the last look."""
        layer = self._layer()
        if layer is None or self._busy:  # those who are told may act in turn
            return
        self._busy = True
        try:
            while True:
                steps, why = self._since(layer)
                for step in steps:
                    self._tell(0, step)
                if why is not None:
                    self._tell(1, why)
                if not steps:
                    return
        finally:
            self._busy = False

    def alive(self) -> set[Token]:
        """Return the steps that can still be undone or redone."""
        layer = self._layer()
        if layer is None:
            return set()
        return {Token(step[0]) for step in steps_done(layer)} | _tokens_undone(layer)

    def newest(self) -> Token:
        """Return which step was done last; there must be one."""
        layer = self._layer()
        assert layer is not None
        return Token(steps_done(layer)[-1][0])

    @contextmanager
    def expecting(self, changes: tuple[Change, ...]) -> Iterator[None]:
        """Let the one step that is done meanwhile be known as these changes."""
        self.look()
        self._expected = changes
        try:
            yield
            self.look()
        finally:
            self._expected = None

    def _tell(self, which: int, what: object) -> None:
        for reference, calls in list(self._followers):
            follower, call = reference(), calls[which]
            if follower is not None and call is not None:
                call(follower, what)

    def _replaced(self, event: object = None) -> None:
        """Tell that there are other labels; atoms of before may still be undone into them."""
        self.look()
        self._tell(1, "other labels")

    def _since(self, layer: napari.layers.Labels) -> tuple[list[Step], Break | None]:
        """Return the steps since the last look, undone ones first, and the break behind them."""
        there = steps_done(layer)
        now, back = [tuple(step) for step in there], _tokens_undone(layer)
        why: Break | None = None
        if there is not self._deque:  # the pixels stayed, so nothing was undone
            self._deque, self._known, self._taken = there, [], set()
            why = "new history"
        undone, done, sure = _compared(self._known, now, back, history_limit(layer))
        steps = [Step(kind="undo", atoms=step) for step in reversed(undone)]
        for step in done:
            redone = Token(step[0]) in self._taken
            steps.append(Step(kind="redo" if redone else "edit", atoms=step))
        if self._expected is not None and len(done) == 1 and steps[-1].kind == "edit":
            steps[-1] = Step(kind="edit", atoms=done[0], known=self._expected)
        self._known, self._taken = now, back
        return steps, why if sure else "overflow"


def unfinished(layer: napari.layers.Labels) -> list[Change]:
    """Return what takes back the stroke that the user is in the middle of, newest first."""
    return [
        change.inverse() for atom in reversed(staged(layer)) for change in reversed(_changes(atom))
    ]


def _tokens_undone(layer: napari.layers.Labels) -> set[Token]:
    """Return the steps that can be redone; napari keeps their atoms in reverse."""
    return {Token(step[-1]) for step in steps_undone(layer)}


def _compared(
    known: Sequence[tuple[Atom, ...]],
    now: Sequence[tuple[Atom, ...]],
    back: set[Token],
    limit: int,
) -> tuple[Sequence[tuple[Atom, ...]], Sequence[tuple[Atom, ...]], bool]:
    """Return which known steps were undone and which were done, and if that is certain.

    Steps leave a history at its end when they are undone, and at its beginning when it is full.
    So the known ones before the first that still stands were forgotten, and those behind the
    last were undone. Where none of them stands: what can be redone was undone. Otherwise new
    strokes have taken its place; of a history that is full all were forgotten.
    """
    if not known:
        return (), now, len(now) < limit  # a full one may have forgotten some of them
    places = {Token(step[0]): place for place, step in enumerate(now)}
    stand = [place for place, step in enumerate(known) if Token(step[0]) in places]
    if stand:
        last = stand[-1]
        return known[last + 1 :], now[places[Token(known[last][0])] + 1 :], True
    undone = [place for place, step in enumerate(known) if Token(step[0]) in back]
    if undone:
        return known[undone[0] :], now, True
    full = len(now) + len(back) >= limit
    return (() if full else known), now, False


def _changes(atom: Atom) -> tuple[Change, ...]:
    part = parts_of(atom)
    if isinstance(part, Pixels):
        return changes_at(part.indices, part.before, part.after)
    return (Change(box=part.where, mask=part.mask, before=part.before, after=part.after),)

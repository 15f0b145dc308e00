"""The reviews of the layers of a viewer: kept with each layer, in its journal, with undo."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_segnet.review import Review, State
from napari_segnet.widgets._journal_keeper import keep_journal

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["Reviews", "reviews"]

STEPS = 200
"""Acts of review that can be taken back."""

_all: weakref.WeakKeyDictionary[Any, Reviews] = weakref.WeakKeyDictionary()


def reviews(viewer: napari.viewer.Viewer) -> Reviews:
    """Return the reviews of a viewer; the first call starts them, and its journal."""
    real = getattr(viewer, "__wrapped__", viewer)
    if real not in _all:
        _all[real] = Reviews(real)
    return _all[real]


class Reviews(QObject):
    """What the user has said of the objects of each Labels layer.

    The review itself lies as JSON in ``layer.metadata["segnet"]["review"]``, so that it goes
    where the layer goes.

    Attributes
    ----------
    changed : Signal of Labels
        The review of a layer is another one.
    touched : Signal of (Labels, ndarray, tuple)
        Pixels were changed: the ids that were or are there, and the box.
    """

    changed = Signal(object)
    touched = Signal(object, object, object)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._keeper = keep_journal(viewer)
        self._keeper.acted.connect(self._acted)
        self._by_user = True
        self._foreign: weakref.WeakKeyDictionary[Any, list[_Same]] = weakref.WeakKeyDictionary()
        self._undo: weakref.WeakKeyDictionary[Any, deque[Review]] = weakref.WeakKeyDictionary()
        self._redo: weakref.WeakKeyDictionary[Any, deque[Review]] = weakref.WeakKeyDictionary()
        self._edited: weakref.WeakKeyDictionary[Any, list[_Fixed]] = weakref.WeakKeyDictionary()

    def of(self, layer: napari.layers.Labels) -> Review:
        """Return the review of a layer; an empty one where nobody has looked yet."""
        told = layer.metadata.get("segnet", {}).get("review")
        return Review.from_json(told) if told else Review()

    def change(self, layer: napari.layers.Labels, review: Review, what: str = "review") -> None:
        """Say something else of the objects of a layer; one step of undo."""
        before = self.of(layer)
        if review == before:
            return
        self._undo.setdefault(layer, deque(maxlen=STEPS)).append(before)
        self._redo.pop(layer, None)
        self._put(layer, review, what)

    def undo(self, layer: napari.layers.Labels) -> bool:
        """Take back the last change of a review; false if there is none."""
        return self._step(layer, self._undo, self._redo, "review undone")

    def redo(self, layer: napari.layers.Labels) -> bool:
        """Do again what was taken back; false if there is nothing."""
        return self._step(layer, self._redo, self._undo, "review redone")

    def _step(self, layer: Any, source: Any, target: Any, what: str) -> bool:
        steps = source.get(layer)
        if not steps:
            return False
        target.setdefault(layer, deque(maxlen=STEPS)).append(self.of(layer))
        self._put(layer, steps.pop(), what)
        return True

    def _put(self, layer: napari.layers.Labels, review: Review, what: str = "") -> None:
        """Put a review into its layer and journal; ``what`` names an act of its own."""
        own = {**layer.metadata.get("segnet", {}), "review": review.to_json()}
        layer.metadata = {**layer.metadata, "segnet": own}
        if what:
            self._keeper.note(layer, what)
        else:
            self._keeper.remember(layer)
        self.changed.emit(layer)

    @contextmanager
    def by_network(self) -> Iterator[None]:
        """Let what changes meanwhile not count as edited by the user."""
        self._by_user = False
        try:
            yield
            self._keeper.look()
        finally:
            self._by_user = True

    # ---- What is edited was looked at ----

    def _acted(self, layer: napari.layers.Labels, item: list[Any], done: bool) -> None:
        """Count what a stroke or an edit has changed as fixed; undo takes that back, too."""
        ids, box = _touched(item)
        if not ids.size:
            return
        self.touched.emit(layer, ids, box)
        foreign = self._foreign.setdefault(layer, [])
        if not self._by_user:
            foreign.append(_Same(item[0]))
        if item_atoms(item) & set(foreign):
            return
        marks = self._edited.setdefault(layer, [])
        if done:
            review = self.of(layer)
            before = {label: review.state(label) for label in ids.tolist()}
            marks.append(_Fixed(item[0], before))
            self._put(layer, review.with_state(ids.tolist(), State.FIXED))
            return
        found = next((mark for mark in reversed(marks) if mark.atom in item_atoms(item)), None)
        if found is not None:
            marks.remove(found)
            self._put(layer, _as_before(self.of(layer), found.before))


class _Fixed:
    """What an edit has marked as fixed, and what that was before."""

    def __init__(self, atom: Any, before: dict[int, State]) -> None:
        self.atom = _Same(atom)
        self.before = before


class _Same:
    """An atom of a history, which is itself and no other, whatever arrays say of equality."""

    def __init__(self, atom: Any) -> None:
        self._atom = atom

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._atom is other._atom

    def __hash__(self) -> int:
        return id(self._atom)


def item_atoms(item: Iterable[Any]) -> set[_Same]:
    """Return the atoms of a step of history, to look for one."""
    return {_Same(atom) for atom in item}


def _as_before(review: Review, before: dict[int, State]) -> Review:
    """Return the review with the states of before, but for what was said since."""
    for label, state in before.items():
        if review.state(label) is State.FIXED:
            review = review.with_state([label], state)
    return review


def _touched(item: Iterable[Any]) -> tuple[Any, tuple[slice, ...]]:
    """Return the ids that a step of history took away or gave, and the box of its pixels."""
    ids: list[Any] = []
    low: Any = None
    high: Any = None
    for atom in item:
        if len(atom) == 3:
            indices, before, after = atom
            points = [np.asarray(index) for index in indices]
            if not points[0].size:
                continue
            first = np.array([p.min() for p in points])
            last = np.array([p.max() + 1 for p in points])
        else:
            box, _, before, after = atom
            first = np.array([part.start for part in box])
            last = np.array([part.stop for part in box])
        ids += [np.unique(before), np.unique(after)]
        low = first if low is None else np.minimum(low, first)
        high = last if high is None else np.maximum(high, last)
    if low is None:
        return np.zeros(0, np.int64), ()
    kept = np.unique(np.concatenate([i.reshape(-1) for i in ids])).astype(np.int64)
    where = zip(low.tolist(), high.tolist(), strict=True)
    return kept[kept > 0], tuple(slice(int(a), int(b)) for a, b in where)

"""The reviews of the layers of a viewer: kept with each layer, in its journal, with undo."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_segnet.review import Review, Said, State
from napari_segnet.widgets.layers.history import Step, Token
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.reviewed import put_review, review_of
from napari_segnet.widgets.recovery.recorder import keep_journal

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["Reviews", "reviews"]

STEPS = 200
"""Acts of review that can be taken back."""

_all: weakref.WeakKeyDictionary[Any, Reviews] = weakref.WeakKeyDictionary()


def reviews(viewer: napari.viewer.Viewer) -> Reviews:
    """Return the reviews of a viewer; the first call starts them, and its journal."""
    real = unwrapped(viewer)
    if real not in _all:
        _all[real] = Reviews(real)
    return _all[real]


class Reviews(QObject):
    """What the user has said of the objects of each Labels layer.

    The review itself lies as JSON in the record of its layer, so that it goes where the layer
    goes.

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
        self._foreign: weakref.WeakKeyDictionary[Any, set[Token]] = weakref.WeakKeyDictionary()
        self._undo: weakref.WeakKeyDictionary[Any, deque[Said]] = weakref.WeakKeyDictionary()
        self._redo: weakref.WeakKeyDictionary[Any, deque[Said]] = weakref.WeakKeyDictionary()
        self._edited: weakref.WeakKeyDictionary[Any, dict[Token, dict[int, State]]] = (
            weakref.WeakKeyDictionary()
        )

    def of(self, layer: napari.layers.Labels) -> Review:
        """Return the review of a layer; an empty one where nobody has looked yet."""
        return review_of(layer)

    def change(self, layer: napari.layers.Labels, review: Review, what: str = "review") -> None:
        """Say something else of the objects of a layer; one step of undo."""
        before = self.of(layer)
        if review == before:
            return
        self._undo.setdefault(layer, deque(maxlen=STEPS)).append(before.instead_of(review))
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
        now = self.of(layer)
        then = steps.pop().to(now)
        target.setdefault(layer, deque(maxlen=STEPS)).append(now.instead_of(then))
        self._put(layer, then, what)
        return True

    def _put(self, layer: napari.layers.Labels, review: Review, what: str = "") -> None:
        """Put a review into its layer and journal; ``what`` names an act of its own."""
        put_review(layer, review)
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

    def _acted(self, layer: napari.layers.Labels, step: Step) -> None:
        """Count what a stroke or an edit has changed as fixed; undo takes that back, too."""
        ids, box = step.touched()
        if not ids.size:
            return
        self.touched.emit(layer, ids, box)
        foreign = self._foreign.setdefault(layer, set())
        if not self._by_user:
            foreign.add(step.token)
        if step.token in foreign:
            return
        marks = self._edited.setdefault(layer, {})
        if step.done:
            review = self.of(layer)
            marks[step.token] = {label: review.state(label) for label in ids.tolist()}
            self._put(layer, review.with_state(ids.tolist(), State.FIXED))
        elif step.token in marks:
            self._put(layer, _as_before(self.of(layer), marks.pop(step.token)))


def _as_before(review: Review, before: dict[int, State]) -> Review:
    """Return the review with the states of before, but for what was said since."""
    fixed = {one: state for one, state in before.items() if review.state(one) is State.FIXED}
    return review.with_states(fixed)

"""The Review tab: what should be looked at, most uncertain first, and what was said of it."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QWidget,
)

from napari_segnet.errors import EditError, SegnetError
from napari_segnet.review import Items, Review, State, remeasured
from napari_segnet.widgets.layers.camera import look_there
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.layers.subject import labels_in
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.keys import ViewerKeys
from napari_segnet.widgets.qt.listen import listen
from napari_segnet.widgets.recovery.reviews import reviews
from napari_segnet.widgets.review.edits import add_and_say, delete_labels, middle_of
from napari_segnet.widgets.review.form import ReviewForm
from napari_segnet.widgets.review.jobs import look_at, network_input, rectangle_of
from napari_segnet.widgets.review.mark import ObjectMark
from napari_segnet.widgets.review.network_choice import NONE, OWN, own_key
from napari_segnet.widgets.review.table import COLUMNS, ItemsModel

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["ReviewPanel"]

KEYS = {
    "O": "accept",
    "J": "fix",
    "Delete": "delete",
    "N": "next",
    "Shift-N": "previous",
    "U": "undo",
    "Shift-U": "redo",
}
"""Keys that neither napari nor the edits use."""

BEFORE = (
    "The objects that are most likely wrong come first. Look at each: accept it, or correct it in "
    "the tab Edit."
)
"""Of labels whose uncertain objects nobody has asked for."""


class ReviewPanel(ReviewForm):
    """A queue of objects, with keys to go through it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The Labels layer that is selected, or was last, is reviewed.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer: napari.viewer.Viewer = unwrapped(viewer)
        self.reviews = reviews(self.viewer)
        self.layer: napari.layers.Labels | None = None
        self._tables: weakref.WeakKeyDictionary[Any, Items] = weakref.WeakKeyDictionary()
        self._asked: weakref.ref[Any] | None = None
        self._touched: list[tuple[Any, Any]] = []
        self._keys = ViewerKeys(self.viewer)
        self._runner = JobRunner(self)
        self.mark = ObjectMark(self.viewer, self)
        self._connect()
        self._follow_layers()

    def _connect(self) -> None:
        self.run_box.run.connect(self.run)
        self.run_box.cancel.connect(self._runner.cancel)
        self._runner.progressed.connect(self.run_box.show_progress)
        self._runner.succeeded.connect(self._found)
        self._runner.failed.connect(self._failed)
        self._runner.cancelled.connect(lambda: self.run_box.end("Stopped."))
        for name, button in self.buttons.items():
            button.clicked.connect(getattr(self, name))
        self.table.rows.currentRowChanged.connect(self._row_chosen)
        self.reviews.changed.connect(self._review_changed)
        self.reviews.touched.connect(self._pixels_changed)
        layers = self.viewer.layers
        changes = layers.selection.events.active, layers.events.removed, layers.events.inserted
        listen(self, changes, self._follow_layers)
        self._runner.end_with(self)

    # ---- The layer ----

    def _follow_layers(self, event: object = None) -> None:
        """Review the selected Labels layer; an image that is selected changes nothing."""
        from napari.layers import Labels

        active = self.viewer.layers.selection.active
        layer = active if isinstance(active, Labels) else self.layer
        if layer is None or layer not in self.viewer.layers:
            layer = next(reversed(labels_in(self.viewer.layers)), None)
        if layer is not self.layer or layer is None:
            self.message.outdated()
            self.layer = layer
            self._show_layer()
        self.network.show_networks(self.layer)

    def _show_layer(self) -> None:
        layer = self.layer
        items = self._tables.get(layer) if layer is not None else None
        if layer is None or items is None:
            self.model.show(ItemsModel().items, Review())
        else:
            self.model.class_names = record_of(layer).class_names
            self.model.show(items, self.reviews.of(layer))
        self.said.setText(BEFORE if items is None else f"Uncertainty: {items.said}.")
        shown = self.model.items
        self.table.setColumnHidden(COLUMNS.index("class"), not shown.classes.any())
        self.table.setColumnHidden(COLUMNS.index("score"), bool(np.isnan(shown.scores).all()))
        self.name.setText(
            "Select a Labels layer to review." if layer is None else f"Review of “{layer.name}”"
        )
        self.show_progress()

    # ---- Finding what is uncertain ----

    def run(self) -> None:
        """Find out what is uncertain in the layer."""
        self.message.hide()
        layer = self.layer
        choice = str(self.network.currentData())
        network = "" if choice in (OWN, NONE) else choice
        try:
            if layer is None:
                raise SegnetError("Select the Labels layer to review first.")
            given = network_input(layer, self.viewer, network)
        except SegnetError as error:
            self.message.fail(error)
            return
        self._asked, self._touched = weakref.ref(layer), []
        self.run_box.begin()
        key = own_key(layer) if choice == OWN else ""
        self._runner.start(partial(look_at, given, key, network, self.flips.isChecked()))

    def _found(self, items: Items) -> None:
        layer = self._asked() if self._asked is not None else None
        self.run_box.end()
        if layer is None:
            return
        for ids, box in self._touched:  # edited while the network was at work
            items = remeasured(items, layer.data, ids, box)
        self._tables[layer] = items
        if layer is self.layer:
            self._show_layer()
            self.next()

    def _failed(self, error: BaseException) -> None:
        self.run_box.end()
        self.message.fail(error)

    # ---- Going through ----

    def current(self) -> int | None:
        """Return the row of the table that is looked at."""
        return self.table.current()

    def next(self) -> None:
        """Go to the next object that was not looked at."""
        self._go(1)

    def previous(self) -> None:
        """Go to the one before."""
        self._go(-1)

    def _go(self, step: int) -> None:
        row = self.current()
        found = self.model.next_row(-1 if row is None else row, step)
        if found < 0:
            if self.model.rowCount():
                self.message.say("All objects are reviewed.")
            return
        self.select(found)

    def select(self, row: int) -> None:
        """Look at a row of the table."""
        self.table.select(row)

    def _row_chosen(self, now: Any, before: Any = None) -> None:
        if now.isValid() and self.layer is not None:
            row = int(self.model.order[now.row()])
            label = int(self.model.items.ids[row])
            if label > 0:
                self.layer.selected_label = label
            look_there(self.viewer, self.layer, self.model.items.box(row))
            self.show_progress()

    def marked(self) -> tuple[napari.layers.Labels, tuple[slice, ...]] | None:
        """Return the layer and the box of the object that is looked at."""
        row = self.table.current()
        if row is None or self.layer is None:
            return None
        return self.layer, self.model.items.box(int(self.model.order[row]))

    def show_progress(self, why: str = "") -> None:
        """Show how much was looked at and why the object is doubtful, and mark it."""
        row = self.current()
        why = why or ("" if row is None else self.model.items.why[int(self.model.order[row])])
        self.progress.setToolTip(why)
        super().show_progress(why)
        self.mark.follow()

    # ---- Saying ----

    def accept(self) -> None:
        """Say that the selected objects are right; go on."""
        labels = self.table.labels()
        if self.layer is None or not labels:
            return
        review = self.reviews.of(self.layer)
        review = review.with_state([i for i in labels if i > 0], State.ACCEPTED)
        for label in (label for label in labels if label < 0):
            review = review.with_dismissed(middle_of(self.model.items, label))
        self.reviews.change(self.layer, review, f"accepted {_named(labels)}")
        self.next()

    def fix(self) -> None:
        """Mark the selected objects as wrong; add one that lacks."""
        labels = self.table.labels()
        if self.layer is None or not labels:
            return
        for label in (label for label in labels if label < 0):
            self._add(label)
        if wrong := [label for label in labels if label > 0]:
            review = self.reviews.of(self.layer).with_state(wrong, State.WRONG)
            self.reviews.change(self.layer, review, f"to fix: {_named(wrong)}")
        else:
            self.next()

    def delete(self) -> None:
        """Take the selected objects away; go on. Locked ones stay."""
        layer = self.layer
        if layer is None:
            return
        labels = [label for label in self.table.labels() if label > 0]
        free = [label for label in labels if label not in self.reviews.of(layer).locked]
        if len(free) < len(labels):
            self.message.say("Locked objects stay. Unlock them first.")
        if not free or (row := self.current()) is None:
            return
        try:
            delete_labels(layer, self.model, free)
        except EditError as error:
            self.message.fail(error)
            return
        self._go_from(row - 1)

    def _go_from(self, row: int) -> None:
        if (found := self.model.next_row(row)) >= 0:
            self.select(found)

    def lock(self) -> None:
        """Lock the selected objects, or unlock them if all are locked."""
        labels = [label for label in self.table.labels() if label > 0]
        if self.layer is None or not labels:
            return
        review = self.reviews.of(self.layer)
        if set(labels) <= review.locked:
            self.reviews.change(self.layer, review.with_unlocked(labels), "unlocked")
        else:
            self.reviews.change(self.layer, review.with_locked(labels), "locked")

    def region(self) -> None:
        """Say that all in the selected rectangle was looked at, on the plane that is shown."""
        if self.layer is None:
            return
        self.message.hide()
        try:
            box = rectangle_of(self.layer, self.viewer)
        except SegnetError as error:
            self.message.fail(error)
            return
        review = self.reviews.of(self.layer).with_region(box)
        self.reviews.change(self.layer, review, "region reviewed")

    def undo(self) -> None:
        """Take back what was said last."""
        if self.layer is not None and not self.reviews.undo(self.layer):
            self.message.say("There is no mark to undo.")

    def redo(self) -> None:
        """Say again what was taken back."""
        if self.layer is not None and not self.reviews.redo(self.layer):
            self.message.say("There is no mark to redo.")

    def _add(self, label: int) -> None:
        """Add a missing object as the network sees it."""
        layer, items = self.layer, self.model.items
        if layer is None or items.row_of(label) is None:
            return
        try:
            if add_and_say(self.reviews, layer, items, label) is None:
                self.message.say("There is an object here now.")
        except EditError as error:
            self.message.fail(error)

    # ---- What changes ----

    def _review_changed(self, layer: Any) -> None:
        if layer is self.layer:
            self.model.say(self.reviews.of(layer))
            self.show_progress()

    def _pixels_changed(self, layer: Any, ids: Any, box: Any) -> None:
        if self._asked is not None and layer is self._asked() and self._runner.busy:
            self._touched.append((ids, box))
        items = self._tables.get(layer)
        if items is None:
            return
        items = self._tables[layer] = remeasured(items, layer.data, ids, box)
        if layer is self.layer:
            self.table.follow(items, self.reviews.of(layer))
            self.show_progress()

    # ---- Keys ----

    def showEvent(self, event: QShowEvent | None) -> None:
        """Let the keys act while the tab is seen."""
        super().showEvent(event)
        self.network.show_networks(self.layer)
        self.bind_keys()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Give the keys back."""
        super().hideEvent(event)
        self.unbind_keys()

    def changeEvent(self, event: QEvent | None) -> None:
        """Stop when the dock is closed: napari then takes this widget out of it."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and not self.parent():
            self._runner.cancel()
            self.unbind_keys()

    def bind_keys(self) -> None:
        """Let the keys act; those that another plugin has taken stay with it."""
        for key, name in KEYS.items():
            self._keys.bind(key, getattr(self, name))

    def unbind_keys(self) -> None:
        """Give the keys back."""
        self._keys.release()


def _named(labels: list[int]) -> str:
    words = ", ".join(str(label) for label in labels[:5] if label > 0)
    return words + (" …" if len(labels) > 5 else "") or "a place without an object"

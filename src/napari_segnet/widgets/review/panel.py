"""The Review tab: what should be looked at, most doubtful first, and what was said of it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QItemSelectionModel, Qt
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_segnet import cache
from napari_segnet.builtin import builtin_models
from napari_segnet.correct import delete, new_object
from napari_segnet.errors import EditError, SegnetError
from napari_segnet.review import Items, Review, State, remeasured
from napari_segnet.widgets.checkpoint.picker import recent_networks
from napari_segnet.widgets.layers.editing import apply_edit, editing_of, next_id
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.layers.subject import labels_in
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.listen import listen
from napari_segnet.widgets.qt.message_bar import MessageBar
from napari_segnet.widgets.qt.run_bar import RunBox
from napari_segnet.widgets.review.jobs import look_at, network_input
from napari_segnet.widgets.review.store import reviews
from napari_segnet.widgets.review.table import COLUMNS, ItemsModel

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["ReviewPanel"]

OWN, NONE = "own", "none"
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
LEAST, MOST, USUAL = 1 / 25, 1 / 2.5, 1 / 8
"""Part of the canvas that an object should fill: between these the zoom stays as it is."""


class ReviewPanel(QWidget):
    """A queue of objects, with keys to go through it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The Labels layer that is selected, or was last, is reviewed.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_review_panel")
        self.viewer: napari.viewer.Viewer = unwrapped(viewer)
        self.reviews = reviews(self.viewer)
        self.layer: napari.layers.Labels | None = None
        self.model = ItemsModel(self)
        self._tables: weakref.WeakKeyDictionary[Any, Items] = weakref.WeakKeyDictionary()
        self._asked: weakref.ref[Any] | None = None
        self._touched: list[tuple[Any, Any]] = []
        self._bound: list[str] = []
        self._runner = JobRunner(self)
        self._build()
        self._connect()
        self._follow_layers()

    # ---- What it looks like ----

    def _build(self) -> None:
        self.name = QLabel()
        self.name.setObjectName("segnet_review_layer")
        self.name.setWordWrap(True)
        self.network = QComboBox()
        self.network.setObjectName("segnet_review_network")
        self.network.setToolTip("Which network says what is doubtful")
        self.network.setMinimumContentsLength(10)
        self.network.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.flips = QCheckBox("flips")
        self.flips.setObjectName("segnet_review_flips")
        self.flips.setToolTip(
            "Also run the network on the image turned over, and doubt what it then sees "
            "differently: takes three times as long"
        )
        self.run_box = RunBox("Find doubtful objects")
        self.run_box.button.setObjectName("segnet_review_run")
        self.message = MessageBar()
        self.said = QLabel()
        self.said.setObjectName("segnet_review_said")
        self.said.setWordWrap(True)
        self.said.setEnabled(False)
        self.table = QTableView()
        self.table.setObjectName("segnet_review_table")
        self.table.setModel(self.model)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.setSortingEnabled(True)
        self.table.setMinimumHeight(150)
        rows, head = self.table.verticalHeader(), self.table.horizontalHeader()
        assert rows is not None and head is not None
        rows.hide()
        rows.setDefaultSectionSize(22)
        head.setSortIndicator(COLUMNS.index("doubt"), Qt.SortOrder.DescendingOrder)
        head.setMinimumSectionSize(30)
        for column, width in enumerate((64, 56, 46, 50, 52, 70)):
            self.table.setColumnWidth(column, width)
        head.setSectionResizeMode(len(COLUMNS) - 1, QHeaderView.ResizeMode.Stretch)
        self.bar = QProgressBar()
        self.bar.setObjectName("segnet_review_bar")
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(8)
        self.progress = QLabel()
        self.progress.setObjectName("segnet_review_progress")
        chosen = QHBoxLayout()
        chosen.addWidget(self.network, 1)
        chosen.addWidget(self.flips)
        layout = QVBoxLayout(self)
        layout.addWidget(self.name)
        layout.addLayout(chosen)
        layout.addWidget(self.run_box)
        layout.addWidget(self.message)
        layout.addWidget(self.said)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.bar)
        layout.addWidget(self.progress)
        layout.addLayout(self._button_grid())

    def _button_grid(self) -> QGridLayout:
        texts: dict[str, tuple[str, str, str]] = {
            "accept": ("Accept", "O", "This object is right (or: nothing lacks here); go on"),
            "fix": ("To fix", "J", "Mark it as wrong and stay; where one lacks, add it"),
            "delete": ("Delete", "Del", "Take this object away and go on"),
            "previous": ("Back", "⇧N", "Back to the object before"),
            "next": ("Next", "N", "Go to the next object that was not looked at"),
            "lock": ("Lock", "", "Its pixels never change; press again to unlock"),
            "region": (
                "Box is right",
                "",
                "All that lies in the selected rectangle of a Shapes layer was looked at, "
                "on this plane",
            ),
            "undo": ("Unsay", "U", "Take back what was said last in the review; strokes stay"),
            "redo": ("Say again", "⇧U", "Redo what was taken back in the review"),
        }
        grid, self.buttons = QGridLayout(), dict[str, QPushButton]()
        for place, (name, (text, key, tip)) in enumerate(texts.items()):
            button = QPushButton(f"{text}  ({key})" if key else text)
            button.setObjectName(f"segnet_review_{name}")
            button.setToolTip(tip)
            button.clicked.connect(getattr(self, name))
            self.buttons[name] = button
            grid.addWidget(button, place // 3, place % 3)
        return grid

    def _connect(self) -> None:
        self.run_box.run.connect(self.run)
        self.run_box.cancel.connect(self._runner.cancel)
        self._runner.progressed.connect(self.run_box.show_progress)
        self._runner.succeeded.connect(self._found)
        self._runner.failed.connect(self._failed)
        self._runner.cancelled.connect(lambda: self.run_box.end("Stopped."))
        chosen = self.table.selectionModel()
        assert chosen is not None
        chosen.currentRowChanged.connect(self._row_chosen)
        self.reviews.changed.connect(self._review_changed)
        self.reviews.touched.connect(self._pixels_changed)
        layers = self.viewer.layers
        events = (layers.events.inserted, layers.events.removed, layers.selection.events.active)
        listen(self, events, self._follow_layers)
        self._runner.end_with(self)

    # ---- The layer ----

    def _follow_layers(self, event: object = None) -> None:
        """Review the selected Labels layer; an image that is selected changes nothing."""
        from napari.layers import Labels

        active = self.viewer.layers.selection.active
        layer = active if isinstance(active, Labels) else self.layer
        if layer is None or layer not in self.viewer.layers:
            found = labels_in(self.viewer.layers)
            layer = found[-1] if found else None
        if layer is not self.layer or layer is None:
            self.layer = layer
            self._show_layer()
        self._list_networks()

    def _show_layer(self) -> None:
        layer = self.layer
        items = self._tables.get(layer) if layer is not None else None
        if layer is None or items is None:
            self.model.show(ItemsModel().items, Review())
        else:
            self.model.class_names = record_of(layer).class_names
            self.model.show(items, self.reviews.of(layer))
        shown = self.model.items
        self.table.setColumnHidden(COLUMNS.index("class"), not shown.classes.any())
        self.table.setColumnHidden(COLUMNS.index("score"), bool(np.isnan(shown.scores).all()))
        self.name.setText(
            "Select a Labels layer to review." if layer is None else f"Review of “{layer.name}”"
        )
        self._show_progress()

    def _list_networks(self) -> None:
        current = self.network.currentData()
        key = self._own_key()
        choices: dict[str, str] = {}
        if key:
            choices[OWN] = "the network that made them"
        choices |= {name: f"{name} (built in)" for name in builtin_models()}
        choices |= {str(path): path.name for path in recent_networks()}
        choices[NONE] = "no network: only by size"
        if [self.network.itemData(i) for i in range(self.network.count())] == list(choices):
            return
        self.network.clear()
        for value, text in choices.items():
            self.network.addItem(text, value)
        self.network.setCurrentIndex(max(0, self.network.findData(OWN if key else current)))

    def _own_key(self) -> str:
        """Return the key of the answer that the labels were made of, if that is still kept."""
        key = record_of(self.layer).key if self.layer is not None else ""
        return key if key and cache.predictions.recall(key) is not None else ""

    # ---- Finding doubts ----

    def run(self) -> None:
        """Find out what is doubtful in the layer."""
        self.message.hide()
        layer = self.layer
        if layer is None:
            self.message.fail(SegnetError("Select a Labels layer first: it is what is reviewed."))
            return
        choice = str(self.network.currentData())
        try:
            given = network_input(layer, self.viewer, choice not in (OWN, NONE))
        except SegnetError as error:
            self.message.fail(error)
            return
        self._asked, self._touched = weakref.ref(layer), []
        self.run_box.begin()
        key = self._own_key() if choice == OWN else ""
        network = "" if choice in (OWN, NONE) else choice
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
            self.said.setText(f"Doubt: {items.said}.")
            self.next()

    def _failed(self, error: BaseException) -> None:
        self.run_box.end()
        self.message.fail(error)

    # ---- Going through ----

    def current(self) -> int | None:
        """Return the row of the table that is looked at."""
        row = self.table.currentIndex().row()
        return row if 0 <= row < self.model.rowCount() else None

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
                self.message.say("Everything was looked at.")
            return
        self.select(found)

    def select(self, row: int) -> None:
        """Look at a row of the table."""
        flags = QItemSelectionModel.SelectionFlag
        chosen = self.table.selectionModel()
        assert chosen is not None
        index = self.model.index(row, 0)
        chosen.setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
        self.table.scrollTo(index)

    def _row_chosen(self, now: Any, before: Any = None) -> None:
        if now.isValid() and self.layer is not None:
            row = int(self.model.order[now.row()])
            label = int(self.model.items.ids[row])
            if label > 0:
                self.layer.selected_label = label
            look_there(self.viewer, self.layer, self.model.items.box(row))
            why = self.model.items.why[row]
            self.progress.setToolTip(why)
            self._show_progress(why)

    def _chosen(self) -> list[int]:
        """Return the labels of the selected rows."""
        chosen = self.table.selectionModel()
        rows = sorted({index.row() for index in chosen.selectedRows()}) if chosen else []
        return [self.model.label(row) for row in rows]

    # ---- Saying ----

    def accept(self) -> None:
        """Say that the selected objects are right; go on."""
        labels = self._chosen()
        if self.layer is None or not labels:
            return
        review = self.reviews.of(self.layer)
        review = review.with_state([i for i in labels if i > 0], State.ACCEPTED)
        for label in labels:
            if label < 0:
                review = review.with_dismissed(self._middle(label))
        self.reviews.change(self.layer, review, f"accepted {_named(labels)}")
        self.next()

    def fix(self) -> None:
        """Mark the selected objects as wrong; add one that lacks."""
        labels = self._chosen()
        if self.layer is None or not labels:
            return
        lacking = [label for label in labels if label < 0]
        for label in lacking:
            self._add(label)
        wrong = [label for label in labels if label > 0]
        if wrong:
            review = self.reviews.of(self.layer).with_state(wrong, State.WRONG)
            self.reviews.change(self.layer, review, f"to fix: {_named(wrong)}")
        elif lacking:
            self.next()

    def delete(self) -> None:
        """Take the selected objects away; go on. Locked ones stay."""
        layer = self.layer
        if layer is None:
            return
        locked = self.reviews.of(layer).locked
        labels = [label for label in self._chosen() if label > 0]
        free = [label for label in labels if label not in locked]
        if len(free) < len(labels):
            self.message.say("Locked objects stay. Unlock them first.")
        row = self.current()
        if not free or row is None:
            return
        items, order = self.model.items, self.model.order
        boxes = {label: items.box(int(order[self.model.row_of(label)])) for label in free}
        try:
            edits = [delete(layer.data, [label], box=boxes[label]) for label in free]
            # The box holds all of an object, so nothing of it is left.
            apply_edit(layer, edits, rows=dict.fromkeys(free))
        except EditError as error:
            self.message.fail(error)
            return
        self._go_from(row - 1)

    def _go_from(self, row: int) -> None:
        found = self.model.next_row(row)
        if found >= 0:
            self.select(found)

    def lock(self) -> None:
        """Lock the selected objects, or unlock them if all are locked."""
        labels = [label for label in self._chosen() if label > 0]
        if self.layer is None or not labels:
            return
        review = self.reviews.of(self.layer)
        if set(labels) <= review.locked:
            self.reviews.change(self.layer, review.with_unlocked(labels), "unlocked")
        else:
            self.reviews.change(self.layer, review.with_locked(labels), "locked")

    def region(self) -> None:
        """Say that all in the selected rectangle was looked at, on the plane that is shown."""
        from napari_segnet.widgets.review.jobs import rectangle_of

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
            self.message.say("There is nothing to take back in the review.")

    def redo(self) -> None:
        """Say again what was taken back."""
        if self.layer is not None and not self.reviews.redo(self.layer):
            self.message.say("There is nothing to do again in the review.")

    def _middle(self, label: int) -> tuple[int, ...]:
        """Return a pixel of an object that lacks."""
        row = self.model.items.row_of(label)
        assert row is not None
        shape = np.argwhere(self.model.items.shapes[label])
        at = shape[len(shape) // 2] + self.model.items.first[row]
        return tuple(int(n) for n in at)

    def _add(self, label: int) -> None:
        """Add an object as the network sees it, where no other one is."""
        layer, row = self.layer, self.model.items.row_of(label)
        if layer is None or row is None:
            return
        items = self.model.items
        box, shape = items.box(row), items.shapes[label]
        if not (shape & (np.asarray(layer.data[box]) == 0)).any():
            self.message.say("There is an object by now.")
            return
        dismissed = self._middle(label)
        editing_of(layer).know_ids(int(items.ids.max(initial=0)))  # of all objects that there are
        try:
            fresh = next_id(layer)
            apply_edit(layer, new_object(layer.data, fresh, box, shape))
        except EditError as error:
            self.message.fail(error)
            return
        review = self.reviews.of(layer).with_dismissed(dismissed)
        self.reviews.change(layer, review, f"added {fresh}")

    # ---- What changes ----

    def _review_changed(self, layer: Any) -> None:
        if layer is self.layer:
            self.model.say(self.reviews.of(layer))
            self._show_progress()

    def _pixels_changed(self, layer: Any, ids: Any, box: Any) -> None:
        if self._asked is not None and layer is self._asked() and self._runner.busy:
            self._touched.append((ids, box))
        items = self._tables.get(layer)
        if items is None:
            return
        items = self._tables[layer] = remeasured(items, layer.data, ids, box)
        if layer is self.layer:
            row = self.current()
            label = None if row is None else self.model.label(row)
            self.model.follow(items, self.reviews.of(layer))
            again = -1 if label is None else self.model.row_of(label)
            if again >= 0:
                chosen = self.table.selectionModel()
                assert chosen is not None
                flags = QItemSelectionModel.SelectionFlag
                chosen.blockSignals(True)
                chosen.setCurrentIndex(
                    self.model.index(again, 0), flags.ClearAndSelect | flags.Rows
                )
                chosen.blockSignals(False)
            self._show_progress()

    def _show_progress(self, why: str = "") -> None:
        done, total = self.model.progress()
        self.bar.setRange(0, max(total, 1))
        self.bar.setValue(done)
        words = f"{done} of {total} looked at" if total else ""
        self.progress.setText(f"{words} · {why}" if why else words)

    # ---- Keys ----

    def showEvent(self, event: QShowEvent | None) -> None:
        """Let the keys act while the tab is seen."""
        super().showEvent(event)
        self._list_networks()
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
        from napari.utils.key_bindings import coerce_keybinding

        for key, name in KEYS.items():
            if key not in self._bound and coerce_keybinding(key) not in self.viewer.keymap:
                self.viewer.bind_key(key, _presser(weakref.WeakMethod(getattr(self, name))))
                self._bound.append(key)

    def unbind_keys(self) -> None:
        """Give the keys back."""
        for key in self._bound:
            self.viewer.bind_key(key, None, overwrite=True)
        self._bound.clear()


def look_there(
    viewer: napari.viewer.Viewer, layer: napari.layers.Labels, box: tuple[slice, ...]
) -> None:
    """Bring a box of a layer to the middle of the canvas, on its plane, large enough to see."""
    low = np.array([part.start for part in box], float) - 0.5
    high = np.array([part.stop for part in box], float) - 0.5
    ends = np.array([layer.data_to_world(p) for p in (low, high, (low + high) / 2)])
    first = viewer.dims.ndim - layer.ndim
    shown = [axis - first for axis in viewer.dims.displayed if axis >= first]
    for axis in range(layer.ndim):
        if axis not in shown:
            viewer.dims.set_point(axis + first, float(ends[2, axis]))
    camera = viewer.scene.camera
    center = list(camera.center)
    center[-len(shown) :] = [float(ends[2, axis]) for axis in shown]
    camera.center = tuple(center)
    extent = np.abs(ends[1] - ends[0])[shown[-2:]]
    fills = float((extent * camera.zoom / np.array(viewer.canvas.size, float)).max())
    if fills > 0 and not LEAST <= fills <= MOST:
        camera.zoom *= USUAL / fills


def _named(labels: list[int]) -> str:
    words = ", ".join(str(label) for label in labels[:5] if label > 0)
    return words + (" …" if len(labels) > 5 else "") or "a place without an object"


def _presser(method: weakref.WeakMethod[Any]) -> Callable[[Any], None]:
    """Return a function for a key; napari asks for its ``__name__``."""

    def pressed(viewer: Any) -> None:
        do = method()
        if do is not None:
            do()

    return pressed

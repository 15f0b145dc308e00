"""The tab "Edit" of the Correct dock: buttons, keys and mouse for every correction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod, ref

import numpy as np
from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.correct import (
    Edit,
    Places,
    at_border,
    delete_each,
    find_places,
    ids_along,
    scored_below,
    smaller_than,
)
from napari_segnet.errors import EditError
from napari_segnet.widgets.correct.edit_tools import ACTS, Act, Points, Wishes
from napari_segnet.widgets.correct.mouse_tool import Tool
from napari_segnet.widgets.correct.pointer import View, labels_in_front, view_of
from napari_segnet.widgets.layers.editing import (
    apply_edit,
    editing_of,
    locked_ids,
    next_id,
)
from napari_segnet.widgets.layers.features import classes_of, scores_of
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.record import record_of, update
from napari_segnet.widgets.layers.subject import axes_of
from napari_segnet.widgets.qt.collapsible import Section
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.listen import listen
from napari_segnet.widgets.qt.message_bar import MessageBar
from napari_segnet.widgets.qt.scroll_column import Column
from napari_segnet.widgets.review.store import reviews

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["EditPanel"]

CALM_MS = 400
"""How long labels must have stayed the same (sliders replace them) before they are looked
through."""
IDLE = (
    "Point at an object and press a key, or press a button and use the mouse. <i>Ctrl+Z</i> "
    "undoes, <i>Ctrl+Shift+Z</i> redoes."
)
COLUMNS = 2
HINT_PX = 64
"""Three lines, or a message of two: nothing below moves when the words change."""


class EditPanel(QWidget):
    """Corrects the Labels layer that is selected (else the topmost).

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its layers are the only state.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_edit_panel")
        self.viewer: Any = unwrapped(viewer)
        self.tool = Tool(self.viewer, self)
        self.buttons: dict[str, QPushButton] = {}
        self._pending: list[int] = []
        """What was clicked for a merge and has no partner yet."""
        self._bound: list[str] = []
        self._layer: Callable[[], Any] = lambda: None
        self._looker = JobRunner(self)
        self._calm = QTimer(self)
        self._calm.setSingleShot(True)
        self._calm.setInterval(CALM_MS)
        self._build()
        self._connect()
        self._follow_layers()

    # ---- What it looks like ----

    def _build(self) -> None:
        self.subject = QLabel()
        self.subject.setObjectName("segnet_edit_subject")
        self.subject.setWordWrap(True)
        self.hint = QLabel(IDLE)
        self.hint.setObjectName("segnet_edit_hint")
        self.hint.setWordWrap(True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.said = QLabel()
        self.said.setObjectName("segnet_edit_said")
        self.said.setWordWrap(True)
        self.message = MessageBar()
        self.message.installEventFilter(self)
        self.undo = _button("Undo", "segnet_undo", "Take back what was done last (Ctrl+Z)")
        self.redo = _button("Redo", "segnet_redo", "Do again what was taken back (Ctrl+Shift+Z)")
        self.by_px = QDoubleSpinBox()
        self.by_px.setObjectName("segnet_by_px")
        self.by_px.setRange(0.5, 50)
        self.by_px.setSingleStep(0.5)
        self.by_px.setDecimals(1)
        self.by_px.setValue(1)
        self.by_px.setSuffix(" px")
        self.by_px.setToolTip("How far objects grow, shrink, and are smoothed")
        self.classes = QComboBox()
        self.classes.setObjectName("segnet_classes")
        self.classes.setEditable(True)
        self.classes.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.classes.setMinimumContentsLength(6)
        self.classes.setToolTip("The class to give; type a name for a new one")
        self.one_plane = QCheckBox("only in the slice shown")
        self.one_plane.setObjectName("segnet_one_plane")
        self.one_plane.setToolTip(
            "Edits stay in the slice that is shown; otherwise they reach through all slices of an "
            "object"
        )
        self.groups = {name: QGroupBox(name) for name in dict.fromkeys(a.group for a in ACTS)}
        for name, box in self.groups.items():
            self._fill_group(name, box)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        words = QWidget()
        words.setMinimumHeight(HINT_PX)
        inside = QVBoxLayout(words)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.hint)
        inside.addWidget(self.message)
        inside.addStretch(1)
        steps = _row(self.undo, self.redo)
        layout.addWidget(
            Column(
                self.subject,
                words,
                steps,
                self.said,
                *self.groups.values(),
                self._many(),
            )
        )

    def _fill_group(self, name: str, box: QGroupBox) -> None:
        grid = QGridLayout(box)
        grid.setContentsMargins(6, 6, 6, 6)
        grid.setSpacing(4)
        cells: list[QWidget] = [self._button_of(act) for act in ACTS if act.group == name]
        if name == "Shape":
            grid.addWidget(_row(QLabel("by"), self.by_px), 0, 0, 1, COLUMNS)
        elif name == "Class":
            cells.insert(0, self.classes)
        elif name == "Slices":
            grid.addWidget(self.one_plane, 0, 0, 1, COLUMNS)
        first = grid.rowCount() if grid.count() else 0
        for number, cell in enumerate(cells):
            grid.addWidget(cell, first + number // COLUMNS, number % COLUMNS)

    def _button_of(self, act: Act) -> QPushButton:
        name = act.name.replace(" ", "_")
        button = _button(f"{act.title}  ({act.shown_key})", f"segnet_act_{name}", act.tip)
        button.setCheckable(True)
        shown = act.key.replace("-", "+")
        at_once = "at once" if act.drawn == "objects" else "too"
        button.setToolTip(f"{act.tip}.\nKey {shown} does it {at_once}; Esc ends it.")
        button.clicked.connect(partial(self._pressed, act))
        self.buttons[act.name] = button
        return button

    def _many(self) -> Section:
        self.least_px = QSpinBox()
        self.least_px.setObjectName("segnet_least_px")
        self.least_px.setRange(2, 1_000_000)
        self.least_px.setValue(30)
        self.least_px.setSuffix(" px")
        self.least_score = QDoubleSpinBox()
        self.least_score.setObjectName("segnet_least_score")
        self.least_score.setRange(0, 1)
        self.least_score.setSingleStep(0.05)
        self.least_score.setValue(0.5)
        self.delete_small = _button("Delete", "segnet_delete_small", "Delete all that are smaller")
        self.delete_border = _button(
            "Delete", "segnet_delete_border", "Delete all that the image's edge cuts"
        )
        self.delete_scored = _button(
            "Delete", "segnet_delete_scored", "Delete all of which the network is less sure"
        )
        inside = QWidget()
        grid = QGridLayout(inside)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(0, 1)
        rows: list[tuple[str, QWidget | None, QPushButton]] = [
            ("smaller than", self.least_px, self.delete_small),
            ("score below", self.least_score, self.delete_scored),
            ("at the image's edge", None, self.delete_border),
        ]
        for number, (words, box, button) in enumerate(rows):
            grid.addWidget(QLabel(words), number, 0)
            if box is not None:
                grid.addWidget(box, number, 1)
            grid.addWidget(button, number, 2)
        self.many = Section("Delete many", inside)
        self.many.setObjectName("segnet_delete_many")
        return self.many

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Let a message take the place of the hint: the buttons stay where they are."""
        if event is not None and watched is self.message:
            if event.type() == QEvent.Type.ShowToParent:
                self.hint.hide()
            elif event.type() == QEvent.Type.HideToParent:
                self.hint.show()
        return False

    # ---- Following the viewer ----

    def _connect(self) -> None:
        self.undo.clicked.connect(self._undo)
        self.redo.clicked.connect(self._redo)
        self.delete_small.clicked.connect(self._delete_small)
        self.delete_border.clicked.connect(self._delete_border)
        self.delete_scored.clicked.connect(self._delete_scored)
        self.tool.drawn.connect(self._drawn)
        self.tool.ended.connect(self._tool_ended)
        self._calm.timeout.connect(self._look_for_places)
        self._looker.succeeded.connect(self._found)
        self._looker.failed.connect(self.message.fail)
        layers = self.viewer.layers
        events = (layers.events.inserted, layers.events.removed, layers.selection.events.active)
        listen(self, events, self._follow_layers)
        listen(self, [layers.events.renamed], self._renamed)
        self._looker.end_with(self)

    @property
    def layer(self) -> napari.layers.Labels | None:
        """The layer that is corrected."""
        layer: napari.layers.Labels | None = self._layer()
        return layer

    def _follow_layers(self, event: object = None) -> None:
        before, now = self.layer, labels_in_front(self.viewer)
        if now is not before:
            if before is not None:
                before.events.data.disconnect(self._replaced)
                before.events.metadata.disconnect(self._list_classes)
                before.events.selected_label.disconnect(self._keep_ids_new)
            self._layer = ref(now) if now is not None else lambda: None
            if now is not None:
                now.events.data.connect(self._replaced)
                now.events.metadata.connect(self._list_classes)
                now.events.selected_label.connect(self._keep_ids_new)
            self._pending = []
            self._list_classes()
            self._look_for_places()
        self._renamed()

    def _renamed(self, event: object = None) -> None:
        layer = self.layer
        for button in (*self.buttons.values(), self.undo, self.redo):
            button.setEnabled(layer is not None)
        self.many.setEnabled(layer is not None)
        if layer is None:
            self.subject.setText(
                "There are no labels to correct. Segment an image, or add a Labels layer."
            )
        else:
            self.subject.setText(f"Correcting “{layer.name}”")
        self.groups["Slices"].setVisible(layer is not None and layer.ndim > 2)

    def _keep_ids_new(self, event: object = None) -> None:
        """Let a new label be one that never was: napari offers the highest one plus one.

        That may be the number of an object that was deleted.
        """
        layer = self.layer
        if layer is None or not isinstance(layer.data, np.ndarray):
            return
        wished, kept = int(layer.selected_label), editing_of(layer)
        if kept.places is None or wished == 0 or not kept.is_gone(wished):
            return
        if wished > int(layer.data.max(initial=0)):
            layer.selected_label = next_id(layer)

    def _list_classes(self, event: object = None) -> None:
        text = self.classes.currentText()
        layer = self.layer
        with QSignalBlocker(self.classes):
            self.classes.clear()
            names = _class_names(layer) if layer is not None else ["background", "class 1"]
            self.classes.addItems(names[1:])
            at = self.classes.findText(text)
            self.classes.setCurrentIndex(max(at, 0))

    # ---- Where objects lie ----

    def _replaced(self, event: object = None) -> None:
        self._calm.start()

    def _look_for_places(self) -> None:
        layer = self.layer
        self._looker.cancel()
        if layer is None or layer.multiscale or editing_of(layer).places is not None:
            return
        data = editing_of(layer).begin_looking()
        self._looking_at = ref(layer), data
        self._looker.start(partial(find_places, data))

    def _found(self, places: Places) -> None:
        reference, data = self._looking_at
        layer = reference()
        if layer is not None:
            editing_of(layer).found(data, places)

    def _finish_looking(self, layer: napari.layers.Labels) -> None:
        """Look through labels of usual size now, if that has not ended by itself."""
        if editing_of(layer).look_now():
            self._looker.cancel()

    # ---- Keys ----

    def bind_keys(self) -> None:
        """Let the keys act; those that another plugin has taken stay with it.

        They are keys of the viewer: every key of the selected layer goes before them.
        """
        for act in ACTS:
            if _taken(self.viewer, act.key) or act.key in self._bound:
                continue
            self.viewer.bind_key(act.key, _presser(WeakMethod(self.key), act.name))
            self._bound.append(act.key)

    def unbind_keys(self) -> None:
        """Give the keys back, and put the tool away."""
        self.tool.put_away()
        for key in self._bound:
            self.viewer.bind_key(key, None, overwrite=True)
        self._bound.clear()

    def key(self, name: str) -> None:
        """Do what a key stands for: an act at once on what is pointed at, or begin to draw.

        With the pointer off the canvas nothing is pointed at: the key is as good as its button.
        """
        act = next(a for a in ACTS if a.name == name)
        layer = self.layer
        if layer is None:
            return
        if act.drawn != "objects" or not self.viewer.mouse_over_canvas:
            if act.drawn == "clicks" and self.tool.act is act:
                self.tool.complete()
            else:
                self._toggle(act)
            return
        position = np.asarray(self.viewer.cursor.position)[-layer.ndim :]
        point = np.asarray(layer.world_to_data(position), float)
        self._try(act, point[np.newaxis])

    # ---- Buttons and mouse ----

    def _pressed(self, act: Act, checked: bool = False) -> None:
        self._toggle(act)

    def _toggle(self, act: Act) -> None:
        again, layer = self.tool.act is act, self.layer
        self.tool.put_away()
        if again or layer is None:
            return
        try:
            self._view(layer)
        except EditError as error:
            self._refuse(error)
            self.buttons[act.name].setChecked(False)
            return
        self.message.hide()
        self.tool.take(act, layer)
        self.buttons[act.name].setChecked(True)
        self._tell_hint(act.hint)

    def _tool_ended(self) -> None:
        self._pending = []
        for button in self.buttons.values():
            button.setChecked(False)
        self.hint.setText(IDLE)

    def _drawn(self, points: Points) -> None:
        act = self.tool.act
        if act is None:
            return
        if act.drawn == "path" and not self._has_partner(points):
            return
        self._try(act, points)

    def _has_partner(self, points: Points) -> bool:
        """Remember a first click; tell if there is what it is to be merged with."""
        layer = self.layer
        assert layer is not None  # a tool is at work
        ids = _unique(ids_along(layer.data, points))
        self._pending = _unique([*self._pending, *ids])
        if len(self._pending) > 1:
            return True
        if self._pending:
            self._tell_hint(
                f"Now click what belongs to object {self._pending[0]}, or drag over it."
            )
        return False

    def _try(self, act: Act, points: Points) -> None:
        """Do an act; say what came of it, or why not."""
        layer = self.layer
        if layer is None:
            return
        try:
            self._finish_looking(layer)
            view = self._view(layer)
            ids = self._pending or (_unique(ids_along(view.labels, points)) if len(points) else [])
            said = self._do(act, view, ids, points)
        except EditError as error:
            self._refuse(error)
            return
        finally:
            self._pending = []
        self.message.hide()
        self.said.setText(f"Done: {said}")
        if self.tool.act is act:
            self._tell_hint(act.hint)

    def _do(self, act: Act, view: View, ids: Sequence[int], points: Points) -> str:
        if act.make is None:
            return self._lock(view, ids)
        edit = act.make(view, ids, points, self._wishes(view))
        apply_edit(view.layer, edit)
        if act.name == "new":  # so that the brush goes on with it
            view.layer.selected_label = int(edit.after.max())
        elif act.group == "Slices" and act.name.startswith("copy"):
            self._go(view, edit)
        return edit.what

    def _go(self, view: View, edit: Edit) -> None:
        """Show the slice that was copied to."""
        axis = view.across
        assert axis is not None  # else nothing was copied
        world = self.viewer.dims.ndim - view.layer.ndim + axis
        step = self.viewer.dims.current_step[world] + edit.where[axis].start - view.at[axis]
        self.viewer.dims.set_current_step(world, step)

    def _wishes(self, view: View) -> Wishes:
        return Wishes(by_px=self.by_px.value(), new_class=self._chosen_class(view.layer))

    def _chosen_class(self, layer: napari.layers.Labels) -> int:
        """Return the number of the class that is chosen; a new name gets the next one."""
        names, text = _class_names(layer), self.classes.currentText().strip()
        if text and text not in names[1:]:
            names.append(text)
            update(layer, class_names=tuple(names))
            self._list_classes()
            self.classes.setCurrentText(text)
        return names.index(text, 1) if text else 1

    def _view(self, layer: napari.layers.Labels) -> View:
        return view_of(self.viewer, layer, layer.ndim > 2 and self.one_plane.isChecked())

    def _refuse(self, error: EditError) -> None:
        self.said.setText("")
        self.message.fail(error)

    def _tell_hint(self, text: str) -> None:
        self.hint.setText(f"<b>{text}</b> <i>Esc</i> ends this.")

    # ---- Steps, and many at once ----

    def _undo(self) -> None:
        if self.layer is not None:
            self.layer.undo()
            self.said.setText("")

    def _redo(self) -> None:
        if self.layer is not None:
            self.layer.redo()
            self.said.setText("")

    def _delete_small(self) -> None:
        least = self.least_px.value()
        self._delete_many(lambda layer, places: smaller_than(layer.data, least, places))

    def _delete_border(self) -> None:
        layers = self.viewer.layers

        def at_edge(layer: napari.layers.Labels, places: Places) -> list[int]:
            letters = axes_of(layer, layers)
            return at_border(layer.data, [letters.index(a) for a in "yx" if a in letters])

        self._delete_many(at_edge)

    def _delete_scored(self) -> None:
        least = self.least_score.value()
        self._delete_many(lambda layer, places: scored_below(scores_of(layer), least))

    def _delete_many(self, choose: Callable[[Any, Places], list[int]]) -> None:
        layer = self.layer
        if layer is None:
            return
        try:
            self._finish_looking(layer)
            self._view(layer)
            places = editing_of(layer).places
            if places is None:
                editing_of(layer).box([1])  # raises: it is not known yet
            assert places is not None
            # A row of the table may be of an object that a brush has painted over.
            gone = editing_of(layer).is_gone
            chosen = [one for one in choose(layer, places) if places.box([one]) and not gone(one)]
            edits = delete_each(layer.data, chosen, places, locked=locked_ids(layer))
            apply_edit(layer, edits)
        except EditError as error:
            self._refuse(error)
            return
        self.message.hide()
        count = len(edits)
        self.said.setText(f"Done: deleted {count} object{'' if count == 1 else 's'}")

    def _lock(self, view: View, ids: Sequence[int]) -> str:
        """Lock objects, or unlock them if all are; as a review, so that the journal has it."""
        if not ids:
            raise EditError("There is no object here, only background. Point at an object.")
        kept, release = reviews(self.viewer), set(ids) <= view.locked
        before = kept.of(view.layer)
        after = before.with_unlocked(ids) if release else before.with_locked(ids)
        word = "unlocked" if release else "locked"
        said = f"{word} {', '.join(map(str, ids))}"
        kept.change(view.layer, after, said)
        return said


def _class_names(layer: napari.layers.Labels) -> list[str]:
    """Return the names of classes, background first; numbers where they have none."""
    names = list(record_of(layer).class_names) or ["background"]
    most = max([1, *classes_of(layer).values()])
    return names + [f"class {n}" for n in range(len(names), most + 1)]


def _unique(ids: Sequence[int]) -> list[int]:
    return [one for one in dict.fromkeys(ids) if one]


def _taken(viewer: Any, key: str) -> bool:
    from napari.utils.key_bindings import coerce_keybinding

    return coerce_keybinding(key) in viewer.keymap


def _presser(method: WeakMethod[Any], name: str) -> Callable[[Any], None]:
    """Return a function for a key; napari asks for its ``__name__``."""

    def pressed(viewer: Any) -> None:
        do = method()
        if do is not None:
            do(name)

    return pressed


def _button(text: str, name: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return button


def _row(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget, 0 if isinstance(widget, QLabel) else 1)
    return row

"""The tab "Edit" of the Correct dock: buttons, keys and mouse for every correction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QWidget,
)

from napari_segnet.correct import (
    Edit,
    Places,
    delete_each,
    find_places,
    ids_along,
)
from napari_segnet.errors import EditError
from napari_segnet.widgets.correct.edit_form import IDLE, EditForm
from napari_segnet.widgets.correct.edit_tools import ACTS, Act, Points, Wishes
from napari_segnet.widgets.correct.lock_marks import LockMarks
from napari_segnet.widgets.correct.mouse_tool import Tool
from napari_segnet.widgets.correct.pointer import View, labels_in_front, view_of
from napari_segnet.widgets.layers.editing import (
    apply_edit,
    editing_of,
    locked_ids,
    next_id,
)
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.keys import ViewerKeys
from napari_segnet.widgets.qt.listen import listen
from napari_segnet.widgets.recovery.reviews import reviews

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["EditPanel"]

CALM_MS = 400
"""How long labels must have stayed the same (sliders replace them) before they are looked
through."""


class EditPanel(EditForm):
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
        self._pending: list[int] = []
        """What was clicked for a merge and has no partner yet."""
        self._keys = ViewerKeys(self.viewer)
        self._layer: Callable[[], Any] = lambda: None
        self._looker = JobRunner(self)
        self._calm = QTimer(self)
        self._calm.setSingleShot(True)
        self._calm.setInterval(CALM_MS)
        self.locks = LockMarks(self.viewer, self)
        self._connect()
        self._follow_layers()

    # ---- Following the viewer ----

    def _connect(self) -> None:
        self.undo.clicked.connect(self._undo)
        self.redo.clicked.connect(self._redo)
        self.pressed.connect(self._toggle)
        self.many.wanted.connect(self._delete_many)
        self.tool.drawn.connect(self._drawn)
        self.tool.ended.connect(self._tool_ended)
        self._calm.timeout.connect(self._look_for_places)
        self._looker.succeeded.connect(self._found)
        self._looker.failed.connect(self.message.fail)
        layers = self.viewer.layers
        changes = layers.events.inserted, layers.events.removed, layers.selection.events.active
        listen(self, changes, self._follow_layers)
        listen(self, (layers.events.renamed,), self._renamed)
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
            self.message.outdated()
            self.locks.follow()
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
        self.classes.show_classes(self.layer)

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
        if (layer := reference()) is not None:
            editing_of(layer).found(data, places)
            self.locks.follow()

    def _finish_looking(self, layer: napari.layers.Labels) -> None:
        """Look through labels of usual size now, if that has not ended by itself."""
        if editing_of(layer).look_now():
            self._looker.cancel()

    # ---- Keys ----

    def bind_keys(self) -> None:
        """Let the keys act; those that another plugin has taken stay with it."""
        for act in ACTS:
            self._keys.bind(act.key, self.key, act.name)

    def unbind_keys(self) -> None:
        """Give the keys back, and put the tool away."""
        self.tool.put_away()
        self._keys.release()

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
                f"Now click the parts that belong to object {self._pending[0]}, or drag over them."
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
        return Wishes(by_px=self.by_px.value(), new_class=self.classes.chosen(view.layer))

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

    def _delete_many(self, choose: Callable[[Any, Places, Any], list[int]]) -> None:
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
            ids = choose(layer, places, self.viewer.layers)
            chosen = [one for one in ids if places.box([one]) and not gone(one)]
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
            raise EditError("There is only background here. Point at an object.")
        kept, release = reviews(self.viewer), set(ids) <= view.locked
        before = kept.of(view.layer)
        after = before.with_unlocked(ids) if release else before.with_locked(ids)
        word = "unlocked" if release else "locked"
        said = f"{word} {', '.join(map(str, ids))}"
        kept.change(view.layer, after, said)
        return said


def _unique(ids: Sequence[int]) -> list[int]:
    return [one for one in dict.fromkeys(ids) if one]

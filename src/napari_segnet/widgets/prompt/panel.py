"""Ask the network: drag a box, click a place, and the object is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGridLayout, QWidget

from napari_segnet.errors import SegnetError
from napari_segnet.widgets.layers.editing import (
    check_editable,
    editing_of,
)
from napari_segnet.widgets.prompt.about import About
from napari_segnet.widgets.prompt.jobs import Listening, Reply, get_ready, put_question
from napari_segnet.widgets.prompt.objects import Wish, write_object
from napari_segnet.widgets.prompt.target import shapes_meant
from napari_segnet.widgets.prompt.tool import PromptTool
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.named import named_button, named_label

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_segnet.prompts import PromptSession

__all__ = ["PromptPanel"]

READY = "Drag a box around an object, or click it. Click a label to redraw it."
OFF = "Drag a box or click a place: the network adds the object there."


class PromptPanel(QWidget):
    """Buttons and a tool that make objects with the network's help.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its layers.
    about : callable
        A bound method that returns what is asked about, or raises a ``SegnetError``; only a
        weak reference is kept.

    Attributes
    ----------
    failed : Signal of BaseException
        What went wrong.
    began : Signal
        Something is asked: older messages no longer matter.
    """

    failed = Signal(object)
    began = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        about: Callable[[], About],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_ask")
        self._viewer = viewer
        self._about_method = WeakMethod(about)
        self._waiting: deque[Wish] = deque()
        self._now: Wish | None = None
        self._held: tuple[tuple[Any, ...], PromptSession] | None = None
        self.tool = PromptTool(viewer, self)
        self.runner = JobRunner(self)
        self._build()
        self._connect()

    def _build(self) -> None:
        self.switch = named_button(
            "Draw boxes or click",
            "segnet_ask_switch",
            "While this is on, the left mouse button prompts the network and does not move the "
            "view: drag a box around an object, or click it. The wheel still zooms.",
        )
        self.switch.setCheckable(True)
        self.again = named_button(
            "Prompt again", "segnet_ask_again", "Redraw the selected label as the network finds it"
        )
        self.shapes = named_button(
            "From Shapes",
            "segnet_ask_shapes",
            "Make an object of each selected shape (or of all) of the selected Shapes layer",
        )
        self.words = named_label("segnet_ask_words", OFF)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.switch, 0, 0, 1, 2)
        layout.addWidget(self.again, 1, 0)
        layout.addWidget(self.shapes, 1, 1)
        layout.addWidget(self.words, 2, 0, 1, 2)

    def _connect(self) -> None:
        self.switch.toggled.connect(self._switched)
        self.again.clicked.connect(self._ask_again)
        self.shapes.clicked.connect(self._ask_shapes)
        self.tool.boxed.connect(self._boxed)
        self.tool.clicked.connect(self._clicked)
        self.tool.ended.connect(partial(self.switch.setChecked, False))
        self.runner.progressed.connect(self._progressed)
        self.runner.succeeded.connect(self._answered)
        self.runner.failed.connect(self._failed)
        self.runner.finished.connect(self._next)

    def stop(self) -> None:
        """Switch the tool off and forget what is asked."""
        self._waiting.clear()
        self._held = None
        self.switch.setChecked(False)
        self.runner.cancel()

    # ---- Gestures ----

    def _about(self) -> About | None:
        """Return what is asked about; None, after a message, where that is not clear."""
        method = self._about_method()
        if method is None:
            return None
        self.began.emit()
        try:
            about: About = method()
            check_editable(about.layer)
        except SegnetError as error:
            self.failed.emit(error)
            return None
        return about

    def _switched(self, on: bool) -> None:
        if not on:
            self.tool.end()
            self.words.setText(OFF)
            return
        about = self._about()
        if about is None:
            self.switch.setChecked(False)
            return
        self.tool.begin(about.layer)
        self.words.setText(READY)
        if about.visible is not None and not self.runner.busy:
            t, z = about.plane(self._viewer.dims.point)
            self.runner.start(
                partial(get_ready, about.listening, self._responder(about), about.visible, t, z)
            )

    def _boxed(self, corners: npt.NDArray[np.float64]) -> None:
        about = self._about_tool()
        if about is not None:
            self._ask_box(about, corners)

    def _clicked(self, point: npt.NDArray[np.float64]) -> None:
        about = self._about_tool()
        if about is None:
            return
        there = about.layer.get_value(point, world=True)
        if there:
            self._ask_object(about, int(there), point)
            return
        from napari_segnet.prompts import PointPrompt

        (y, x), (t, z) = about.yx(point), about.plane(point)
        self._ask(Wish(about=about, question=PointPrompt(y=y, x=x, t=t, z=z), again=None))

    def _about_tool(self) -> About | None:
        about = self._about()
        if about is not None and self._viewer.dims.ndisplay != 2:
            self.failed.emit(
                SegnetError(
                    "A box is drawn in the 2D view. Switch to it (the button with the cube below "
                    "the list of layers), then draw again."
                )
            )
            return None
        return about

    def _ask_again(self) -> None:
        about = self._about()
        if about is not None:
            self._ask_object(about, int(about.layer.selected_label), self._viewer.dims.point)

    def _ask_object(self, about: About, one: int, point: Any) -> None:
        """Ask again for an object of the layer, as it is in the plane that is shown."""
        from napari_segnet.prompts import MaskPrompt

        plane = about.plane_box(point)
        shown = np.asarray(about.layer.data[plane]) == one
        if one == 0 or not shown.any():
            self.failed.emit(
                SegnetError(
                    f"There is no object {one} in this plane. Choose one in the layer controls "
                    "(“label”) or with the picker, then prompt again."
                )
            )
            return
        t, z = about.plane(point)
        flat = about.as_yx(shown)
        rows, columns = (np.flatnonzero(flat.any(axis=axis)) for axis in (1, 0))
        corner = int(rows[0]), int(columns[0])
        mask = flat[corner[0] : rows[-1] + 1, corner[1] : columns[-1] + 1]
        self._ask(
            Wish(about=about, question=MaskPrompt(mask=mask, corner=corner, t=t, z=z), again=one)
        )

    def _ask_shapes(self) -> None:
        about = self._about()
        if about is None:
            return
        try:
            shapes = shapes_meant(self._viewer)
        except SegnetError as error:
            self.failed.emit(error)
            return
        point = np.asarray(self._viewer.dims.point, dtype=float)
        for vertices in shapes:
            corners = np.repeat(point[None], len(vertices), axis=0)
            corners[:, -vertices.shape[1] :] = vertices
            self._ask_box(about, corners)

    def _ask_box(self, about: About, corners: npt.NDArray[np.float64]) -> None:
        from napari_segnet.prompts import BoxPrompt

        points = np.array([about.yx(corner) for corner in corners])
        (y0, x0), (y1, x1) = points.min(axis=0), points.max(axis=0)
        t, z = about.plane(corners[0])
        question = BoxPrompt(box=(float(y0), float(x0), float(y1), float(x1)), t=t, z=z)
        self._ask(Wish(about=about, question=question, again=None))

    # ---- Questions, one after the other ----

    def _ask(self, wish: Wish) -> None:
        self._waiting.append(wish)
        if not self.runner.busy or self._now is None:  # what only gets ready gives way
            self._next()

    def _next(self) -> None:
        self._now = None
        if not self._waiting:
            self._rest()
            return
        wish = self._now = self._waiting.popleft()
        editing = editing_of(wish.about.layer)
        unknown = editing.begin_looking() if editing.places is None else None
        self.words.setText("prompting the network …")
        self.runner.start(
            partial(
                put_question,
                wish.about.listening,
                self._responder(wish.about),
                wish.question,
                wish.about.labels,
                unknown,
            )
        )

    def _rest(self) -> None:
        if self.tool.layer is None:
            self.words.setText(OFF)
        elif not self.words.text().startswith("Object"):
            self.words.setText(READY)

    def _progressed(self, progress: Any) -> None:
        part = f" ({progress.done} of {progress.total})" if progress.total > 1 else ""
        self.words.setText(f"{progress.what}{part} …")

    def _answered(self, reply: Reply) -> None:
        wish = self._now
        if wish is None:
            about = self._about_quietly()
            if about is not None:
                self._held = self._identity(about.listening), reply.responder
            return
        self._held = self._identity(wish.about.listening), reply.responder
        if reply.found is None or wish.about.layer not in self._viewer.layers:
            return
        if reply.places is not None:
            editing_of(wish.about.layer).found(wish.about.layer.data, reply.places)
        try:
            self.words.setText(write_object(wish, reply.found))
        except SegnetError as error:
            self._failed(error)

    def _about_quietly(self) -> About | None:
        """Return what the tool is on for."""
        method = self._about_method()
        if method is None or self.tool.layer is None:
            return None
        try:
            about: About = method()
        except SegnetError:  # told at the next gesture, when it matters
            return None
        return about

    def _failed(self, error: BaseException) -> None:
        self.words.setText(READY if self.tool.layer is not None else OFF)
        self.failed.emit(error)

    def _responder(self, about: About) -> PromptSession | None:
        """Return who has answered about this image already."""
        if self._held is not None and self._held[0] == self._identity(about.listening):
            return self._held[1]
        return None

    @staticmethod
    def _identity(listening: Listening) -> tuple[Any, ...]:
        checkpoint = listening.checkpoint
        facts = tuple(sorted((k, repr(v)) for k, v in checkpoint.hparams.items()))
        return (checkpoint.path, facts, id(listening.image), listening.predict, listening.key)

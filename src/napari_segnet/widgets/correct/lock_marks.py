"""A padlock over each locked object, on the canvas."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from qtpy.QtCore import QEvent, QObject, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

from napari_segnet.widgets.layers.editing import editing_of, locked_ids
from napari_segnet.widgets.layers.on_canvas import box_on_canvas
from napari_segnet.widgets.layers.private import canvas_of
from napari_segnet.widgets.qt.deletion import when_deleted
from napari_segnet.widgets.qt.listen import listen
from napari_segnet.widgets.recovery.reviews import reviews

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["LockMarks"]

WIDE_PX, HIGH_PX = 10.0, 8.0
"""Body of a padlock on the canvas."""
MOST = 500
"""More locked objects in view are not marked one by one: they would hide the picture."""


class HasLayer(Protocol):
    """What corrects one layer."""

    @property
    def layer(self) -> napari.layers.Labels | None:
        """The layer that is corrected."""

    def isVisible(self) -> bool:
        """Tell if the user sees it."""


class LockMarks(QWidget):
    """Padlocks over the canvas; the mouse goes through, and no layer is added.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Over whose canvas they lie. They follow the camera, the sliders and the reviews.
    panel : QWidget
        A :class:`HasLayer`. The marks end with it.
    """

    def __init__(self, viewer: napari.viewer.Viewer, panel: QWidget) -> None:
        canvas = canvas_of(viewer)
        super().__init__(canvas)
        self._viewer = viewer
        self._panel: weakref.ref[HasLayer] = weakref.ref(panel)  # type: ignore[arg-type]
        self.setObjectName("segnet_lock_marks")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.hide()
        own = weakref.ref(self)
        when_deleted(panel, lambda: _end(own))
        if canvas is not None:
            canvas.installEventFilter(self)
            self.resize(canvas.size())
        dims, layers = viewer.dims.events, viewer.layers.events
        changes = dims.point, dims.ndisplay, dims.order, layers.removed
        active = viewer.layers.selection.events.active
        listen(self, (*changes, active, viewer.scene.camera.events), self.follow)
        reviews(viewer).changed.connect(self.follow)
        reviews(viewer).touched.connect(self.follow)

    def places(self) -> list[QPointF]:
        """Return the middle of each locked object that is in view, on the canvas."""
        panel, canvas = self._panel(), self.parentWidget()
        layer = panel.layer if panel is not None else None
        if layer is None or canvas is None or not layer.visible:
            return []
        locked, places = locked_ids(layer), editing_of(layer).places
        if not locked or places is None or len(locked) > MOST:
            return []
        found = []
        for one in sorted(locked):
            box = places.box([one])
            at = None if box is None else box_on_canvas(self._viewer, canvas, layer, box)
            if at is not None:
                (top, left), (bottom, right) = at
                found.append(QPointF((left + right) / 2, (top + bottom) / 2))
        return found

    def follow(self, *_: object) -> None:
        """Lie over the canvas while something is locked."""
        panel = self._panel()
        layer = panel.layer if panel is not None else None
        if layer is None or not locked_ids(layer):
            self.hide()
            return
        self.raise_()
        self.show()
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw in black with a white rim, to be seen on every colour."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for place in self.places():
            body = QRectF(place.x() - WIDE_PX / 2, place.y() - 1, WIDE_PX, HIGH_PX)
            bow = QRectF(place.x() - WIDE_PX / 3, place.y() - HIGH_PX, 2 * WIDE_PX / 3, 2 * HIGH_PX)
            for colour, width in ((QColor("white"), 4.0), (QColor("black"), 2.0)):
                painter.setPen(QPen(colour, width))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawArc(bow, 0, 180 * 16)
                painter.setBrush(QColor("black"))
                painter.drawRect(body)
        painter.end()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Stay as large as the canvas."""
        canvas = self.parentWidget()
        if event is not None and event.type() == QEvent.Type.Resize and canvas is not None:
            self.resize(canvas.size())
            self.follow()
        return False


def _end(marks: weakref.ref[LockMarks]) -> None:
    """Take the marks away."""
    there = marks()
    if there is not None:
        with suppress(RuntimeError):  # Qt has deleted them with the canvas
            there.deleteLater()

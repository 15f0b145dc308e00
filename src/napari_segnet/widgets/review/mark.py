"""The object that is looked at, marked on the canvas by four corners around it."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

from napari_segnet.widgets.layers.on_canvas import box_on_canvas
from napari_segnet.widgets.layers.private import canvas_of
from napari_segnet.widgets.qt.deletion import when_deleted
from napari_segnet.widgets.qt.listen import listen

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["ObjectMark"]

AWAY_PX = 7
"""From the box of the object to the corners: its own outline stays free."""
CORNER_PX = 14
"""Length of a corner's arms, at most a third of the side."""


class HasObject(Protocol):
    """What shows one object at a time."""

    def isVisible(self) -> bool:
        """Tell if the user sees it."""

    def marked(self) -> tuple[napari.layers.Labels, tuple[slice, ...]] | None:
        """Return the layer and the box of the object, if there is one."""


class ObjectMark(QWidget):
    """Four corners over the canvas; the mouse goes through, and no layer is added.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Over whose canvas it lies. It follows the camera and the sliders.
    panel : QWidget
        A :class:`HasObject`. The mark is seen only while it is, and ends with it.
    """

    def __init__(self, viewer: napari.viewer.Viewer, panel: QWidget) -> None:
        canvas = canvas_of(viewer)
        super().__init__(canvas)
        self._viewer = viewer
        # The canvas keeps the mark, and must not keep a panel that is closed.
        self._panel: weakref.ref[HasObject] = weakref.ref(panel)  # type: ignore[arg-type]
        self.setObjectName("segnet_review_mark")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.hide()
        panel.installEventFilter(self)
        own = weakref.ref(self)
        when_deleted(panel, lambda: _end(own))
        if canvas is not None:
            canvas.installEventFilter(self)
        dims, layers = viewer.dims.events, viewer.layers.events
        changes = dims.point, dims.ndisplay, dims.order, layers.removed
        listen(self, (*changes, viewer.scene.camera.events), self.follow)

    def follow(self, event: object = None) -> None:
        """Lie around the object, or nowhere if it is not on the plane that is shown."""
        panel = self._panel()
        if panel is not None and not isalive(panel):  # type: ignore[no-untyped-call]
            panel = None  # its Python object may outlive it
        marked = panel.marked() if panel is not None and panel.isVisible() else None
        place = self._place(*marked) if marked is not None else None
        if place is None:
            self.hide()
            return
        self.setGeometry(place)
        self.raise_()
        self.show()

    def _place(self, layer: napari.layers.Labels, box: tuple[slice, ...]) -> QRect | None:
        """Return where the object is on the canvas, in its pixels."""
        canvas = self.parentWidget()
        at = None if canvas is None else box_on_canvas(self._viewer, canvas, layer, box)
        if at is None:
            return None
        low, high = at[0] - AWAY_PX, at[1] + AWAY_PX
        return QRect(QPoint(round(low[1]), round(low[0])), QPoint(round(high[1]), round(high[0])))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw in white on black, to be seen on every image."""
        painter = QPainter(self)
        right, bottom = self.width() - 3, self.height() - 3
        arm = min(CORNER_PX, right // 3, bottom // 3)
        for colour, width in ((QColor("black"), 4), (QColor("white"), 2)):
            painter.setPen(QPen(colour, width))
            for x, y, across, down in (
                (2, 2, arm, arm),
                (right, 2, -arm, arm),
                (2, bottom, arm, -arm),
                (right, bottom, -arm, -arm),
            ):
                painter.drawLine(x, y, x + across, y)
                painter.drawLine(x, y, x, y + down)
        painter.end()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Come and go with the panel; keep the place when the canvas changes its size."""
        if event is not None and event.type() in (
            QEvent.Type.Show,
            QEvent.Type.Hide,
            QEvent.Type.Resize,
        ):
            self.follow()
        return False


def _end(mark: weakref.ref[ObjectMark]) -> None:
    """Take the mark away."""
    there = mark()
    if there is not None:
        with suppress(RuntimeError):  # Qt has deleted it with the canvas
            there.deleteLater()

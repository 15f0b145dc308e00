"""Drags and clicks on a Labels layer as questions: a mode that is on or off."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, QRect, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QApplication, QRubberBand, QWidget

from napari_segnet.widgets.layers.private import canvas_of
from napari_segnet.widgets.qt.presses import CLICK_PX, Presses

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["PromptTool"]


class PromptTool(QObject):
    """While it is on, the left button asks instead of moving the view.

    Attributes
    ----------
    boxed : Signal of ndarray
        ``(4, n)``: the corners of the box that was dragged, in the world.
    clicked : Signal of ndarray
        ``(n,)``: the point that was clicked, in the world.
    ended : Signal
        It was switched off by what the user did: another layer, another tool.
    """

    boxed = Signal(object)
    clicked = Signal(object)
    ended = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: napari.layers.Labels | None = None
        self._presses: Presses | None = None

    @property
    def layer(self) -> napari.layers.Labels | None:
        """The layer it is on for."""
        return self._layer

    def begin(self, layer: napari.layers.Labels) -> None:
        """Switch it on for a layer, which becomes the active one."""
        if self._layer is layer:
            return
        self.end()
        self._viewer.layers.selection.active = layer
        layer.mode = "pan_zoom"  # no other tool paints meanwhile
        layer.mouse_pan = False
        layer.mouse_drag_callbacks.append(self._dragged)
        layer.events.mode.connect(self._left)
        self._viewer.layers.selection.events.active.connect(self._left)
        self._viewer.layers.events.removed.connect(self._left)
        self._layer = layer
        self._presses = Presses(canvas_of(self._viewer))

    def end(self) -> None:
        """Switch it off."""
        layer, self._layer = self._layer, None
        if layer is None:
            return
        self._viewer.layers.selection.events.active.disconnect(self._left)
        self._viewer.layers.events.removed.disconnect(self._left)
        layer.events.mode.disconnect(self._left)
        layer.mouse_drag_callbacks.remove(self._dragged)
        layer.mouse_pan = str(layer.mode) == "pan_zoom"
        if self._presses is not None:
            self._presses.leave()
            self._presses = None

    def _left(self, event: object = None) -> None:
        if self._layer is None:
            return
        active = self._viewer.layers.selection.active
        gone = self._layer not in self._viewer.layers
        if gone or active is not self._layer or str(self._layer.mode) != "pan_zoom":
            self.end()
            self.ended.emit()

    def _dragged(self, layer: object, event: Any) -> Generator[None, None, None]:
        """Follow the left button from its press to its release; napari calls it at each move."""
        if event.button != 1:
            return
        displayed = list(self._viewer.dims.displayed)
        start = np.array(event.position, dtype=float)
        band = _Band()
        yield
        while event.type == "mouse_move":
            band.follow()
            yield
        end = np.array(event.position, dtype=float)
        if band.hide() < CLICK_PX and self._screen_px(start, end) < CLICK_PX:
            if self._presses is None or not self._presses.repeated:
                self.clicked.emit(start)
        else:
            self.boxed.emit(_corners(start, end, displayed))

    def _screen_px(self, start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]) -> float:
        return float(np.abs(end - start).max() * self._viewer.scene.camera.zoom)


class _Band:
    """A rectangle over the canvas that follows the pointer; it is no part of the viewer."""

    def __init__(self) -> None:
        self._start = QCursor.pos()
        self._canvas = QApplication.widgetAt(self._start)
        self._shown: QRubberBand | None = None

    def follow(self) -> None:
        """Stretch it from where it began to the pointer."""
        if self._canvas is None:
            return
        if self._shown is None:
            self._shown = QRubberBand(QRubberBand.Shape.Rectangle, _top(self._canvas))
            self._shown.setObjectName("segnet_ask_band")
        top = self._shown.parentWidget()
        assert top is not None
        corners = (top.mapFromGlobal(p) for p in (self._start, QCursor.pos()))
        self._shown.setGeometry(QRect(*corners).normalized())
        self._shown.show()

    def hide(self) -> float:
        """Take it away; return how long its longer side was, in pixels of the screen."""
        if self._shown is None:
            return 0.0
        size = self._shown.size()
        self._shown.hide()
        self._shown.deleteLater()
        return float(max(size.width(), size.height()))


def _top(canvas: QWidget) -> QWidget:
    """Return what the band is drawn over: what OpenGL paints would paint over its child."""
    return canvas.window() or canvas


def _corners(
    start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], displayed: list[int]
) -> npt.NDArray[np.float64]:
    """Return the four corners of a box that is upright on the screen, ``(4, n)``."""
    y, x = displayed[-2:]
    corners = np.repeat(start[None], 4, axis=0)
    corners[1, x] = corners[2, x] = end[x]
    corners[2, y] = corners[3, y] = end[y]
    return corners

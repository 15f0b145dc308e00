"""Two quick clicks as two presses, where napari would zoom."""

from __future__ import annotations

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QPointF
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QWidget

__all__ = ["CLICK_PX", "Presses"]

CLICK_PX = 4
"""A drag that ends so near to its begin, on the screen, is a click."""


class Presses(QObject):
    """Turns the double clicks on a canvas into presses while a tool draws there.

    Qt sends the second of two quick presses at one place as a double click. napari then zooms
    in, since a layer that is drawn on is in its pan-zoom mode, and begins no drag.

    Parameters
    ----------
    canvas : QWidget or None
        The widget that draws the image; None without a window.

    Attributes
    ----------
    repeated : bool
        The newest press is the second of a double click, and the first one was seen here, too.
        It is no press of its own then, unless the mouse moves on.
    """

    def __init__(self, canvas: QWidget | None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.repeated = False
        self._canvas = canvas
        self._pressed = self._sending = False
        if canvas is not None:
            canvas.installEventFilter(self)

    def leave(self) -> None:
        """Leave the canvas as it was; that of a closed window may be deleted."""
        if self._canvas is not None and isalive(self._canvas):  # type: ignore[no-untyped-call]
            self._canvas.removeEventFilter(self)
        self.deleteLater()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Let a press take the place of a double click."""
        if not isinstance(event, QMouseEvent) or self._sending:
            return False
        if event.type() == QEvent.Type.MouseButtonPress:
            self.repeated, self._pressed = False, True
        elif event.type() == QEvent.Type.MouseButtonDblClick:
            self.repeated, self._pressed = self._pressed, True
            self._press(event)
            return True
        return False

    def _press(self, event: QMouseEvent) -> None:
        press = QMouseEvent(
            QEvent.Type.MouseButtonPress,
            QPointF(event.position()),
            QPointF(event.globalPosition()),
            event.button(),
            event.buttons(),
            event.modifiers(),
        )
        self._sending = True
        try:
            QApplication.sendEvent(self._canvas, press)
        finally:
            self._sending = False

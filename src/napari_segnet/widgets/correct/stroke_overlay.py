"""What the hand is drawing, shown over the canvas while it draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    import napari.components

__all__ = ["Sketch"]

DOT_PX = 5
Place = tuple[float, float]
"""x and y on the canvas in pixels."""


class Sketch(QWidget):
    """A transparent sheet over the canvas; the mouse goes through it."""

    def __init__(self, canvas: QWidget, viewer: napari.components.ViewerModel) -> None:
        super().__init__(canvas)
        self.setObjectName("segnet_sketch")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self._camera = viewer.scene.camera
        self._line: list[Place] = []
        self._closed = False
        self._dots: list[Place] = []
        self._seen = self._look()
        canvas.installEventFilter(self)
        self._camera.events.connect(self._follow)
        self.resize(canvas.size())
        self.raise_()
        self.show()

    def draw(self, line: Sequence[Place], closed: bool) -> None:
        """Show a line, or an outline that closes itself."""
        self._line, self._closed = list(line), closed
        self.update()

    def dot(self, place: Place) -> None:
        """Show a click; it stays where it was made when the camera moves."""
        self._dots.append(place)
        self.update()

    def wipe(self) -> None:
        """Show nothing."""
        self._line, self._dots = [], []
        self.update()

    def leave(self) -> None:
        """Take the sheet away."""
        self._camera.events.disconnect(self._follow)
        canvas = self.parentWidget()
        if canvas is not None:
            canvas.removeEventFilter(self)
        self.hide()
        self.deleteLater()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw in white on black, to be seen on every image."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = QPolygonF([QPointF(x, y) for x, y in self._line])
        for colour, width in ((QColor("black"), 4.0), (QColor("white"), 2.0)):
            painter.setPen(QPen(colour, width))
            if self._closed:
                painter.drawPolygon(line)
            else:
                painter.drawPolyline(line)
        painter.setPen(QPen(QColor("black"), 1.5))
        painter.setBrush(QColor("white"))
        for x, y in self._dots:
            painter.drawEllipse(QPointF(x, y), DOT_PX, DOT_PX)
        painter.end()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Stay as large as the canvas."""
        if event is not None and event.type() == QEvent.Type.Resize:
            canvas = self.parentWidget()
            if canvas is not None:
                self.resize(canvas.size())
        return False

    def _follow(self, event: Any = None) -> None:
        """Move the dots with the camera."""
        before, self._seen = self._seen, self._look()
        middle = self.width() / 2, self.height() / 2
        ratio = self._seen[0] / before[0]

        def moved(place: Place) -> Place:
            x, y = (
                half + ratio * (p - half) + self._seen[0] * sign * (was - now)
                for p, half, sign, was, now in zip(
                    place, middle, self._seen[2], before[1], self._seen[1], strict=True
                )
            )
            return x, y

        self._dots = [moved(place) for place in self._dots]
        self.update()

    def _look(self) -> tuple[float, Place, Place]:
        """Return the camera's zoom, its centre (x, y), and the direction of x and y."""
        vertical, horizontal = (str(way) for way in self._camera.orientation2d)
        signs = (-1.0 if horizontal == "left" else 1.0, -1.0 if vertical == "up" else 1.0)
        *_, y, x = self._camera.center
        return float(self._camera.zoom), (float(x), float(y)), signs

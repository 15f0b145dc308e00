"""A column of widgets that scrolls up and down, and is never cut off at its sides."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

__all__ = ["Column"]

USUAL_PX = 350
"""Width that is asked for: half of a small screen is left to the image."""


class Column(QScrollArea):
    """As wide as its widest row needs, with room for the scroll bar; as high as there is."""

    def __init__(self, *widgets: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(4, 4, 4, 4)
        for widget in widgets:
            layout.addWidget(widget)
        layout.addStretch(1)
        self.setWidget(inside)
        inside.installEventFilter(self)

    def sizeHint(self) -> QSize:
        """Ask for some room for the sliders."""
        least = self.minimumSizeHint()
        return QSize(max(least.width(), USUAL_PX), max(least.height(), super().sizeHint().height()))

    def minimumSizeHint(self) -> QSize:
        """Leave no row cut off."""
        inside, bar = self.widget(), self.verticalScrollBar()
        width = inside.minimumSizeHint().width() if inside is not None else 0
        return QSize(width + (bar.sizeHint().width() if bar is not None else 0), 120)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Ask for another width when a row has changed."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))

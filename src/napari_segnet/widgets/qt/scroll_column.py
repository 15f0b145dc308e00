"""A column of widgets that scrolls up and down, and is never cut off at its sides."""

from __future__ import annotations

import weakref
from functools import partial

from qtpy.QtCore import QEvent, QObject, QPoint, QSize, Qt, QTimer
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

__all__ = ["Column", "scroll_into_view"]

EDGE_PX = 8
"""Around what is scrolled into view."""
USUAL_PX = 350
"""Width that is asked for: half of a small screen is left to the image."""


class Column(QScrollArea):
    """As wide as its widest row needs, with room for the scroll bar; as high as there is.

    Parameters
    ----------
    *widgets : QWidget
        From top to bottom.
    filled : bool
        They share all of the height; else what is left stays empty below them.
    """

    def __init__(
        self, *widgets: QWidget, filled: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QWidget()
        layout = QVBoxLayout(inside)
        margin = 0 if filled else 4
        layout.setContentsMargins(margin, margin, margin, margin)
        for widget in widgets:
            layout.addWidget(widget)
        if not filled:
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


def scroll_into_view(widget: QWidget, *_: object) -> None:
    """Scroll the column that a widget stands in, when it has its place there.

    All of it comes into view, or its top where it is higher than the column. What a signal
    brings besides is left unread.
    """
    # A widget that was just shown or filled has its place after the layouts have been made.
    timer = QTimer(widget)  # goes with the widget
    timer.setSingleShot(True)
    timer.timeout.connect(partial(_scroll, weakref.ref(widget)))
    timer.timeout.connect(timer.deleteLater)
    timer.start(0)


def _scroll(there: weakref.ref[QWidget]) -> None:
    widget = there()
    area = widget
    while area is not None and not isinstance(area, Column):
        area = area.parentWidget()
    if widget is None or area is None or not widget.isVisible():
        return
    area.ensureWidgetVisible(widget, 0, EDGE_PX)
    inside, bar = area.widget(), area.verticalScrollBar()
    if inside is not None and bar is not None:
        top = widget.mapTo(inside, QPoint(0, 0)).y() - EDGE_PX
        bar.setValue(min(bar.value(), top))
    across = area.horizontalScrollBar()
    if across is not None:
        across.setValue(0)  # a row that has just appeared may be wider than the dock still is

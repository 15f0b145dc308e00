"""What all our docks do: find their place, take files, stop when they are closed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShowEvent
from qtpy.QtWidgets import QGroupBox, QVBoxLayout, QWidget

from napari_segnet.widgets.qt.dock_placement import share_place
from napari_segnet.widgets.qt.scroll_column import Column

__all__ = ["Dock", "stacked", "titled"]

FOOT_PX = 6
"""Around what stands below the column."""


class Dock(QWidget):
    """A widget that napari puts into a dock of its own.

    A dock answers to these events by overriding :meth:`opened`, :meth:`seen_again`,
    :meth:`closed`, and :meth:`take_files` after :meth:`accept_files`.

    Parameters
    ----------
    name : str
        Object name, by which it finds the place of the others.
    parent : QWidget, optional
        As Qt has it.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self._new = True

    def fill(self, *widgets: QWidget, foot: Sequence[QWidget] = ()) -> None:
        """Show widgets below each other, in a column that scrolls.

        Parameters
        ----------
        *widgets : QWidget
            From top to bottom.
        foot : sequence of QWidget
            Below the column: they do not scroll, so the last one never moves.
        """
        self.hold(Column(*widgets), *foot)

    def hold(self, widget: QWidget, *foot: QWidget) -> None:
        """Show one widget, which fills the dock; others below it keep their height."""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(widget, 1)
        if foot:
            below = QVBoxLayout()
            below.setContentsMargins(FOOT_PX, 0, FOOT_PX, FOOT_PX)
            for one in foot:
                below.addWidget(one)
            layout.addLayout(below)

    # ---- What a dock may answer to ----

    def opened(self) -> None:
        """Answer to being shown for the first time."""

    def seen_again(self) -> None:
        """Answer to being shown another time."""

    def closed(self) -> None:
        """Stop what is at work: the dock is taken out of the window."""

    def take_files(self, paths: Sequence[Path]) -> None:
        """Take files and folders that were dropped."""

    def accept_files(self) -> None:
        """Let files be dropped here."""
        self.setAcceptDrops(True)

    # ---- Events of Qt ----

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take the place of our docks when it opens."""
        super().showEvent(event)
        if self._new and event is not None and not event.spontaneous():
            self._new = False
            QTimer.singleShot(0, self._share_place)  # not now: napari is still placing it
            self.opened()
        else:
            self.seen_again()

    def _share_place(self) -> None:
        share_place(self)

    def changeEvent(self, event: QEvent | None) -> None:
        """Stop when the dock is closed: napari then takes this widget out of it."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and not self.parent():
            self.closed()

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Accept files."""
        mime = event.mimeData() if event is not None else None
        if event is not None and mime is not None and mime.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Take the files that are dropped."""
        mime = event.mimeData() if event is not None else None
        if event is None or mime is None:
            return
        event.acceptProposedAction()
        self.take_files([Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()])


def stacked(*widgets: QWidget) -> QWidget:
    """Return widgets below each other, without a frame."""
    box = QWidget()
    column = QVBoxLayout(box)
    column.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        column.addWidget(widget)
    return box


def titled(title: str, *widgets: QWidget, margin_px: int | None = None) -> QGroupBox:
    """Return a frame with a title around widgets below each other."""
    box = QGroupBox(title)
    column = QVBoxLayout(box)
    if margin_px is not None:
        column.setContentsMargins(margin_px, margin_px, margin_px, margin_px)
    for widget in widgets:
        column.addWidget(widget)
    return box

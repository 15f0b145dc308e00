"""A button that tries something out, and a table of what came of it; a click takes a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.progress import Progress
from napari_segnet.widgets.qt.scroll_column import scroll_into_view

__all__ = ["TrialTable"]


class TrialTable(QWidget):
    """The button, a line of words and the table.

    Parameters
    ----------
    name : str
        Object names begin so: ``<name>``, ``<name>_table``.
    button : QPushButton
        What begins the trial.
    heads : sequence of str
        Titles of the columns.

    Attributes
    ----------
    asked : Signal
        The button was pressed.
    taken : Signal of object
        The value of the row that was clicked.
    """

    asked = Signal()
    taken = Signal(object)

    def __init__(
        self,
        name: str,
        button: QPushButton,
        heads: Sequence[str],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.button = button
        self.button.clicked.connect(self.asked)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.table = QTableWidget(0, len(heads))
        self.table.setObjectName(f"{name}_table")
        self.table.setHorizontalHeaderLabels([*heads])
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        side, top = self.table.verticalHeader(), self.table.horizontalHeader()
        if side is not None and top is not None:
            side.hide()
            top.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.cellClicked.connect(self._clicked)
        self._values: list[Any] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.button, self.words, self.table):
            layout.addWidget(widget)
        self.clear()

    def clear(self) -> None:
        """Take the table away: it is of another network or image."""
        self._values = []
        self.table.setRowCount(0)
        self.table.hide()
        self.words.hide()

    def progress(self, progress: Progress) -> None:
        """Show how far it is."""
        part = f" {progress.done + 1} of {progress.total}" if progress.total else ""
        self.say(f"{progress.what}{part} …")

    def say(self, text: str) -> None:
        """Show a line above the table."""
        self.words.setText(text)
        self.words.setVisible(bool(text))

    def fill(self, values: Sequence[Any], rows: Sequence[Sequence[str]]) -> None:
        """Show a row for each value, with numbers to the right."""
        self._values = list(values)
        self.table.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
        self.table.clearSelection()
        self.table.show()
        self.fit_height()
        scroll_into_view(self)

    def fit_height(self) -> None:
        """Let the table be as high as its rows."""
        rows = sum(self.table.rowHeight(row) for row in range(self.table.rowCount()))
        top = self.table.horizontalHeader()
        self.table.setFixedHeight(rows + (top.height() if top is not None else 0) + 6)

    def _clicked(self, row: int, column: int) -> None:
        self.taken.emit(self._values[row])

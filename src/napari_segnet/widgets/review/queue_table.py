"""The queue of the review as a table: which row is looked at, which are selected."""

from __future__ import annotations

from qtpy.QtCore import QItemSelectionModel, QSignalBlocker, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_segnet.review import Items, Review
from napari_segnet.widgets.review.table import COLUMNS, MISSING, ItemsModel

__all__ = ["QueueTable"]

WIDTHS_PX = (56, 42, 42, 88, 46, 60)
PADDING_PX = 12
"""Left and right of the widest word of a column."""


class QueueTable(QTableView):
    """A view of the items.

    Parameters
    ----------
    items : ItemsModel
        What is shown.
    """

    def __init__(self, items: ItemsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._items = items
        self.setObjectName("segnet_review_table")
        self.setModel(items)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setSortingEnabled(True)
        self.setMinimumHeight(150)
        rows, head = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None and head is not None
        rows.hide()
        rows.setDefaultSectionSize(22)
        head.setSortIndicator(COLUMNS.index("uncertainty"), Qt.SortOrder.DescendingOrder)
        head.setMinimumSectionSize(30)
        for column, width in enumerate(WIDTHS_PX):
            self.setColumnWidth(column, width)
        self.setColumnWidth(0, self.fontMetrics().horizontalAdvance(MISSING) + PADDING_PX)
        head.setSectionResizeMode(len(COLUMNS) - 1, QHeaderView.ResizeMode.Stretch)

    @property
    def rows(self) -> QItemSelectionModel:
        """What is selected."""
        chosen = self.selectionModel()
        assert chosen is not None  # Qt makes it with the model
        return chosen

    def current(self) -> int | None:
        """Return the row that is looked at."""
        row = self.currentIndex().row()
        return row if 0 <= row < self._items.rowCount() else None

    def select(self, row: int) -> None:
        """Look at a row."""
        self._set_current(row)
        self.scrollTo(self._items.index(row, 0))

    def labels(self) -> list[int]:
        """Return the labels of the selected rows."""
        chosen = sorted({index.row() for index in self.rows.selectedRows()})
        return [self._items.label(row) for row in chosen]

    def follow(self, items: Items, review: Review) -> None:
        """Show items after an edit; the row that is looked at stays so, without being told."""
        row = self.current()
        label = None if row is None else self._items.label(row)
        self._items.follow(items, review)
        again = -1 if label is None else self._items.row_of(label)
        if again >= 0:
            with QSignalBlocker(self.rows):
                self._set_current(again)

    def _set_current(self, row: int) -> None:
        flags = QItemSelectionModel.SelectionFlag
        index = self._items.index(row, 0)
        self.rows.setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)

"""Measurements as a table that is sorted by a click, however long it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from qtpy.QtWidgets import QAbstractItemView, QTableView, QWidget

from napari_segnet.measure import Table

__all__ = ["MeasureTable", "MeasuresModel", "heading"]

UNITS = {"px": "px", "um": "µm", "um2": "µm²", "um3": "µm³", "ml": "ml", "deg": "°"}
LOOKED_AT = 60
"""Rows by which the widths of columns are found."""
ROOM_PX = 330
"""Least height: some thirteen rows; the dock still fits a screen 720 px high."""


def heading(name: str) -> str:
    """Return the name of a column in words, its unit in brackets."""
    stem, _, unit = name.rpartition("_")
    if stem and unit in UNITS:
        return f"{stem.replace('_', ' ')} ({UNITS[unit]})"
    return name.replace("_", " ")


class MeasuresModel(QAbstractTableModel):
    """The rows of a table in an order; columns are sorted as numbers or as text."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._table = Table(columns={})
        self._names: list[str] = []
        self._columns: list[npt.NDArray[Any]] = []
        self.order: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        """Row that is shown -> row of the table."""

    def show(self, table: Table) -> None:
        """Show other measurements, in their own order."""
        self.beginResetModel()
        self._table = table
        self._names, self._columns = list(table.columns), list(table.columns.values())
        self.order = np.arange(len(table))
        self.endResetModel()

    def row(self, shown: int) -> dict[str, Any]:
        """Return the measurements of a row that is shown."""
        place = int(self.order[shown])
        return {
            name: column[place] for name, column in zip(self._names, self._columns, strict=True)
        }

    def row_of(self, label: int) -> int:
        """Return the first row that is shown of a label; -1 without one."""
        if "label" not in self._names:
            return -1
        found = np.flatnonzero(self._columns[self._names.index("label")][self.order] == label)
        return int(found[0]) if found.size else -1

    # ---- Qt's questions ----

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self.order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(self._names)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the name of a column; as a tip, its name in the CSV."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return heading(self._names[section])
        return self._names[section] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        column = self._columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(column[int(self.order[index.row()])])
        if role == Qt.ItemDataRole.TextAlignmentRole and column.dtype.kind in "iuf":
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; what is no number comes last either way."""
        if not 0 <= column < len(self._columns):
            return
        values = self._columns[column]
        down = order == Qt.SortOrder.DescendingOrder
        self.layoutAboutToBeChanged.emit()
        if values.dtype.kind in "iuf":
            self.order = np.argsort(-values.astype(float) if down else values, kind="stable")
        else:
            ranks = np.unique(values.astype(str), return_inverse=True)[1]
            self.order = np.argsort(-ranks if down else ranks, kind="stable")
        self.layoutChanged.emit()


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        if not math.isfinite(value):
            return ""
        number = float(value)
        return f"{number:.3f}" if -1 < number < 1 else f"{number:.4g}"
    return str(value)


class MeasureTable(QTableView):
    """A view of measurements; rows are selected whole."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_measurements")
        self.measures = MeasuresModel(self)
        self.setModel(self.measures)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setMinimumHeight(ROOM_PX)
        self.setToolTip("Click a row to see its object, or a heading to sort")
        side, top = self.verticalHeader(), self.horizontalHeader()
        if side is not None and top is not None:
            side.hide()
            side.setDefaultSectionSize(22)
            top.setResizeContentsPrecision(LOOKED_AT)

    def show_table(self, table: Table) -> None:
        """Show other measurements."""
        self.setSortingEnabled(False)  # else they are sorted as those before were
        self.measures.show(table)
        top = self.horizontalHeader()
        if top is not None:
            top.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self.resizeColumnsToContents()

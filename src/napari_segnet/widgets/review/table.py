"""The table of objects to review: a view of thousands of rows that costs what it shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt

from napari_segnet.review import Items, Review, State, in_order, items_of, seen_rows

__all__ = ["COLUMNS", "MISSING", "ItemsModel"]

COLUMNS = ("object", "class", "score", "uncertainty", "area", "state")
"""Titles of the columns."""
MISSING = "missing?"
"""In place of a label, where the network sees an object and no label is."""
SHOWN = {
    State.UNSEEN: "",
    State.ACCEPTED: "accepted",
    State.FIXED: "fixed",
    State.WRONG: "wrong",
    State.CONFLICT: "conflict",
}
EMPTY = items_of(np.zeros((1, 1), np.int32))


class ItemsModel(QAbstractTableModel):
    """Items in the order of the queue, or of a column."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.items = EMPTY
        self.review = Review()
        self.order: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        """Row of the table -> row of the items."""
        self.seen: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self.class_names: tuple[str, ...] = ()

    # ---- What is shown ----

    def show(self, items: Items, review: Review) -> None:
        """Show other items, most doubtful first."""
        self.beginResetModel()
        self.items, self.review = items, review
        self.seen = seen_rows(items, review)
        self.order = in_order(items, self.seen)
        self.endResetModel()

    def follow(self, items: Items, review: Review) -> None:
        """Show items after an edit: rows stay where they are, new ones come last."""
        before, said = self.items, self.review
        stay = np.isin(before.ids, items.ids)
        count = int(stay.sum())
        if not np.array_equal(before.ids[stay], items.ids[:count]):
            self.show(items, review)  # no edit of what is shown: other objects
            return
        self.beginResetModel()
        self.items, self.review = items, review
        now = np.cumsum(stay) - 1
        ends = np.arange(count, len(items))
        self.order = np.concatenate([now[self.order[stay[self.order]]], ends])
        moved = (before.first[stay] != items.first[:count]) | (
            before.stop[stay] != items.stop[:count]
        )
        rows = np.concatenate([np.flatnonzero(moved.any(axis=1)), ends])
        self.seen = np.concatenate([self.seen[stay], np.zeros(ends.size, np.bool_)])
        self._look_again(said, rows)
        self.endResetModel()

    def _look_again(self, before: Review, rows: npt.NDArray[np.int64]) -> None:
        """Find out which rows need no further look: these, and those of which else was said."""
        now, items = self.review, self.items
        ids = now.labels_unlike(before)
        if ids is None or (now.regions, now.dismissed) != (before.regions, before.dismissed):
            self.seen = seen_rows(items, now)
            return
        rows = np.union1d(rows, np.flatnonzero(np.isin(items.ids, np.array(list(ids), np.int64))))
        if rows.size:
            self.seen = self.seen.copy()
            self.seen[rows] = seen_rows(items.chosen(rows), now)

    def say(self, review: Review) -> None:
        """Show another review of the same items."""
        before, self.review = self.review, review
        self._look_again(before, np.zeros(0, np.int64))
        last = self.rowCount() - 1
        if last >= 0:
            end = len(COLUMNS) - 1
            self.dataChanged.emit(self.index(0, end), self.index(last, end))

    # ---- Going through it ----

    def label(self, row: int) -> int:
        """Return the label of a row; negative for an object that may lack."""
        return int(self.items.ids[self.order[row]])

    def row_of(self, label: int) -> int:
        """Return the row of a label; -1 if it is not there."""
        found = np.flatnonzero(self.items.ids[self.order] == label)
        return int(found[0]) if found.size else -1

    def next_row(self, row: int, step: int = 1) -> int:
        """Return the nearest row behind one (before it: -1) that was not looked at; -1 if none."""
        count = self.rowCount()
        open_ = np.flatnonzero(~self.seen[self.order])
        if not open_.size:
            return -1
        away = ((open_ - row) * step - 1) % max(count, 1)
        return int(open_[away.argmin()])

    def progress(self) -> tuple[int, int]:
        """Return how many rows were looked at, and how many there are."""
        return int(self.seen.sum()), len(self.items)

    # ---- Qt's questions ----

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self.order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the name of a column."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return COLUMNS[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        row = int(self.order[index.row()])
        column = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.items.why[row] or None
        if role == Qt.ItemDataRole.TextAlignmentRole and column not in ("class", "state"):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def _text(self, row: int, column: str) -> str:
        items, label = self.items, int(self.items.ids[row])
        if column == "object":
            return str(label) if label > 0 else MISSING
        if column == "class":
            return self._class(int(items.classes[row]))
        if column == "area":
            return str(int(items.areas[row]))
        if column == "state":
            state = SHOWN[self.review.state(label)]
            return state or ("seen" if self.seen[row] else "")
        value = float((items.scores if column == "score" else items.uncertainty)[row])
        return "" if np.isnan(value) else f"{value:.2f}"

    def _class(self, index: int) -> str:
        if index < 1:
            return ""
        names = self.class_names
        return names[index] if index < len(names) else str(index)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; uncertainty falls as in the queue."""
        name, items = COLUMNS[column], self.items
        if name == "uncertainty" and order == Qt.SortOrder.DescendingOrder:
            found = in_order(items, self.seen)
        else:
            states = [str(self.review.state(i)) for i in items.ids.tolist()]
            keys: dict[str, Any] = {
                "object": items.ids,
                "class": items.classes,
                "score": np.nan_to_num(items.scores, nan=-1),
                "uncertainty": np.nan_to_num(items.uncertainty, nan=-1),
                "area": items.areas,
                "state": np.array(states),
            }
            found = np.argsort(keys[name], kind="stable")
            if order == Qt.SortOrder.DescendingOrder:
                found = found[::-1]
        self.layoutAboutToBeChanged.emit()
        self.order = found
        self.layoutChanged.emit()

"""The tables of the Evaluate dock."""

from __future__ import annotations

import math

from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_segnet.evaluate import ClassScores, Scores

__all__ = ["fit", "make_table", "put", "show_classes"]

LARGE_UM = 1000.0
"""From here on a distance is shown in mm."""
DISTANCE = (
    "95 % surface distance: of the points on both outlines, 95 % lie nearer than this to the "
    "other outline"
)


def make_table(name: str, columns: int, head: tuple[str, ...] = ()) -> QTableWidget:
    """Return an empty table; without ``head`` its columns have no names."""
    table = QTableWidget(0, columns)
    table.setObjectName(name)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setShowGrid(False)
    if head:
        table.setHorizontalHeaderLabels(list(head))
    side, top = table.verticalHeader(), table.horizontalHeader()
    if side is not None and top is not None:
        side.hide()
        top.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        top.setVisible(bool(head))
    return table


def put(table: QTableWidget, row: int, column: int, text: str, tip: str) -> None:
    """Show a text in a cell."""
    item = QTableWidgetItem(text)
    item.setToolTip(tip)
    table.setItem(row, column, item)


def fit(table: QTableWidget) -> None:
    """Make a table as high as its rows."""
    table.resizeRowsToContents()
    high = sum(table.rowHeight(row) for row in range(table.rowCount()))
    top = table.horizontalHeader()
    if top is not None and top.isVisibleTo(table):
        high += top.sizeHint().height()
    table.setFixedHeight(high + 2 * table.frameWidth() + 2)


def show_classes(table: QTableWidget, scores: Scores, names: tuple[str, ...] = ()) -> None:
    """Show Dice, IoU and surface distance of each class, and their mean.

    Parameters
    ----------
    table : QTableWidget
        Of four columns.
    scores : Scores
        Of labels.
    names : tuple of str
        Of classes, by number; may be empty.
    """
    rows = [
        (
            _name(one, names),
            one.dice,
            one.iou,
            distance(one.hd95_px, one.hd95_um),
            f"{DISTANCE}. Left out where one side has none: {one.one_sided}"
            if one.one_sided
            else DISTANCE,
        )
        for one in scores.classes
    ]
    if len(rows) > 1:
        far = distance(scores.mean_hd95_px, scores.mean_hd95_um)
        rows.append(("mean", scores.mean_dice, scores.mean_iou, far, "Mean of the classes"))
    table.setRowCount(len(rows))
    for row, (name, dice, iou, far, tip) in enumerate(rows):
        put(table, row, 0, name, name)
        put(table, row, 1, _number(dice), "Twice the shared pixels / the sum of both regions")
        put(table, row, 2, _number(iou), "The shared pixels / the pixels of either region")
        put(table, row, 3, far, tip)
    fit(table)


def _name(one: ClassScores, names: tuple[str, ...]) -> str:
    known = names[one.number] if 0 < one.number < len(names) else ""
    return f"{one.key} {known}".strip()


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"


def distance(px: float, um: float) -> str:
    """Return a distance in mm or µm where the pixel size is known, else in pixels."""
    if math.isnan(px):
        return "none"
    if math.isnan(um):
        return f"{px:.3g} px"
    return f"{um / LARGE_UM:.3g} mm" if um >= LARGE_UM else f"{um:.3g} µm"

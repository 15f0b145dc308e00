"""The mistakes of labels in the window: a list to walk through, and layers in colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.error_map import KINDS, Difference, Kind
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of, record_of
from napari_segnet.widgets.qt.wheel import without_wheel

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["COLOURS", "MistakeList", "show_mistakes"]

COLOURS: dict[Kind, str] = {
    "missed": "#e8574c",
    "false": "#f0c33c",
    "merged": "#c678dd",
    "split": "#56c8d8",
}
"""Of the layers, and of the words in the list."""


class _Rows(QAbstractTableModel):
    """Mistakes as rows, however many."""

    HEAD = ("what", "object", "area (px)")

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.all: tuple[Difference, ...] = ()
        self.shown: tuple[Difference, ...] = ()

    def set_rows(self, found: Sequence[Difference], kind: str) -> None:
        self.beginResetModel()
        self.all = tuple(found)
        self.shown = tuple(one for one in found if kind in ("", one.kind))
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return len(self.shown)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return len(self.HEAD)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        across = orientation == Qt.Orientation.Horizontal
        return self.HEAD[section] if across and role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        from qtpy.QtGui import QColor

        one = self.shown[index.row()]
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0:
            return QColor(COLOURS[one.kind])
        if role == Qt.ItemDataRole.ToolTipRole:
            return in_words(one)
        if role == Qt.ItemDataRole.DisplayRole:
            return (one.kind, _ids(one), f"{one.area_px:,}")[index.column()]
        return None


def in_words(one: Difference) -> str:
    """Return what is wrong as a sentence."""
    true, found = _listed(one.true_ids), _listed(one.pred_ids)
    return {
        "missed": f"True object {true} was not found.",
        "false": f"Label {found} has no true object with an IoU of 0.5 or more.",
        "merged": f"Label {found} holds the true objects {true}.",
        "split": f"True object {true} was cut into the labels {found}.",
    }[one.kind]


def _listed(ids: Sequence[int]) -> str:
    shown = [str(i) for i in ids[:6]]
    return ", ".join([*shown, "…"] if len(ids) > 6 else shown)


def _ids(one: Difference) -> str:
    ids = one.true_ids if one.kind in ("missed", "merged") else one.pred_ids
    return _listed(ids)


class MistakeList(QWidget):
    """All mistakes, or those of one kind; choosing one asks to see it."""

    wanted = Signal(object)
    """The ``Difference`` that the user wants to see."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = without_wheel(QComboBox())
        self.kind.setObjectName("segnet_mistake_kind")
        self.kind.currentIndexChanged.connect(self._choose_kind)
        self.before = QPushButton("◂ Previous")
        self.after = QPushButton("Next ▸")
        self.after.setObjectName("segnet_next_mistake")
        self.before.clicked.connect(lambda: self._step(-1))
        self.after.clicked.connect(lambda: self._step(1))
        self._rows = _Rows(self)
        self.table = QTableView()
        self.table.setObjectName("segnet_mistakes")
        self.table.setModel(self._rows)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setMinimumHeight(150)
        self.table.setShowGrid(False)
        side, head = self.table.verticalHeader(), self.table.horizontalHeader()
        if side is not None and head is not None:
            side.hide()
            head.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        selection = self.table.selectionModel()
        assert selection is not None
        selection.currentRowChanged.connect(self._chosen)
        buttons = QHBoxLayout()
        for widget in (self.before, self.after):
            buttons.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.kind)
        layout.addWidget(self.table)
        layout.addLayout(buttons)

    def set_mistakes(self, found: Sequence[Difference]) -> None:
        """Show the mistakes of a comparison."""
        self._rows.set_rows(found, "")
        self.kind.blockSignals(True)
        self.kind.clear()
        self.kind.addItem(f"all mistakes ({len(found)})", "")
        for kind in KINDS:
            count = sum(one.kind == kind for one in found)
            self.kind.addItem(f"{kind} ({count})", kind)
        self.kind.blockSignals(False)
        for button in (self.before, self.after):
            button.setEnabled(bool(found))

    def _choose_kind(self) -> None:
        self._rows.set_rows(self._rows.all, str(self.kind.currentData() or ""))

    def _step(self, by: int) -> None:
        count = self._rows.rowCount()
        if count:
            now = self.table.currentIndex().row()
            self.table.selectRow((now + by) % count if now >= 0 else (0 if by > 0 else count - 1))

    def _chosen(self, current: QModelIndex, previous: QModelIndex) -> None:
        if current.isValid():
            self.wanted.emit(self._rows.shown[current.row()])


def show_mistakes(
    viewer: napari.viewer.Viewer,
    truth: napari.layers.Labels,
    drawn: dict[Kind, npt.NDArray[np.int32]],
    place: dict[str, Any],
) -> None:
    """Add one layer for each kind of mistake that there is; those of before go.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        To which they are added.
    truth : napari.layers.Labels
        Whose name they bear.
    drawn : dict
        Kind -> int32 label image, 0 where there is no mistake.
    place : dict
        Keyword arguments that put a layer where the compared ones are.
    """
    from napari.utils.colormaps import DirectLabelColormap

    active = viewer.layers.selection.active
    for layer in [x for x in viewer.layers if record_of(x).evaluated]:
        viewer.layers.remove(layer)
    for kind, labels in drawn.items():
        if labels.any():
            viewer.add_labels(
                labels,
                name=f"{kind} in {truth.name}" if kind in ("missed", "split") else kind,
                colormap=DirectLabelColormap(color_dict={None: COLOURS[kind], 0: "transparent"}),
                opacity=0.8,
                metadata=metadata_of(LayerRecord(evaluated=kind)),
                **place,
            )
    if active in viewer.layers:
        viewer.layers.selection.active = active

"""Which scale fits: what a network finds at several, side by side."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

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

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.progress import Progress, job
from napari_segnet.widgets.qt.torch_loading import load_torch

if TYPE_CHECKING:
    from napari_segnet.detective import Tried

__all__ = ["ScalesBox", "tried_scales"]

HEADS = ("scale", "objects", "score", "size (px)")


@job
def tried_scales(
    checkpoint: Checkpoint, image: Image, settings: PredictSettings, labels: LabelSettings
) -> Generator[Progress, None, tuple[Tried, ...]]:
    """Try scales; torch is loaded first, without stopping the window."""
    yield Progress(what="reading the weights")
    load_torch()
    from napari_segnet.detective import try_scales

    return (yield from try_scales(checkpoint, image, settings, labels))


class ScalesBox(QWidget):
    """A button that tries scales, and the table of what came out; a click takes one.

    Attributes
    ----------
    asked : Signal
        The button was pressed.
    taken : Signal of float
        The scale of the row that was clicked.
    """

    asked = Signal()
    taken = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_scales")
        self.button = QPushButton("Try scales on what is visible")
        self.button.setObjectName("segnet_try_scales")
        self.button.setToolTip(
            "Run the network at five scales on the visible region (its middle, if that is large), "
            "and show what each finds"
        )
        self.button.clicked.connect(self.asked)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.table = QTableWidget(0, len(HEADS))
        self.table.setObjectName("segnet_scales_table")
        self.table.setHorizontalHeaderLabels(HEADS)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        side, top = self.table.verticalHeader(), self.table.horizontalHeader()
        if side is not None and top is not None:
            side.hide()
            top.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.cellClicked.connect(self._clicked)
        self._scales: list[float] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.button, self.words, self.table):
            layout.addWidget(widget)
        self.clear()

    def clear(self) -> None:
        """Take the table away: it is of another network or image."""
        self._scales = []
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

    def show_tried(self, tried: Sequence[Tried]) -> None:
        """Fill the table; the row with the highest score is marked, the user decides."""
        self._scales = [one.scale for one in tried]
        self.table.setRowCount(len(tried))
        for row, one in enumerate(tried):
            texts = (
                f"{one.scale:g}",
                str(one.count),
                "" if math.isnan(one.score) else f"{one.score:.2f}",
                "" if math.isnan(one.size_px) else f"{one.size_px:.0f}",
            )
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
        self.table.clearSelection()
        self.table.show()
        rows = sum(self.table.rowHeight(row) for row in range(len(tried)))
        top = self.table.horizontalHeader()
        self.table.setFixedHeight(rows + (top.height() if top is not None else 0) + 6)
        self.say("Click the scale whose count and size fit what you see.")

    def _clicked(self, row: int, column: int) -> None:
        self.taken.emit(self._scales[row])

"""What the tab "Review" looks like; it does nothing by itself."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.widgets.qt.message_bar import MessageBar
from napari_segnet.widgets.qt.named import named_button, named_label
from napari_segnet.widgets.qt.run_bar import RunBox
from napari_segnet.widgets.review.network_choice import NetworkChoice
from napari_segnet.widgets.review.queue_table import QueueTable
from napari_segnet.widgets.review.table import ItemsModel

__all__ = ["ReviewForm"]

BUTTONS = {
    "accept": (
        "Accept",
        "O",
        "The object is correct (or no object is missing here); go to the next",
    ),
    "fix": ("Mark wrong", "J", "Mark the object as wrong and stay; for a missing object, add it"),
    "delete": ("Delete", "Del", "Delete the object and go to the next"),
    "previous": ("Previous", "⇧N", "Go to the previous object"),
    "next": ("Next", "N", "Go to the next object that is not reviewed"),
    "lock": ("Lock", "", "Lock the object: its pixels never change. Press again to unlock"),
    "region": (
        "Rectangle is correct",
        "",
        "Everything inside the selected rectangle of a Shapes layer is correct, on this plane",
    ),
    "undo": ("Undo mark", "U", "Undo the last mark of the review; painted pixels stay"),
    "redo": ("Redo mark", "⇧U", "Redo the last undone mark of the review"),
}
"""Name of an act: its words, its key, and what it does."""
ROWS = (
    ("accept", "fix", "delete"),
    ("previous", "next", "lock"),
    ("undo", "redo"),
    ("region",),
)
PARTS = 6
"""Columns of the grid: each row is divided evenly."""


class ReviewForm(QWidget):
    """Words, the queue and the buttons of the review."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_review_panel")
        self.model = ItemsModel(self)
        self._build()

    def _build(self) -> None:
        self.name = named_label("segnet_review_layer")
        self.network = NetworkChoice()
        self.flips = QCheckBox("also check mirrored")
        self.flips.setObjectName("segnet_review_flips")
        self.flips.setToolTip(
            "Also run the network on the mirrored image: objects that then differ are uncertain. "
            "This takes three times as long"
        )
        self.run_box = RunBox("Find uncertain objects")
        self.run_box.button.setObjectName("segnet_review_run")
        self.message = MessageBar()
        self.said = named_label("segnet_review_said")
        self.said.setEnabled(False)
        self.table = QueueTable(self.model)
        self.bar = QProgressBar()
        self.bar.setObjectName("segnet_review_bar")
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(8)
        self.progress = named_label("segnet_review_progress")
        chosen = QHBoxLayout()
        chosen.addWidget(QLabel("according to"))
        chosen.addWidget(self.network, 1)
        layout = QVBoxLayout(self)
        layout.addWidget(self.name)
        layout.addLayout(chosen)
        layout.addWidget(self.flips)
        layout.addWidget(self.run_box)
        layout.addWidget(self.message)
        layout.addWidget(self.said)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.bar)
        layout.addWidget(self.progress)
        layout.addLayout(self._button_grid())

    def _button_grid(self) -> QGridLayout:
        grid, self.buttons = QGridLayout(), dict[str, QPushButton]()
        for row, names in enumerate(ROWS):
            span = PARTS // len(names)
            for column, name in enumerate(names):
                text, key, tip = BUTTONS[name]
                label = f"{text}  ({key})" if key else text
                button = named_button(label, f"segnet_review_{name}", tip)
                self.buttons[name] = button
                grid.addWidget(button, row, column * span, 1, span)
        return grid

    def show_progress(self, why: str = "") -> None:
        """Show how much was looked at, and why the current object is uncertain."""
        done, total = self.model.progress()
        self.bar.setRange(0, max(total, 1))
        self.bar.setValue(done)
        words = f"{done} of {total} reviewed" if total else ""
        self.progress.setText(f"{words} · {why}" if why else words)

"""What the tab "Training set" looks like; it does nothing by itself."""

from __future__ import annotations

from qtpy.QtCore import QSize
from qtpy.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QFormLayout,
    QHBoxLayout,
    QListWidget,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.widgets.dataset.exchange import ExchangeRow
from napari_segnet.widgets.dataset.jobs import THUMB_PX
from napari_segnet.widgets.qt.message_bar import MessageBar
from napari_segnet.widgets.qt.named import named_combo, named_label

__all__ = ["DatasetForm"]


class DatasetForm(QWidget):
    """What is added, the list of samples, and what can be done with them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_dataset")
        self.message = MessageBar(self)
        self._build()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.addWidget(self.message)
        layout.addWidget(self._what_to_add())
        self.summary = named_label("segnet_dataset_summary")
        layout.addWidget(self.summary)
        self.list = _sample_list()
        layout.addWidget(self.list, 1)
        layout.addLayout(self._acts())
        self.exchange = ExchangeRow()
        layout.addWidget(self.exchange)

    def _what_to_add(self) -> QWidget:
        self.images = named_combo("segnet_dataset_image", "The image that was labelled", 12)
        self.labels_name = named_label("segnet_dataset_labels")
        self.whole = _radio(
            "The whole image",
            "segnet_dataset_whole",
            "Every pixel is right: pixels without a label are background",
        )
        self.only_reviewed = _radio(
            "Only what I reviewed",
            "segnet_dataset_reviewed",
            "Accepted and corrected objects, and reviewed regions; training ignores the rest",
        )
        group = QButtonGroup(self)
        group.addButton(self.whole)
        group.addButton(self.only_reviewed)
        self.whole.setChecked(True)
        self.add_button = QPushButton("Add to training set")
        self.add_button.setObjectName("segnet_dataset_add")
        self.where = QPushButton()
        self.where.setObjectName("segnet_dataset_folder")
        form = QFormLayout()
        form.addRow("Labels", self.labels_name)
        form.addRow("Image", self.images)
        form.addRow("Train on", self.whole)
        form.addRow("", self.only_reviewed)
        form.addRow("Folder", self.where)
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(form)
        column.addWidget(self.add_button)
        return box

    def _acts(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.open_button = QPushButton("Open again")
        self.open_button.setToolTip("Show image and labels, to correct them further")
        self.side_button = QPushButton("Hold out")
        self.remove_button = QPushButton("Remove")
        self.remove_button.setToolTip("Remove it; its files move to the folder “history”")
        for name, button in (
            ("open", self.open_button),
            ("side", self.side_button),
            ("remove", self.remove_button),
        ):
            button.setObjectName(f"segnet_dataset_{name}")
            row.addWidget(button)
        return row


def _sample_list() -> QListWidget:
    shown = QListWidget()
    shown.setObjectName("segnet_dataset_list")
    shown.setIconSize(QSize(THUMB_PX, THUMB_PX))
    shown.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
    shown.setMinimumHeight(3 * THUMB_PX)
    shown.setWordWrap(True)
    return shown


def _radio(text: str, name: str, tip: str) -> QRadioButton:
    button = QRadioButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    return button

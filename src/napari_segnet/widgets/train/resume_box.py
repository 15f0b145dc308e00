"""A training that was killed, offered again."""

from __future__ import annotations

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGroupBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_segnet.train.state import Unfinished

__all__ = ["UnfinishedBox"]


class UnfinishedBox(QGroupBox):
    """Resume a training that did not end, or discard it; hidden while there is none."""

    go_on = Signal()
    anew = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Interrupted training", parent)
        self.found: Unfinished | None = None
        self.said = QLabel()
        self.said.setObjectName("segnet_train_unfinished")
        self.said.setWordWrap(True)
        self.go_on_button = QPushButton()
        self.go_on_button.setObjectName("segnet_train_resume")
        self.go_on_button.setToolTip("With the same network and settings")
        self.go_on_button.clicked.connect(self.go_on)
        self.anew_button = QPushButton("Discard it")
        self.anew_button.setObjectName("segnet_train_anew")
        self.anew_button.setToolTip("Delete this unfinished training")
        self.anew_button.clicked.connect(self.anew)
        row = QHBoxLayout()
        row.addWidget(self.go_on_button)
        row.addWidget(self.anew_button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.said)
        layout.addLayout(row)
        self.hide()

    def offer(self, found: Unfinished | None) -> None:
        """Offer a training, or nothing."""
        self.found = found
        self.setVisible(found is not None)
        if found is None:
            return
        parent = found.parent.name if found.parent is not None else "a network"
        self.said.setText(
            f"A training of {parent} was interrupted after epoch {found.epochs} of "
            f"{found.settings.epochs}. Nothing is lost."
        )
        ended = found.epochs >= found.settings.epochs
        self.go_on_button.setText("Finish" if ended else f"Resume from epoch {found.epochs + 1}")

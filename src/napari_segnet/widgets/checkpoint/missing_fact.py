"""Asks for what a weights file does not say, before the network can be used."""

from __future__ import annotations

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_segnet.errors import MissingFactError
from napari_segnet.widgets.qt.wheel import without_wheel

__all__ = ["MissingFactBox"]

CHOOSE = "choose…"


class MissingFactBox(QWidget):
    """One choice for each place in a network that only its user knows."""

    answered = Signal(dict)
    """What is told: name -> words."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_missing_fact")
        self._name = ""
        self.boxes: list[QComboBox] = []
        self.question = QLabel()
        self.question.setObjectName("segnet_missing_fact_question")
        self.question.setWordWrap(True)
        self._rows = QFormLayout()
        self._rows.setContentsMargins(0, 0, 0, 0)
        self.button = QPushButton("Open the network")
        self.button.setObjectName("segnet_missing_fact_tell")
        self.button.clicked.connect(self._tell)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.question)
        layout.addLayout(self._rows)
        layout.addWidget(self.button)
        self.hide()

    def ask(self, error: MissingFactError) -> None:
        """Show what is to be told, and the words for it."""
        self.clear()
        self._name = error.name
        self.question.setText(str(error).split(" Say wh")[0] + " Choose:")
        self.question.setToolTip(str(error))
        for number, place in enumerate(error.places):
            box = without_wheel(QComboBox())
            box.setObjectName(f"segnet_missing_fact_{number}")
            box.addItem(CHOOSE, "")
            for word, meaning in error.words:
                box.addItem(f"{word}: {meaning}", word)
            box.currentIndexChanged.connect(self._refresh)
            self._rows.addRow(place, box)
            self.boxes.append(box)
        self._refresh()
        self.show()

    def clear(self) -> None:
        """Ask for nothing."""
        while self._rows.rowCount():
            self._rows.removeRow(0)
        self.boxes = []
        self.hide()

    def _refresh(self) -> None:
        self.button.setEnabled(all(box.currentData() for box in self.boxes))

    def _tell(self) -> None:
        self.answered.emit({self._name: ",".join(str(box.currentData()) for box in self.boxes)})

"""A window of pictures: crops as a training changes them, and what the network should answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.progress import Progress
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.pixmaps import pixmap_of
from napari_segnet.widgets.train.example_pictures import Panel
from napari_segnet.widgets.train.jobs import TrainRequest, examples

__all__ = ["ExamplesWindow"]

EDGE_PX = 140
"""Of each picture on the screen."""
ABOUT = (
    "Randomly augmented crops (rotated, mirrored, scaled, brighter, blurred), and the output "
    "that the network should give. Outlines are objects. Training ignores striped areas, which "
    "are not reviewed or outside the image."
)


class ExamplesWindow(QDialog):
    """Shows what a training would learn from; reads and draws it in the background.

    Parameters
    ----------
    asked : TrainRequest
        Network, training set and settings.
    """

    def __init__(self, asked: TrainRequest, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_lesson_window")
        self.setWindowTitle("Training examples")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._asked, self._drawn = asked, 0
        self.titles: list[str] = []
        self.pictures: list[QLabel] = []
        self._runner = JobRunner(self)
        self._runner.progressed.connect(self._progressed)
        self._runner.succeeded.connect(self._show)
        self._runner.failed.connect(self._failed)
        self._runner.finished.connect(self._ready)
        about = QLabel(ABOUT)
        about.setWordWrap(True)
        self.said = QLabel()
        self.said.setObjectName("segnet_lesson_said")
        self.said.setWordWrap(True)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self.others = QPushButton("Draw others")
        self.others.setObjectName("segnet_lesson_others")
        self.others.clicked.connect(self.draw)
        self.close_button = QPushButton("Close")
        self.close_button.setObjectName("segnet_lesson_close")
        self.close_button.clicked.connect(self.close)
        buttons = QHBoxLayout()
        buttons.addWidget(self.others)
        buttons.addStretch()
        buttons.addWidget(self.close_button)
        layout = QVBoxLayout(self)
        layout.addWidget(about)
        layout.addWidget(self.said)
        layout.addWidget(self._area, 1)
        layout.addLayout(buttons)
        self.resize(5 * (EDGE_PX + 10) + 60, 4 * EDGE_PX + 140)
        self.draw()

    def draw(self) -> None:
        """Draw crops that were not shown yet."""
        settings = self._asked.settings
        # The first are those of the first step.
        asked = replace(self._asked, settings=replace(settings, seed=settings.seed + self._drawn))
        self._drawn += 1
        self.others.setEnabled(False)
        self._tell("reading the training set …")
        self._runner.start(partial(examples, asked))

    def done(self, result: int) -> None:
        """Stop what is at work before the window goes."""
        self._runner.close()
        super().done(result)

    def _tell(self, words: str) -> None:
        self.said.setText(words)
        self.said.setVisible(bool(words))

    def _progressed(self, progress: Progress) -> None:
        if progress.total:
            self._tell(f"reading image {progress.done} of {progress.total} …")

    def _failed(self, error: BaseException) -> None:
        self._tell(str(error))

    def _ready(self) -> None:
        self.others.setEnabled(True)

    def _show(self, rows: Sequence[Sequence[Panel]]) -> None:
        self._tell("")
        grid = QGridLayout()
        self.titles = [title for title, _ in rows[0]]
        self.pictures = []
        for column, title in enumerate(self.titles):
            head = QLabel(title)
            head.setAlignment(Qt.AlignmentFlag.AlignCenter)
            grid.addWidget(head, 0, column)
        for row, panels in enumerate(rows, start=1):
            for column, (_, picture) in enumerate(panels):
                label = QLabel()
                label.setPixmap(_shown(picture))
                grid.addWidget(label, row, column, Qt.AlignmentFlag.AlignCenter)
                self.pictures.append(label)
        grid.setRowStretch(len(rows) + 1, 1)
        inside = QWidget()
        inside.setLayout(grid)
        self._area.setWidget(inside)


def _shown(picture: npt.NDArray[np.uint8]) -> QPixmap:
    return pixmap_of(picture).scaled(
        EDGE_PX,
        EDGE_PX,
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )

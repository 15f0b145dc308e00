"""Run, Cancel, and how far it is."""

from __future__ import annotations

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_segnet.progress import Pace, Progress

__all__ = ["RunBox", "time_left"]


class RunBox(QWidget):
    """The buttons and the bar of one kind of run.

    Parameters
    ----------
    text : str
        What the button says.
    at_foot : bool
        The box ends a dock: the buttons stand below bar and words, where nothing moves them.
    """

    run = Signal()
    cancel = Signal()

    def __init__(
        self, text: str = "Run", parent: QWidget | None = None, *, at_foot: bool = False
    ) -> None:
        super().__init__(parent)
        self.button = QPushButton(text)
        self.button.setObjectName("segnet_run")
        self.button.clicked.connect(self.run)
        self.stop = QPushButton("Cancel")
        self.stop.setObjectName("segnet_cancel")
        self.stop.setEnabled(False)
        self.stop.clicked.connect(self.cancel)
        self.bar = QProgressBar()
        self.bar.setObjectName("segnet_progress")
        self.bar.setTextVisible(False)
        self.words = QLabel()
        self.words.setObjectName("segnet_progress_text")
        self.words.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.button, 2)
        row.addWidget(self.stop, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        if at_foot:
            layout.addWidget(self.words)
            layout.addWidget(self.bar)
            layout.addLayout(row)
        else:
            layout.addLayout(row)
            layout.addWidget(self.bar)
            layout.addWidget(self.words)
        room = self.bar.sizePolicy()
        room.setRetainSizeWhenHidden(True)  # nothing below jumps when a run begins or ends
        self.bar.setSizePolicy(room)
        self.bar.setMaximumHeight(8)
        self.bar.hide()
        self._pace = Pace()

    def begin(self) -> None:
        """Show that a run has begun."""
        self._pace = Pace()
        self.stop.setEnabled(True)
        self.bar.setRange(0, 0)
        self.bar.show()
        self.words.setText("starting …")

    def show_progress(self, progress: Progress) -> None:
        """Show how far it is, and how long it will take."""
        left = self._pace.left_s(progress)
        if progress.total < 2:
            self.bar.setRange(0, 0)
            self.words.setText(f"{progress.what} …")
            return
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        left = dict(progress.values).get("seconds left", left)
        words = "" if left is None or progress.done >= progress.total else time_left(left)
        self.words.setText(f"{progress.what} {progress.done} of {progress.total}{words}")

    def stopping(self) -> None:
        """Show that it was asked to stop."""
        self.stop.setEnabled(False)
        self.words.setText("stopping …")

    def end(self, words: str = "") -> None:
        """Show that it is over, and what came of it."""
        self.stop.setEnabled(False)
        self.bar.hide()
        self.words.setText(words)

    def outdated(self) -> None:
        """Take back what came of a run that is over: something else is chosen now."""
        if self.bar.isHidden():
            self.words.setText("")


def time_left(left_s: float) -> str:
    """Return ``", about 20 s left"``."""
    if left_s < 90:
        return f", about {max(1, round(left_s))} s left"
    return f", about {round(left_s / 60)} min left"

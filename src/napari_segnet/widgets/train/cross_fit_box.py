"""After a training on few images: judge by further ones, if the user finds that worth its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_segnet.progress import Progress
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.named import named_button, named_label
from napari_segnet.widgets.train.session import TrainSession

if TYPE_CHECKING:
    from napari_segnet.train import CrossFit, TrainingResult

__all__ = ["CrossFitBox"]

WHY = (
    "The few held-out images have too few objects for a comparison. This repeats the training "
    "without each image in turn, and scores it on that image."
)


class CrossFitBox(QWidget):
    """Offers further trainings with their cost, does them, and says what they tell.

    Parameters
    ----------
    session : TrainSession
        Whose last training is judged.

    Attributes
    ----------
    failed : Signal of BaseException
        Why they ended.
    """

    failed = Signal(object)

    def __init__(self, session: TrainSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.runner = JobRunner(self)
        self.ask = named_button("", "segnet_train_cross_fit", WHY)
        self.stop = named_button("Stop judging", "segnet_train_cross_fit_stop")
        self.words = named_label("segnet_train_cross_fit_words")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.ask, self.stop, self.words):
            layout.addWidget(widget)
        self.ask.clicked.connect(self.begin)
        self.stop.clicked.connect(self.runner.cancel)
        self.runner.progressed.connect(self._progressed)
        self.runner.succeeded.connect(self._judged)
        self.runner.failed.connect(self._failed)
        self.runner.finished.connect(self._idle)
        self.runner.end_with(self)
        self.hide()

    def offer(self, trained: TrainingResult) -> None:
        """Offer them if they may tell what one training did not."""
        self.runner.cancel()
        count, minutes = self._session.cross_fit_cost(trained)
        comparison = trained.comparison
        self.setVisible(bool(count) and comparison is not None and comparison.verdict == "unsure")
        time = f", about {minutes:g} minutes" if minutes else ""
        self.ask.setText(f"Judge by all objects ({count} trainings{time})")
        self.words.hide()
        self._idle()

    def begin(self) -> None:
        """Do the trainings."""
        training = self._session.training
        if training is None or self.runner.busy:
            return
        self.ask.hide()
        self.stop.show()
        self.words.setText("training …")
        self.words.show()
        self.runner.start(self._session.judged_by_all(training))

    def _progressed(self, progress: Progress) -> None:
        if progress.what == "training":
            self.words.setText(f"training {progress.done + 1} of {progress.total} …")

    def _judged(self, found: CrossFit) -> None:
        self.words.setText(found.sentence())

    def _failed(self, error: BaseException) -> None:
        self.words.hide()
        self.failed.emit(error)

    def _idle(self) -> None:
        self.ask.show()
        self.stop.hide()
        if self.words.text().endswith("…"):
            self.words.hide()

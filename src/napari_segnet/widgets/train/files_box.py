"""The training set, and the file that the new network is written to."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QFormLayout, QGroupBox, QVBoxLayout, QWidget

from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.named import named_button, named_label
from napari_segnet.widgets.qt.recent import last_training_set, remember_training_set
from napari_segnet.widgets.train.jobs import Contents
from napari_segnet.widgets.train.session import TrainSession, held

__all__ = ["FilesBox"]

CHOOSE = "Choose…"
WHY_EARLIER = (
    "Optional: a training set of images that the network labels well. They are scored before and "
    "after the training, to show what it forgets; with “rehearsal” under More settings, it also "
    "trains on them"
)


class FilesBox(QGroupBox):
    """Chooses a folder and looks into it; proposes a file that nobody writes yet.

    Parameters
    ----------
    session : TrainSession
        Where both are kept.

    Attributes
    ----------
    changed : Signal
        Training set or file is another one, or was looked at.
    read : Signal of Contents or None
        What is in the training set; None where it cannot be read.
    failed : Signal of BaseException
        Why a training set that the user chose cannot be read.
    """

    changed = Signal()
    read = Signal(object)
    failed = Signal(object)

    def __init__(self, session: TrainSession, parent: QWidget | None = None) -> None:
        super().__init__("Training set", parent)
        self._session = session
        self._offered = False
        self.reader = JobRunner(self)
        self.where = named_button(
            CHOOSE, "segnet_train_folder", "The folder that “Add to training set” writes"
        )
        self.summary = named_label("segnet_train_summary")
        self.earlier = named_button(CHOOSE, "segnet_train_earlier", WHY_EARLIER)
        self.no_earlier = named_button("Leave out", "segnet_train_no_earlier")
        self.save_as = named_button(CHOOSE, "segnet_train_save_as")
        self.examples = named_button("Show training examples", "segnet_train_examples")
        chosen = QWidget()
        rows = QFormLayout(chosen)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addRow("folder", self.where)
        rows.addRow("", self.summary)
        rows.addRow("save as", self.save_as)
        rows.addRow("earlier images", self.earlier)
        rows.addRow("", self.no_earlier)
        layout = QVBoxLayout(self)
        layout.addWidget(chosen)
        layout.addWidget(self.examples)
        self.where.clicked.connect(self._browse)
        self.save_as.clicked.connect(self._browse_out)
        self.earlier.clicked.connect(self._browse_earlier)
        self.no_earlier.clicked.connect(self._leave_out_earlier)
        self.no_earlier.hide()
        self.reader.succeeded.connect(self._read)
        self.reader.failed.connect(self._unread)

    def take_last(self) -> None:
        """Offer the training set that was used last; what is wrong with it is not told yet."""
        folder = last_training_set() or self._session.folder
        if folder is not None:
            self.choose(folder)
            self._offered = True

    def choose(self, folder: Path) -> None:
        """Take the training set of a folder."""
        self._offered = False
        look = self._session.choose_folder(folder)
        remember_training_set(folder)
        self.where.setText(folder.name)
        self.where.setToolTip(str(folder))
        self.summary.setText("looking …")
        self.suggest_out()
        self.reader.start(look)

    def choose_earlier(self, folder: Path | None) -> None:
        """Take a training set of what the network knew before, or none."""
        self._session.earlier = folder
        self.earlier.setText(CHOOSE if folder is None else folder.name)
        self.earlier.setToolTip(WHY_EARLIER if folder is None else f"{folder}\n{WHY_EARLIER}")
        self.no_earlier.setVisible(folder is not None)

    def save_to(self, path: Path) -> None:
        """Choose the file that is written."""
        self._session.out = path
        self.save_as.setText(path.name)
        self.save_as.setToolTip(str(path))
        self.changed.emit()

    def suggest_out(self) -> None:
        """Choose a file that nobody writes yet."""
        path = self._session.suggested_out()
        if path is not None:
            self.save_to(path)

    def _read(self, found: Contents) -> None:
        self._session.contents = found
        self.summary.setText(held(found))
        self.read.emit(found)
        self.changed.emit()

    def _unread(self, error: BaseException) -> None:
        self._session.contents = None
        self.read.emit(None)
        if self._offered:  # nobody has asked for it
            self._session.folder = None
            self.where.setText(CHOOSE)
            self.where.setToolTip("")
        else:
            self.failed.emit(error)
        self.summary.setText("")
        self.changed.emit()

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self, "Folder of the training set", str(self._session.folder or Path.home())
        )
        if folder:
            self.choose(Path(folder))

    def _browse_earlier(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self, "Training set of earlier images", str(self._session.earlier or Path.home())
        )
        if folder:
            self.choose_earlier(Path(folder))

    def _leave_out_earlier(self) -> None:
        self.choose_earlier(None)

    def _browse_out(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the network as", str(self._session.out or "")
        )
        if path:
            self.save_to(Path(path))

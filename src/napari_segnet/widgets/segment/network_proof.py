"""What the statistics of a file say of its network, and the question that they leave."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SegnetError
from napari_segnet.progress import Progress
from napari_segnet.widgets.checkpoint.contact_sheet import ContactSheet
from napari_segnet.widgets.checkpoint.picture_box import PictureBox
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.segment.proof_jobs import compared, proven, saved
from napari_segnet.widgets.segment.request import RunRequest

if TYPE_CHECKING:
    from napari_segnet.compare import Compared
    from napari_segnet.proof import Possible, Recognised

__all__ = ["NetworkProof"]


class NetworkProof(QWidget):
    """Refines the network that was recognised, off the GUI thread, and asks what is left open.

    Parameters
    ----------
    request : callable
        A bound method that returns what a run of a part of the named kind is asked for; it raises
        a ``SegnetError`` where something is missing. Only a weak reference is kept.

    Attributes
    ----------
    rethink, picture : QPushButton, PictureBox
        Forgets what was chosen earlier; the network as a picture. Both have their place below
        what is known of the network.
    refined : Signal of Checkpoint
        The network with all that is proven of it.
    chosen : Signal of dict
        Facts, name -> words, of the network that the user takes.
    forgotten : Signal
        What was chosen earlier no longer counts: the file is to be looked at anew.
    said : Signal of str
        Something that was done.
    failed : Signal of BaseException
        What went wrong.
    finished : Signal
        The proof is over: done, failed, or stopped by the user.
    """

    refined = Signal(object)
    chosen = Signal(dict)
    forgotten = Signal()
    said = Signal(str)
    failed = Signal(object)
    finished = Signal()

    def __init__(self, request: Callable[..., RunRequest], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._request = WeakMethod(request)
        self._checkpoint: Checkpoint | None = None
        self._candidates: tuple[Possible, ...] = ()
        self._is_shown = False
        self.prover, self.comparer, self.saver = (JobRunner(self) for _ in range(3))
        self.words = QLabel()
        self.words.setObjectName("segnet_proof_text")
        self.words.setWordWrap(True)
        self.stop = QPushButton("Cancel")
        self.stop.setObjectName("segnet_proof_cancel")
        self.stop.setToolTip("Take the likeliest network; unproven facts stay assumed")
        self.rethink = QPushButton("Forget my choice and ask again")
        self.rethink.setObjectName("segnet_proof_rethink")
        self.rethink.setToolTip("You chose this network among several that the file may be")
        self.rethink.hide()
        self.sheet = ContactSheet()
        self.picture = PictureBox()
        row = QHBoxLayout()
        row.addWidget(self.words, 1)
        row.addWidget(self.stop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.sheet)
        self._connect()
        self._quiet()

    def _connect(self) -> None:
        self.stop.clicked.connect(self.prover.cancel)
        self.rethink.clicked.connect(self._forget)
        self.prover.progressed.connect(self._progressed)
        self.prover.succeeded.connect(self._proven)
        self.prover.failed.connect(self.failed)
        self.prover.finished.connect(self._quiet)
        self.prover.finished.connect(self.finished)
        self.comparer.progressed.connect(self._comparing)
        self.comparer.succeeded.connect(self._compared)
        self.comparer.failed.connect(self._not_compared)
        self.sheet.asked.connect(self.compare)
        self.sheet.chosen.connect(self._choose)
        self.picture.save_asked.connect(self._ask_where)
        self.saver.succeeded.connect(self._saved)
        self.saver.failed.connect(self.failed)

    @property
    def busy(self) -> bool:
        """True while a proof is at work."""
        return self.prover.busy

    def runners(self) -> tuple[JobRunner, ...]:
        """Return what works off the GUI thread."""
        return self.prover, self.comparer, self.saver

    def clear(self) -> None:
        """Forget the network that was looked at."""
        self._checkpoint, self._candidates, self._is_shown = None, (), False
        for runner in (self.prover, self.comparer):
            runner.cancel()
        self.sheet.clear()
        self.rethink.hide()
        self.picture.set_checkpoint(None)

    def begin(self, checkpoint: Checkpoint) -> None:
        """Take a network that was recognised; prove what is open of it."""
        from napari_segnet.proof import is_open
        from napari_segnet.sidecar import is_of_a_choice

        self._checkpoint = checkpoint
        self.rethink.setVisible(is_of_a_choice(checkpoint))
        self.picture.set_checkpoint(checkpoint)
        if not is_open(checkpoint):
            return
        asked = self._asked("layer")
        image = None if asked is None else asked.source.image
        self.words.setText("Testing candidates by the statistics of the file …")
        self.words.show()
        self.stop.show()
        self.prover.start(partial(proven, checkpoint, image))

    def image_changed(self) -> None:
        """Compare on the image that was opened, where none was there before."""
        if self._candidates and not self._is_shown and not self.comparer.busy:
            self.compare()

    def compare(self) -> None:
        """Run the networks that the file may be on what is visible."""
        asked = self._asked("visible")
        if asked is None or not self._candidates:
            return
        networks = [one.checkpoint for one in self._candidates]
        self.sheet.say("Comparing …")
        self.comparer.start(partial(compared, networks, asked.source.image, asked.predict))

    # ---- What comes of it ----

    def _asked(self, kind: str) -> RunRequest | None:
        """Return what a run is asked for; None while something is missing."""
        method: Any = self._request()
        try:
            request: RunRequest | None = None if method is None else method(kind)
        except SegnetError:
            return None  # no image is open yet
        return request

    def _progressed(self, progress: Progress) -> None:
        if progress.done:
            self.words.setText(
                f"Testing candidates by the statistics of the file: {progress.done} tested …"
            )

    def _quiet(self) -> None:
        if not self.prover.busy:
            self.words.hide()
            self.stop.hide()

    def _proven(self, found: Recognised) -> None:
        self._checkpoint, self._candidates = found.checkpoint, found.candidates
        self.picture.set_checkpoint(found.checkpoint)
        self.refined.emit(found.checkpoint)
        if found.candidates:
            self.sheet.ask([one.differs for one in found.candidates])
            self.compare()

    def _comparing(self, progress: Progress) -> None:
        if progress.total:
            self.sheet.say(f"Comparing {progress.done + 1} of {progress.total} …")

    def _compared(self, made: Compared) -> None:
        self._is_shown = True
        self.sheet.show_compared(made)

    def _not_compared(self, error: BaseException) -> None:
        self.sheet.say(f"They could not be compared: {error}")

    def _choose(self, place: int) -> None:
        """Keep the network that was clicked, and open it so."""
        from napari_segnet.sidecar import keep_choice

        one = self._candidates[place]
        refused, path = None, None
        try:
            path = keep_choice(one.checkpoint, one.choices)
        except SegnetError as error:
            refused = error
        self.chosen.emit({name: str(value) for name, value in one.choices.items()})
        # Not earlier: looking at the file anew hides older messages.
        if refused is not None:
            self.failed.emit(refused)
        else:
            self.said.emit(f"Your choice is kept in {path}.")

    def _forget(self) -> None:
        """Let what was chosen count no more, and look at the file anew."""
        from napari_segnet.sidecar import forget_choice

        if self._checkpoint is None:
            return
        try:
            forget_choice(self._checkpoint.path)
        except SegnetError as error:
            self.failed.emit(error)
        else:
            self.forgotten.emit()

    # ---- Saving ----

    def _ask_where(self) -> None:
        if self._checkpoint is None:
            return
        name = f"{self._checkpoint.path.stem}-with-graph.safetensors"
        start = str(self._checkpoint.path.with_name(name))
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the network", start, "Networks (*.safetensors)"
        )
        if path:
            self.save_to(Path(path))

    def save_to(self, path: Path) -> None:
        """Write the network as a file of our own."""
        if self._checkpoint is not None:
            self.saver.start(partial(saved, self._checkpoint, path))

    def _saved(self, path: Path) -> None:
        self.said.emit(f"Saved: {path}")

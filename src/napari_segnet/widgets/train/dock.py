"""The Train dock: train a network on the training set, see it learn, keep what is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import MissingFactError, OutputError, SegnetError
from napari_segnet.progress import Progress
from napari_segnet.widgets.checkpoint.chosen import chosen_network
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.preferences import preferences
from napari_segnet.widgets.qt.recent import remember_network, training_set_news
from napari_segnet.widgets.qt.scroll_column import scroll_into_view
from napari_segnet.widgets.train.curves import curves
from napari_segnet.widgets.train.examples_window import ExamplesWindow
from napari_segnet.widgets.train.form import NO_NETWORK, TrainForm
from napari_segnet.widgets.train.jobs import Contents, TrainRequest
from napari_segnet.widgets.train.preview_layers import LearningLayers, show_changes

if TYPE_CHECKING:
    import napari.viewer

    from napari_segnet.train import TrainingResult
    from napari_segnet.train.state import Unfinished

__all__ = ["TrainDock"]

NOTHING_KEPT = "stopped before the first epoch ended: nothing kept"


class TrainDock(TrainForm):
    """Trains a network on a training set.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        In whose Segment dock the new network is chosen if it is better.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._learning = LearningLayers(self.viewer)
        self._looker, self._runner = JobRunner(self), JobRunner(self)
        self._beside = (self.begin_well.runner, self.outcome.cross_fit.runner)
        self.accept_files()
        self._connect()
        self.files.take_last()
        # The network that runs: its labels are what was corrected.
        running = chosen_network(self.viewer).choice
        if running:
            self.choose_weights(running)
        self._refresh()

    def _connect(self) -> None:
        self.weights.chosen.connect(self.choose_weights)
        self.missing_fact.answered.connect(self._tell)
        self.files.read.connect(self._read)
        self.files.changed.connect(self._refresh)
        self.files.failed.connect(self.message.fail)
        for form in (self.main, self.more):
            form.changed.connect(self.message.settings_changed)
        self.examples.clicked.connect(self.show_examples)
        self.unfinished.go_on.connect(self.go_on_unfinished)
        self.unfinished.anew.connect(self.begin_anew)
        self.run_box.run.connect(self.run)
        self.run_box.cancel.connect(self.cancel)
        self.stopped.keep_best.clicked.connect(self.keep_what_it_learned)
        self.stopped.drop.clicked.connect(self.keep_the_old)
        self.stopped.go_on.clicked.connect(self.go_on_training)
        self.outcome.use.clicked.connect(self.use_new_network)
        self.outcome.changes.clicked.connect(self.show_changes)
        self.look.clicked.connect(self._learning.look_at)
        self._looker.succeeded.connect(self._recognised)
        self._looker.failed.connect(self._refused)
        self._runner.progressed.connect(self._progressed)
        self._runner.succeeded.connect(self._learned)
        self._runner.failed.connect(self._failed)
        self._runner.cancelled.connect(self._stopped)
        for end in (self._learning.put_away, self.look.hide, self._refresh):
            self._runner.finished.connect(end)
        training_set_news().changed.connect(self.seen_again)
        for runner in (self._looker, self.files.reader, self._runner, self.begin_well.runner):
            runner.end_with(self)

    # ---- The dock ----

    def seen_again(self) -> None:
        """Look at the training set again: the Correct dock may have added to it meanwhile."""
        if not self._runner.busy:
            self.files.take_last()

    def closed(self) -> None:
        """Stop what is at work."""
        for runner in (self._looker, self.files.reader, self._runner, *self._beside):
            runner.cancel()

    def take_files(self, paths: Sequence[Path]) -> None:
        """Take a folder as the training set, a file as the network."""
        if self._runner.busy:
            return
        for path in paths:
            if path.is_dir():
                self.choose_folder(path)
            else:
                self.choose_weights(str(path))

    def _refresh(self) -> None:
        self.enable(ready=self.session.ready, busy=self._runner.busy)

    # ---- What is chosen ----

    def choose_weights(self, choice: str) -> None:
        """Look at a weights file, or at the built-in network of that name."""
        self.session.choice = str(choice)
        self.weights.show_choice(self.session.choice)
        self._tell({})

    def _tell(self, facts: Mapping[str, str]) -> None:
        """Look at the network with what the user says of it."""
        look = self.session.look(facts)
        self.missing_fact.clear()
        self.message.hide()
        self.about.setText(f"reading {Path(self.session.choice).name} …")
        self._refresh()
        self._looker.start(look)

    def _recognised(self, checkpoint: Checkpoint) -> None:
        try:
            self.about.setText(self.session.take_network(checkpoint))
        except SegnetError as error:
            self.about.setText("This network cannot be trained here.")
            self.message.fail(error)
        self.files.suggest_out()
        self._refresh()
        if self.session.resuming is not None:
            self._resume(self.session.resuming)

    def _refused(self, error: BaseException) -> None:
        if isinstance(error, MissingFactError):
            self.about.setText("")
            self.missing_fact.ask(error)
            return
        self.session.resuming = None
        self.weights.show_choice("")
        self.about.setText(NO_NETWORK)
        self.message.fail(error)

    def choose_folder(self, folder: Path) -> None:
        """Take the training set of a folder."""
        self.files.choose(Path(folder))

    def save_to(self, path: Path) -> None:
        """Choose the file that is written."""
        self.files.save_to(Path(path))

    def _read(self, found: Contents | None) -> None:
        """Offer to go on with a training that was killed."""
        killed = next(iter(found.unfinished), None) if found is not None else None
        idle = not self._runner.busy and self.stopped.isHidden()
        self.unfinished.offer(killed if idle else None)

    # ---- What it learns from ----

    def show_examples(self) -> None:
        """Open a window with crops as the training changes them."""
        asked = self._asked()
        if asked is not None:
            ExamplesWindow(asked, parent=self).show()

    def _asked(self) -> TrainRequest | None:
        """Return what the dock says; nothing while something is missing, or after a message."""
        try:
            return self.session.request(self.settings(), preferences().device)
        except SegnetError as error:
            self.message.fail(error)
            return None

    # ---- A training that was killed ----

    def go_on_unfinished(self) -> None:
        """Go on with a training that was killed, from its last epoch."""
        found = self.unfinished.found
        if found is not None and found.parent is not None:
            self.session.resuming = found
            self.choose_weights(str(found.parent))

    def _resume(self, found: Unfinished) -> None:
        self.session.resuming = None
        self.set_settings(found.settings)
        self.save_to(found.out)
        asked = self._asked()
        if asked is not None:
            self.plot.clear()
            self._start(replace(asked, settings=found.settings, resume=True))

    def begin_anew(self) -> None:
        """Forget a training that was killed."""
        found = self.unfinished.found
        if found is None or self.folder is None:
            return
        try:
            self.session.forget_killed(found)
        except OutputError as error:
            self.message.fail(error)
            return
        self.choose_folder(self.folder)

    # ---- Training ----

    def run(self) -> None:
        """Train the network."""
        asked = self._asked()
        if asked is None:
            return
        try:
            asked.out.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.message.fail(error)
            return
        self.plot.clear()
        self._start(asked)

    def _start(self, training: TrainRequest) -> None:
        self.message.hide()
        self.stopped.hide()
        self.unfinished.offer(None)
        self.outcome.hide()
        for runner in self._beside:  # two never share cores and memory
            runner.cancel()
        self.run_box.begin()
        self._runner.start(self.session.begin(training))
        self._refresh()

    def cancel(self) -> None:
        """Stop; what was learned up to the last epoch is not lost."""
        if self._runner.busy:
            self.run_box.stopping()
            self._runner.cancel()

    def _stopped(self) -> None:
        self.run_box.end("stopped" if self.session.has_more() else NOTHING_KEPT)
        self._follow()
        self.stopped.setVisible(self.session.has_more())

    def _failed(self, error: BaseException) -> None:
        self.run_box.end("")
        self.message.fail(error)
        self.stopped.setVisible(self.session.has_more())

    def keep_what_it_learned(self) -> None:
        """Write the network of the training that was stopped, and judge it."""
        self._start_if_possible(self.session.best_so_far)

    def go_on_training(self) -> None:
        """Train further from the last epoch."""
        self._start_if_possible(self.session.continued)

    def _start_if_possible(self, make: Callable[[], TrainRequest | None]) -> None:
        try:
            training = make()
        except (SegnetError, OSError) as error:
            self.message.fail(error)
            return
        if training is not None:
            self._start(training)

    def keep_the_old(self) -> None:
        """Forget the training that was stopped."""
        try:
            self.session.forget_stopped()
        except OutputError as error:
            self.message.fail(error)
            return
        self.stopped.hide()
        self.run_box.end("The old network is kept.")

    def _progressed(self, progress: Progress) -> None:
        self.run_box.show_progress(progress)
        loss = dict(progress.values).get("train_loss")
        if progress.what == "step" and loss is not None:
            self.run_box.words.setText(f"{self.run_box.words.text()}, loss {loss:.3f}")
        self._follow()

    def _follow(self) -> None:
        """Draw the epochs that are new, and the crop as the network labels it now."""
        epochs = self.session.new_epochs()
        if not epochs:
            return
        self.plot.show_lines(curves(epochs))
        if self.plot.isHidden():
            self.plot.show()
            scroll_into_view(self.plot)
        seen = self.session.seen()
        if seen is not None and self.show_crop.isChecked():
            self._learning.show(seen)
            self.look.show()

    # ---- What came of it ----

    def _learned(self, trained: TrainingResult) -> None:
        self.session.trained = trained
        self._follow()
        lines = self.session.notes()
        if lines:
            self.message.say("\n".join(lines))
        self.run_box.end(_written(trained.checkpoint.path))
        self.outcome.show_outcome(trained)
        scroll_into_view(self.outcome)
        if trained.after.images and trained.promoted:
            self.use_new_network()
        self.files.suggest_out()

    def show_changes(self) -> None:
        """Show what changed on each held-out image, as layers of pictures."""
        if self.trained is None:
            return
        try:
            show_changes(self.viewer, self.trained)
        except SegnetError as error:
            self.message.fail(error)

    def use_new_network(self) -> None:
        """Choose the new network in the Segment dock, and to be trained further."""
        if self.trained is None:
            return
        path = self.trained.checkpoint.path
        remember_network(path.absolute())
        chosen_network(self.viewer).hand_over(str(path))
        self.weights.refresh()
        self.choose_weights(str(path))


def _written(path: Path) -> str:
    """Return where the new network is, in as many words as the dock is wide."""
    return f"{path.name} is written to {Path(*path.parent.parts[-2:])}."

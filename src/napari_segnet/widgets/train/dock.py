"""The Train dock: teach a network from the training set, see it learn, keep what is better."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import OutputError, SegnetError, UntoldError
from napari_segnet.progress import Progress
from napari_segnet.train.settings import TrainSettings
from napari_segnet.train.state import is_running, ours, state_path
from napari_segnet.widgets.checkpoint.picker import WeightsBox
from napari_segnet.widgets.checkpoint.recognise import recognise
from napari_segnet.widgets.checkpoint.untold import UntoldBox
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.record import update
from napari_segnet.widgets.qt.collapsible import Section
from napari_segnet.widgets.qt.dock_placement import share_place
from napari_segnet.widgets.qt.form import Form
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.message_bar import MessageBar
from napari_segnet.widgets.qt.plot import Line, Plot
from napari_segnet.widgets.qt.preferences import preferences
from napari_segnet.widgets.qt.recent import last_training_set, remember_training_set
from napari_segnet.widgets.qt.run_bar import RunBox
from napari_segnet.widgets.qt.scroll_column import Column
from napari_segnet.widgets.train.examples_window import LessonWindow
from napari_segnet.widgets.train.hints import MAIN, MORE, TRAIN_HINTS
from napari_segnet.widgets.train.jobs import (
    NETWORKS,
    Contents,
    Lesson,
    contents,
    ended_early,
    learn,
    writes_as,
)
from napari_segnet.widgets.train.preview_layers import LearningLayers
from napari_segnet.widgets.train.resume_box import UnfinishedBox

if TYPE_CHECKING:
    import napari.viewer

    from napari_segnet.train import Taught
    from napari_segnet.train.state import Unfinished
    from napari_segnet.widgets.segment.dock import SegmentDock

__all__ = ["TrainDock"]


SCORES = (("val_ap50", "AP 50"), ("val_dice", "Dice"))
"""Of the held-out part after each epoch; the first that is there is drawn."""
SHOWN = (
    ("ap50", "AP 50"),
    ("ap75", "AP 75"),
    ("pq", "PQ"),
    ("dice", "Dice"),
    ("precision50", "precision"),
    ("recall50", "recall"),
)
"""Figures of the gate, as the table shows them."""
WEIGHTS_ALONE = ".weights.h5"
"""One ending, which Keras 3 demands."""
FINE_TUNING = TrainSettings(epochs=20, steps_per_epoch=50, learning_rate=3e-4)
"""To begin with: a network that has learned before needs small steps, and few of them."""


class TrainDock(QWidget):
    """Teaches a network from a training set.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        In whose Segment dock the new network is chosen if it is better.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_train_dock")
        self.viewer: napari.viewer.Viewer = unwrapped(viewer)
        self.checkpoint: Checkpoint | None = None
        self.folder: Path | None = None
        self.contents: Contents | None = None
        self.taught: Taught | None = None
        self.out: Path | None = None
        self._new = True
        self._folder_offered = False
        self._lesson: Lesson | None = None
        self._choice = ""
        self._resuming: Unfinished | None = None
        self._drawn = 0
        self._learning = LearningLayers(self.viewer)
        self._looker, self._reader, self._runner = (JobRunner(self) for _ in range(3))
        self.setAcceptDrops(True)
        self._build()
        self._connect()
        self._take_last_folder()
        self._begin_with_what_runs()
        self._refresh()

    # ---- What it looks like ----

    def _build(self) -> None:
        self.message = MessageBar()
        self.weights = WeightsBox(preferences().folder)
        self.about = QLabel("Choose the network to begin with.")
        self.about.setObjectName("segnet_train_about")
        self.about.setWordWrap(True)
        self.untold = UntoldBox()
        self.where = QPushButton("Choose…")
        self.where.setObjectName("segnet_train_folder")
        self.where.setToolTip("The folder that “Add to training set” writes")
        self.summary = QLabel()
        self.summary.setObjectName("segnet_train_summary")
        self.summary.setWordWrap(True)
        self.save_as = QPushButton("Choose…")
        self.save_as.setObjectName("segnet_train_save_as")
        self.examples = QPushButton("Show what it learns from")
        self.examples.setObjectName("segnet_train_examples")
        self.unfinished = UnfinishedBox()
        self.main = Form(FINE_TUNING, hints=TRAIN_HINTS, only=MAIN)
        self.more = Form(FINE_TUNING, hints=TRAIN_HINTS, only=MORE)
        self.run_box = RunBox("Train")
        self.plot = Plot(
            self.viewer, x_label="epoch", y_label="loss", right_label="held out", parent=self
        )
        self.plot.setObjectName("segnet_train_plot")
        self.show_crop = QCheckBox("Show a held-out crop as layers")
        self.show_crop.setObjectName("segnet_train_show_crop")
        self.show_crop.setChecked(True)
        self.show_crop.setToolTip(
            "After each epoch: what the network makes of it now, beside the layers that are there"
        )
        self.look = QPushButton("Look at it")
        self.look.setObjectName("segnet_train_look")
        self.look.hide()
        self.stopped = self._stop_box()
        self.outcome = self._outcome_box()
        rows = QFormLayout()
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addRow("folder", self.where)
        rows.addRow("", self.summary)
        rows.addRow("save as", self.save_as)
        chosen = QWidget()
        chosen.setLayout(rows)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(
            Column(
                _group("Network to begin with", self.weights, self.about, self.untold),
                _group("Training set", chosen, self.examples),
                self.unfinished,
                _group("Settings", self.main, Section("More settings", self.more)),
                self.show_crop,
                self.run_box,
                self.message,
                self.stopped,
                self.plot,
                self.look,
                self.outcome,
            )
        )
        self.plot.hide()

    def _stop_box(self) -> QWidget:
        box = QGroupBox("Stopped")
        self.keep_best = QPushButton("Keep the best so far")
        self.keep_best.setObjectName("segnet_train_keep")
        self.keep_best.setToolTip(
            "Write the network of the epoch that answered best what is held out, and compare it "
            "with the old one"
        )
        self.drop = QPushButton("Keep the old network")
        self.drop.setObjectName("segnet_train_drop")
        self.drop.setToolTip("Forget this training")
        self.go_on = QPushButton("Go on")
        self.go_on.setObjectName("segnet_train_go_on")
        self.go_on.setToolTip("Train further from the last epoch")
        layout = QVBoxLayout(box)
        for button in (self.keep_best, self.drop, self.go_on):
            layout.addWidget(button)
        box.hide()
        return box

    def _outcome_box(self) -> QWidget:
        box = QGroupBox("On what was held out")
        self.verdict = QLabel()
        self.verdict.setObjectName("segnet_train_verdict")
        self.verdict.setWordWrap(True)
        self.figures = QTableWidget(0, 3)
        self.figures.setObjectName("segnet_train_figures")
        self.figures.setHorizontalHeaderLabels(["", "before", "after"])
        self.figures.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.figures.setShowGrid(False)
        side = self.figures.verticalHeader()
        if side is not None:
            side.hide()
        self.use = QPushButton("Use the new network")
        self.use.setObjectName("segnet_train_use")
        self.use.setToolTip("Choose it in the Segment dock")
        self.changes = QPushButton("Show what changed")
        self.changes.setObjectName("segnet_train_changes")
        self.changes.setToolTip(
            "Each held-out image with outlines: white found before and after, green gained, pink "
            "lost, yellow never found, blue false"
        )
        layout = QVBoxLayout(box)
        for widget in (self.verdict, self.figures, self.changes, self.use):
            layout.addWidget(widget)
        box.hide()
        return box

    def _connect(self) -> None:
        self.weights.chosen.connect(self.choose_weights)
        self.where.clicked.connect(self._browse)
        self.save_as.clicked.connect(self._browse_out)
        self.examples.clicked.connect(self.show_examples)
        self.unfinished.go_on.connect(self.go_on_unfinished)
        self.unfinished.anew.connect(self.begin_anew)
        self.run_box.run.connect(self.run)
        self.run_box.cancel.connect(self.cancel)
        self.keep_best.clicked.connect(self.keep_what_it_learned)
        self.drop.clicked.connect(self.keep_the_old)
        self.go_on.clicked.connect(self.go_on_training)
        self.use.clicked.connect(self.use_new_network)
        self.changes.clicked.connect(self.show_changes)
        self.look.clicked.connect(self._learning.look_at)
        self.untold.told.connect(self._tell)
        self._looker.succeeded.connect(self._recognised)
        self._looker.failed.connect(self._refused)
        self._reader.succeeded.connect(self._read)
        self._reader.failed.connect(self._unread)
        self._runner.progressed.connect(self._progressed)
        self._runner.succeeded.connect(self._learned)
        self._runner.failed.connect(self._failed)
        self._runner.cancelled.connect(self._stopped)
        self._runner.finished.connect(self._refresh)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Take the place of our docks when it opens, and look at the training set again."""
        super().showEvent(event)
        if self._new and event is not None and not event.spontaneous():
            self._new = False
            QTimer.singleShot(0, self._share_place)  # not now: napari is still placing it
        elif not self._runner.busy:
            # What was added in the Correct dock meanwhile.
            self._take_last_folder()

    def _share_place(self) -> None:
        share_place(self)

    def changeEvent(self, event: QEvent | None) -> None:
        """Stop when the dock is closed: napari then takes this widget out of it."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and not self.parent():
            for runner in (self._looker, self._reader, self._runner):
                runner.cancel()

    # ---- What is chosen ----

    def _begin_with_what_runs(self) -> None:
        """Offer the network of the Segment dock: its labels are what was corrected."""
        dock = self._segment_dock()
        if dock is not None and dock.checkpoint is not None:
            self.choose_weights(dock.weights.current())

    def _segment_dock(self) -> SegmentDock | None:
        from napari_segnet.widgets.segment.dock import SegmentDock

        docks = self.viewer.window.dock_widgets.values()
        return next((dock for dock in docks if isinstance(dock, SegmentDock)), None)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Accept files."""
        mime = event.mimeData() if event is not None else None
        if event is not None and mime is not None and mime.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Take a folder as the training set, a file as the network."""
        mime = event.mimeData() if event is not None else None
        if event is None or mime is None or self._runner.busy:
            return
        event.acceptProposedAction()
        for path in [Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()]:
            if path.is_dir():
                self.choose_folder(path)
            else:
                self.choose_weights(str(path))

    def choose_weights(self, choice: str) -> None:
        """Look at a weights file, or at the built-in network of that name."""
        self._choice = str(choice)
        self.weights.show_choice(self._choice)
        self._tell({})

    def _tell(self, told: Mapping[str, str]) -> None:
        """Look at the network with what the user tells of it."""
        self.checkpoint = None
        self.untold.clear()
        self.message.hide()
        self.about.setText(f"looking at {Path(self._choice).name} …")
        self._refresh()
        self._looker.start(partial(recognise, self._choice, dict(told)))

    def _recognised(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        try:
            self.about.setText(writes_as(checkpoint))
        except SegnetError as error:
            self.checkpoint = None
            self.about.setText("This network cannot be taught here.")
            self.message.fail(error)
            self._resuming = None
        self._suggest_out()
        self._refresh()
        if self._resuming is not None:
            self._resume(self._resuming)

    def _refused(self, error: BaseException) -> None:
        if isinstance(error, UntoldError):
            self.about.setText("")
            self.untold.ask(error)
            return
        self._resuming = None
        self.weights.show_choice("")
        self.about.setText("Choose the network to begin with.")
        self.message.fail(error)

    def _take_last_folder(self) -> None:
        """Offer the training set that was used last; what is wrong with it is not told yet."""
        folder = self.folder or last_training_set()
        if folder is not None:
            self.choose_folder(folder)
            self._folder_offered = True

    def choose_folder(self, folder: Path) -> None:
        """Take the training set of a folder."""
        self.folder = Path(folder)
        self._folder_offered = False
        self.contents = None
        remember_training_set(self.folder)
        self.where.setText(self.folder.name)
        self.where.setToolTip(str(self.folder))
        self.summary.setText("looking …")
        self._suggest_out()
        self._reader.start(partial(contents, self.folder))

    def _read(self, found: Contents) -> None:
        self.contents = found
        said = [f"{found.train} to learn from, {found.val} held out."]
        if not found.val:
            said.append(
                "Hold one out in the Correct dock: only then can it be known if the network "
                "gets better."
            )
        said += [f"Left out: {problem}" for problem in found.problems]
        self.summary.setText(" ".join(said))
        idle = not self._runner.busy and self.stopped.isHidden()
        self.unfinished.offer(next(iter(found.unfinished), None) if idle else None)
        self._refresh()

    def _unread(self, error: BaseException) -> None:
        self.contents = None
        self.unfinished.offer(None)
        if self._folder_offered:  # nobody has asked for it
            self.folder = None
            self.where.setText("Choose…")
            self.where.setToolTip("")
        else:
            self.message.fail(error)
        self.summary.setText("")
        self._refresh()

    def save_to(self, path: Path) -> None:
        """Choose the file that is written."""
        self.out = Path(path)
        self.save_as.setText(self.out.name)
        self.save_as.setToolTip(str(self.out))
        self._refresh()

    def _suggest_out(self) -> None:
        if self.checkpoint is None or self.folder is None:
            return
        stem, ending = _split(self.checkpoint.path.name)
        stem = re.sub(r"-taught-\d+$", "", stem)
        number = 1
        while True:
            path = self.folder / NETWORKS / f"{stem}-taught-{number}{ending}"
            taken = path.exists() or state_path(path).exists() or is_running(path)
            if not taken:
                break
            number += 1
        self.save_to(path)

    def settings(self) -> TrainSettings:
        """Return what both forms say."""
        said = self.main.value()
        return replace(self.more.value(), **{name: getattr(said, name) for name in MAIN})

    def _refresh(self) -> None:
        ready = self.checkpoint is not None and self.contents is not None and self.out is not None
        self.run_box.button.setEnabled(ready and not self._runner.busy)
        self.run_box.button.setToolTip(
            "" if ready else "Choose the network to begin with and a training set first"
        )
        self.examples.setEnabled(ready)
        self.examples.setToolTip(
            "Crops of your images as the training changes them, and what the network should answer"
            if ready
            else "Choose the network to begin with and a training set first"
        )
        for widget in (self.weights, self.where, self.save_as, self.unfinished):
            widget.setEnabled(not self._runner.busy)

    # ---- What it learns from ----

    def show_examples(self) -> None:
        """Open a window with crops as the training changes them."""
        try:
            asked = self._asked()
        except SegnetError as error:
            self.message.fail(error)
            return
        if asked is not None:
            LessonWindow(asked, parent=self).show()

    def _asked(self) -> Lesson | None:
        """Return what the dock says; nothing while something is missing."""
        if self.checkpoint is None or self.folder is None or self.out is None:
            return None
        return Lesson(
            network=self.checkpoint,
            dataset=self.folder,
            out=self.out,
            settings=self.settings(),
            device=preferences().device,
        )

    # ---- A training that was killed ----

    def go_on_unfinished(self) -> None:
        """Go on with a training that was killed, from its last epoch."""
        found = self.unfinished.found
        if found is None or found.parent is None:
            return
        self._resuming = found
        self.choose_weights(str(found.parent))

    def _resume(self, found: Unfinished) -> None:
        self._resuming = None
        self.main.set_value(found.settings)
        self.more.set_value(found.settings)
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
            with ours(found.out):  # another window may have gone on with it since it was offered
                found.state.unlink(missing_ok=True)
        except OutputError as error:
            self.message.fail(error)
            return
        self.choose_folder(self.folder)

    # ---- Training ----

    def run(self) -> None:
        """Teach the network."""
        try:
            asked = self._asked()
            if asked is None:
                return
            asked.out.parent.mkdir(parents=True, exist_ok=True)
        except (SegnetError, OSError) as error:
            self.message.fail(error)
            return
        self.plot.clear()
        self._start(asked)

    def _start(self, lesson: Lesson) -> None:
        self._lesson, self.taught, self._drawn = lesson, None, 0
        self.message.hide()
        self.stopped.hide()
        self.unfinished.offer(None)
        self.outcome.hide()
        self.run_box.begin()
        self._runner.start(partial(learn, lesson))
        self._refresh()

    def cancel(self) -> None:
        """Stop; what was learned up to the last epoch is not lost."""
        if self._runner.busy:
            self.run_box.stopping()
            self._runner.cancel()

    def _stopped(self) -> None:
        self.run_box.end("stopped")
        self._follow()
        self._offer_what_was_learned()

    def _offer_what_was_learned(self) -> None:
        """Ask what shall become of a training that ended early."""
        out = self._lesson.out if self._lesson is not None else None
        # Where another training writes the same file, the state is that one's.
        if out is not None and state_path(out).exists() and not is_running(out):
            self.stopped.show()

    def keep_what_it_learned(self) -> None:
        """Write the network of the training that was stopped, and judge it."""
        if self._lesson is None:
            return
        try:
            self._start(ended_early(self._lesson))
        except (SegnetError, OSError) as error:
            self.message.fail(error)

    def keep_the_old(self) -> None:
        """Forget the training that was stopped."""
        try:
            if self._lesson is not None:
                with ours(self._lesson.out):
                    state_path(self._lesson.out).unlink(missing_ok=True)
        except OutputError as error:
            self.message.fail(error)
            return
        self.stopped.hide()
        self.run_box.end("The old network is kept.")

    def go_on_training(self) -> None:
        """Train further from the last epoch."""
        if self._lesson is not None:
            self._start(replace(self._lesson, resume=True))

    def _progressed(self, progress: Progress) -> None:
        self.run_box.show_progress(progress)
        loss = dict(progress.values).get("train_loss")
        if progress.what == "step" and loss is not None:
            self.run_box.words.setText(f"{self.run_box.words.text()}, loss {loss:.3f}")
        self._follow()

    def _follow(self) -> None:
        """Draw the epochs that are new, and the crop as the network labels it now."""
        log = self._lesson.log if self._lesson is not None else None
        if log is None or len(log.epochs) == self._drawn:
            return
        epochs, self._drawn = list(log.epochs), len(log.epochs)
        x = [one["epoch"] for one in epochs]
        names = [("train_loss", "loss", False), ("val_loss", "loss, held out", False)]
        score = next((s for s in SCORES if any(s[0] in one for one in epochs)), None)
        names += [(score[0], score[1], True)] if score is not None else []
        self.plot.show_lines(
            [
                Line(
                    name=title,
                    x=x,
                    y=[one.get(key, float("nan")) for one in epochs],
                    right=right,
                    mark=True,
                )
                for key, title, right in names
                if any(key in one for one in epochs)
            ]
        )
        self.plot.show()
        if log.seen is not None and self.show_crop.isChecked():
            self._learning.show(log.seen)
            self.look.show()

    def _failed(self, error: BaseException) -> None:
        self.run_box.end("")
        self.message.fail(error)
        self._offer_what_was_learned()

    # ---- The gate ----

    def _learned(self, taught: Taught) -> None:
        self.taught = taught
        self._follow()
        self._tell_what_was_left_out()
        self.run_box.end(f"{taught.checkpoint.path.name} is written.")
        self._fill_figures(taught)
        self.outcome.show()
        if not taught.after.images:
            self.verdict.setText(
                "Nothing that could judge it is held out, so nobody knows if the new network is "
                "better. Look at what it does before you trust it."
            )
        elif taught.promoted:
            self.verdict.setText("The new network is better, and is chosen in the Segment dock.")
            self.use_new_network()
        else:
            self.verdict.setText(
                "The new network is NOT better; the old one stays chosen. More corrected images "
                "or more epochs may help."
            )
        self.use.setVisible(not taught.promoted)
        self.changes.setVisible(bool(taught.after.labels))
        self._suggest_out()

    def _fill_figures(self, taught: Taught) -> None:
        after = taught.after.figures()
        before = {} if taught.before is None else taught.before.figures()
        rows = [
            (title, before.get(key), after[key])
            for key, title in SHOWN
            if after.get(key) is not None
        ]
        self.figures.setRowCount(len(rows))
        for row, (title, old, new) in enumerate(rows):
            said = "none" if old is None else f"{old:.3f}"
            for column, text in enumerate((title, said, f"{new:.3f}")):
                self.figures.setItem(row, column, QTableWidgetItem(text))
        self.figures.setVisible(bool(rows))
        self.figures.resizeRowsToContents()
        head = self.figures.horizontalHeader()
        high = sum(self.figures.rowHeight(row) for row in range(len(rows)))
        self.figures.setFixedHeight(high + (head.height() if head is not None else 0) + 6)

    def _tell_what_was_left_out(self) -> None:
        if self._lesson is None:
            return
        log = self._lesson.log
        lines = [*(["Left out:", *log.left_out] if log.left_out else []), *log.notes]
        if lines:
            self.message.say("\n".join(lines))

    def show_changes(self) -> None:
        """Show what changed on each held-out image, as layers of pictures."""
        if self.taught is None:
            return
        try:
            for change in self.taught.changes():
                counts = ", ".join(f"{n} {kind}" for kind, n in change.counts.items() if n)
                layer = self.viewer.add_image(
                    change.picture, rgb=True, name=f"{change.name}: {counts or 'no object'}"
                )
                update(layer, learning=True)
                layer.visible = False
        except SegnetError as error:
            self.message.fail(error)
            return
        if self.viewer.layers:
            self.viewer.layers[-1].visible = True
            self.viewer.reset_view()

    def use_new_network(self) -> None:
        """Choose the new network in the Segment dock, and to be taught further."""
        if self.taught is None:
            return
        from napari_segnet.widgets.qt.recent import remember_network

        path = self.taught.checkpoint.path
        remember_network(path.absolute())
        dock = self._segment_dock()
        if dock is not None:
            dock.weights.refresh()
            dock.choose_weights(str(path))
        self.weights.refresh()
        self.choose_weights(str(path))

    # ---- Dialogs ----

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self, "Folder of the training set", str(self.folder or Path.home())
        )
        if folder:
            self.choose_folder(Path(folder))

    def _browse_out(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the network as", str(self.out or ""))
        if path:
            self.save_to(Path(path))


def _group(title: str, *widgets: QWidget) -> QGroupBox:
    box = QGroupBox(title)
    layout = QVBoxLayout(box)
    for widget in widgets:
        layout.addWidget(widget)
    return box


def _split(name: str) -> tuple[str, str]:
    """Return the name of a weights file without its ending, and the ending."""
    if name.lower().endswith(WEIGHTS_ALONE):
        return name[: -len(WEIGHTS_ALONE)], name[-len(WEIGHTS_ALONE) :]
    path = Path(name)
    return path.stem, path.suffix

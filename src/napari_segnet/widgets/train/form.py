"""What the Train dock looks like; it does nothing by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QWidget

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.train.settings import TrainSettings
from napari_segnet.widgets.checkpoint.missing_fact import MissingFactBox
from napari_segnet.widgets.checkpoint.picker import WeightsBox
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.qt.collapsible import Section
from napari_segnet.widgets.qt.dock import Dock, titled
from napari_segnet.widgets.qt.form import Form
from napari_segnet.widgets.qt.message_bar import MessageBar
from napari_segnet.widgets.qt.named import named_button, named_label
from napari_segnet.widgets.qt.plot import Plot
from napari_segnet.widgets.qt.preferences import preferences
from napari_segnet.widgets.qt.run_bar import RunBox
from napari_segnet.widgets.train.files_box import FilesBox
from napari_segnet.widgets.train.hints import MAIN, MORE, TRAIN_HINTS
from napari_segnet.widgets.train.outcome_box import OutcomeBox, StopBox
from napari_segnet.widgets.train.resume_box import UnfinishedBox
from napari_segnet.widgets.train.session import TrainSession
from napari_segnet.widgets.train.start_box import StartBox

if TYPE_CHECKING:
    import napari.viewer

    from napari_segnet.train import TrainingResult

__all__ = ["TrainForm"]

FINE_TUNING = TrainSettings(minutes=10, epochs=20)
"""To begin with: a network that has learned before needs few steps."""
MISSING = "Choose a starting network and a training set first"
NO_NETWORK = "Choose the starting network."


class TrainForm(Dock):
    """Network, training set, settings, progress and outcome of a training.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose theme the plot follows.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__("segnet_train_dock", parent)
        self.viewer: napari.viewer.Viewer = unwrapped(viewer)
        self.session = TrainSession()
        self._build()

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The network to begin with, as soon as it is known what it is."""
        return self.session.checkpoint

    @property
    def folder(self) -> Path | None:
        """The training set."""
        return self.session.folder

    @property
    def out(self) -> Path | None:
        """The file that is written."""
        return self.session.out

    @property
    def trained(self) -> TrainingResult | None:
        """What the last training came to."""
        return self.session.trained

    def _build(self) -> None:
        self.message = MessageBar()
        self.weights = WeightsBox(preferences().folder)
        self.about = named_label("segnet_train_about", NO_NETWORK)
        self.missing_fact = MissingFactBox()
        self.files = FilesBox(self.session)
        self.where, self.save_as = self.files.where, self.files.save_as
        self.summary, self.examples = self.files.summary, self.files.examples
        self.unfinished = UnfinishedBox()
        self.begin_well = StartBox(self.session, self.settings, self.viewer)
        self.main = Form(FINE_TUNING, hints=TRAIN_HINTS, only=MAIN)
        self.more = Form(FINE_TUNING, hints=TRAIN_HINTS, only=MORE)
        self.run_box = RunBox("Train", at_foot=True)
        self.plot = Plot(
            self.viewer, x_label="epoch", y_label="loss", right_label="held out", parent=self
        )
        self.plot.setObjectName("segnet_train_plot")
        self.show_crop = QCheckBox("Show a held-out crop as layers")
        self.show_crop.setObjectName("segnet_train_show_crop")
        self.show_crop.setChecked(True)
        self.show_crop.setToolTip(
            "Show the current output for a held-out crop after each epoch, in layers of its own"
        )
        self.look = named_button(
            "Zoom to the held-out crop",
            "segnet_train_look",
            "Move the view to the held-out crop",
        )
        self.look.hide()
        self.stopped = StopBox()
        self.outcome = OutcomeBox(self.session, self.viewer)
        self.fill(
            titled("Starting network", self.weights, self.about, self.missing_fact),
            self.files,
            self.unfinished,
            self.begin_well,
            titled("Settings", self.main, Section("More settings", self.more)),
            self.show_crop,
            self.stopped,
            self.plot,
            self.look,
            self.outcome,
            foot=(self.message, self.run_box),
        )
        self.plot.hide()
        self.begin_well.taken.connect(self.set_settings)
        self.begin_well.other_taken.connect(self.weights.chosen)
        for part in (self.begin_well, self.outcome.cross_fit):
            part.failed.connect(self.message.fail)

    def settings(self) -> TrainSettings:
        """Return what both forms say."""
        said = self.main.value()
        return replace(self.more.value(), **{name: getattr(said, name) for name in MAIN})

    def set_settings(self, settings: TrainSettings) -> None:
        """Show other settings."""
        self.main.set_value(settings)
        self.more.set_value(settings)

    def enable(self, *, ready: bool, busy: bool) -> None:
        """Enable what can be done now.

        Parameters
        ----------
        ready : bool
            Nothing is missing to train.
        busy : bool
            A training is at work.
        """
        self.run_box.button.setEnabled(ready and not busy)
        self.begin_well.enable(ready and not busy)
        self.run_box.button.setToolTip("" if ready else MISSING)
        self.examples.setEnabled(ready)
        self.examples.setToolTip(
            "Augmented crops of your images, and the output that the network should give"
            if ready
            else MISSING
        )
        for widget in (self.weights, self.where, self.save_as, self.files.earlier, self.unfinished):
            widget.setEnabled(not busy)

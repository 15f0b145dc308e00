"""The Segment dock: choose a network, choose an image, run, and move the sliders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_segnet.builtin import builtin_models
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SegnetError
from napari_segnet.inference import PredictSettings
from napari_segnet.widgets.checkpoint.chosen import chosen_network
from napari_segnet.widgets.checkpoint.picker import is_weights
from napari_segnet.widgets.layers.neighbours import uncover
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.view_acts import view_acts
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.keys import shared_keys
from napari_segnet.widgets.qt.listen import listen
from napari_segnet.widgets.qt.preferences import preferences
from napari_segnet.widgets.qt.recent import last_network
from napari_segnet.widgets.qt.scroll_column import scroll_into_view
from napari_segnet.widgets.recovery.reviews import reviews
from napari_segnet.widgets.segment.folder_jobs import FolderRequest
from napari_segnet.widgets.segment.form import SegmentForm
from napari_segnet.widgets.segment.heat_layer import show_heat
from napari_segnet.widgets.segment.jobs import Answer
from napari_segnet.widgets.segment.provisional_layer import ProvisionalLayer
from napari_segnet.widgets.segment.request import RunRequest, subject_of_run
from napari_segnet.widgets.segment.session import SegmentSession, usual_settings
from napari_segnet.widgets.segment.shown_result import ShownResult

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer


__all__ = ["SegmentDock"]

TRY_INPUTS = "try light and dark"


class SegmentDock(SegmentForm):
    """Runs a network on an image layer and shows its labels.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its layers are the only state besides the network that is chosen.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__("segnet_segment_dock", parent)
        self.accept_files()
        # napari gives plugins a stand-in, whose layers are new stand-ins each time they are
        # asked for: they cannot be remembered, and `is` never holds between two.
        self.viewer: napari.viewer.Viewer = unwrapped(viewer)
        self.session = SegmentSession()
        # With the reviews begins the journal of corrections.
        self.shown = ShownResult(self.viewer, self.session, reviews(self.viewer), self)
        self._chosen = chosen_network(self.viewer)
        self._waiting: list[Path] = []
        self._run_waits = False
        self._runner = JobRunner(self)
        self._parts = ProvisionalLayer(self.viewer, self.session, self._runner)
        self.lay_out(self.viewer, self.session, self.shown, self.request, preferences())
        self._connect()
        self.image_box.list_layers()
        self._refresh()

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The network that is chosen, as soon as it is known what it is."""
        return self.session.checkpoint

    @property
    def result(self) -> napari.layers.Labels | None:
        """The layer that the live settings act on."""
        return self.shown.layer

    def _connect(self) -> None:
        self.network.began.connect(self._looking)
        self.network.known.connect(self._show_network)
        self.network.settled.connect(self._take_waiting)
        self.image_box.changed.connect(self._image_changed)
        self.image_box.fell_back.connect(self.message.say)
        self.run_settings.finder.overridden.connect(self.network.tell)
        self.run_settings.finder.threshold_taken.connect(self.shown.box.use_threshold)
        self.run_settings.finder.heat_asked.connect(partial(show_heat, self.viewer))
        self.run_box.run.connect(self.run)
        self.run_box.cancel.connect(self.cancel)
        self.run_settings.began.connect(self.message.hide)
        self.run_settings.channels_taken.connect(self.channels.take)
        self.message.acted.connect(self._act)
        self.shown.box.appeared.connect(partial(scroll_into_view, self.shown.box))
        for edited in (self.image_box.edited, self.run_settings.changed, self.shown.box.changed):
            edited.connect(self.message.settings_changed)
        self.batch.files_chosen.connect(self.segment_files)
        self.whole_folder.wanted.connect(self.segment_folder)
        self.batch.segmented.connect(self.shown.adopt)
        self.shown.changed.connect(self._refresh)
        self.shown.said.connect(self.message.say)
        self.network.said.connect(self.message.say)
        for part in (self.network, self.run_settings, self.shown):
            part.failed.connect(self.message.fail)
        self.image_box.changed.connect(self.proof.image_changed)
        self.run_settings.finder.give_way_to(self._runner)
        self._runner.started.connect(partial(self.shown.hold, True))
        self._runner.finished.connect(partial(self.shown.hold, False))
        self._runner.progressed.connect(self.run_box.show_progress)
        self._runner.succeeded.connect(self._answered)
        self._runner.failed.connect(self._failed)
        self._runner.cancelled.connect(self._stopped)
        self._runner.finished.connect(self._refresh)
        layers = self.viewer.layers.events
        changes = (layers.inserted, layers.removed, layers.renamed, layers.reordered)
        listen(self, (layers.removed,), self.message.outdated)
        listen(self, changes, self._list_layers)
        listen(self, (self.viewer.layers.selection.events.active,), self._active_changed)
        for runner in self._runners():
            runner.end_with(self)

    def _runners(self) -> tuple[JobRunner, ...]:
        own = self.run_settings
        tried = own.previewer, own.trier, own.inputs_trier, *own.finder.runners()
        others = self.shown.live.runner, self.whole_folder.runner
        return (*self.network.runners(), self._runner, *others, *tried)

    def opened(self) -> None:
        """Choose the network of last time, or the first one that is built in."""
        shared_keys(self.viewer).hold(self.objectName(), view_acts(self.viewer).keys())
        if not self.session.choice:
            self.choose_weights(last_network() or next(iter(builtin_models())))

    def closed(self) -> None:
        """Stop what is at work, and offer the network to nobody."""
        shared_keys(self.viewer).release(self.objectName())
        self._chosen.choice = ""
        self.shown.live.pause()
        self.batch.cancel()
        for runner in self._runners():
            runner.cancel()

    # ---- The network ----

    def choose_weights(self, choice: str) -> None:
        """Look at a weights file, or at the built-in network of that name."""
        self.network.choose(choice)

    def _looking(self) -> None:
        self.run_settings.clear_trials()
        self.message.hide()
        self._refresh()

    def _show_network(self, checkpoint: Checkpoint) -> None:
        """Work with a network as it is known now; its proof may know it better later."""
        self.shown.box.show_settings(checkpoint)
        self.run_settings.set_defaults(usual_settings(checkpoint))
        self.image_box.offer_channels(checkpoint)
        self._fit_image()
        self._refresh()

    def _take_waiting(self) -> None:
        """Do what has waited for the network."""
        if self._run_waits:
            self._run_waits = False
            self.run()
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.segment_files(waiting)
        self._refresh()

    # ---- Layers ----

    def _list_layers(self, event: object = None) -> None:
        self.shown.forget_gone()
        self.image_box.list_layers()
        self._refresh()

    def _active_changed(self, event: object = None) -> None:
        """Follow the layer that the user selects: an image, or a result of ours."""
        active = self.viewer.layers.selection.active
        if not self.image_box.choose(active) and self.shown.take_if_ours(active):
            self._choose_image_of_result()
        self._refresh()

    def _choose_image_of_result(self) -> None:
        """Show in the image box what the label settings act on."""
        wanted = self.shown.image_id()
        for layer in [one for one in self.viewer.layers if one.unique_id == wanted]:
            self.image_box.choose(layer)

    def _image_changed(self) -> None:
        """Let settings and results of another image go."""
        self.message.outdated()
        self.run_settings.clear_trials()
        self.shown.follow_image(self.image_box.chosen())
        self._fit_image()
        self._refresh()

    def _fit_image(self) -> None:
        """Offer what fits network and image, and say what was given up."""
        self.run_settings.finder.set_network(self.checkpoint)
        axes = self.image_box.letters()
        said = [
            self.run_settings.fit(
                self.session.checkpoint, has_pixel_size=self.image_box.has_pixel_size()
            ),
            self.shown.box.fit(axes) if axes else "",
        ]
        if any(said):
            self.message.say("\n".join(filter(None, said)))

    # ---- Run ----

    def settings(self) -> PredictSettings:
        """Return how the network is to be run."""
        return self.run_settings.value(self.channels.value())

    def request(self, kind: str | None = None) -> RunRequest:
        """Return what is to be run, on the chosen kind of region or on another.

        Raises
        ------
        SegnetError
            If a network, an image or the region is missing.
        """
        checkpoint, overrides = self.session.network(), dict(self.session.overrides)
        source = self.image_box.source(checkpoint, kind)
        box = tuple((part.start, part.stop) for part in source.region.box)
        layer, predict = self.image_box.image(), self.settings()
        return RunRequest(
            source=source,
            checkpoint=checkpoint,
            predict=predict,
            labels=self.labels.value(),
            axes=self.image_box.said_axes(),
            overrides=overrides,
            subject=subject_of_run(layer.unique_id, box, checkpoint, overrides),
            found=self.run_settings.finder.found_for(predict),
            view=self.image_box.view_of(source),
        )

    def run(self) -> None:
        """Run the network on the chosen layer and region, as soon as it is proven."""
        self.message.hide()
        self._run_waits = self.session.checkpoint is not None and self.proof.busy
        if self._run_waits:
            self.run_box.begin()
            return
        try:
            request = self.request()
        except SegnetError as error:
            self.message.fail(error)
            return
        self.run_box.begin()
        uncover(self.viewer, self.image_box.image())
        self._runner.start(self.session.begin(request))
        self._refresh()

    def cancel(self) -> None:
        """Stop what is running."""
        if self._run_waits:
            self._run_waits = False
            self._stopped()
        if self._runner.busy:
            self.run_box.stopping()
            self._runner.cancel()
        self.batch.cancel()

    def _answered(self, made: Answer) -> None:
        if (asked := self.session.end()) is None:
            return
        self.shown.show_answer(asked, made)
        self.kept.remember(asked.checkpoint.path, asked.predict)
        self.run_box.end(f"done in {sum(made.segmentation.origin.seconds.values()):.1f} s")
        if made.suggestion:
            self.message.offer(made.suggestion, "Try light and dark", TRY_INPUTS)

    def _act(self, act: str) -> None:
        """Do what a message has offered."""
        if act == TRY_INPUTS:
            self.run_settings.try_inputs()

    def _failed(self, error: BaseException) -> None:
        self.session.end()
        self.run_box.end()
        self.message.fail(error)

    def _stopped(self) -> None:
        self.session.end()
        self.run_box.end("Stopped on request; nothing has changed.")

    def _refresh(self, event: object = None) -> None:
        """Enable what can be done now."""
        self.run_box.button.setEnabled(not self._runner.busy)
        self.shown.refresh()

    # ---- Files ----

    def take_files(self, paths: Iterable[Path]) -> None:
        """Take a weights file as the network, pictures and folders as images to segment."""
        paths = list(paths)
        weights = [path for path in paths if is_weights(path)]
        if len(weights) > 1:
            self.message.say("Several networks were dropped; the first one was taken.")
        if weights:
            self.choose_weights(str(weights[0]))
        if images := [path for path in paths if path not in weights]:
            self.segment_files(images)

    def segment_files(self, paths: Iterable[Path]) -> None:
        """Open pictures and folders of pictures, and segment each."""
        paths = list(paths)
        if self.network.busy:  # network and pictures were dropped together
            self._waiting = [*self._waiting, *paths]
            return
        self.message.hide()
        if self.checkpoint is None:
            self.message.fail(SegnetError("Choose a network first; then drop the images again."))
            return
        self.several.expand()
        wishes = replace(self.settings(), channels="auto")
        self.batch.begin(paths, self.checkpoint, wishes, self.labels.value())

    def segment_folder(self, folder: Path, out: Path) -> None:
        """Segment every image of a folder into another folder, without layers."""
        self.message.hide()
        try:
            asked = FolderRequest(
                folder=folder,
                out=out,
                checkpoint=self.session.network(),
                predict=replace(self.settings(), channels="auto"),
                labels=self.labels.value(),
                table=self.whole_folder.table.isChecked(),
                overwrite=self.whole_folder.overwrite.isChecked(),
            )
        except SegnetError as error:
            self.message.fail(error)
            return
        self.whole_folder.begin(asked)

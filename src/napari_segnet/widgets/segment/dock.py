"""The Segment dock: choose a network, choose an image, run, and move the sliders."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakMethod, ref

from qtpy.QtCore import QEvent, QSignalBlocker, Qt, QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_segnet import cache
from napari_segnet.answers import answer_of
from napari_segnet.builtin import builtin_models
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import ImageError, SegnetError, SettingsError, UntoldError
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.plan.input import recipe
from napari_segnet.repeat import command_line
from napari_segnet.widgets.checkpoint.card import CardView
from napari_segnet.widgets.checkpoint.picker import WeightsBox, is_weights
from napari_segnet.widgets.checkpoint.recognise import recognise
from napari_segnet.widgets.checkpoint.untold import UntoldBox
from napari_segnet.widgets.layers.axes import said_axes
from napari_segnet.widgets.layers.convert import (
    Source,
    guess_axes,
    labels_layer_args,
    region_of,
    source_of,
)
from napari_segnet.widgets.layers.features import classes_of
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.record import metadata_with, record_of, update
from napari_segnet.widgets.layers.subject import images_in
from napari_segnet.widgets.prompt.about import About
from napari_segnet.widgets.prompt.jobs import Listening
from napari_segnet.widgets.prompt.panel import AskBox
from napari_segnet.widgets.prompt.target import labels_over, visible_part
from napari_segnet.widgets.qt.collapsible import Section
from napari_segnet.widgets.qt.form import Form
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.message_bar import MessageBar, in_words
from napari_segnet.widgets.qt.preferences import preferences
from napari_segnet.widgets.qt.recent import remember_network
from napari_segnet.widgets.qt.run_bar import RunBox
from napari_segnet.widgets.qt.scroll_column import Column
from napari_segnet.widgets.qt.setting_rows import HINTS, LABEL_HINTS
from napari_segnet.widgets.review.store import reviews
from napari_segnet.widgets.segment.batch import BatchBox, Segmented
from napari_segnet.widgets.segment.channel_picker import ChannelBox
from napari_segnet.widgets.segment.class_filter import ClassesBox, colour_by_class
from napari_segnet.widgets.segment.hints import (
    ADVANCED,
    MAIN,
    REGIONS,
    axes_choices,
    axes_question,
    axes_words,
)
from napari_segnet.widgets.segment.input_preview import PreviewBox, preview
from napari_segnet.widgets.segment.jobs import Answer, answer, relabel
from napari_segnet.widgets.segment.merge_bar import MergeBar
from napari_segnet.widgets.segment.probability_maps import show_maps
from napari_segnet.widgets.segment.result_layers import Result, Results
from napari_segnet.widgets.segment.scale_finder import ScalesBox, tried_scales

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["SegmentDock"]

_SHRINKS = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
LIVE_MS = 15
"""How long moves of a slider are gathered before labels are made of them."""
PATIENCE_S = 0.5
"""Labels that are being made are shown if they take no longer: so a drag is followed all the
way. Slower ones are dropped for newer settings."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """What a run was asked for; the layer may be gone when it ends."""

    source: Source
    checkpoint: Checkpoint
    predict: PredictSettings
    labels: LabelSettings
    axes: str | None
    told: Mapping[str, str]
    subject: tuple[Any, ...]


class SegmentDock(QWidget):
    """Runs a network on an image layer and shows its labels.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its layers are the only state besides the network that is chosen.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_segment_dock")
        self.setAcceptDrops(True)
        # napari gives plugins a stand-in, whose layers are new stand-ins each time they are
        # asked for: they cannot be remembered, and `is` never holds between two.
        self.viewer: napari.viewer.Viewer = unwrapped(viewer)
        self.checkpoint: Checkpoint | None = None
        self.result: napari.layers.Labels | None = None
        """The layer that the live settings act on."""
        self._results = Results(viewer)
        self._reviews = reviews(self.viewer)  # and with them the journal of corrections
        self._runs: dict[str, _Run] = {}
        self._whole: WeakKeyDictionary[Any, tuple[str, Source]] = WeakKeyDictionary()
        """Image layers that were asked about as a whole: their feature maps are kept."""
        self._asked: _Run | None = None
        self._wished: tuple[str, LabelSettings] = "", LabelSettings()
        """Which answer labels were last made of in passing, and how."""
        self._wished_at = 0.0
        self._choice = ""
        self._told: dict[str, str] = {}
        self._waiting: list[Path] = []
        wishes = preferences()
        self._looker, self._runner, self._labeler, self._previewer, self._trier = (
            JobRunner(self) for _ in range(5)
        )
        self._build(wishes.folder)
        self._fill_defaults(wishes.device, wishes.precision)
        self._connect()
        self._list_layers()
        self._refresh()

    # ---- What it looks like ----

    def _build(self, folder: Path | None) -> None:
        self.message = MessageBar()
        self.weights = WeightsBox(folder)
        self.card = CardView()
        self.untold = UntoldBox()
        self.layer = QComboBox()
        self.layer.setObjectName("segnet_layer")
        self.axes = QComboBox()
        self.axes.setObjectName("segnet_axes")
        self.axes.setToolTip(
            "What the image's dimensions are, slowest first: t time, c channel, z depth, y row, "
            "x column"
        )
        self.axes_question = QLabel()
        self.axes_question.setObjectName("segnet_axes_question")
        self.axes_question.setWordWrap(True)
        self.axes_question.hide()
        self.region = QComboBox()
        self.region.setObjectName("segnet_region")
        for box in (self.layer, self.axes, self.region):
            box.setSizeAdjustPolicy(_SHRINKS)
            box.setMinimumContentsLength(10)
        for kind, text in REGIONS.items():
            self.region.addItem(text, kind)
        self.channels = ChannelBox()
        self.main = Form(PredictSettings(), hints=HINTS, only=MAIN)
        self.advanced = Form(PredictSettings(), hints=HINTS, only=ADVANCED)
        self.preview = PreviewBox()
        self.scales = ScalesBox()
        self.run_box = RunBox()
        self.labels = Form(LabelSettings(), hints=LABEL_HINTS)
        self.classes = ClassesBox()
        self.summary = QLabel()
        self.summary.setObjectName("segnet_summary")
        self.summary.setWordWrap(True)
        self.maps = QPushButton("Show maps")
        self.maps.setObjectName("segnet_show_maps")
        self.maps.setToolTip(
            "Add what the network says (probability maps) as image layers; a network that finds "
            "objects has none"
        )
        self.copy = QPushButton("Copy as command")
        self.copy.setObjectName("segnet_copy_command")
        self.copy.setToolTip("The command line that repeats this result without the window")
        self.batch = BatchBox(self.viewer)
        self.ask = AskBox(self.viewer, self._ask_about)
        self.merge = MergeBar(self.viewer, self._results, self._reviews)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(
            Column(
                _group("Network", self.weights, self.card, self.untold),
                self._image_group(),
                self.run_box,
                self.message,
                self.merge,
                self._labels_group(),
                self._ask_section(),
                self.batch,
            )
        )
        for line in self.findChildren(QLineEdit):
            line.setAcceptDrops(False)  # a file that falls on a text field is for the dock, too

    def _image_group(self) -> QGroupBox:
        rows = QFormLayout()
        rows.addRow("layer", self.layer)
        rows.addRow("axes", self.axes)
        rows.addRow("region", self.region)
        self._image_rows = rows
        chosen = QWidget()
        chosen.setLayout(rows)
        rows.setContentsMargins(0, 0, 0, 0)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.advanced)
        column.addWidget(self.scales)
        column.addWidget(self.preview)
        more = Section("More settings of the run", inside)
        more.setObjectName("segnet_more_settings")
        self.more = more
        # Not a row: a form gives a text of several lines too little height.
        return _group("Image", chosen, self.axes_question, self.channels, self.main, more)

    def _labels_group(self) -> QGroupBox:
        buttons = QHBoxLayout()
        buttons.addWidget(self.maps)
        buttons.addWidget(self.copy)
        row = QWidget()
        row.setLayout(buttons)
        buttons.setContentsMargins(0, 0, 0, 0)
        self.result_name = QLabel()
        self.result_name.setObjectName("segnet_result_name")
        self.result_name.setWordWrap(True)
        return _group(
            "Labels (follow at once)",
            self.result_name,
            self.labels,
            self.classes,
            self.summary,
            row,
        )

    def _ask_section(self) -> Section:
        section = Section("Ask the network for objects", self.ask)
        section.setObjectName("segnet_ask_section")
        self.asking = section
        return section

    def _fill_defaults(self, device: str, precision: str) -> None:
        wished = PredictSettings()
        try:
            wished = replace(wished, device=device, precision=precision)
        except SettingsError as error:
            self.message.fail(error)
        self.main.set_value(wished)
        self.advanced.set_value(wished)

    def _connect(self) -> None:
        self.weights.chosen.connect(self.choose_weights)
        self.card.told.connect(self._tell)
        self.untold.told.connect(self._tell)
        self.layer.currentIndexChanged.connect(self._layer_chosen)
        self.axes.currentIndexChanged.connect(self._keep_axes)
        self.axes.activated.connect(self._keep_axes)  # what was proposed is chosen, too
        self.run_box.run.connect(self.run)
        self.run_box.cancel.connect(self.cancel)
        self.maps.clicked.connect(self._show_maps)
        self.copy.clicked.connect(self.copy_command)
        self.preview.button.clicked.connect(self._preview)
        self.main.changed.connect(self.preview.clear)
        self.advanced.changed.connect(self.preview.clear)
        self.batch.files_chosen.connect(self.segment_files)
        self.batch.segmented.connect(self._picture_segmented)
        self.ask.began.connect(self.message.hide)
        self.ask.failed.connect(self.message.fail)
        self._live = QTimer(self)
        self._live.setSingleShot(True)
        self._live.setInterval(LIVE_MS)
        self._live.timeout.connect(self._relabel)
        self.labels.changed.connect(self._follow)
        self.labels.changed.connect(self._show_classes)
        self.classes.chosen.connect(self._keep_classes)
        self.classes.coloured.connect(self._colour)
        self._looker.succeeded.connect(self._recognised)
        self._looker.failed.connect(self._refused)
        self._looker.finished.connect(self._take_waiting)
        self._runner.progressed.connect(self.run_box.show_progress)
        self._runner.succeeded.connect(self._answered)
        self._runner.failed.connect(self._failed)
        self._runner.cancelled.connect(self._stopped)
        self._runner.finished.connect(self._refresh)
        self._labeler.succeeded.connect(self._relabelled)
        self._labeler.failed.connect(self._relabel_failed)
        self._labeler.finished.connect(self._follow_if_behind)
        self._previewer.succeeded.connect(self.preview.set_preview)
        self._previewer.failed.connect(self.message.fail)
        self.scales.asked.connect(self._try_scales)
        self.scales.taken.connect(self._take_scale)
        self._trier.progressed.connect(self.scales.progress)
        self._trier.succeeded.connect(self.scales.show_tried)
        self._trier.failed.connect(self._scales_failed)
        self._trier.finished.connect(partial(self.scales.button.setEnabled, True))
        self.merge.failed.connect(self.message.fail)
        self.merge.merged.connect(self._merged)
        layers = self.viewer.layers.events
        for event in (layers.inserted, layers.removed, layers.renamed, layers.reordered):
            event.connect(self._list_layers)
        self.viewer.layers.selection.events.active.connect(self._active_changed)
        # A plain function that holds nothing of the dock: it is called when the dock is gone,
        # and what held the dock would keep it from going.
        listeners = tuple(WeakMethod(f) for f in (self._list_layers, self._active_changed))
        self.destroyed.connect(partial(_silence, ref(self.viewer), listeners, self._runners()))

    def _runners(self) -> tuple[JobRunner, ...]:
        own = (self._looker, self._runner, self._labeler, self._previewer, self._trier)
        return (*own, self.ask.runner)

    def changeEvent(self, event: QEvent | None) -> None:
        """Stop when the dock is closed: napari then takes this widget out of it."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and not self.parent():
            self._live.stop()
            self.batch.cancel()
            self.ask.stop()
            for runner in self._runners():
                runner.cancel()

    # ---- The network ----

    def choose_weights(self, choice: str) -> None:
        """Look at a weights file, or at the built-in network of that name."""
        self._choice, self._told = str(choice), {}
        self.weights.show_choice(self._choice)
        self.card.wait(Path(self._choice).name)
        self._look()

    def _tell(self, told: Mapping[str, str]) -> None:
        self._told = {**self._told, **told}
        self._look()

    def _look(self) -> None:
        self.checkpoint = None
        self.scales.clear()
        self.untold.clear()
        self.message.hide()
        self._refresh()
        self._looker.start(partial(recognise, self._choice, dict(self._told)))

    def _recognised(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.card.set_checkpoint(checkpoint)
        if self._choice not in builtin_models():
            remember_network(Path(self._choice).absolute())
            self.weights.refresh()
            self.weights.show_choice(self._choice)
        self._show_label_settings(checkpoint)
        self._show_recipe(checkpoint)
        self._offer_channels()
        self._refresh()

    def _refused(self, error: BaseException) -> None:
        if isinstance(error, UntoldError):
            self.card.clear("One more thing is needed:")
            self.untold.ask(error)
        else:
            self.card.clear()
            self.weights.show_choice("")
            self.message.fail(error)
        self._refresh()

    def _show_label_settings(self, checkpoint: Checkpoint) -> None:
        """Offer the settings that matter for this network, with what they are by default."""
        kind = answer_of(checkpoint)
        advice = checkpoint.card.get("label", {})
        self.labels.set_defaults(kind.settings(LabelSettings(), checkpoint.outputs, advice))
        self.labels.show_only(kind.label_settings)
        self.classes.offer(
            checkpoint.classes - 1 if kind.objects_have_classes else 0, checkpoint.class_names
        )
        self._show_classes()

    def _show_recipe(self, checkpoint: Checkpoint) -> None:
        how, over = recipe(checkpoint)
        usual = PredictSettings(normalize=how, normalize_over=over)
        self.main.set_defaults(usual)
        self.advanced.set_defaults(usual)

    # ---- The image ----

    def image_layer(self) -> napari.layers.Image | None:
        """Return the chosen image layer, if it is still there."""
        from napari.layers import Image

        layer = self.layer.currentData()
        there = layer in self.viewer.layers if layer is not None else False
        return layer if there and isinstance(layer, Image) else None

    def _list_layers(self, event: object = None) -> None:
        images = images_in(self.viewer.layers)
        current = self.image_layer()
        with QSignalBlocker(self.layer):
            self.layer.clear()
            for layer in images:
                self.layer.addItem(layer.name, layer)
            if current in images:
                self.layer.setCurrentIndex(images.index(current))
            elif images:
                self.layer.setCurrentIndex(len(images) - 1)
        if self.result is not None and self.result not in self.viewer.layers:
            self.result = None
            self._labeler.cancel()
        self._forget_answers()
        if self.image_layer() is not current:
            self._layer_chosen()
        self._refresh()

    def _active_changed(self, event: object = None) -> None:
        """Follow the layer that the user selects: an image, or a result of ours."""
        active = self.viewer.layers.selection.active
        index = self.layer.findData(active) if active is not None else -1
        if index >= 0:
            self.layer.setCurrentIndex(index)
        elif self._results.of(active) is not None and active is not self.result:
            self._take_result(active)
        self._refresh()

    def _take_result(self, layer: Any) -> None:
        """Let the live settings act on an earlier result."""
        from napari_segnet.settings import settings_from

        self.result = layer
        made = self._results.of(layer)
        used = record_of(layer).wishes
        if used is not None:
            self.labels.set_value(settings_from(LabelSettings, used))
        if made is not None and made.key in self._runs:
            self._show_label_settings(self._runs[made.key].checkpoint)
        self.summary.setText(record_of(layer).summary)

    def _layer_chosen(self, index: int = -1) -> None:
        layer = self.image_layer()
        with QSignalBlocker(self.axes):
            self.axes.clear()
            self.axes_question.setText("" if layer is None else self._offer_axes(layer))
        self._show_axes_rows()
        self.preview.clear()
        self.scales.clear()
        self._offer_channels()

    def _offer_axes(self, layer: napari.layers.Image) -> str:
        """List what the dimensions of a layer may be; return what is to be asked about it."""
        try:
            guess, said = guess_axes(layer), said_axes(layer)
        except ImageError as error:  # too many; an event of napari would end with it
            return in_words(error)
        for axes in axes_choices(guess, bool(layer.rgb)):
            self.axes.addItem(axes)
            tip = Qt.ItemDataRole.ToolTipRole
            self.axes.setItemData(self.axes.count() - 1, axes_words(axes), tip)
        self.axes.setCurrentText(guess)
        return "" if said else axes_question(layer.name, guess)

    def _keep_axes(self, index: int = -1) -> None:
        """Remember what the user says of the dimensions of the chosen layer."""
        layer = self.image_layer()
        if layer is not None and self.axes.currentText():
            update(layer, axes=self.axes.currentText())
            self.axes_question.setText("")
            self._show_axes_rows()
        self._offer_channels()

    def _show_axes_rows(self) -> None:
        self._image_rows.setRowVisible(self.axes, self.axes.count() > 1)
        self.axes_question.setVisible(bool(self.axes_question.text()))

    def _offer_channels(self, index: int = -1) -> None:
        layer = self.image_layer()
        if layer is None or self.checkpoint is None:
            self.channels.offer((), 0, rgb=False)
            return
        axes = self.axes.currentText()
        names = _channel_names(layer, axes)
        self.channels.offer(names, self.checkpoint.channels, rgb=bool(layer.rgb))

    # ---- Run ----

    def settings(self) -> PredictSettings:
        """Return how the network is to be run."""
        advanced = self.advanced.value()
        rest = {name: getattr(advanced, name) for name in ADVANCED}
        return replace(self.main.value(), **rest, channels=self.channels.value())

    def run(self) -> None:
        """Run the network on the chosen layer and region."""
        self.message.hide()
        try:
            asked = self._ask()
        except SegnetError as error:
            self.message.fail(error)
            return
        self._asked = asked
        self.run_box.begin()
        self._runner.start(
            partial(answer, asked.checkpoint, asked.source.image, asked.predict, asked.labels)
        )
        self._refresh()

    def cancel(self) -> None:
        """Stop what is running."""
        if self._runner.busy:
            self.run_box.stopping()
            self._runner.cancel()
        self.batch.cancel()

    def _ask(self, kind: str | None = None) -> _Run:
        """Return what is to be run, on the chosen kind of region or on another."""
        checkpoint, layer = self.checkpoint, self.image_layer()
        if checkpoint is None:
            raise SegnetError("Choose a network first: a built-in one, or a weights file.")
        if layer is None:
            raise SegnetError("Open an image first: drop a picture on the viewer, or on this dock.")
        kind = kind or str(self.region.currentData())
        axes = self.axes.currentText()
        region = region_of(kind, layer, self.viewer, axes=axes, volume=checkpoint.ndim == 3)
        source = source_of(layer, axes, region)
        box = tuple((part.start, part.stop) for part in source.region.box)
        return _Run(
            source=source,
            checkpoint=checkpoint,
            predict=self.settings(),
            labels=self.labels.value(),
            axes=axes if layer.ndim > 2 and not layer.rgb else None,
            told=dict(self._told),
            subject=_subject(layer, box, checkpoint, self._told),
        )

    def _answered(self, made: Answer) -> None:
        asked, self._asked = self._asked, None
        if asked is None:
            return
        data, kwargs = self._layer_args(asked, made, asked.labels)
        result = Result(subject=asked.subject, key=made.key)
        corrected = self._results.corrected(asked.subject, data.shape)
        self.result = self._results.put(result, data, kwargs)
        self._runs[made.key] = asked
        same = corrected is not None and record_of(corrected).kind == made.segmentation.kind
        if corrected is not None and corrected is not self.result and same:
            self.merge.offer(corrected, self.result, result)
        self._forget_answers()
        self._show_summary(made)
        self.run_box.end(f"done in {sum(made.segmentation.origin.seconds.values()):.1f} s")
        if self.labels.value() != asked.labels:  # moved while the network was at work
            self._follow()

    def _merged(self, layer: Any, words: str) -> None:
        """Tell what came of a merge; the live settings then act on the corrected layer."""
        self._take_result(layer)
        self.message.say(words)
        self._refresh()

    def _forget_answers(self) -> None:
        """Let go of the answers, and of the pixels, behind results that are no more."""
        kept = self._results.keys()
        for key in [key for key in self._runs if key not in kept]:
            del self._runs[key]
            cache.predictions.forget(key)

    def _layer_args(
        self, asked: _Run, made: Answer, labels: LabelSettings
    ) -> tuple[Any, dict[str, Any]]:
        data, kwargs = labels_layer_args(asked.source, made.segmentation)
        kwargs["name"] = _result_name(asked)
        kwargs["metadata"] = metadata_with(kwargs["metadata"], **_told_of(asked, made, labels))
        return data, kwargs

    def _show_summary(self, made: Answer) -> None:
        self.summary.setText(_summary(made))
        self._show_classes()
        if self.classes.by_class.isChecked():
            self._colour(True)
        self._refresh()

    def _failed(self, error: BaseException) -> None:
        self._asked = None
        self.run_box.end()
        self.message.fail(error)

    def _stopped(self) -> None:
        self._asked = None
        self.run_box.end("Stopped on request; nothing was changed.")

    # ---- Asked for single objects ----

    def _ask_about(self) -> About:
        """Return the network that is chosen, and the layer that its objects go to."""
        checkpoint = self.checkpoint
        if checkpoint is None:
            raise SegnetError("Choose a network first: a built-in one, or a weights file.")
        layer = self._result_asked_about()
        made = self._results.of(layer)
        run = self._runs.get(made.key) if made is not None else None
        if made is None or run is None or layer is None:
            return self._ask_about_image(checkpoint)
        same = run.checkpoint.path == checkpoint.path and run.told == self._told
        return self._about_of(layer, run.source, checkpoint, made.key if same else None)

    def _result_asked_about(self) -> napari.layers.Labels | None:
        """Return the active layer if it is a result of ours, else the one of the live settings.

        If the user has selected other labels, or another image, these are meant.
        """
        from napari.layers import Labels

        active = self.viewer.layers.selection.active
        if isinstance(active, Labels):
            return active
        made = self._results.of(self.result)
        image = self.image_layer()
        ours = made is not None and image is not None and made.subject[0] == image.unique_id
        return self.result if ours else None

    def _ask_about_image(self, checkpoint: Checkpoint) -> About:
        image = self.image_layer()
        if image is None:
            raise SegnetError("Open an image first: drop a picture on the viewer, or on this dock.")
        axes = self.axes.currentText()
        region = region_of("layer", image, self.viewer, axes=axes, volume=checkpoint.ndim == 3)
        source = self._whole.get(image)
        if source is None or source[0] != axes:
            source = self._whole[image] = axes, source_of(image, axes, region)
        name = f"{image.name} · {_network_name(checkpoint)}"
        layer = labels_over(self.viewer, source[1], checkpoint, name)
        return self._about_of(layer, source[1], checkpoint, None)

    def _about_of(
        self, layer: napari.layers.Labels, source: Source, checkpoint: Checkpoint, key: str | None
    ) -> About:
        image = self.image_layer()
        over = image is not None and str(image.unique_id) == source.layer_id
        return About(
            layer=layer,
            source=source,
            listening=Listening(
                checkpoint=checkpoint, image=source.image, predict=self.settings(), key=key
            ),
            labels=self.labels.value(),
            visible=visible_part(self.viewer, image, source, self.axes.currentText())
            if image is not None and over
            else None,
        )

    # ---- Live ----

    def _follow(self) -> None:
        """Make labels soon; moves until then count as one."""
        if not self._live.isActive():
            self._live.start()

    def _relabel(self) -> None:
        made = self._results.of(self.result)
        if made is None or self._runner.busy:
            return
        wished, now = (made.key, self.labels.value()), time.monotonic()
        if self._labeler.busy:
            if self._wished == wished or now - self._wished_at < PATIENCE_S:
                return  # looked at again when these are shown
        self._wished, self._wished_at = wished, now
        self._labeler.start(partial(relabel, *wished))

    def _follow_if_behind(self) -> None:
        made = self._results.of(self.result)
        key, labels = self._wished
        if made is not None and made.key == key and labels != self.labels.value():
            self._follow()

    def _relabelled(self, made: Answer) -> None:
        asked, shown = self._runs.get(made.key), self._results.of(self.result)
        if asked is None or self.result is None or shown is None or shown.key != made.key:
            return  # another result was chosen meanwhile, or this one is gone
        data, kwargs = self._layer_args(asked, made, self._wished[1])
        before = self.result
        result = Result(subject=asked.subject, key=made.key)
        self.result = self._results.update(before, result, data, kwargs)
        if self.result is not before and self._results.is_edited(before):
            self.message.say(
                f"“{before.name}” holds your corrections and was left as it is; the new labels "
                f"are in “{self.result.name}”."
            )
        self._show_summary(made)

    def _relabel_failed(self, error: BaseException) -> None:
        self.message.fail(error)

    # ---- Classes ----

    def _keep_classes(self) -> None:
        """Make labels of the classes that have a tick."""
        self.labels.set_value(replace(self.labels.value(), classes=self.classes.wanted()))
        self._follow()

    def _show_classes(self) -> None:
        """Show which classes are kept, and how many objects there are of each."""
        self.classes.show_wanted(self.labels.value().classes)
        if self.result is not None:
            self.classes.show_found(classes_of(self.result))

    def _colour(self, on: bool) -> None:
        if self.result is not None and self._is_of_objects():
            colour_by_class(self.result, on)

    def _is_of_objects(self) -> bool:
        """Tell if the result has objects with classes of their own."""
        made = self._results.of(self.result)
        run = self._runs.get(made.key) if made is not None else None
        return run is not None and answer_of(run.checkpoint).objects_have_classes

    # ---- Around the result ----

    def _show_maps(self) -> None:
        made = self._results.of(self.result)
        if made is None:
            return
        try:
            show_maps(self.viewer, made.key, self._runs[made.key].source)
        except SegnetError as error:
            self.message.fail(error)

    def copy_command(self) -> None:
        """Put the command line that repeats the result into the clipboard."""
        if self.result is None:
            return
        line = record_of(self.result).command
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(line)
        self.message.say(f"Copied:\n{line}")

    def _preview(self) -> None:
        self.message.hide()
        try:
            asked = self._ask()
        except SegnetError as error:
            self.message.fail(error)
            return
        self._previewer.start(partial(preview, asked.checkpoint, asked.source.image, asked.predict))

    def _try_scales(self) -> None:
        """Try the network at several scales on what is visible."""
        self.message.hide()
        self.scales.clear()
        try:
            asked = self._ask("visible")
        except SegnetError as error:
            self.message.fail(error)
            return
        self.scales.button.setEnabled(False)
        self._trier.start(
            partial(
                tried_scales,
                asked.checkpoint,
                asked.source.image,
                replace(asked.predict, scale=None, object_px=None, object_um=None),
                asked.labels,
            )
        )

    def _scales_failed(self, error: BaseException) -> None:
        self.scales.say("")
        self.message.fail(error)

    def _take_scale(self, scale: float) -> None:
        """Use a scale that was tried."""
        self.advanced.set_value(
            replace(self.advanced.value(), scale=scale, object_px=None, object_um=None)
        )
        self.scales.say(f"The next run is at scale {scale:g}. Press Run.")
        self.preview.clear()

    def _refresh(self, event: object = None) -> None:
        """Enable what can be done now."""
        busy = self._runner.busy
        self.run_box.button.setEnabled(not busy)
        made = self._results.of(self.result)
        self.maps.setEnabled(made is not None and not self._is_of_objects())
        self.copy.setEnabled(made is not None)
        if made is None or self.result is None:
            self.result_name.setText("Run first; then these follow without running it again.")
            self.summary.setText("")
        else:
            self.result_name.setText(f"of “{self.result.name}”")

    # ---- Drops ----

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Accept files."""
        mime = event.mimeData() if event is not None else None
        if event is not None and mime is not None and mime.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Take a weights file as the network, pictures and folders as images to segment."""
        mime = event.mimeData() if event is not None else None
        if event is None or mime is None:
            return
        event.acceptProposedAction()
        self.take_files([Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()])

    def take_files(self, paths: Iterable[Path]) -> None:
        """Take files that were dropped, whatever they are."""
        paths = list(paths)
        weights = [path for path in paths if is_weights(path)]
        images = [path for path in paths if path not in weights]
        if len(weights) > 1:
            self.message.say("Several networks were dropped; the first one was taken.")
        if weights:
            self.choose_weights(str(weights[0]))
        if images:
            self.segment_files(images)

    def segment_files(self, paths: Iterable[Path]) -> None:
        """Open pictures and folders of pictures, and segment each."""
        paths = list(paths)
        if self._looker.busy:  # network and pictures were dropped together
            self._waiting = [*self._waiting, *paths]
            return
        self.message.hide()
        if self.checkpoint is None:
            self.message.fail(SegnetError("Choose a network first; then drop the pictures again."))
            return
        wishes = replace(self.settings(), channels="auto")
        self.batch.begin(paths, self.checkpoint, wishes, self.labels.value())

    def _picture_segmented(self, one: Segmented) -> None:
        """Let the live settings act on a picture that was dropped, too."""
        box = tuple((part.start, part.stop) for part in one.source.region.box)
        asked = _Run(
            source=one.source,
            checkpoint=one.checkpoint,
            predict=one.predict,
            labels=one.labels,
            axes=None,
            told=dict(self._told),
            subject=_subject(one.image, box, one.checkpoint, self._told),
        )
        self._runs[one.made.key] = asked
        self._results.adopt(one.layer, Result(subject=asked.subject, key=one.made.key))
        update(one.layer, **_told_of(asked, one.made, one.labels))
        one.layer.name = _result_name(asked)
        if one.layer is self.viewer.layers.selection.active:
            self._take_result(one.layer)
            self._refresh()

    def _take_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.segment_files(waiting)


def _group(title: str, *widgets: QWidget) -> QGroupBox:
    box = QGroupBox(title)
    column = QVBoxLayout(box)
    column.setContentsMargins(6, 6, 6, 6)
    for widget in widgets:
        column.addWidget(widget)
    return box


def _channel_names(layer: napari.layers.Image, axes: str) -> tuple[str, ...]:
    """Return the names of a layer's channels; one name where it has no channel axis."""
    if layer.rgb:
        count = int((layer.data[0] if layer.multiscale else layer.data).shape[-1])
        return ("red", "green", "blue", "alpha")[: min(count, 3)]
    if "c" not in axes:
        return (str(layer.name),)
    shape = (layer.data[0] if layer.multiscale else layer.data).shape
    return tuple(f"channel {i}" for i in range(int(shape[axes.index("c")])))


def _subject(
    layer: napari.layers.Image,
    box: tuple[tuple[int, int], ...],
    checkpoint: Checkpoint,
    told: Mapping[str, str],
) -> tuple[Any, ...]:
    """Return what a result is of; a second run of the same may replace it."""
    return (layer.unique_id, box, str(checkpoint.path), tuple(sorted(told.items())))


def _result_name(asked: _Run) -> str:
    return f"{asked.source.layer_name} · {_network_name(asked.checkpoint)}"


def _network_name(checkpoint: Checkpoint) -> str:
    names = {path: name for name, path in builtin_models().items()}
    return names.get(checkpoint.path, checkpoint.path.stem)


def _summary(made: Answer) -> str:
    """Return what came out, for the user."""
    segmentation = made.segmentation
    origin = segmentation.origin
    count = len(segmentation.label_score)
    noun = "object" if segmentation.kind == "instance" else "class"
    plural = {"object": "objects", "class": "classes"}[noun]
    where = f"{origin.device}, {origin.rung}" if origin.rung != "as planned" else origin.device
    lines = [f"{count} {noun if count == 1 else plural}, on {where}"]
    lines += [f"Note: {note}" for note in origin.notes]
    return "\n".join(lines)


def _told_of(asked: _Run, made: Answer, labels: LabelSettings) -> dict[str, Any]:
    """Return what a result layer says of how it was made."""
    return {
        "key": made.key,
        "wishes": dataclasses.asdict(labels),
        "command": _command(asked, labels),
        "summary": _summary(made),
    }


def _command(asked: _Run, labels: LabelSettings) -> str:
    """Return the command line that repeats a run."""
    path = asked.source.image.source
    image = path or f"{asked.source.layer_name}.tif"
    line = command_line(
        image, asked.checkpoint.path, asked.predict, labels, axes=asked.axes, told=asked.told
    )
    remarks = []
    if path is None:
        remarks.append(f"# The layer is in no file yet: save it as {image} first.")
    if asked.source.region.kind != "layer":
        remarks.append("# The result is of a part of the layer; the command takes all of it.")
    return "\n".join([*remarks, line])


def _silence(
    viewer_ref: ref[Any], listeners: tuple[WeakMethod[Any], ...], runners: Iterable[JobRunner]
) -> None:
    """Stop the jobs of a dock that is gone, and take it off the viewer's lists."""
    for runner in runners:
        runner.close()
    viewer, (listed, active) = viewer_ref(), (listener() for listener in listeners)
    if viewer is None or listed is None or active is None:
        return  # napari forgets listeners that are no more
    layers = viewer.layers.events
    for event in (layers.inserted, layers.removed, layers.renamed, layers.reordered):
        event.disconnect(listed)
    viewer.layers.selection.events.active.disconnect(active)

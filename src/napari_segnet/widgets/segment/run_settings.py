"""How the network is run: settings, and the trials that help to find them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_segnet.errors import SegnetError
from napari_segnet.inference import PredictSettings
from napari_segnet.widgets.checkpoint.chosen import ChosenNetwork
from napari_segnet.widgets.qt.collapsible import Section
from napari_segnet.widgets.qt.form import Form
from napari_segnet.widgets.qt.job_runner import JobRunner
from napari_segnet.widgets.qt.setting_rows import HINTS
from napari_segnet.widgets.segment.diameter import DiameterBox
from napari_segnet.widgets.segment.hints import ADVANCED, MAIN
from napari_segnet.widgets.segment.input_preview import PreviewBox, preview
from napari_segnet.widgets.segment.inputs_finder import InputsBox, input_name, tried_inputs
from napari_segnet.widgets.segment.request import RunRequest
from napari_segnet.widgets.segment.scale_finder import ScalesBox, tried_scales
from napari_segnet.widgets.segment.settings_finder import FindBox, settings_of
from napari_segnet.widgets.segment.trial_table import TrialTable

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.detective import TriedInput
    from napari_segnet.find import Way

__all__ = ["RunSettings"]


class RunSettings(QWidget):
    """The settings of a run; a preview of the network's input; trials on what is visible.

    Parameters
    ----------
    request : callable
        A bound method that returns what a run of the chosen part, or of a part of the named
        kind, is asked for; it raises a ``SegnetError`` where something is missing. Only a weak
        reference is kept.
    chosen : ChosenNetwork
        Over which other docks hand over settings.

    Attributes
    ----------
    began : Signal
        Something is tried: older messages no longer matter.
    failed : Signal of BaseException
        What went wrong.
    channels_taken : Signal of str
        Which channels the way to show the image that was taken needs.
    changed : Signal
        The user entered another setting.
    """

    began = Signal()
    failed = Signal(object)
    channels_taken = Signal(str)
    changed = Signal()

    def __init__(
        self,
        request: Callable[..., RunRequest],
        chosen: ChosenNetwork,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._request = WeakMethod(request)
        chosen.settings_wanted.connect(self.take)
        self.previewer, self.trier = JobRunner(self), JobRunner(self)
        self.inputs_trier = JobRunner(self)
        self.diameter = DiameterBox()
        self.main = Form(PredictSettings(), hints=HINTS, only=MAIN)
        self.advanced = Form(PredictSettings(), hints=HINTS, only=ADVANCED)
        self.preview = PreviewBox()
        self.scales, self.inputs = ScalesBox(), InputsBox()
        self.finder = FindBox(request)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.advanced, self.scales, self.inputs, self.preview):
            column.addWidget(widget)
        self.more = Section("More settings", inside)
        self.more.setObjectName("segnet_more_settings")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.finder)
        layout.addWidget(self.diameter)
        layout.addWidget(self.main)
        layout.addWidget(self.more)
        self._connect()

    def _connect(self) -> None:
        self.advanced.changed.connect(self._keep_one_scale)
        self.diameter.changed.connect(self._use_diameter)
        for form in (self.main, self.advanced, self.diameter):
            form.changed.connect(self.preview.clear)
            form.changed.connect(self.finder.look_soon)
            form.changed.connect(self.finder.sheet.unmark)
            form.changed.connect(self.changed)
        self.finder.began.connect(self.began)
        self.finder.failed.connect(self.failed)
        self.finder.taken.connect(self._take_way)
        self.preview.button.clicked.connect(self._preview)
        self.previewer.succeeded.connect(self.preview.set_preview)
        self.previewer.failed.connect(self.failed)
        self.scales.asked.connect(self._try_scales)
        self.scales.taken.connect(self._take_scale)
        self.inputs.asked.connect(self.try_inputs)
        self.inputs.taken.connect(self._take_input)
        for runner, box in ((self.trier, self.scales), (self.inputs_trier, self.inputs)):
            runner.progressed.connect(box.progress)
            runner.succeeded.connect(box.show_tried)
            runner.failed.connect(partial(self._trial_failed, box))
            runner.finished.connect(partial(box.button.setEnabled, True))

    def value(self, channels: str) -> PredictSettings:
        """Return how the network is to be run on some channels."""
        advanced = self.advanced.value()
        rest = {name: getattr(advanced, name) for name in ADVANCED}
        px, um = self.diameter.value()
        return replace(self.main.value(), **rest, channels=channels, object_px=px, object_um=um)

    def set_value(self, settings: PredictSettings) -> None:
        """Show other settings."""
        open_ = replace(settings, object_px=None, object_um=None)
        self.main.set_value(open_)
        self.advanced.set_value(open_)
        self.diameter.set_value(settings.object_px, settings.object_um)

    def set_defaults(self, usual: PredictSettings) -> None:
        """Show what settings that are left open come to."""
        self.main.set_defaults(usual)
        self.advanced.set_defaults(usual)

    def fit(self, network: Checkpoint | None, *, has_pixel_size: bool) -> str:
        """Offer what fits a network and an image; return what was given up, in words."""
        trained = network.card.get("object_px") if network is not None else None
        known = float(trained) if isinstance(trained, int | float) and trained > 0 else None
        return self.diameter.offer(known, has_pixel_size=has_pixel_size)

    def _use_diameter(self) -> None:
        """Let a diameter take the place of a scale: each says at which scale the network runs."""
        self.advanced.set_value(replace(self.advanced.value(), scale=None))

    def _keep_one_scale(self) -> None:
        if self.advanced.value().scale is not None:
            self.diameter.clear()

    def clear_trials(self) -> None:
        """Take away what was tried: it is of another network or image."""
        self.preview.clear()
        self.scales.clear()
        self.inputs.clear()
        self.finder.clear()

    # ---- Trials ----

    def _asked(self, kind: str | None = None) -> RunRequest | None:
        """Return what a run is asked for; None, after a message, where something is missing."""
        method: Any = self._request()
        if method is None:
            return None
        self.began.emit()
        try:
            request: RunRequest = method(kind)
        except SegnetError as error:
            self.failed.emit(error)
            return None
        return request

    def _preview(self) -> None:
        asked = self._asked()
        if asked is not None:
            self.previewer.start(
                partial(preview, asked.checkpoint, asked.source.image, asked.predict)
            )

    def _try_scales(self) -> None:
        """Try the network at several scales on what is visible."""
        self.scales.clear()
        asked = self._asked("visible")
        if asked is None:
            return
        self.scales.button.setEnabled(False)
        usual = replace(asked.predict, scale=None, object_px=None, object_um=None)
        self.trier.start(
            partial(tried_scales, asked.checkpoint, asked.source.image, usual, asked.labels)
        )

    def try_inputs(self) -> None:
        """Show the network what is visible as it is, with light and dark exchanged, by stains."""
        self.inputs.clear()
        asked = self._asked("visible")
        if asked is None:
            return
        self.more.expand()
        self.inputs.button.setEnabled(False)
        image, how = asked.source.image, asked.predict
        self.inputs_trier.start(partial(tried_inputs, asked.checkpoint, image, how, asked.labels))

    def _trial_failed(self, box: TrialTable, error: BaseException) -> None:
        box.say("")
        self.failed.emit(error)

    def _take_scale(self, scale: float) -> None:
        """Use a scale that was tried."""
        self.advanced.set_value(replace(self.advanced.value(), scale=scale))
        self.diameter.clear()
        self.scales.say(f"The next run is at scale {scale:g}. Press Run.")
        self.preview.clear()

    def _take_way(self, way: Way, names: tuple[str, ...]) -> None:
        """Show the network the image in a way that was found, or that code suggests."""
        for form in (self.main, self.advanced):
            form.set_value(settings_of(form.value(), way, names))
        if "scale" in names:
            self.diameter.clear()
        if "channels" in names:
            self.channels_taken.emit(way.channels)
        self.preview.clear()

    def take(self, settings: Mapping[str, str | float | None]) -> None:
        """Use settings that another dock has found, name -> value; the others stay."""
        values: Any = {name: value for name, value in settings.items() if name != "channels"}
        for form in (self.main, self.advanced):
            form.set_value(replace(form.value(), **values))
        if "scale" in settings:
            self.diameter.clear()
        if "channels" in settings:
            self.channels_taken.emit(str(settings["channels"]))
        if any(values.get(name) is not None for name in ADVANCED):
            self.more.expand()
        self.preview.clear()

    def _take_input(self, tried: TriedInput) -> None:
        """Show the network the image in a way that was tried."""
        self.main.set_value(replace(self.main.value(), invert=tried.invert))
        self.channels_taken.emit(tried.channels)
        way = input_name(tried.channels, tried.invert)
        self.inputs.say(f"The next run looks for {way}. Press Run.")
        self.preview.clear()

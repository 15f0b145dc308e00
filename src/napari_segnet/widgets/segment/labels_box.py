"""How labels are made of the network's answer, and what came out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGroupBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_segnet.answers import answer_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.inference import LabelSettings
from napari_segnet.settings import settings_from
from napari_segnet.widgets.layers.features import classes_of
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.qt.form import Form
from napari_segnet.widgets.qt.named import named_button, named_label
from napari_segnet.widgets.qt.setting_rows import LABEL_HINTS
from napari_segnet.widgets.segment.class_filter import ClassesBox, colour_by_class
from napari_segnet.widgets.segment.session import usual_labels

__all__ = ["LabelsBox"]

MARGIN_PX = 6

AT_ONCE = "These settings change “{name}” at once, without another run."
EDITED = (
    "“{name}” has your corrections and does not change. With other settings, new labels appear in "
    "a layer of their own, without another run."
)


class LabelsBox(QGroupBox):
    """The label settings, which act on a result at once.

    Attributes
    ----------
    changed : Signal
        The user wants other labels.
    appeared : Signal
        The first result is there, and the settings with it.
    """

    changed = Signal()
    appeared = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Adjust labels", parent)
        self.result: Any = None
        """The layer that is shown here."""
        self.result_name = named_label("segnet_result_name")
        self.form = Form(LabelSettings(), hints=LABEL_HINTS)
        self.classes = ClassesBox()
        self.summary = named_label("segnet_summary")
        self.maps = named_button(
            "Probabilities",
            "segnet_show_maps",
            "Add the probability maps of the network as image layers; a network that detects "
            "objects has none",
        )
        self.copy = named_button(
            "Copy as command",
            "segnet_copy_command",
            "The command line that repeats this result without the window",
        )
        self.measure = named_button(
            "Measure…",
            "segnet_measure_result",
            "Measure the objects: a table of size, position, intensity and shape, for CSV",
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(MARGIN_PX, MARGIN_PX, MARGIN_PX, MARGIN_PX)
        for widget in (self.result_name, self.form, self.classes, self.summary):
            layout.addWidget(widget)
        row = QWidget()
        buttons = QHBoxLayout(row)
        buttons.setContentsMargins(0, 0, 0, 0)
        for button in (self.measure, self.maps, self.copy):
            buttons.addWidget(button)
        layout.addWidget(row)
        self.form.changed.connect(self.changed)
        self.form.changed.connect(self.show_classes)
        self.classes.chosen.connect(self._keep_classes)
        self.classes.coloured.connect(self._colour)
        self._has_objects = False
        self._offered: tuple[str, ...] = ()
        self._axes = ""
        self.hide()

    def show_settings(self, checkpoint: Checkpoint) -> None:
        """Offer the settings that matter for this network, with what they are by default."""
        kind = answer_of(checkpoint)
        self.form.set_defaults(usual_labels(checkpoint))
        self._offered = kind.label_settings
        self._show_rows()
        self.classes.offer(
            checkpoint.classes - 1 if kind.objects_have_classes else 0, checkpoint.class_names
        )
        self.show_classes()

    def fit(self, axes: str) -> str:
        """Show the settings that fit an image of these axes; return what was given up, in words.

        Parameters
        ----------
        axes : str
            One letter per dimension; without ``z`` and ``t`` there is nothing to join.
        """
        self._axes = axes
        self._show_rows()
        settings = self.form.value()
        if not set(settings.link) & set("zt") or set(settings.link) & set(axes):
            return ""
        self.form.set_value(replace(settings, link="none"))
        return "This image has no slices to join."

    def _show_rows(self) -> None:
        joins = bool(set(self._axes) & set("zt"))
        self.form.show_only([name for name in self._offered if name != "link" or joins])

    def use_threshold(self, threshold: float) -> None:
        """Use a threshold that code suggests."""
        self.form.set_value(replace(self.form.value(), threshold=threshold))
        self.changed.emit()

    def take(self, result: Any) -> None:
        """Act on an earlier result, with the settings that it was made with."""
        self.result = result
        used = record_of(result).wishes
        if used is not None:
            self.form.set_value(settings_from(LabelSettings, used))

    def show_result(self, *, known: bool, has_objects: bool, edited: bool = False) -> None:
        """Show which result is acted on, and enable what can be done with it.

        Parameters
        ----------
        known : bool
            Its answer is kept.
        has_objects : bool
            It consists of objects with classes of their own.
        edited : bool
            It holds corrections: new labels get a layer of their own.
        """
        self._has_objects = has_objects
        self.maps.setEnabled(known and not has_objects)
        self.copy.setEnabled(known)
        self.measure.setEnabled(self.result is not None)
        shown = known and self.result is not None
        if shown:
            words = EDITED if edited else AT_ONCE
            self.result_name.setText(words.format(name=self.result.name))
        else:
            self.summary.setText("")
        appears = shown and self.isHidden()
        self.setVisible(shown)
        if appears:
            self.appeared.emit()

    def show_summary(self, text: str, *, has_objects: bool) -> None:
        """Show what came out, and of which classes."""
        self._has_objects = has_objects
        self.summary.setText(text)
        self.show_classes()
        if self.classes.by_class.isChecked():
            self._colour(True)

    def show_classes(self) -> None:
        """Show which classes are kept, and how many objects there are of each."""
        self.classes.show_wanted(self.form.value().classes)
        if self.result is not None:
            self.classes.show_found(classes_of(self.result))

    def _keep_classes(self) -> None:
        """Make labels of the classes that have a tick."""
        self.form.set_value(replace(self.form.value(), classes=self.classes.wanted()))
        self.changed.emit()

    def _colour(self, on: bool) -> None:
        if self.result is not None and self._has_objects:
            colour_by_class(self.result, on)

"""The docks as napari opens them: rooms that know nothing of each other are put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from qtpy.QtWidgets import QWidget

from napari_segnet.answers import answer_of
from napari_segnet.widgets.correct import dock as correct
from napari_segnet.widgets.correct.edit_panel import EditPanel
from napari_segnet.widgets.dataset.panel import DatasetPanel
from napari_segnet.widgets.measure.dock import MeasureDock
from napari_segnet.widgets.plugin.opening import open_dock
from napari_segnet.widgets.plugin.prompting import PromptSubject
from napari_segnet.widgets.prompt.panel import AskBox
from napari_segnet.widgets.qt.collapsible import Section
from napari_segnet.widgets.review.panel import ReviewPanel
from napari_segnet.widgets.segment import dock as segment

__all__ = ["CorrectDock", "SegmentDock"]


class SegmentDock(segment.SegmentDock):
    """Runs a network on an image layer, and asks it for single objects."""

    def sections(self) -> Sequence[QWidget]:
        """Return the prompts."""
        self._subject = PromptSubject(self)
        self.ask = AskBox(self.viewer, self._subject.about)
        self.ask.runner.end_with(self)
        self.ask.began.connect(self.message.hide)
        self.ask.failed.connect(self.message.fail)
        self.asking = Section("Prompt the network", self.ask)
        self.asking.setObjectName("segnet_ask_section")
        self.network.known.connect(self._offer_prompts)
        self.shown.changed.connect(self._offer_prompts)
        self._offer_prompts()
        self.shown.box.measure.clicked.connect(self.measure)
        return (self.asking,)

    def _offer_prompts(self, _: object = None) -> None:
        """Show the prompts as soon as they can be answered: maps are needed for some networks."""
        network = self.session.checkpoint
        ready = network is not None and not answer_of(network).prompts_need_prediction
        self.asking.setVisible(ready or self.result is not None)

    def measure(self) -> None:
        """Measure the objects of the result, in the Measure dock."""
        if self.result is not None:
            dock = open_dock(self.viewer, "Measure", MeasureDock)
            dock.choose(self.result)
            dock.run()

    def closed(self) -> None:
        """Stop what is at work."""
        super().closed()
        self.ask.stop()


class CorrectDock(correct.CorrectDock):
    """Edits labels, reviews them, and puts them into a training set."""

    TABS: ClassVar[tuple[correct.Tab, ...]] = (
        ("Edit", EditPanel),
        ("Review", ReviewPanel),
        ("Training set", DatasetPanel),
    )

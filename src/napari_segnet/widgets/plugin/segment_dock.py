"""The Segment dock as napari opens it: with prompts, and the way to the Measure dock."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QWidget

from napari_segnet.answers import answer_of
from napari_segnet.widgets.plugin.opening import open_dock
from napari_segnet.widgets.plugin.prompting import PromptSubject
from napari_segnet.widgets.prompt.panel import PromptPanel
from napari_segnet.widgets.qt.collapsible import Section
from napari_segnet.widgets.segment import dock as segment

__all__ = ["SegmentDock"]


class SegmentDock(segment.SegmentDock):
    """Runs a network on an image layer, and asks it for single objects."""

    def sections(self) -> Sequence[QWidget]:
        """Return the prompts."""
        self._subject = PromptSubject(self)
        self.ask = PromptPanel(self.viewer, self._subject.about)
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
        from napari_segnet.widgets.measure.dock import MeasureDock

        if self.result is not None:
            dock = open_dock(self.viewer, "Measure", MeasureDock)
            dock.choose(self.result)
            dock.run()

    def closed(self) -> None:
        """Stop what is at work."""
        super().closed()
        self.ask.stop()

"""A network that answers with flows: which of its objects is meant."""

from __future__ import annotations

from dataclasses import replace

from napari_segnet.answers.maps.prompt import MapResponder
from napari_segnet.segmentation import Flows, Prediction
from napari_segnet.steps import LabelSettings

__all__ = ["FlowResponder"]


class FlowResponder(MapResponder):
    """Chooses as of other maps; see :class:`napari_segnet.prompts.PromptSession`.

    Objects are not judged by their flows: whoever points at one says that it is there.

    Parameters
    ----------
    prediction : Prediction
        What the network said of the whole image.
    flows : Flows
        Its answer.
    """

    def __init__(self, prediction: Prediction, flows: Flows) -> None:
        super().__init__(prediction, flows)
        self._steps = flows.steps

    def _settings(self, settings: LabelSettings) -> LabelSettings:
        """Return settings that make objects and drop none."""
        steps = settings.flow_steps or self._steps
        return replace(super()._settings(settings), flow_threshold=0.0, flow_steps=steps)

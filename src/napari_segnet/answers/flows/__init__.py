"""Answers that are flows: each pixel says in which direction the middle of its object is."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.maps import MapAnswer
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SegnetError
from napari_segnet.segmentation import Flows, Maps, NetworkAnswer, Prediction, Segmentation

if TYPE_CHECKING:
    from napari_segnet.answers.objective import Objective
    from napari_segnet.answers.prompts import PromptSession
    from napari_segnet.engines import Engine
    from napari_segnet.families import Trainable
    from napari_segnet.image import Image
    from napari_segnet.items import Items
    from napari_segnet.plan import InferencePlan, PredictSettings, RunResult
    from napari_segnet.progress import Progress
    from napari_segnet.steps import LabelSettings

__all__ = ["FlowAnswer"]


class FlowAnswer(MapAnswer):
    """See :class:`napari_segnet.answers.Answer`; what is not here is as of other maps."""

    name = "flows"
    label_settings: tuple[str, ...] = (
        *("threshold", "flow_threshold", "flow_steps", "min_size_px", "fill_holes"),
        *("clear_border", "link", "steps"),
    )
    cut_at_edge = True

    def run(self, engine: Engine, plan: InferencePlan) -> Generator[Progress, None, RunResult]:
        """Answer every plane, tile by tile as Cellpose does."""
        from napari_segnet.answers.flows.run import run_flows

        return run_flows(engine, plan)

    def label(
        self, prediction: Prediction, settings: LabelSettings
    ) -> Generator[Progress, None, Segmentation]:
        """Let the pixels of each plane flow together."""
        from napari_segnet.answers.maps.label import label_maps

        flows = _flows(prediction.answer)
        return label_maps(prediction, flows, with_steps(settings, flows))

    def responder(
        self,
        checkpoint: Checkpoint,
        image: Image,
        settings: PredictSettings,
        prediction: Prediction | None,
    ) -> PromptSession:
        """Return who chooses objects from the flows of the whole image."""
        from napari_segnet.answers.flows.prompt import FlowResponder

        if prediction is None:
            raise SegnetError(
                "This network chooses objects from its flows. Run it on the image first, then "
                "prompt it."
            )
        return FlowResponder(prediction, _flows(prediction.answer))

    def uncertainty(
        self, items: Items, labels: npt.NDArray[np.integer[Any]], answer: NetworkAnswer
    ) -> Items:
        """Suspect objects whose own flows differ from those of the network, and as maps do."""
        from napari_segnet.answers.flows.uncertainty import uncertainty_by_flows

        return uncertainty_by_flows(items, labels, _flows(answer))

    def turned_back(self, answer: NetworkAnswer, axis: str) -> Maps:
        """Return flows flipped along an axis: they point the other way along it."""
        flows = _flows(answer)
        data = np.array(np.flip(flows.data, flows.axes.index(axis)))
        first = flows.channel_of("flow")
        if first is not None and axis in "yx":
            data[first + "yx".index(axis)] *= -1
        return replace(flows, data=data)

    def objective(
        self, family: Trainable, checkpoint: Checkpoint, loss: str, replay: float
    ) -> Objective:
        """Return an objective by the family's own loss."""
        from napari_segnet.answers.flows.objective import FlowObjective
        from napari_segnet.answers.maps.objective import trainable_maps

        return FlowObjective(trainable_maps(family), checkpoint, loss, replay)

    def maps(self, answer: NetworkAnswer) -> Maps:
        """Return flows and cells as maps."""
        return _flows(answer)

    def headline(self, checkpoint: Checkpoint) -> str:
        """Return what it finds."""
        return "finds objects by the flows to their centres"


def with_steps(settings: LabelSettings, flows: Flows) -> LabelSettings:
    """Return settings that say how many steps pixels go."""
    return replace(settings, flow_steps=settings.flow_steps or flows.steps)


def _flows(answer: NetworkAnswer) -> Flows:
    if not isinstance(answer, Flows):
        raise TypeError(f"flows were expected, not {type(answer).__name__}")
    return answer

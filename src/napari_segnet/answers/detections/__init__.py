"""Answers that are detections: a box, a score, a class and a small mask for each object."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint, Output
from napari_segnet.segmentation import Instances, Maps, NetworkAnswer, Prediction, Segmentation

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

__all__ = ["DetectionAnswer"]

MASK_OVERLAP = 0.5
"""As in Detectron2: an object that stronger ones cover by more than half is one seen twice."""
MOST_NAMED = 4
"""Classes that a headline names; more are counted."""


class DetectionAnswer:
    """See :class:`napari_segnet.answers.Answer`."""

    name = "detections"
    label_settings: tuple[str, ...] = (
        *("score", "nms", "mask_threshold", "mask_overlap", "overlap", "classes", "max_objects"),
        *("min_size_px", "fill_holes", "clear_border", "link", "steps"),
    )
    objects_have_classes = True
    prompts_need_prediction = False
    cut_at_edge = True

    def run(self, engine: Engine, plan: InferencePlan) -> Generator[Progress, None, RunResult]:
        """Detect in every plane, tile by tile."""
        from napari_segnet.answers.detections.run import run_detections

        return run_detections(engine, plan)

    def settings(
        self, settings: LabelSettings, outputs: Sequence[Output], advice: Mapping[str, Any]
    ) -> LabelSettings:
        """Fill in what is open; no labeler is needed."""
        from napari_segnet.steps import resolve

        return resolve(settings, outputs, advice, "instance")

    def label(
        self, prediction: Prediction, settings: LabelSettings
    ) -> Generator[Progress, None, Segmentation]:
        """Paint the masks over each other, the surest last."""
        from napari_segnet.answers.detections.label import label_detections

        return label_detections(prediction, _instances(prediction.answer), settings)

    def responder(
        self,
        checkpoint: Checkpoint,
        image: Image,
        settings: PredictSettings,
        prediction: Prediction | None,
    ) -> PromptSession:
        """Return who looks at parts of the image, and keeps what the network sees of them."""
        from napari_segnet.answers.detections.prompt import DetectionResponder
        from napari_segnet.engines import engine_for
        from napari_segnet.plan import settle
        from napari_segnet.plan.input import prepare_input
        from napari_segnet.progress import run

        settings = run(settle(checkpoint, image, settings)).settings
        given = prepare_input(checkpoint, image, settings)
        engine = engine_for(checkpoint, settings.device, settings.threads, settings.engine)
        return DetectionResponder(engine, given, settings.precision)

    def uncertainty(
        self, items: Items, labels: npt.NDArray[np.integer[Any]], answer: NetworkAnswer
    ) -> Items:
        """Suspect objects by score, mask and box of their detection."""
        from napari_segnet.answers.detections.uncertainty import uncertainty_by_detections

        return uncertainty_by_detections(items, labels, _instances(answer))

    def targets(
        self, labels: npt.NDArray[np.int32], checkpoint: Checkpoint
    ) -> npt.NDArray[np.float32]:
        """Return no channel: the loss is made of the labels themselves."""
        return np.zeros((0, *labels.shape), np.float32)

    def advised(self, checkpoint: Checkpoint) -> Checkpoint:
        """Let the objects of the network overlap as little as labels do."""
        advice = {"mask_overlap": MASK_OVERLAP, **checkpoint.card.get("label", {})}
        return replace(checkpoint, card={**checkpoint.card, "label": advice})

    def objective(
        self, family: Trainable, checkpoint: Checkpoint, loss: str, replay: float
    ) -> Objective:
        """Return an objective by the family's own loss."""
        from napari_segnet.answers.detections.objective import DetectionObjective

        return DetectionObjective(family, loss, replay)

    def maps(self, answer: NetworkAnswer) -> Maps | None:
        """Return None: nothing is said pixel by pixel."""
        return None

    def instances(self, answer: NetworkAnswer) -> Instances:
        """Return the detections."""
        return _instances(answer)

    def headline(self, checkpoint: Checkpoint) -> str:
        """Return the classes of the objects, by name if they are few."""
        names = checkpoint.class_names[1:]
        if names and len(names) <= MOST_NAMED:
            return f"finds objects of {', '.join(names)}"
        count = checkpoint.classes - 1
        return f"finds objects of {count} class{'es' * (count != 1)}"


def _instances(answer: NetworkAnswer) -> Instances:
    if not isinstance(answer, Instances):
        raise TypeError(f"detections were expected, not {type(answer).__name__}")
    return answer

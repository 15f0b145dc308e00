"""Answers that are maps: a value of each output for each pixel."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint, Output
from napari_segnet.errors import SegnetError
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

__all__ = ["MapAnswer"]


class MapAnswer:
    """See :class:`napari_segnet.answers.Answer`."""

    name = "maps"
    label_settings: tuple[str, ...] = (
        *("threshold", "instances", "seed_threshold", "min_size_px", "fill_holes"),
        *("clear_border", "link", "steps"),
    )
    objects_have_classes = False
    prompts_need_prediction = True
    cut_at_edge = False

    def run(self, engine: Engine, plan: InferencePlan) -> Generator[Progress, None, RunResult]:
        """Answer every plane or volume, tile by tile; or whole, as the network was trained."""
        from napari_segnet.answers.maps.run import run_maps
        from napari_segnet.answers.maps.scales import run_scales
        from napari_segnet.answers.maps.volumes import run_volumes
        from napari_segnet.plan.input import multiscale
        from napari_segnet.prepare.volumes import volume_step

        recipe = volume_step(plan.checkpoint.prepare)
        if recipe is not None:
            return run_volumes(engine, plan, recipe)
        several = multiscale(plan.checkpoint, plan.settings)
        return run_scales(engine, plan) if several else run_maps(engine, plan)

    def settings(
        self, settings: LabelSettings, outputs: Sequence[Output], advice: Mapping[str, Any]
    ) -> LabelSettings:
        """Fill in what is open, by the outputs and what the card advises."""
        from napari_segnet.steps import resolve

        return resolve(settings, outputs, advice, "semantic")

    def label(
        self, prediction: Prediction, settings: LabelSettings
    ) -> Generator[Progress, None, Segmentation]:
        """Make labels, plane by plane or volume by volume."""
        from napari_segnet.answers.maps.label import label_maps

        return label_maps(prediction, _maps(prediction.answer), settings)

    def responder(
        self,
        checkpoint: Checkpoint,
        image: Image,
        settings: PredictSettings,
        prediction: Prediction | None,
    ) -> PromptSession:
        """Return who chooses objects from the maps of the whole image."""
        from napari_segnet.answers.maps.prompt import MapResponder

        if prediction is None:
            raise SegnetError(
                "This network chooses objects from its probability maps. Run it on the image "
                "first, then prompt it."
            )
        return MapResponder(prediction, _maps(prediction.answer))

    def uncertainty(
        self, items: Items, labels: npt.NDArray[np.integer[Any]], answer: NetworkAnswer
    ) -> Items:
        """Suspect objects in which the network is undecided."""
        from napari_segnet.answers.maps.uncertainty import uncertainty_by_maps

        return uncertainty_by_maps(items, labels, _maps(answer))

    def turned_back(self, answer: NetworkAnswer, axis: str) -> Maps:
        """Return maps flipped along an axis."""
        maps = _maps(answer)
        return replace(maps, data=np.flip(maps.data, maps.axes.index(axis)))

    def uncertainty_by_flips(
        self,
        items: Items,
        labels: npt.NDArray[np.integer[Any]],
        answer: NetworkAnswer,
        others: Sequence[NetworkAnswer],
    ) -> Items:
        """Suspect objects where the foreground changes with the image turned over."""
        from napari_segnet.answers.maps.uncertainty import uncertainty_by_flips

        return uncertainty_by_flips(
            items, labels, _maps(answer), [_maps(other) for other in others]
        )

    def targets(
        self, labels: npt.NDArray[np.int32], checkpoint: Checkpoint
    ) -> npt.NDArray[np.float32]:
        """Return what the family says that each output should be."""
        from napari_segnet.answers.maps.objective import trainable_maps
        from napari_segnet.recognition import family_of

        return trainable_maps(family_of(checkpoint)).targets(labels, checkpoint)

    def advised(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return the network as it is."""
        return checkpoint

    def objective(
        self, family: Trainable, checkpoint: Checkpoint, loss: str, replay: float
    ) -> Objective:
        """Return an objective by the family's own loss."""
        from napari_segnet.answers.maps.objective import MapObjective, trainable_maps

        return MapObjective(trainable_maps(family), checkpoint, loss, replay)

    def maps(self, answer: NetworkAnswer) -> Maps:
        """Return the maps."""
        return _maps(answer)

    def instances(self, answer: NetworkAnswer) -> Instances | None:
        """Return None: there are no detections."""
        return None

    def headline(self, checkpoint: Checkpoint) -> str:
        """Return the outputs by name."""
        roles = [
            o.role if o.channels == 1 else f"{o.channels} × {o.role}" for o in checkpoint.outputs
        ]
        return "answers with " + ", ".join(roles)


def _maps(answer: NetworkAnswer) -> Maps:
    if not isinstance(answer, Maps):
        raise TypeError(f"maps were expected, not {type(answer).__name__}")
    return answer

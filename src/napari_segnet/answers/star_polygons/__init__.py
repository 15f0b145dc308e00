"""Answers that are star-convex objects: each pixel says how far the edge of its object is."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint, Output
from napari_segnet.errors import SegnetError
from napari_segnet.segmentation import (
    Instances,
    Maps,
    NetworkAnswer,
    Prediction,
    Segmentation,
    StarPolygons,
)

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

__all__ = ["StarAnswer"]


class StarAnswer:
    """See :class:`napari_segnet.answers.Answer`."""

    name = "star_polygons"
    label_settings: tuple[str, ...] = (
        *("threshold", "nms", "classes", "max_objects", "min_size_px", "fill_holes"),
        *("clear_border", "link", "steps"),
    )
    objects_have_classes = True
    prompts_need_prediction = True
    cut_at_edge = True

    def run(self, engine: Engine, plan: InferencePlan) -> Generator[Progress, None, RunResult]:
        """Answer every plane or volume, tile by tile, and keep what may be an object."""
        from napari_segnet.answers.star_polygons.run import run_stars

        return run_stars(engine, plan)

    def settings(
        self, settings: LabelSettings, outputs: Sequence[Output], advice: Mapping[str, Any]
    ) -> LabelSettings:
        """Fill in what is open; no labeler is needed."""
        from napari_segnet.steps import resolve

        return resolve(settings, (), advice, "instance")

    def label(
        self, prediction: Prediction, settings: LabelSettings
    ) -> Generator[Progress, None, Segmentation]:
        """Keep the best of objects that overlap, and paint them."""
        from napari_segnet.answers.star_polygons.label import label_stars

        return label_stars(prediction, _stars(prediction.answer), settings)

    def responder(
        self,
        checkpoint: Checkpoint,
        image: Image,
        settings: PredictSettings,
        prediction: Prediction | None,
    ) -> PromptSession:
        """Return who chooses among all objects that the network suspects."""
        from napari_segnet.answers.star_polygons.prompt import StarResponder

        if prediction is None:
            raise SegnetError(
                "This network chooses among its star-convex objects. Run it on the image first, "
                "then prompt it."
            )
        return StarResponder(prediction, _stars(prediction.answer))

    def uncertainty(
        self, items: Items, labels: npt.NDArray[np.integer[Any]], answer: NetworkAnswer
    ) -> Items:
        """Suspect objects by score, and where the pixels of one disagree about its edge."""
        from napari_segnet.answers.star_polygons.uncertainty import uncertainty_by_stars

        return uncertainty_by_stars(items, labels, _stars(answer))

    def turned_back(self, answer: NetworkAnswer, axis: str) -> StarPolygons:
        """Return objects flipped along an axis: their rays point the other way along it."""
        stars = _stars(answer)
        maps, at = stars.maps, "zyx"[-stars.ndim :].index(axis)
        points, vertices = stars.points.copy(), stars.vertices.copy()
        points[:, at] = stars.seen[at] - 1 - points[:, at]
        vertices[:, at] *= -1
        return replace(
            stars,
            points=points,
            vertices=vertices,
            faces=stars.faces[:, ::-1].copy(),  # still outwards
            maps=replace(maps, data=np.flip(maps.data, maps.axes.index(axis))),
        )

    def uncertainty_by_flips(
        self,
        items: Items,
        labels: npt.NDArray[np.integer[Any]],
        answer: NetworkAnswer,
        others: Sequence[NetworkAnswer],
    ) -> Items:
        """Suspect objects where the probability changes with the image turned over."""
        from napari_segnet.answers.maps.uncertainty import uncertainty_by_flips

        maps = [_stars(other).maps for other in others]
        return uncertainty_by_flips(items, labels, _stars(answer).maps, maps)

    def targets(
        self, labels: npt.NDArray[np.int32], checkpoint: Checkpoint
    ) -> npt.NDArray[np.float32]:
        """Return what the family says that each output should be."""
        from napari_segnet.answers.maps.objective import trainable_maps
        from napari_segnet.recognition import family_of

        return trainable_maps(family_of(checkpoint)).targets(labels, checkpoint)

    def advised(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return the network as it is: its thresholds stay."""
        return checkpoint

    def objective(
        self, family: Trainable, checkpoint: Checkpoint, loss: str, replay: float
    ) -> Objective:
        """Return an objective by the loss of StarDist."""
        from napari_segnet.answers.maps.objective import trainable_maps
        from napari_segnet.answers.star_polygons.objective import StarObjective

        return StarObjective(trainable_maps(family), checkpoint, loss, replay)

    def maps(self, answer: NetworkAnswer) -> Maps:
        """Return how likely each pixel is deep in an object."""
        return _stars(answer).maps

    def instances(self, answer: NetworkAnswer) -> Instances | None:
        """Return None: there are no boxes with masks."""
        return None

    def headline(self, checkpoint: Checkpoint) -> str:
        """Return what it finds, and along how many rays."""
        rays = next((o.channels for o in checkpoint.outputs if o.role == "ray_distance"), 0)
        what = "polygons" if checkpoint.ndim == 2 else "polyhedra"
        classes = checkpoint.classes - 1
        of = f" of {classes} classes" if classes > 1 else ""
        return f"finds objects{of} as star-convex {what} of {rays} rays"


def _stars(answer: NetworkAnswer) -> StarPolygons:
    if not isinstance(answer, StarPolygons):
        raise TypeError(f"star-convex objects were expected, not {type(answer).__name__}")
    return answer

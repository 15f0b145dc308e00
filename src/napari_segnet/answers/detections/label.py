"""Labels of detections; the network does not run."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from napari_segnet.answers.labels import Table, renamed, segmentation_of
from napari_segnet.progress import Progress
from napari_segnet.segmentation import Instances, Prediction, Segmentation
from napari_segnet.steps import (
    LabelSettings,
    link,
    refine_keeping_ids,
    relabel_raster,
    resolve,
    resolve_classes,
)
from napari_segnet.steps.ids import count_pixels
from napari_segnet.steps.paint import paint

__all__ = ["label_detections"]


def label_detections(
    prediction: Prediction, answer: Instances, settings: LabelSettings
) -> Generator[Progress, None, Segmentation]:
    """Paint detections over each other; see :func:`napari_segnet.inference.label`."""
    settings = resolve(settings, (), prediction.advice, "instance")
    classes = resolve_classes(settings.classes, prediction.class_names)
    yield Progress(what="labels", done=0, total=1)
    painted = paint(answer, settings, classes)
    labels = refine_keeping_ids(painted.labels, settings)
    counts = count_pixels(labels)
    counts = np.pad(counts, (0, int(painted.ids.max(initial=0)) + 1 - counts.size))
    left = counts[painted.ids] > 0  # steps may have removed some
    ids, table = painted.ids[left], Table()
    table.scores, table.classes = [painted.scores[left]], [painted.classes[left]]
    table.pixels = [counts[ids]]
    if settings.link != "none":
        labels, ids = renamed(labels, lambda old: link(old, answer.axes, settings.link), ids)
    elif not left.all() or settings.steps:
        labels, ids = renamed(labels, relabel_raster, ids)
    yield Progress(what="labels", done=1, total=1)
    made = segmentation_of(prediction, labels, answer.axes, "instance", table.joined(ids), settings)
    notes = (*made.origin.notes, *_beyond(settings, prediction.origin.engine))
    return replace(made, origin=replace(made.origin, notes=notes))


def _beyond(settings: LabelSettings, engine: Mapping[str, Any]) -> tuple[str, ...]:
    """Say where a setting asks for what the network has not kept."""
    least, overlap = engine.get("least_score", 0.0), engine.get("box_nms", 1.0)
    notes = []
    if settings.score < least:
        notes.append(
            f"The network keeps no detection whose score is below {least:g}, so a lowest score of "
            f"{settings.score:g} shows no more. Override least_score of the network and run again."
        )
    if settings.nms is not None and settings.nms > overlap:
        notes.append(
            f"The network itself drops boxes that overlap by more than {overlap:g}, so nms "
            f"{settings.nms:g} shows no more. Override box_nms of the network and run again."
        )
    return tuple(notes)

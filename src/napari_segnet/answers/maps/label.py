"""Labels of maps; the network does not run."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet import cache
from napari_segnet.answers.labels import Table, renamed, segmentation_of
from napari_segnet.half import halved
from napari_segnet.progress import Progress, check_cancelled
from napari_segnet.segmentation import Kind, Maps, Prediction, Segmentation
from napari_segnet.sinks import large_array
from napari_segnet.steps import (
    LabelSettings,
    Unit,
    count_pixels,
    label_unit,
    labeler_of,
    link,
    offset_unique,
    require_label_room,
    resolve,
    score_labels,
)

__all__ = ["label_maps"]

MOST_KEPT_PX = 2**24
"""Of a plane or volume whose landscape is kept between two labellings: 64 MB."""


def label_maps(
    prediction: Prediction, answer: Maps, settings: LabelSettings
) -> Generator[Progress, None, Segmentation]:
    """Make labels of maps, unit by unit; see :func:`napari_segnet.inference.label`."""
    settings = resolve(settings, answer.outputs, prediction.advice, "semantic")
    kind = labeler_of(settings.instances).kind
    axes = answer.axes[1:]
    name = str(prediction.origin.image.get("name", "the image"))
    require_label_room(answer.shape, answer.ndim, settings.instances, name)
    full = _with_all_axes(answer)
    shape = full.shape[1:]  # (t, z, y, x)
    units = _units(answer, shape)
    labels = np.zeros(0, np.int32) if len(units) == 1 else large_array(shape, np.int32)
    kept = prediction.origin.key if cache.predictions.keeps(prediction) else ""
    table, used = Table(), 0
    for done, where in enumerate(units):
        check_cancelled()
        yield Progress(what="labels", done=done, total=len(units))
        # Always of half precision: a cached answer gives the same labels as a fresh one.
        box: tuple[Any, ...] = (slice(None), *where)
        maps = halved(np.asarray(full[box]))
        unit = Unit(
            maps=maps,
            outputs=answer.outputs,
            pixel_size=_voxel(prediction, answer),
            key=f"{kept} {done}" if kept and maps[0].size <= MOST_KEPT_PX else "",
        )
        found = label_unit(unit, settings)
        _add_scores(table, found, unit, kind, used)
        if kind == "instance":
            used = offset_unique(found, used)
        if len(units) == 1:
            labels = found  # no second array of that size
        else:
            labels[where] = found
    labels = labels.reshape(tuple(shape["tzyx".index(a)] for a in axes))
    ids = np.concatenate([*table.ids, np.zeros(0, np.int64)])
    if kind == "instance" and settings.link != "none":
        labels, ids = renamed(labels, lambda old: link(old, axes, settings.link), ids)
    yield Progress(what="labels", done=len(units), total=len(units))
    return segmentation_of(prediction, labels, axes, kind, table.joined(ids), settings)


def _add_scores(
    table: Table, found: npt.NDArray[np.int32], unit: Unit, kind: Kind, used: int
) -> None:
    counts = count_pixels(found)  # of a semantic unit, too, ids are those that it has
    ids, scores, classes = score_labels(found, unit, kind, counts)
    table.ids.append(ids if kind == "semantic" else ids + used)
    table.scores.append(scores)
    table.classes.append(classes)
    table.pixels.append(counts[ids])


def _with_all_axes(answer: Maps) -> npt.NDArray[np.floating]:
    """Return the maps as ``(c, t, z, y, x)``; a view."""
    missing = tuple(i for i, a in enumerate("ctzyx") if a not in answer.axes)
    return np.expand_dims(answer.data, missing)


def _units(answer: Maps, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the index of each plane or volume."""
    if answer.ndim == 3:
        return [(t,) for t in range(shape[0])]
    return [(t, z) for t in range(shape[0]) for z in range(shape[1])]


def _voxel(prediction: Prediction, answer: Maps) -> tuple[float, ...]:
    """Return the relative pixel size per axis of a unit; 1 where it is unknown."""
    axes = "zyx"[-answer.ndim :]
    known = [prediction.pixel_size_um.get(a) for a in axes]
    if any(size is None for size in known):
        return (1.0,) * len(axes)
    sizes = [float(size or 1.0) for size in known]
    return tuple(size / min(sizes) for size in sizes)

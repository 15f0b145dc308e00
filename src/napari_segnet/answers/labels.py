"""Labels of a network's answer; the network does not run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet import cache
from napari_segnet.progress import Progress, check_cancelled
from napari_segnet.segmentation import Instances, Kind, Maps, Prediction, Segmentation
from napari_segnet.steps import (
    LabelSettings,
    Unit,
    label_unit,
    labeler_of,
    link,
    offset_unique,
    refine_keeping_ids,
    relabel_raster,
    resolve,
    resolve_classes,
    score_labels,
)
from napari_segnet.steps.ids import count_pixels
from napari_segnet.steps.paint import paint

__all__ = ["label_steps"]

MOST_KEPT_PX = 2**24
"""Of a plane or volume whose landscape is kept between two labellings: 64 MB."""


@dataclass(slots=True)
class _Table:
    """Score and class of each label, as the units come in."""

    ids: list[npt.NDArray[np.int64]] = field(default_factory=list)
    scores: list[npt.NDArray[np.float32]] = field(default_factory=list)
    classes: list[npt.NDArray[np.int64]] = field(default_factory=list)
    pixels: list[npt.NDArray[np.int64]] = field(default_factory=list)

    def joined(self, ids: npt.NDArray[np.int64]) -> tuple[dict[int, float], dict[int, int]]:
        """Return score and class by id; where several rows share an id, their pixel mean.

        Parameters
        ----------
        ids : ndarray
            ``(n,)`` the id that each row has in the end.
        """
        pixels = np.concatenate([*self.pixels, np.zeros(0, np.int64)])
        scores = np.concatenate([*self.scores, np.zeros(0, np.float32)])
        classes = np.concatenate([*self.classes, np.zeros(0, np.int64)])
        unique, place = np.unique(ids, return_inverse=True)
        weight = np.bincount(place, pixels, minlength=unique.size)
        mean = np.bincount(place, scores * pixels, minlength=unique.size) / np.maximum(weight, 1)
        largest = np.lexsort((pixels, place))
        class_of = dict(zip(place[largest].tolist(), classes[largest].tolist(), strict=True))
        score = {int(i): round(float(s), 4) for i, s in zip(unique, mean, strict=True)}
        return score, {int(i): class_of[k] for k, i in enumerate(unique)}


def label_steps(
    prediction: Prediction, settings: LabelSettings
) -> Generator[Progress, None, Segmentation]:
    """See :func:`napari_segnet.inference.label`."""
    answer = prediction.answer
    if isinstance(answer, Instances):
        return (yield from _painted(prediction, answer, settings))
    settings = resolve(settings, answer.outputs, prediction.advice, "semantic")
    kind = labeler_of(settings.instances).kind
    axes = answer.axes[1:]
    full = _with_all_axes(answer)
    labels = np.zeros(full.shape[1:], np.int32)  # (t, z, y, x)
    units = _units(answer, labels.shape)
    kept = prediction.origin.key if cache.predictions.keeps(prediction) else ""
    table, used = _Table(), 0
    for done, where in enumerate(units):
        check_cancelled()
        yield Progress(what="labels", done=done, total=len(units))
        # Always of half precision: a cached answer gives the same labels as a fresh one.
        box: tuple[Any, ...] = (slice(None), *where)
        maps = np.asarray(full[box], dtype=np.float16)
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
        labels[where] = found
    labels = labels.reshape(tuple(labels.shape["tzyx".index(a)] for a in axes))
    ids = np.concatenate([*table.ids, np.zeros(0, np.int64)])
    if kind == "instance" and settings.link != "none":
        labels, ids = _renamed(labels, lambda old: link(old, axes, settings.link), ids)
    yield Progress(what="labels", done=len(units), total=len(units))
    return _segmentation(prediction, labels, axes, kind, table.joined(ids), settings)


def _painted(
    prediction: Prediction, answer: Instances, settings: LabelSettings
) -> Generator[Progress, None, Segmentation]:
    settings = resolve(settings, (), prediction.advice, "instance")
    classes = resolve_classes(settings.classes, prediction.class_names)
    yield Progress(what="labels", done=0, total=1)
    painted = paint(answer, settings, classes)
    labels = refine_keeping_ids(painted.labels, settings)
    counts = count_pixels(labels)
    counts = np.pad(counts, (0, int(painted.ids.max(initial=0)) + 1 - counts.size))
    left = counts[painted.ids] > 0  # steps may have removed some
    ids, table = painted.ids[left], _Table()
    table.scores, table.classes = [painted.scores[left]], [painted.classes[left]]
    table.pixels = [counts[ids]]
    if settings.link != "none":
        labels, ids = _renamed(labels, lambda old: link(old, answer.axes, settings.link), ids)
    elif not left.all() or settings.steps:
        labels, ids = _renamed(labels, relabel_raster, ids)
    yield Progress(what="labels", done=1, total=1)
    made = _segmentation(prediction, labels, answer.axes, "instance", table.joined(ids), settings)
    notes = (*made.origin.notes, *_beyond(settings, prediction.origin.engine))
    return replace(made, origin=replace(made.origin, notes=notes))


def _beyond(settings: LabelSettings, engine: Mapping[str, Any]) -> tuple[str, ...]:
    """Say where a setting asks for what the network has not kept."""
    least, overlap = engine.get("least_score", 0.0), engine.get("box_nms", 1.0)
    notes = []
    if settings.score < least:
        notes.append(
            f"The network keeps no detection whose score is below {least:g}, so a least score of "
            f"{settings.score:g} shows no more. Tell it another least_score and run again."
        )
    if settings.nms > overlap:
        notes.append(
            f"The network itself drops boxes that overlap by more than {overlap:g}, so nms "
            f"{settings.nms:g} shows no more. Tell it another box_nms and run again."
        )
    return tuple(notes)


def _add_scores(
    table: _Table, found: npt.NDArray[np.int32], unit: Unit, kind: Kind, used: int
) -> None:
    ids, scores, classes = score_labels(found, unit, kind)
    counts = np.bincount(found.reshape(-1), minlength=int(ids.max(initial=0)) + 1)
    table.ids.append(ids if kind == "semantic" else ids + used)
    table.scores.append(scores)
    table.classes.append(classes)
    table.pixels.append(counts[ids])


def _renamed(
    labels: npt.NDArray[np.int32],
    rename: Callable[[npt.NDArray[np.int32]], npt.NDArray[np.int32]],
    ids: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Give labels other ids; return them and the new id of each old one."""
    before = labels.copy()
    after = rename(labels)
    new = np.zeros(int(before.max(initial=0)) + 1, np.int64)
    new[before.reshape(-1)] = after.reshape(-1)
    return after, new[ids]


def _segmentation(
    prediction: Prediction,
    labels: npt.NDArray[np.int32],
    axes: str,
    kind: Kind,
    table: tuple[dict[int, float], dict[int, int]],
    settings: LabelSettings,
) -> Segmentation:
    scores, classes = table
    return Segmentation(
        labels=labels,
        axes=axes,
        pixel_size_um=prediction.pixel_size_um,
        kind=kind,
        label_class=classes,
        label_score=scores,
        class_names=prediction.class_names,
        origin=replace(prediction.origin, label=asdict(settings)),
    )


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

"""Labels of star-convex objects; the network does not run."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet import cache
from napari_segnet.answers.labels import Table, renamed, segmentation_of
from napari_segnet.progress import Progress, check_cancelled
from napari_segnet.segmentation import Prediction, Segmentation, StarPolygons
from napari_segnet.sinks import large_array
from napari_segnet.star import Rays, mask_of, suppress
from napari_segnet.steps import (
    LabelSettings,
    link,
    refine_keeping_ids,
    relabel_raster,
    resolve,
    resolve_classes,
)
from napari_segnet.steps._types import filled_in
from napari_segnet.steps.ids import count_pixels

__all__ = ["drawn", "label_stars", "rays_of"]

Rows = npt.NDArray[np.int64]


def label_stars(
    prediction: Prediction, answer: StarPolygons, settings: LabelSettings
) -> Generator[Progress, None, Segmentation]:
    """Keep the best of objects that overlap; see :func:`napari_segnet.inference.label`."""
    settings = resolve(settings, (), prediction.advice, "instance")
    wanted = resolve_classes(settings.classes, prediction.class_names)
    threshold = filled_in(settings.threshold, "threshold")
    axes = answer.maps.axes[1:]
    labels: npt.NDArray[np.int32] = large_array(answer.shape, np.int32)
    labels[...] = 0
    planes = labels.reshape(-1, *labels.shape[-answer.ndim :])
    kept = prediction.origin.key if cache.predictions.keeps(prediction) else ""
    chosen: list[Rows] = []
    used = 0
    for number, plane in enumerate(planes):
        check_cancelled()
        yield Progress(what="labels", done=number, total=len(planes))
        best = _kept(answer, number, threshold, filled_in(settings.nms, "nms"), kept)
        if wanted is not None:
            best = best[np.isin(answer.classes[best], list(wanted))]
        best = best[: settings.max_objects] if settings.max_objects else best
        _paint(plane, answer, best, used)
        chosen.append(best)
        used += len(best)
    rows = np.concatenate([*chosen, np.zeros(0, np.int64)])
    labels, table, ids = _refined(labels, answer, rows, settings)
    if settings.link != "none":
        labels, ids = renamed(labels, lambda old: link(old, axes, settings.link), ids)
    else:
        labels, ids = renamed(labels, relabel_raster, ids)
    yield Progress(what="labels", done=len(planes), total=len(planes))
    made = segmentation_of(prediction, labels, axes, "instance", table.joined(ids), settings)
    notes = (*made.origin.notes, *_beyond(threshold, prediction.origin.engine))
    return replace(made, origin=replace(made.origin, notes=notes))


def rays_of(answer: StarPolygons) -> Rays:
    """Return the directions of an answer, in network pixels."""
    return Rays(vertices=answer.vertices, faces=answer.faces)


def drawn(
    answer: StarPolygons, row: int, shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], npt.NDArray[np.bool_]]:
    """Return the pixels of one object: a box in the plane or volume of the image, and its mask."""
    zoom = np.array(answer.zoom, np.float32)
    if (zoom == 1).all():
        return mask_of(answer.points[row], answer.distances[row], rays_of(answer), shape)
    # The middle of a network pixel, among image pixels.
    place = (answer.points[row] + 0.5) * zoom - 0.5
    rays = Rays(vertices=answer.vertices * zoom, faces=answer.faces)
    return mask_of(place, answer.distances[row], rays, shape)


def _kept(answer: StarPolygons, unit: int, threshold: float, most: float, key: str) -> Rows:
    """Return the rows of a unit that are kept above a score, best first.

    What is kept above a lower score holds those above a higher one, so one answer serves all.
    """
    place = (key, unit, most)
    known = cache.suppressed.get(place) if key else None
    if known is None or known[0] > threshold:
        rows = np.flatnonzero((answer.unit == unit) & (answer.scores > threshold))
        best = suppress(
            answer.points[rows], answer.distances[rows], answer.scores[rows], rays_of(answer), most
        )
        known = (threshold, rows[best])
        if key:
            cache.suppressed.put(place, known, known[1].nbytes + 1)
    return known[1][answer.scores[known[1]] > threshold]


def _paint(plane: npt.NDArray[np.int32], answer: StarPolygons, best: Rows, used: int) -> None:
    """Draw objects over each other, the best last."""
    for number in range(len(best) - 1, -1, -1):
        if number % 64 == 0:
            check_cancelled()
        where, mask = drawn(answer, int(best[number]), plane.shape)
        plane[where][mask] = used + number + 1


def _refined(
    labels: npt.NDArray[np.int32], answer: StarPolygons, rows: Rows, settings: LabelSettings
) -> tuple[npt.NDArray[np.int32], Table, npt.NDArray[np.int64]]:
    """Return refined labels, and score and class of those that are left."""
    labels = refine_keeping_ids(labels, settings)
    counts = count_pixels(labels)
    counts = np.pad(counts, (0, len(rows) + 1 - counts.size))
    left = counts[1 : len(rows) + 1] > 0  # others may hide one, or steps have removed it
    ids, table = np.flatnonzero(left) + 1, Table()
    table.scores, table.classes = [answer.scores[rows[left]]], [answer.classes[rows[left]]]
    table.pixels = [counts[ids]]
    return labels, table, ids.astype(np.int64)


def _beyond(threshold: float, engine: Mapping[str, Any]) -> tuple[str, ...]:
    """Say where a setting asks for what was not kept."""
    least = float(engine.get("least_score", 0.0))
    if threshold >= least:
        return ()
    return (
        f"Nothing is kept below a score of {least:g}, so a threshold of {threshold:g} shows no "
        "more.",
    )

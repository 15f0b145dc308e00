"""Hold regions out where the images that are held out have too few objects to judge by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_segnet.dataset._labels import read_labels, read_objects
from napari_segnet.dataset._listing import Dataset
from napari_segnet.dataset._sample import Box, Sample
from napari_segnet.errors import SegnetError
from napari_segnet.readers import open_image

__all__ = ["hold_out", "usable"]

ENOUGH = 40
"""Objects to judge by. Where three in ten change, for better or worse, a difference of 0.11 in AP
then shows with a probability of 0.9 (1.28 times the standard error, ``(0.3 / 40) ** 0.5``)."""
SHARE = 0.25
"""Of the objects are held out, as nearly as a strip along an edge can be."""
STRIP = 0.25
"""Of the reviewed part's height or width."""
MOST_CUT = 0.5
"""If what the border cuts is a larger share of the image, it is a region, not an object."""


def hold_out(dataset: Dataset) -> Dataset:
    """Return a dataset in which enough objects are held out, as far as that is possible.

    Where the images that are held out have ``ENOUGH`` objects, nothing is changed. Else a strip
    along one edge of others is, one source after the other in their order until there are
    enough; where no image is held out, of all of them. The edge is the same in all parts of a
    source, so that neighbouring planes do not tell. The choice depends on the labels and the
    order alone: what is added to the end leaves it as it is.
    """
    sources: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.of("train"):
        sources[sample.source].append(sample)
    whole = dataset.of("val")
    objects = _objects(whole)
    split: dict[Sample, Box] = {}
    for samples in sources.values():
        if whole and objects >= ENOUGH:
            break
        found, count = _strips(samples)
        if whole and not _leaves_enough(found):
            continue
        split.update(found)
        objects += count
    if not split:
        return dataset
    parts = [
        replace(sample, box=split.get(sample), split=side)
        for side in ("train", "val")
        for sample in dataset.samples
        if side == sample.split or sample in split
    ]
    return replace(dataset, samples=tuple(parts))


def _objects(samples: tuple[Sample, ...]) -> int:
    """Count the objects by which one could judge, until there are enough."""
    count = 0
    for sample in samples:
        if count >= ENOUGH:
            break
        for _, (labels, trusted) in _readable([] if sample.untouched else [sample]):
            sides = usable(sample, labels, trusted)
            count += np.unique(labels[sides & (labels > 0)]).size
    return count


def _leaves_enough(strips: dict[Sample, Box]) -> bool:
    """Tell if most of what is labelled is still learned from.

    It is not where numbers are classes, or a mask: these lie across every border.
    """
    all_px = left_px = 0
    for sample, (_, trusted) in _readable(list(strips)):
        labels = read_labels(sample.labels, open_image(sample.image))
        left = usable(replace(sample, box=strips[sample]), labels, trusted)
        all_px += int(np.count_nonzero(labels[trusted]))
        left_px += int(np.count_nonzero(labels[left]))
    return 2 * left_px > all_px


def usable(
    sample: Sample, labels: npt.NDArray[np.int32], trusted: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return where labels ``(t, z, y, x)`` count for a sample's side of the split.

    Objects across the border count on neither side.
    """
    if sample.box is None:
        return trusted
    inside = np.zeros(labels.shape[-2:], bool)
    y0, x0, y1, x1 = sample.box
    inside[y0:y1, x0:x1] = True
    side = inside if sample.split == "val" else ~inside
    return trusted & side & ~_across(labels, inside)


def _across(labels: npt.NDArray[np.int32], inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    here, there = labels[..., inside], labels[..., ~inside]
    both = np.intersect1d(here[here > 0], there[there > 0])
    cut: npt.NDArray[np.bool_] = np.isin(labels, both)
    if cut.sum() > MOST_CUT * cut.size:
        return np.zeros(labels.shape, bool)
    return cut


def _strips(samples: list[Sample]) -> tuple[dict[Sample, Box], int]:
    """Return the strip of each part of a source, and how many objects are in them.

    None if the source cannot be divided.
    """
    read = dict(_readable(samples))
    best: tuple[float, dict[Sample, Box], int] | None = None
    for edge in range(4):
        boxes = {sample: _strip(trusted, edge) for sample, (_, trusted) in read.items()}
        held = whole = 0
        for sample, box in boxes.items():
            labels, trusted = read[sample]
            for side in ("train", "val"):
                counts = usable(replace(sample, box=box, split=side), labels, trusted)
                count = np.unique(labels[counts & (labels > 0)]).size
                whole += count
                held += count if side == "val" else 0
        if 0 < held < whole:
            far = abs(held / whole - SHARE)
            if best is None or far < best[0]:
                best = (far, boxes, held)
    return ({}, 0) if best is None else best[1:]


def _readable(
    samples: list[Sample],
) -> Iterator[tuple[Sample, tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]]]:
    for sample in samples:
        try:
            image = open_image(sample.image)
            labels = read_objects(sample, image)
            trusted = np.ones(labels.shape, bool)
            if sample.trusted is not None:
                trusted = read_labels(sample.trusted, image) > 0
        except SegnetError:
            continue  # the training says which file it is, and why
        if trusted.any():
            yield sample, (labels, trusted)


def _strip(trusted: npt.NDArray[np.bool_], edge: int) -> Box:
    """Return the box along the left, right, top or bottom of what is trusted."""
    height, width = trusted.shape[-2:]
    seen = trusted.reshape(-1, height, width).sum(axis=0)
    rows, columns = np.flatnonzero(seen.sum(axis=1)), np.flatnonzero(seen.sum(axis=0))
    low, high = (rows[0], rows[-1] + 1) if edge > 1 else (columns[0], columns[-1] + 1)
    thick = max(1, round(STRIP * float(high - low)))
    if edge == 0:
        return (0, 0, height, int(low) + thick)
    if edge == 1:
        return (0, int(high) - thick, height, width)
    if edge == 2:
        return (0, 0, int(low) + thick, width)
    return (int(high) - thick, 0, height, width)

"""How sure a network is of each object, and which class it says it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.segmentation import Kind
from napari_segnet.sinks import large_array
from napari_segnet.steps._channels import channel_of, classes_of, probability
from napari_segnet.steps.ids import add_by_id, chunks, count_pixels

if TYPE_CHECKING:
    from napari_segnet.steps._types import Unit

__all__ = ["score_labels"]


def score_labels(
    labels: npt.NDArray[np.int32],
    unit: Unit,
    kind: Kind = "instance",
    counts: npt.NDArray[np.int64] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the mean probability inside each label and the class that it shows.

    Parameters
    ----------
    labels : ndarray
        int32 ``([z,] y, x)``, the shape of the unit's maps without channels. Ids are best
        without large gaps: memory grows with the highest.
    unit : Unit
        The maps that the labels were made of.
    kind : Kind
        ``semantic`` if the ids are class indices: they are then the classes.
    counts : ndarray, optional
        What :func:`count_pixels` says of the labels, where that is known.

    Returns
    -------
    ids : ndarray
        ``(n,)`` int64, rising, without 0.
    scores : ndarray
        ``(n,)`` float32 from 0 to 1: the mean over the label's pixels of the foreground's
        probability, or of its class's where there is no foreground output. Where there is
        neither: of the distance, or of one minus the boundary (of the boundary itself for
        ``semantic``).
    classes : ndarray
        ``(n,)`` int64: with several classes, the one of the highest mean probability
        (never the background); else 1.
    """
    counts = count_pixels(labels) if counts is None else counts
    ids = np.flatnonzero(counts[1:]) + 1

    def mean(channel: int) -> npt.NDArray[np.float64]:
        return _sums(labels, unit.maps[channel], counts.size)[ids] / counts[ids]

    found = classes_of(unit.outputs)
    several = found is not None and len(found.foreground) > 1
    classes = np.ones(ids.size, np.int64)
    if found is not None and found.paints and kind == "semantic":
        own = dict(zip(found.paints, found.channels, strict=True))
        rows = [mean(own[int(number)])[at] for at, number in enumerate(ids)]
        scores = np.array(rows, np.float64)
        return ids, scores.clip(0, 1).astype(np.float32), ids
    if found is not None and several:
        means = np.stack([mean(channel) for channel in found.foreground])
        classes = means.argmax(axis=0) + 1 if kind == "instance" else ids
        scores = means[classes - 1, np.arange(ids.size)]
    if not several or (kind == "instance" and channel_of(unit.outputs, "foreground") is not None):
        channel, inverted = probability(unit.outputs)
        scores = mean(channel)
        if inverted and kind == "instance":
            scores = 1 - scores
    return ids, scores.clip(0, 1).astype(np.float32), classes.astype(np.int64)


def _sums(
    labels: npt.NDArray[np.int32], values: npt.NDArray[np.floating], size: int
) -> npt.NDArray[np.float64]:
    """Return ``(size,)`` float64: the sum of each id but 0 (which has 0); NaN counts as 0."""
    flat, maps = labels.reshape(-1), values.reshape(-1)
    sums = large_array((size,), np.float64)
    sums[...] = 0
    for part in chunks(flat.size):
        inside = np.flatnonzero(flat[part])  # most pixels of most images are background
        ids = flat[part][inside]
        weights = np.nan_to_num(maps[part][inside].astype(np.float64), nan=0.0)
        add_by_id(sums, ids, weights)
    return sums

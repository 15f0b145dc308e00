"""The order in which objects are looked at."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.answers import ComparesFlips, answer_of, maps_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import MismatchError
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings, label, predict, same_engine
from napari_segnet.items import Items, items_of, worse
from napari_segnet.progress import Progress, job
from napari_segnet.review._review import Review, State, is_right
from napari_segnet.review._uncertainty import uncertainty_by_prediction, uncertainty_by_shape
from napari_segnet.segmentation import Prediction

__all__ = [
    "in_order",
    "seen_rows",
    "uncertainty_of_labels",
    "uncertainty_of_own",
    "uncertainty_unaided",
]

Labels = npt.NDArray[np.integer[Any]]


def in_order(items: Items, seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the rows of a table in the order of the queue.

    What was not looked at yet comes first, the most doubtful in front; of equals the larger.

    Parameters
    ----------
    items : Items
        The table.
    seen : ndarray
        ``(n,)`` bool: which rows need no further look.
    """
    uncertainty = np.nan_to_num(items.uncertainty, nan=-1.0)
    return np.lexsort((items.ids, -items.areas, -uncertainty, seen))


def seen_rows(items: Items, review: Review) -> npt.NDArray[np.bool_]:
    """Return ``(n,)`` bool: which rows of a table need no further look."""
    if not len(items):
        return np.zeros(0, np.bool_)
    if len(items) < len(review.states) // 16:
        states = [review.state(label) for label in items.ids.tolist()]
        seen = np.array([is_right(state) for state in states], np.bool_)
        open_ = np.array([state is State.UNSEEN for state in states], np.bool_)
    else:
        right, others = review.labels_by_judgement()
        seen = np.isin(items.ids, right)
        open_ = ~(seen | np.isin(items.ids, others))
    for region in review.regions:
        low = np.array([part.start for part in region])
        high = np.array([part.stop for part in region])
        inside = (items.first >= low).all(axis=1) & (items.stop <= high).all(axis=1)
        seen |= inside & open_
    for pixel in review.dismissed:
        at = np.array(pixel)
        there = (items.first <= at).all(axis=1) & (items.stop > at).all(axis=1)
        seen |= there & (items.ids < 0)
    return seen


@job
def uncertainty_unaided(labels: Labels, axes: str = "") -> Generator[Progress, None, Items]:
    """Return the objects of labels that no network is asked about.

    Parameters
    ----------
    labels : ndarray
        Integer labels.
    axes : str
        Theirs, such as ``tyx``; empty if nobody knows them.
    """
    yield Progress(what="measuring the objects")
    labels = np.asarray(labels)
    return uncertainty_by_shape(items_of(labels), labels, axes)


@job
def uncertainty_of_own(
    labels: Labels,
    prediction: Prediction,
    scores: Mapping[int, float],
    classes: Mapping[int, int],
) -> Generator[Progress, None, Items]:
    """Return the objects of labels that were made of this prediction, with their uncertainty.

    Parameters
    ----------
    labels : ndarray
        In the order of the prediction's axes, without channels.
    prediction : Prediction
        What the labels were made of.
    scores, classes : mapping
        By id.

    Raises
    ------
    MismatchError
        If labels and prediction are of different shapes.
    """
    yield Progress(what="measuring the objects")
    answer = prediction.answer
    if tuple(labels.shape) != tuple(answer.shape):
        raise MismatchError(
            f"The labels have {labels.shape} pixels, the network's answer {tuple(answer.shape)}. "
            "Run the network on the image of these labels."
        )
    items = items_of(np.asarray(labels)).with_table(scores, classes)
    return answer_of(prediction).uncertainty(items, labels, answer)


@job
def uncertainty_of_labels(
    labels: Labels,
    checkpoint: Checkpoint,
    image: Image,
    settings: PredictSettings | None = None,
    label_settings: LabelSettings | None = None,
    flips: bool = False,
) -> Generator[Progress, None, Items]:
    """Run a network; labels are uncertain where it does not agree with them.

    Parameters
    ----------
    labels : ndarray
        In the order of the image's axes, without channels; whoever made them.
    checkpoint : Checkpoint
        The network.
    image : Image
        The picture of these labels.
    settings, label_settings : optional
        As in ``segment``.
    flips : bool
        Also run it on the image turned over in y and in x, uncertain is where it then says
        something else; three times as long. Only where the kind of answer can be compared so.

    Yields
    ------
    Progress
        ``tile``, then ``labels``.

    Returns
    -------
    Items
        Objects, and places where one may lack.

    Raises
    ------
    MismatchError
        If labels and image are of different shapes.
    """
    prediction = yield from predict(checkpoint, image, settings)
    made = yield from label(prediction, label_settings)
    if tuple(made.labels.shape) != tuple(labels.shape):
        raise MismatchError(
            f"The labels have {tuple(labels.shape)} pixels, the image {tuple(made.labels.shape)} "
            "without its channels. Choose the image that these labels were made on."
        )
    yield Progress(what="comparing")
    inside = _foreground(prediction)
    items = uncertainty_by_prediction(labels, made.labels, made.label_score, inside, made.axes)
    if not flips or not isinstance(kind := answer_of(prediction), ComparesFlips):
        return items
    others = []
    # The mean of all mirror images is the same of each of them.
    settings = replace(same_engine(settings or PredictSettings(), prediction.origin), mirror="no")
    for axis in ("y", "x"):
        turned = yield from predict(checkpoint, _flipped(image, axis), settings)
        others.append(kind.turned_back(turned.answer, axis))
    objects = items.chosen(items.ids > 0)
    unstable = kind.uncertainty_by_flips(objects, labels, prediction.answer, others)
    return worse(items, unstable)


def _foreground(prediction: Prediction) -> npt.NDArray[Any] | None:
    """Return the foreground probability, if the network says it."""
    maps = maps_of(prediction)
    channel = maps.channel_of("foreground") if maps is not None else None
    return maps.data[channel] if maps is not None and channel is not None else None


def _flipped(image: Image, axis: str) -> Image:
    data = np.asarray(image.data)
    flipped = np.ascontiguousarray(np.flip(data, image.axes.index(axis)))
    return replace(image, data=flipped, levels=())

"""The jobs of the Segment dock; none of them touches a widget or a layer."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

from napari_segnet import cache
from napari_segnet.answers import maps_of
from napari_segnet.checkpoint import Checkpoint, Output
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings, label, predict
from napari_segnet.plan import Settled
from napari_segnet.progress import Progress, job
from napari_segnet.segmentation import Prediction, Segmentation
from napari_segnet.widgets.checkpoint.recognise import Gone
from napari_segnet.widgets.qt.torch_loading import load_torch
from napari_segnet.widgets.segment.provisional import Provisional, followed

__all__ = ["Answer", "answer", "relabel"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What comes of a run.

    Attributes
    ----------
    key : str
        By which the network's answer can be recalled.
    segmentation : Segmentation
        Its labels.
    outputs : tuple of Output
        Groups of map channels; empty for instance networks.
    settings : LabelSettings
        What ``auto`` came to.
    suggestion : str
        Why light and dark of the image may be the wrong way round; empty where nothing is odd.
    """

    key: str
    segmentation: Segmentation
    outputs: tuple[Output, ...]
    settings: LabelSettings
    suggestion: str = ""


@job
def answer(
    checkpoint: Checkpoint,
    image: Image,
    settings: PredictSettings | Settled,
    labels: LabelSettings,
    view: tuple[slice, ...] | None = None,
) -> Generator[Progress, None, Answer]:
    """Run a network, keep what it says, and make labels of it.

    Yields
    ------
    Progress
        Where ``view`` says what is looked at, ``shown`` is a ``Provisional`` of it.
    """
    from napari_segnet.detective import light_dark_suggestion

    yield Progress(what="reading the weights")
    load_torch()
    steps = predict(checkpoint, image, settings, first=view)
    if view is not None:
        into = Provisional(checkpoint, view, labels)
        prediction = yield from followed(steps, into, math.prod(_lengths(image)))
    else:
        prediction = yield from steps
    key = cache.predictions.remember(prediction)
    made = yield from label(prediction, labels)
    used = settings.settings if isinstance(settings, Settled) else settings
    return Answer(
        key=key,
        segmentation=made,
        outputs=_outputs(prediction),
        settings=_used(made),
        suggestion=(yield from light_dark_suggestion(checkpoint, image, used, made)),
    )


@job
def relabel(key: str, labels: LabelSettings) -> Generator[Progress, None, Answer]:
    """Make labels of a kept answer; the network does not run."""
    prediction = cache.predictions.recall(key)
    if prediction is None:
        raise Gone(
            "The network's output is no longer in memory, so the labels cannot follow the "
            "settings. Press Run to run the network again."
        )
    made = yield from label(prediction, labels)
    return Answer(key=key, segmentation=made, outputs=_outputs(prediction), settings=_used(made))


def _lengths(image: Image) -> list[int]:
    return [image.sizes[axis] for axis in image.label_axes]


def _outputs(prediction: Prediction) -> tuple[Output, ...]:
    maps = maps_of(prediction)
    return () if maps is None else maps.outputs


def _used(made: Segmentation) -> LabelSettings:
    from napari_segnet.settings import settings_from

    return settings_from(LabelSettings, made.origin.label)

"""Objects on request: the network answers about a box, a point, or an object that is wrong.

``open_prompts`` gets a network ready to be asked about an image; what it returns answers one
question after the other. An instance network looks at a part of the image once and keeps its
feature maps, so that an answer takes milliseconds; a network that says maps has said
everything when it ran, and the object is chosen from these.
"""

from __future__ import annotations

from collections.abc import Generator

from napari_segnet.answers import answer_of
from napari_segnet.answers.prompts import (
    BoxPrompt,
    Found,
    MaskPrompt,
    PointPrompt,
    Prompt,
    PromptSession,
)
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings
from napari_segnet.progress import Progress, job
from napari_segnet.segmentation import Prediction

__all__ = [
    "BoxPrompt",
    "Found",
    "MaskPrompt",
    "PointPrompt",
    "Prompt",
    "PromptSession",
    "open_prompts",
]


@job
def open_prompts(
    checkpoint: Checkpoint,
    image: Image,
    settings: PredictSettings | None = None,
    prediction: Prediction | None = None,
) -> Generator[Progress, None, PromptSession]:
    """Get a network ready to be asked about an image.

    Parameters
    ----------
    checkpoint : Checkpoint
        What ``identify`` returned.
    image : Image
        The image; questions are in its pixels.
    settings : PredictSettings, optional
        How the network is run.
    prediction : Prediction, optional
        What a network that answers with maps has said of this image.

    Raises
    ------
    SegnetError
        If that is missing.
    """
    yield Progress(what="reading the weights")
    settings = settings or PredictSettings()
    return answer_of(checkpoint).responder(checkpoint, image, settings, prediction)

"""Objects on request: the network answers about a box, a point, or an object that is wrong.

``listen`` gets a network ready to be asked about an image; what it returns answers one
question after the other. An instance network looks at a part of the image once and keeps its
feature maps, so that an answer takes milliseconds; a network that says maps has said
everything when it ran, and the object is chosen from these.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from napari_segnet.ask.question import Again, At, Found, InBox, Question
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SegnetError
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.progress import Job, Progress, job
from napari_segnet.segmentation import Prediction

__all__ = ["Again", "At", "Found", "InBox", "Question", "Responder", "listen"]


class Responder(Protocol):
    """A network that is ready to be asked about one image."""

    def ask(self, question: Question, settings: LabelSettings | None = None) -> Job[Found]:
        """Answer a question.

        ``settings`` are those that labels are made with: ``mask_threshold`` and ``classes``
        of instance networks, all that make objects of maps.

        Raises
        ------
        NothingFoundError
            If there is no object in that place.
        MismatchError
            If the place is outside of the image, or too large to be looked at.
        """

    def look_around(self, box: tuple[float, float, float, float], t: int, z: int) -> Job[None]:
        """Look at a part of a plane before anything is asked of it, such as what is visible.

        ``box`` is ``y0 x0 y1 x1`` in image pixels.
        """


@job
def listen(
    checkpoint: Checkpoint,
    image: Image,
    settings: PredictSettings | None = None,
    prediction: Prediction | None = None,
) -> Generator[Progress, None, Responder]:
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
    if checkpoint.task == "instance":
        from napari_segnet.ask._detections import DetectionResponder
        from napari_segnet.engines import engine_for
        from napari_segnet.plan.input import prepare_input

        given = prepare_input(checkpoint, image, settings)
        return DetectionResponder(
            engine_for(checkpoint, settings.device), given, settings.precision
        )
    if prediction is None:
        raise SegnetError(
            "This network answers with probability maps, and objects are chosen from them. Run "
            "it on the image first; then ask."
        )
    from napari_segnet.ask._maps import MapResponder

    return MapResponder(prediction)

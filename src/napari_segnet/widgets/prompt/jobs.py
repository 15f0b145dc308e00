"""The jobs behind "Ask the network"; none of them touches a widget or a layer."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_segnet import cache
from napari_segnet.answers import answer_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.correct import Places, find_places
from napari_segnet.image import Image
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.progress import Progress, job
from napari_segnet.widgets.checkpoint.recognise import Gone
from napari_segnet.widgets.qt.torch_loading import load_torch

if TYPE_CHECKING:
    from napari_segnet.prompts import Found, Prompt, PromptSession

__all__ = ["Listening", "Reply", "get_ready", "put_question"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Listening:
    """What a network is asked about.

    Attributes
    ----------
    checkpoint : Checkpoint
        The network.
    image : Image
        The image.
    predict : PredictSettings
        How it is run.
    key : str or None
        By which its maps of this image can be recalled.
    """

    checkpoint: Checkpoint
    image: Image
    predict: PredictSettings
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reply:
    """What comes of a question.

    Attributes
    ----------
    responder : PromptSession
        Who answered: it answers the next one faster.
    found : Found or None
        The object; None if nothing was asked yet.
    places : Places or None
        Where the objects of the layer lie, if that was looked for.
    """

    responder: PromptSession
    found: Found | None
    places: Places | None


@job
def get_ready(
    about: Listening,
    held: PromptSession | None,
    box: tuple[float, float, float, float],
    t: int,
    z: int,
) -> Generator[Progress, None, Reply]:
    """Let the network look at a part of a plane, so that the first answer comes at once."""
    responder = held or (yield from _responder(about))
    yield from responder.look_around(box, t, z)
    return Reply(responder=responder, found=None, places=None)


@job
def put_question(
    about: Listening,
    held: PromptSession | None,
    question: Prompt,
    settings: LabelSettings,
    unknown: Any,
) -> Generator[Progress, None, Reply]:
    """Ask; ``unknown`` are labels in which nobody has looked yet where objects lie, or None."""
    responder = held or (yield from _responder(about))
    found = yield from responder.ask(question, settings)
    places = None if unknown is None else (yield from find_places(unknown))
    return Reply(responder=responder, found=found, places=places)


def _responder(about: Listening) -> Generator[Progress, None, PromptSession]:
    yield Progress(what="reading the weights")
    load_torch()
    from napari_segnet.prompts import open_prompts

    prediction = None
    if answer_of(about.checkpoint).prompts_need_prediction and about.key is not None:
        prediction = cache.predictions.recall(about.key)
        if prediction is None:
            raise Gone("The network's output is no longer in memory. Press Run, then prompt again.")
    return (yield from open_prompts(about.checkpoint, about.image, about.predict, prediction))

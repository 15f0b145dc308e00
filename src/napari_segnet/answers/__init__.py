"""Kinds of answer: maps, detections, flows, star polygons, and whichever you add.

A network of one kind says maps, that of another boxes with masks. All that depends on it stands
in one folder each: how tiles are joined, how labels are made, how a prompt is answered, what
is uncertain, what is learned, what is shown. To add one, write a folder with a class that has
the methods of :class:`Answer` and name it in ``ANSWERS``. Everything else asks
:func:`answer_of`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from napari_segnet.answers.detections import DetectionAnswer
from napari_segnet.answers.flows import FlowAnswer
from napari_segnet.answers.maps import MapAnswer
from napari_segnet.answers.star_polygons import StarAnswer
from napari_segnet.errors import UnknownNetworkError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_segnet.answers.objective import Objective
    from napari_segnet.answers.prompts import PromptSession
    from napari_segnet.checkpoint import Checkpoint, Output
    from napari_segnet.engines import Engine
    from napari_segnet.families import Trainable
    from napari_segnet.image import Image
    from napari_segnet.items import Items
    from napari_segnet.plan import InferencePlan, PredictSettings, RunResult
    from napari_segnet.progress import Progress
    from napari_segnet.segmentation import Instances, Maps, NetworkAnswer, Prediction, Segmentation
    from napari_segnet.steps import LabelSettings

__all__ = ["ANSWERS", "Answer", "ComparesFlips", "answer_of", "instances_of", "maps_of"]


class Answer(Protocol):
    """What is special of networks that answer in one way; it holds no state.

    Attributes
    ----------
    name : str
        As its folder is called, and as ``answer_kind`` says of a checkpoint, an answer and a
        prediction.
    label_settings : tuple of str
        The names of the ``LabelSettings`` that change its labels, in the order of a form.
    objects_have_classes : bool
        True if each object has a class of its own: the user may choose among them, and labels
        to learn from come with a table of classes.
    prompts_need_prediction : bool
        True if a prompt chooses from a prediction, which must be there; False if the network
        looks at the image again.
    cut_at_edge : bool
        True if nothing of an object beyond the image's edge is learned, not even mirrored.
    """

    name: str
    label_settings: tuple[str, ...]
    objects_have_classes: bool
    prompts_need_prediction: bool
    cut_at_edge: bool

    # ---- The run ----

    def run(self, engine: Engine, plan: InferencePlan) -> Generator[Progress, None, RunResult]:
        """Answer all planes or volumes of an image, tile by tile."""

    # ---- Labels ----

    def settings(
        self, settings: LabelSettings, outputs: Sequence[Output], advice: Mapping[str, Any]
    ) -> LabelSettings:
        """Fill in what is None or ``auto``; ``SettingsError`` for what cannot be."""

    def label(
        self, prediction: Prediction, settings: LabelSettings
    ) -> Generator[Progress, None, Segmentation]:
        """Make labels of an answer; the network is not run."""

    # ---- Prompts and review ----

    def responder(
        self,
        checkpoint: Checkpoint,
        image: Image,
        settings: PredictSettings,
        prediction: Prediction | None,
    ) -> PromptSession:
        """Return who answers a box, a point, or an object that is wrong."""

    def uncertainty(
        self, items: Items, labels: npt.NDArray[np.integer[Any]], answer: NetworkAnswer
    ) -> Items:
        """Return the objects of labels that were made of this answer, with their uncertainty."""

    # ---- Training ----

    def targets(
        self, labels: npt.NDArray[np.int32], checkpoint: Checkpoint
    ) -> npt.NDArray[np.float32]:
        """Return what the network should say of labels: ``(channel, [z,] y, x)``, 0 to 1.

        Flows are from -1 to 1, and not a number where nobody knows them. No channel if it
        does not answer pixel by pixel. ``MismatchError`` for labels that it has no
        place for.
        """

    def advised(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return a network that learns from labels with the advice that suits these."""

    def objective(
        self, family: Trainable, checkpoint: Checkpoint, loss: str, replay: float
    ) -> Objective:
        """Return how the network is trained.

        ``SettingsError`` for a ``loss`` or a ``replay`` (see ``TrainSettings``) that it lacks.
        """

    # ---- What others make of it ----

    def maps(self, answer: NetworkAnswer) -> Maps | None:
        """Return what of it are maps: to be shown, written, and corrected along."""

    def instances(self, answer: NetworkAnswer) -> Instances | None:
        """Return what of it are detections: their boxes are written into the JSON."""

    def headline(self, checkpoint: Checkpoint) -> str:
        """Return in a few words what such a network answers."""


@runtime_checkable
class ComparesFlips(Protocol):
    """Optional: answers to an image that was turned over can be compared with the plain one."""

    def turned_back(self, answer: NetworkAnswer, axis: str) -> NetworkAnswer:
        """Return the answer to an image that was flipped along ``axis``, flipped back."""

    def uncertainty_by_flips(
        self,
        items: Items,
        labels: npt.NDArray[np.integer[Any]],
        answer: NetworkAnswer,
        others: Sequence[NetworkAnswer],
    ) -> Items:
        """Return objects with the uncertainty that follows where the others say something else."""


ANSWERS: tuple[Answer, ...] = (MapAnswer(), DetectionAnswer(), FlowAnswer(), StarAnswer())
"""Every kind of answer."""


class _HasKind(Protocol):
    """A checkpoint, a prediction or its answer: it says which kind it is."""

    @property
    def answer_kind(self) -> str: ...


def answer_of(about: _HasKind) -> Answer:
    """Return the kind of answer that a checkpoint gives, or that a prediction is.

    Raises
    ------
    UnknownNetworkError
        If this version does not have it.
    """
    for answer in ANSWERS:
        if answer.name == about.answer_kind:
            return answer
    known = ", ".join(answer.name for answer in ANSWERS)
    raise UnknownNetworkError(
        f"The network answers in a way that is called {about.answer_kind!r}, and this version "
        f"knows only: {known}. Update napari-segnet."
    )


def maps_of(prediction: Prediction) -> Maps | None:
    """Return the maps of a prediction, if that is what it holds."""
    return answer_of(prediction).maps(prediction.answer)


def instances_of(prediction: Prediction) -> Instances | None:
    """Return the detections of a prediction, if that is what it holds."""
    return answer_of(prediction).instances(prediction.answer)

"""What the Segment dock knows and does, without a window: network, requests, results.

It imports no Qt and knows no widget. Long work is returned as a callable that makes a job; who
has a window hands it to a job runner and tells the session what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet import cache
from napari_segnet.answers import answer_of
from napari_segnet.builtin import builtin_models
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SegnetError
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.plan.input import recipe
from napari_segnet.progress import Job
from napari_segnet.widgets.checkpoint.recognise import recognise
from napari_segnet.widgets.segment.jobs import Answer, answer
from napari_segnet.widgets.segment.request import RunRequest

if TYPE_CHECKING:
    from napari_segnet.widgets.segment.result_layers import Result

__all__ = ["FollowedLabels", "SegmentSession", "usual_labels", "usual_settings"]

PATIENCE_S = 0.5
"""Labels that are being made are shown if they take no longer: so a drag is followed all the
way. Slower ones are dropped for newer settings."""


class SegmentSession:
    """The network that is chosen, the run that is asked for, and what results were made of.

    Attributes
    ----------
    choice : str
        Path of a weights file, or name of a built-in network; empty: none.
    overrides : dict of str to str
        What the user said of the network where its file is silent or wrong.
    checkpoint : Checkpoint or None
        What the chosen file is; None while that is not known.
    asked : RunRequest or None
        The run that is at work.
    """

    def __init__(self) -> None:
        self.choice = ""
        self.overrides: dict[str, str] = {}
        self.checkpoint: Checkpoint | None = None
        self.asked: RunRequest | None = None
        self._runs: dict[str, RunRequest] = {}

    # ---- The network ----

    def choose(self, choice: str) -> None:
        """Choose another network; what was said of the one before is forgotten."""
        self.choice, self.overrides = choice, {}

    def override(self, facts: Mapping[str, str]) -> None:
        """Take what the user says of the network."""
        self.overrides = {**self.overrides, **facts}

    def look(self) -> Callable[[], Job[Checkpoint]]:
        """Forget what the chosen file is; return the job that finds it out."""
        self.checkpoint = None
        return partial(recognise, self.choice, dict(self.overrides))

    @property
    def own_file(self) -> Path | None:
        """The file of the user that is chosen; None where the network is built in."""
        return None if self.choice in builtin_models() else Path(self.choice).absolute()

    def network(self) -> Checkpoint:
        """Return the network.

        Raises
        ------
        SegnetError
            If none is chosen.
        """
        if self.checkpoint is None:
            raise SegnetError("Choose a network first: a built-in one, or a weights file.")
        return self.checkpoint

    # ---- Runs ----

    def begin(self, request: RunRequest) -> Callable[[], Job[Answer]]:
        """Remember what is asked for; return the job that answers it."""
        self.asked = request
        image = request.source.image
        return partial(
            answer, request.checkpoint, image, request.settled, request.labels, request.view
        )

    def end(self) -> RunRequest | None:
        """Return what was asked for; nothing is asked for any more."""
        asked, self.asked = self.asked, None
        return asked

    def remember(self, key: str, request: RunRequest) -> None:
        """Remember what an answer was made of."""
        self._runs[key] = request

    def request_of(self, made: Result | str | None) -> RunRequest | None:
        """Return what a result, or the answer of that key, was made of."""
        key = made if made is None or isinstance(made, str) else made.key
        return None if key is None else self._runs.get(key)

    def has_objects(self, made: Result | None) -> bool:
        """Tell if a result consists of objects with classes of their own."""
        request = self.request_of(made)
        return request is not None and answer_of(request.checkpoint).objects_have_classes

    def is_of_network(self, request: RunRequest) -> bool:
        """Tell if a run was one of the network that is chosen, known as it is now."""
        chosen = self.checkpoint
        if chosen is None or request.checkpoint.path != chosen.path:
            return False
        # What was proven after the run may have made another network of the file.
        return request.overrides == self.overrides and request.checkpoint.hparams == chosen.hparams

    def keep_only(self, keys: Iterable[str]) -> None:
        """Let go of the answers, and of the pixels, behind results that are no more."""
        kept = set(keys)
        for key in [key for key in self._runs if key not in kept]:
            del self._runs[key]
            cache.predictions.forget(key)


def usual_settings(checkpoint: Checkpoint) -> PredictSettings:
    """Return how a network is run where the user leaves it open."""
    how, over = recipe(checkpoint)
    return PredictSettings(normalize=how, normalize_over=over)


def usual_labels(checkpoint: Checkpoint) -> LabelSettings:
    """Return how labels are made of a network's answer where the user leaves it open."""
    advice = checkpoint.card.get("label", {})
    return answer_of(checkpoint).settings(LabelSettings(), checkpoint.outputs, advice)


class FollowedLabels:
    """Which answer labels are made of in passing, and how: the newest settings win.

    While labels are being made, newer settings wait for as long as :data:`PATIENCE_S`, then the
    labels in the making are dropped for them.
    """

    def __init__(self) -> None:
        self.key = ""
        self.labels = LabelSettings()
        self._since_s = 0.0

    def take(self, key: str, labels: LabelSettings, *, busy: bool, now_s: float) -> bool:
        """Tell if labels are to be made now; they then count as wanted since ``now_s``.

        Parameters
        ----------
        key : str
            Of the answer.
        labels : LabelSettings
            How they are made.
        busy : bool
            Others are being made.
        now_s : float
            Of a clock that only goes forward.
        """
        same = (key, labels) == (self.key, self.labels)
        if busy and (same or now_s - self._since_s < PATIENCE_S):
            return False  # looked at again when those are shown
        self.key, self.labels, self._since_s = key, labels, now_s
        return True

    def is_behind(self, key: str, labels: LabelSettings) -> bool:
        """Tell if labels of an answer were made with other settings last."""
        return key == self.key and labels != self.labels

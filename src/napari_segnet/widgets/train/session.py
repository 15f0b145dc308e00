"""What the Train dock knows and does, without a window: network, training set, trainings.

It imports no Qt. Long work is returned as a callable that makes a job; who has a window hands it
to a job runner and tells the session what came of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.errors import SettingsError
from napari_segnet.progress import Job
from napari_segnet.train.settings import TrainSettings
from napari_segnet.train.state import is_running, ours, state_path
from napari_segnet.widgets.checkpoint.recognise import recognise_with_proof
from napari_segnet.widgets.train.jobs import (
    NETWORKS,
    Contents,
    TrainRequest,
    contents,
    ended_early,
    judged_by_all,
    learn,
    ways,
    writes_as,
)

if TYPE_CHECKING:
    from napari_segnet.train import CrossFit, Look, StartingPoint, TrainingResult
    from napari_segnet.train.state import Unfinished

__all__ = ["TrainSession", "figure_rows", "held", "outcome"]

WEIGHTS_ALONE = ".weights.h5"
"""One ending, which Keras 3 demands."""
OWN = ".safetensors"
SHOWN = (
    ("ap50", "AP 50"),
    ("ap75", "AP 75"),
    ("pq", "PQ"),
    ("dice", "Dice"),
    ("precision50", "precision"),
    ("recall50", "recall"),
)
"""Figures of what was held out, as the table shows them."""


CHOSEN = "The new network is better, and the Segment dock uses it."


class TrainSession:
    """What is chosen, the training that is at work or was last, and what it has learned.

    Attributes
    ----------
    choice : str
        Path of a weights file, or name of a built-in network.
    checkpoint : Checkpoint or None
        The network to begin with, as soon as it is known what it is.
    folder : Path or None
        The training set.
    contents : Contents or None
        What is in it, as soon as it was looked at.
    earlier : Path or None
        A training set of what the network knew before, to see what is forgotten.
    out : Path or None
        The file that is written.
    training : TrainRequest or None
        The training that is at work, or was last.
    trained : TrainingResult or None
        What it came to.
    resuming : Unfinished or None
        A training that was killed; it goes on as soon as its network is known.
    """

    def __init__(self) -> None:
        self.choice = ""
        self.checkpoint: Checkpoint | None = None
        self.folder: Path | None = None
        self.contents: Contents | None = None
        self.earlier: Path | None = None
        self.out: Path | None = None
        self.training: TrainRequest | None = None
        self.trained: TrainingResult | None = None
        self.resuming: Unfinished | None = None
        self._drawn = 0

    # ---- What is chosen ----

    @property
    def ready(self) -> bool:
        """True when nothing is missing to train."""
        return None not in (self.checkpoint, self.contents, self.out)

    def look(self, facts: Mapping[str, str]) -> Callable[[], Job[Checkpoint]]:
        """Return the job that finds out what the chosen file is, with what the user says of it."""
        self.checkpoint = None
        return partial(recognise_with_proof, self.choice, dict(facts))

    def take_network(self, checkpoint: Checkpoint) -> str:
        """Take a network that was recognised; return how it is written back, in words.

        Raises
        ------
        SettingsError
            If networks of its family cannot be trained; then none is chosen.
        """
        try:
            words = writes_as(checkpoint)
        except SettingsError:
            self.resuming = None
            raise
        self.checkpoint = checkpoint
        return words

    def choose_folder(self, folder: Path) -> Callable[[], Job[Contents]]:
        """Choose a training set; return the job that looks into it."""
        self.folder, self.contents = folder, None
        return partial(contents, folder)

    def suggested_out(self) -> Path | None:
        """Return a file for the new network that nobody writes yet, in the training set's folder.

        None while network or training set is missing.
        """
        if self.checkpoint is None or self.folder is None:
            return None
        from napari_segnet.programs import endings_of

        own = self.checkpoint.path
        stem, ending = _split(own.name)
        if own.is_dir() or (ending and not ending.lower().endswith(endings_of(self.checkpoint))):
            ending = OWN  # of a package, a single file is trained
        stem = re.sub(r"-(taught|trained)-\d+$", "", stem)
        number = 1
        while True:
            path = self.folder / NETWORKS / f"{stem}-trained-{number}{ending}"
            taken = path.exists() or state_path(path).exists() or is_running(path)
            if not taken:
                return path
            number += 1

    def request(self, settings: TrainSettings, device: str) -> TrainRequest | None:
        """Return what a training is asked for; None while something is missing."""
        if self.checkpoint is None or self.folder is None or self.out is None:
            return None
        return TrainRequest(
            network=self.checkpoint,
            dataset=self.folder,
            out=self.out,
            settings=settings,
            device=device,
            earlier=self.earlier,
        )

    # ---- Training ----

    @staticmethod
    def ways_of(training: TrainRequest) -> Callable[[], Job[StartingPoint]]:
        """Return the job that tries how the corrected images are best shown to the network."""
        return partial(ways, training)

    @staticmethod
    def cross_fit_cost(trained: TrainingResult) -> tuple[int, float]:
        """Return how many trainings it takes to judge by all objects, and their minutes."""
        from napari_segnet.train import cross_fit_cost

        minutes = float(trained.checkpoint.card["training"]["settings"]["minutes"])
        return cross_fit_cost(trained.dataset, TrainSettings(minutes=minutes))

    @staticmethod
    def judged_by_all(training: TrainRequest) -> Callable[[], Job[CrossFit]]:
        """Return the job that judges by all objects, with further trainings."""
        return partial(judged_by_all, training)

    def begin(self, training: TrainRequest) -> Callable[[], Job[TrainingResult]]:
        """Remember a training; return its job."""
        self.training, self.trained, self._drawn = training, None, 0
        return partial(learn, training)

    def new_epochs(self) -> list[Mapping[str, float]]:
        """Return all epochs so far if there are new ones since the last call; else none."""
        log = self.training.log if self.training is not None else None
        if log is None or len(log.epochs) == self._drawn:
            return []
        epochs, self._drawn = list(log.epochs), len(log.epochs)
        return epochs

    def seen(self) -> Look | None:
        """Return the held-out crop of the last epoch."""
        return self.training.log.seen if self.training is not None else None

    def notes(self) -> list[str]:
        """Return what the training left out, and its notes."""
        if self.training is None:
            return []
        log = self.training.log
        return [*(["Left out:", *log.left_out] if log.left_out else []), *log.notes]

    # ---- A training that ended early ----

    def has_more(self) -> bool:
        """Tell if what a training had learned when it ended early is kept.

        Where another training writes the same file, the state is that one's.
        """
        out = self.training.out if self.training is not None else None
        return out is not None and state_path(out).exists() and not is_running(out)

    def best_so_far(self) -> TrainRequest | None:
        """Return the training that ends the last one with the best of what it has learned."""
        return None if self.training is None else ended_early(self.training)

    def continued(self) -> TrainRequest | None:
        """Return the training that goes on where the last one stopped."""
        return None if self.training is None else replace(self.training, resume=True)

    def forget_stopped(self) -> None:
        """Forget what a training had learned when it was stopped.

        Raises
        ------
        OutputError
            If another program is training there.
        """
        if self.training is not None:
            with ours(self.training.out):
                state_path(self.training.out).unlink(missing_ok=True)

    @staticmethod
    def forget_killed(found: Unfinished) -> None:
        """Forget a training that was killed.

        Raises
        ------
        OutputError
            If another program has gone on with it since it was offered.
        """
        with ours(found.out):
            found.state.unlink(missing_ok=True)


def outcome(trained: TrainingResult) -> str:
    """Return whether the new network is better, in words."""
    if not trained.after.images:
        return (
            "No held-out image is scored, so nothing shows if the new network is better. Check its "
            "labels before you use it."
        )
    comparison = trained.comparison
    said = [] if comparison is None else [comparison.sentence()]
    if trained.promoted:
        said = [*said, "The Segment dock uses it."] if said else [CHOSEN]
    elif comparison is None or comparison.verdict == "worse":
        said.append(
            "The Segment dock keeps the old one. More corrected images or a longer training "
            "may help."
        )
    else:
        said.append(
            "The Segment dock keeps the old one until you decide: look at what changed, and use "
            "the new one if its outlines are better."
        )
    if trained.earlier is not None:
        said.append(f"On the earlier images: {trained.earlier.sentence()}")
    if trained.forecast is not None:
        said.append(trained.forecast.sentence())
    return " ".join(said)


def figure_rows(trained: TrainingResult) -> list[tuple[str, str, str]]:
    """Return name, value before and value after of each figure that there is."""
    after = trained.after.figures()
    before = {} if trained.before is None else trained.before.figures()
    rows: list[tuple[str, str, str]] = []
    comparison = trained.comparison
    decisive = "dice" if trained.after.kind == "semantic" else "ap50"
    for key, title in SHOWN:
        old, new = before.get(key), after.get(key)
        if new is None:
            continue
        texts = ["none" if old is None else f"{old:.3f}", f"{new:.3f}"]
        if comparison is not None and key == decisive:
            ranges = (comparison.before, comparison.after)
            texts = [
                f"{text} ({low:.2f} to {high:.2f})"
                for text, (low, _, high) in zip(texts, ranges, strict=True)
            ]
        rows.append((title, texts[0], texts[1]))
    return rows


def held(found: Contents) -> str:
    """Return what a training set holds, for the user."""
    said = [f"{found.train} for training, {found.val} held out."]
    if not found.val:
        said.append("A part of them is held out to score the trained network.")
    return " ".join([*said, *(f"Left out: {problem}" for problem in found.problems)])


def _split(name: str) -> tuple[str, str]:
    """Return the name of a weights file without its ending, and the ending."""
    if name.lower().endswith(WEIGHTS_ALONE):
        return name[: -len(WEIGHTS_ALONE)], name[-len(WEIGHTS_ALONE) :]
    path = Path(name)
    return path.stem, path.suffix

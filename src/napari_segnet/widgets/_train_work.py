"""Teaching in the window: score the old network, teach it, score the new one."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.dataset import Dataset
from napari_segnet.progress import Progress, job
from napari_segnet.widgets._torch import load_torch

if TYPE_CHECKING:
    from napari_segnet.train import TrainSettings

__all__ = ["Lesson", "Taught", "learn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What the user asked for."""

    network: Checkpoint
    dataset: Path
    out: Path
    settings: TrainSettings
    device: str = "auto"
    resume: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What came of it.

    Attributes
    ----------
    checkpoint : Checkpoint
        The network that was written.
    before, after : mapping
        Figures of the old and the new network on what was held out; empty if nothing was.
    better : bool
        The gate: it may take the old network's place.
    """

    checkpoint: Checkpoint
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    better: bool


@job
def learn(asked: Lesson) -> Generator[Progress, None, Taught]:
    """Teach a network; refuses what cannot be taught before anything else is done."""
    yield Progress(what="reading the training set")
    load_torch()
    from napari_segnet.predict import PredictSettings
    from napari_segnet.train import score_held_out, train

    dataset = Dataset.open(asked.dataset)
    how = PredictSettings(device=asked.device, channels=asked.settings.channels)
    steps = train(
        asked.network,
        dataset,
        asked.out,
        asked.settings,
        device=asked.device,
        resume=asked.resume,
    )
    yield next(steps)
    before = yield from score_held_out(asked.network, dataset, how)
    checkpoint = yield from steps
    after = yield from score_held_out(checkpoint, dataset, how)
    return Taught(
        checkpoint=checkpoint,
        before=before.figures(),
        after=after.figures(),
        better=after.better_than(before),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a training set holds: images to learn from, images held out, and what is amiss."""

    train: int
    val: int
    problems: tuple[str, ...] = ()


@job
def contents(folder: Path) -> Generator[Progress, None, Contents]:
    """Look into a training set."""
    yield Progress(what="looking at the training set")
    dataset = Dataset.open(folder)
    return Contents(
        train=len(dataset.of("train")),
        val=len(dataset.of("val")),
        problems=tuple(str(problem) for problem in dataset.problems),
    )


@job
def keep(asked: Lesson) -> Generator[Progress, None, Taught]:
    """End a training that was stopped with what it has learned so far."""
    return (yield from learn(replace(asked, resume=True, settings=asked.settings)))

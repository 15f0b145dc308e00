"""What the Train dock asks of the core, in jobs."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.dataset import Dataset, Sample
from napari_segnet.errors import BrokenWeightsError, SettingsError
from napari_segnet.families import FAMILIES, Trainable
from napari_segnet.progress import Job, Progress, job
from napari_segnet.recognition import family_of, title_of
from napari_segnet.train.settings import TrainSettings
from napari_segnet.train.state import (
    STATE,
    Unfinished,
    epochs_done,
    is_running,
    read_unfinished,
    state_path,
)
from napari_segnet.widgets.qt.torch_loading import load_torch

if TYPE_CHECKING:
    from napari_segnet.train import CrossFit, Look, StartingPoint, TrainingResult
    from napari_segnet.widgets.train.example_pictures import Panel

__all__ = [
    "NETWORKS",
    "Contents",
    "Log",
    "TrainRequest",
    "contents",
    "ended_early",
    "examples",
    "judged_by_all",
    "learn",
    "ways",
    "writes_as",
]

NETWORKS = "networks"
"""The folder of a training set where networks are written that were trained from it."""
EXAMPLES = 8
"""Crops that are shown at once."""


@dataclass(slots=True, kw_only=True)
class Log:
    """What a training has told so far; the job adds to it, the window reads it.

    Reports of progress may be skipped when they come too fast; these are not.
    """

    epochs: list[Mapping[str, float]] = field(default_factory=list)
    seen: Look | None = None
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """What the user asked for; ``earlier`` is a training set of what the network knew before."""

    network: Checkpoint
    dataset: Path
    out: Path
    settings: TrainSettings
    device: str = "auto"
    resume: bool = False
    earlier: Path | None = None
    log: Log = field(default_factory=Log)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a training set holds: images to learn from, images held out, and what is amiss.

    ``samples`` are both, to tell if images were added or corrected since. ``unfinished`` are the
    trainings that were killed, the last one first.
    """

    train: int
    val: int
    samples: tuple[Sample, ...] = ()
    problems: tuple[str, ...] = ()
    unfinished: tuple[Unfinished, ...] = ()


@job
def contents(folder: Path) -> Generator[Progress, None, Contents]:
    """Look into a training set."""
    yield Progress(what="reading the training set")
    dataset = Dataset.open(folder)
    unfinished, faults = _unfinished(folder / NETWORKS)
    return Contents(
        train=len(dataset.of("train")),
        val=len(dataset.of("val")),
        samples=dataset.samples,
        problems=(*(str(problem) for problem in dataset.problems), *faults),
        unfinished=unfinished,
    )


def _unfinished(folder: Path) -> tuple[tuple[Unfinished, ...], tuple[str, ...]]:
    """Return the trainings of a folder that did not end, and what is wrong with others."""
    states = sorted(folder.glob(f"*{STATE}"), key=lambda path: path.name)
    if not states:
        return (), ()
    load_torch()
    found, faults = [], []
    for state in states:
        if is_running(state.with_name(state.name.removesuffix(STATE))):
            continue  # in another window or on the command line
        try:
            found.append((state.stat().st_mtime, read_unfinished(state)))
        except FileNotFoundError:
            continue  # it has ended meanwhile
        except BrokenWeightsError as error:
            faults.append(str(error))
    # One that began from nothing has no file to begin with again.
    kept = [one for _, one in sorted(found, key=lambda pair: -pair[0]) if one.parent is not None]
    return tuple(kept), tuple(faults)


@job
def examples(asked: TrainRequest) -> Generator[Progress, None, list[list[Panel]]]:
    """Draw some crops that a training would learn from, with what the network should answer."""
    yield Progress(what="reading the training set")
    load_torch()
    from napari_segnet.train import preview
    from napari_segnet.train._begin import wanted
    from napari_segnet.widgets.train.example_pictures import panels

    dataset = Dataset.open(asked.dataset)
    crops = yield from preview(asked.network, dataset, asked.settings, count=EXAMPLES)
    outputs = wanted(asked.network, asked.settings).outputs
    return [panels(crop, outputs) for crop in crops]


@job
def ways(asked: TrainRequest) -> Generator[Progress, None, StartingPoint]:
    """Try how the corrected images are best shown to the network before it is trained."""
    yield Progress(what="reading the training set")
    load_torch()
    from napari_segnet.train import other_built_in, start_well

    dataset, others = Dataset.open(asked.dataset), other_built_in(asked.network)
    found: StartingPoint = yield from start_well(
        asked.network, dataset, asked.settings, device=asked.device, others=others
    )
    return found


@job
def judged_by_all(asked: TrainRequest) -> Generator[Progress, None, CrossFit]:
    """Train again without one image after the other, and judge by all of them."""
    yield Progress(what="reading the training set")
    load_torch()
    from napari_segnet.train import cross_fit

    dataset = Dataset.open(asked.dataset)
    found: CrossFit = yield from cross_fit(
        asked.network, dataset, asked.settings, device=asked.device
    )
    return found


@job
def learn(asked: TrainRequest) -> Generator[Progress, None, TrainingResult]:
    """Score a network, train it, score it again."""
    yield Progress(what="reading the training set")
    load_torch()
    from napari_segnet.train import fine_tune

    dataset = Dataset.open(asked.dataset)
    steps = fine_tune(
        asked.network,
        dataset,
        asked.out,
        asked.settings,
        device=asked.device,
        resume=asked.resume,
        earlier=None if asked.earlier is None else Dataset.open(asked.earlier),
    )
    trained: TrainingResult = yield from _logged(steps, asked.log)
    return trained


def _logged(steps: Job[Any], log: Log) -> Generator[Progress, None, Any]:
    while True:
        try:
            report = next(steps)
        except StopIteration as stop:
            return stop.value
        if report.text:
            lines = log.notes if report.what == "note" else log.left_out
            lines += [report.text] if report.text not in lines else []
        if report.what == "epoch":
            log.epochs.append({"epoch": float(report.done), **dict(report.values)})
            log.seen = report.shown
        yield report


def ended_early(asked: TrainRequest) -> TrainRequest:
    """Return the training that ends a stopped training with the best of what it has learned.

    Its state is taken up, and no further epoch is done: the weights that answered the held-out
    part best (where nothing is held out, the last) are written and judged as at the end of any
    training.
    """
    done = epochs_done(state_path(asked.out))
    # With patience, the best is kept.
    patience = asked.settings.patience or done
    settings = replace(asked.settings, epochs=done, minutes=0.0, patience=patience)
    return replace(asked, resume=True, settings=settings)


def writes_as(checkpoint: Checkpoint) -> str:
    """Tell how a network is written back when it was trained, for the user.

    Raises
    ------
    SettingsError
        If networks of its family cannot be trained.
    """
    title = title_of(checkpoint)
    if not isinstance(family_of(checkpoint), Trainable):
        names = "; ".join(family.title for family in FAMILIES.trainable)
        raise SettingsError(f"{title} cannot be trained here yet. These can: {names}.")
    if checkpoint.family == "segnet-unet":
        return f"{title[0].upper()}{title[1:]}"
    return (
        f"{title[0].upper()}{title[1:]}. It is written back as its own kind of file, which "
        "its own program can load again."
    )

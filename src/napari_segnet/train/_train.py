"""One training, step by step."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from napari_segnet.atomic import probe, sweep
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.crops import Augmentation, Crop, Crops
from napari_segnet.dataset import Dataset, hold_out
from napari_segnet.engines.torch import best_device, identify
from napari_segnet.errors import DatasetError, MemoryExhaustedError, OutputError
from napari_segnet.find import remembers
from napari_segnet.inputs import as_checkpoint
from napari_segnet.plan import PredictSettings
from napari_segnet.plan.input import inverted, stands_mirrors, stands_scales
from napari_segnet.programs import title_of, writer_of
from napari_segnet.progress import Progress, check_cancelled, job
from napari_segnet.settings import as_settings, type_name
from napari_segnet.sidecar import write_sidecar
from napari_segnet.train._batches import UNCHANGED, batches, drawers, unchanged
from napari_segnet.train._begin import advised, shown, start, trainable, wanted
from napari_segnet.train._learner import Best, Figures, Learner
from napari_segnet.train._look import look
from napari_segnet.train._pace import Pace
from napari_segnet.train.settings import TrainSettings
from napari_segnet.train.state import Turn, ours, state_path

__all__ = ["as_dataset", "train"]

OWN = "segnet-unet"
"""Its files hold their own card."""
OWN_FILE = (
    "{out} will be a file of napari-segnet, which holds the whole network. It is not written in "
    "the original format ({of}), since its name has another ending."
)
MOST_BATCHES = 16
"""Of held-out crops that are scored after every epoch; the whole images come at the end."""


@job
def train(
    network: Checkpoint | str | Path,
    dataset: Dataset | str | Path,
    out: str | Path,
    settings: TrainSettings | Mapping[str, Any] | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
    earlier: Dataset | str | Path | None = None,
) -> Generator[Progress, None, Checkpoint]:
    """Train a network.

    Parameters
    ----------
    network : Checkpoint, str or Path
        What to begin with, or its name or path: with fresh weights if its file does not exist.
    dataset : Dataset, str or Path
        Approved pairs, or their folder; those held out (``val``) are only scored.
    out : str or Path
        The file to write. Beside it lies ``<out>.state`` while it runs, and once stopped.
    settings : TrainSettings or mapping, optional
        How to train.
    device : str
        ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
    resume : bool
        Go on from ``<out>.state`` if it exists. Settings other than ``optimizer``,
        ``freeze_stages`` and ``head`` may change.
    earlier : Dataset, str or Path, optional
        What the network knew before: see ``rehearsal``.

    Yields
    ------
    Progress
        ``sample`` while the dataset is read, ``step`` with the training loss, ``epoch`` with
        ``train_loss``; where something is held out also with ``val_loss``, ``val_dice`` and
        for objects ``val_ap50``, and a :class:`Look` as ``shown``.

    Returns
    -------
    Checkpoint
        The network written to ``out``, as :func:`identify` sees it.

    Raises
    ------
    DatasetError
        If a sample cannot be used, or there is none.
    SettingsError
        If the family cannot be trained, or the loss is no longer a number.
    MemoryExhaustedError
        If a batch does not fit into memory.
    OutputError
        If ``out`` cannot be written, or another training is writing it.
    """
    network, dataset = as_checkpoint(network), as_dataset(dataset)
    settings, out, device = as_settings(TrainSettings, settings), _as_file(out), best_device(device)
    target = advised(shown(wanted(network, settings), settings))
    with ours(out) as turn:
        rehearsed = _rehearsed(network, earlier, settings)
        steps = _trained(network, target, dataset, out, settings, rehearsed, device, resume)
        return (yield from _in_turn(turn, steps))


def _in_turn(
    turn: Turn, steps: Generator[Progress, None, Checkpoint]
) -> Generator[Progress, None, Checkpoint]:
    """Go on as long as no other training has taken the file over."""
    while True:
        turn.check()
        try:
            report = next(steps)
        except StopIteration as stop:
            made: Checkpoint = stop.value
            return made
        yield report


def as_dataset(dataset: Dataset | str | Path) -> Dataset:
    """Return the training set that is meant by its folder, or itself."""
    # Dataset.open refuses what is no path, too.
    return dataset if isinstance(dataset, Dataset) else Dataset.open(cast("Path", dataset))


def _as_file(out: str | Path) -> Path:
    if not isinstance(out, str | os.PathLike):
        raise OutputError(
            f"A trained network is written to a file, not to {type_name(out)}. Give its path."
        )
    return Path(out)


def _trained(
    network: Checkpoint,
    target: Checkpoint,
    dataset: Dataset,
    out: Path,
    settings: TrainSettings,
    rehearsed: Crops | None,
    device: str,
    resume: bool,
) -> Generator[Progress, None, Checkpoint]:
    """Teach ``network`` to be ``target``; nobody else writes ``out`` meanwhile."""
    state = state_path(out)
    _check_writable(out, state)
    writer = writer_of(target, out)
    if network.program and out.suffix.lower() != network.path.suffix.lower():
        yield Progress(what="note", text=OWN_FILE.format(out=out.name, of=title_of(network)))
    parent = _parent(network)
    crops = yield from _crops(dataset, target, settings)
    held = yield from _held_out_crops(dataset, target, settings)
    yield from _read_rehearsed(rehearsed, settings)
    torch.manual_seed(settings.seed)
    begun = start(network, settings)
    learner = Learner(begun, settings, device, crops.objects)
    first = learner.restore(state) if resume and state.exists() else 0
    pace = Pace(settings, first, learner.seconds)
    scores: Figures = ()
    for epoch in pace.epochs():
        if _has_ended(settings, learner.best, epoch):
            break
        drawn = batches(crops, settings, epoch, drawers(device), rehearsed)
        losses = yield from _round(learner, drawn, settings, pace)
        first_crops = [crop for batch in held for crop in batch]
        found, seen = look(learner, target, first_crops)
        scores = (*learner.score(held), *found)
        learner.remember(epoch + 1, scores)
        learner.seconds = pace.seconds
        learner.save_state(state, epoch + 1)
        yield Progress(
            what="epoch",
            done=epoch + 1,
            total=pace.total_epochs,
            values=(("train_loss", float(np.mean(losses))), *scores),
            shown=seen,
        )
    scores = yield from _settled(learner, target, held, scores)
    if remembers(target):
        yield from _restated(learner, crops, settings)
    card = _card(target, parent, dataset, settings, scores, crops.object_px)
    written = (writer or begun.family).save(learner.result(), replace(target, card=card), out)
    for note in written.notes:
        yield Progress(what="note", text=note)
    if written.family != OWN:
        write_sidecar(written)
    state.unlink(missing_ok=True)
    return identify(out)


def _settled(
    learner: Learner, target: Checkpoint, held: list[list[Crop]], scores: Figures
) -> Generator[Progress, None, Figures]:
    """Decide which weights are kept; return their scores."""
    settled = learner.settle(held)
    if settled.note:
        yield Progress(what="note", text=settled.note)
    if scores and not settled.others:
        return scores
    crops = [crop for batch in held for crop in batch]
    return (*learner.score(held), *look(learner, target, crops)[0])


def _round(
    learner: Learner, drawn: Generator[list[Crop]], settings: TrainSettings, pace: Pace
) -> Generator[Progress, None, list[float]]:
    """Do the steps of one epoch; return their losses."""
    losses: list[float] = []
    with contextlib.closing(drawn):
        for _ in range(settings.steps_per_epoch):
            if pace.is_over:
                break
            check_cancelled()
            with pace.step():
                losses.append(learner.step(next(drawn), pace.fraction))
            yield Progress(
                what="step",
                done=pace.steps,
                total=pace.total_steps,
                values=(("train_loss", losses[-1]),),
            )
    return losses


@job
def preview(
    network: Checkpoint,
    dataset: Dataset,
    settings: TrainSettings | None = None,
    *,
    count: int = 8,
) -> Generator[Progress, None, tuple[Crop, ...]]:
    """Show what a training would learn from: crops as they are changed, with their targets.

    Parameters
    ----------
    network, dataset, settings
        As for :func:`train`; the first step would see some of these crops.
    count : int
        How many.

    Yields
    ------
    Progress
        ``sample`` while the dataset is read.

    Returns
    -------
    tuple of Crop
        Normalised pixels, targets, labels, and where they are trusted.

    Raises
    ------
    DatasetError, SettingsError
        As :func:`train`.
    """
    settings = settings or TrainSettings()
    trainable(network)
    target = shown(wanted(network, settings), settings)
    crops = yield from _crops(hold_out(dataset), target, settings)
    rng = np.random.default_rng((settings.seed, 0, 0))
    return tuple(crops.draw(rng) for _ in range(count))


def _has_ended(settings: TrainSettings, best: Best, epoch: int) -> bool:
    """Tell if the held-out part has not been answered better for as long as is waited."""
    return bool(settings.patience and best.epoch and epoch - best.epoch >= settings.patience)


def _check_writable(out: Path, state: Path) -> None:
    """Find out before hours of work if their result can be written."""
    try:
        probe(state, make_folder=False)
        sweep(state)
        sweep(out)
    except OSError as error:
        raise OutputError(
            f"Nothing can be written to {state.parent} ({error.strerror}). Choose a folder that "
            "exists and that you may write to."
        ) from error


def _crops(
    dataset: Dataset, network: Checkpoint, settings: TrainSettings
) -> Generator[Progress, None, Crops]:
    samples = dataset.of("train")
    if not samples:
        raise DatasetError(
            f"All {len(dataset.samples)} samples of {dataset.root} are held out, so there is "
            'nothing to learn from. Give some of them "split": "train".'
        )
    names = Augmentation.__dataclass_fields__
    change = Augmentation(**{name: getattr(settings, name) for name in names})
    shape = _crop_shape(network, settings)
    crops = Crops(samples, network, shape, change, settings.channels, settings.invert)
    yield from _read(crops, len(samples))
    if not len(crops):
        raise DatasetError(
            f"No pixel of the {len(samples)} training samples in {dataset.root} is trusted, so "
            "there is nothing to train on. Review some of them first."
        )
    if not crops.has_objects:
        raise DatasetError(
            f"The labels of all {len(samples)} training samples in {dataset.root} are empty, so "
            "the network would learn to find nothing. Check the files in the folder labels: 0 is "
            "background, objects (or classes) are 1 and above."
        )
    return crops


def _rehearsed(
    network: Checkpoint, earlier: Dataset | str | Path | None, settings: TrainSettings
) -> Crops | None:
    """Return crops of what the network knew before, shown as it was shown them."""
    earlier = None if earlier is None else as_dataset(earlier)
    if earlier is None or not settings.rehearsal or not earlier.of("train"):
        return None
    names = Augmentation.__dataclass_fields__
    change = Augmentation(**{name: getattr(settings, name) for name in names})
    shape = _crop_shape(network, settings)
    return Crops(earlier.of("train"), wanted(network, settings), shape, change)


def _read_rehearsed(
    rehearsed: Crops | None, settings: TrainSettings
) -> Generator[Progress, None, None]:
    """Read the earlier images; say it where there are none and some are to be rehearsed."""
    if rehearsed is not None:
        yield from _read(rehearsed, len(rehearsed))
        if not len(rehearsed):
            raise DatasetError(
                "No pixel of the earlier images is trusted, so none of them can be rehearsed. "
                "Review some of them first, or set rehearsal=0."
            )
    elif settings.rehearsal:
        yield Progress(
            what="note",
            text=f"rehearsal is {settings.rehearsal:g}, but there are no earlier images to learn "
            "from, so nothing is rehearsed. Choose them (--earlier), or set rehearsal=0.",
        )


def _held_out_crops(
    dataset: Dataset, network: Checkpoint, settings: TrainSettings
) -> Generator[Progress, None, list[list[Crop]]]:
    """Return fixed, unchanged crops of the held-out part."""
    samples = dataset.of("val")
    if not samples:
        return []
    shape = _crop_shape(network, settings)
    change = Augmentation(on_objects=1.0)
    crops = Crops(samples, network, shape, change, settings.channels, settings.invert)
    yield from _read(crops, len(samples))
    rng, size = np.random.default_rng(0), settings.batch_size
    drawn = [crops.draw(rng, sample=i) for i in range(min(len(crops), MOST_BATCHES * size))]
    return [drawn[i : i + size] for i in range(0, len(drawn), size)]


def _restated(
    learner: Learner, crops: Crops, settings: TrainSettings
) -> Generator[Progress, None, None]:
    """Let the norms remember the training images; say it where there is no memory for it."""
    total = max(1, UNCHANGED // settings.batch_size)
    try:
        for done in learner.restate(unchanged(crops, settings, total)):
            yield Progress(what="statistics of the layers", done=done, total=total)
    except MemoryExhaustedError as error:
        yield Progress(what="note", text=str(error))


def _read(crops: Crops, total: int) -> Generator[Progress, None, None]:
    """Read all samples; what is damaged is said, and if that is all of them, refused."""
    faults = []
    for done, fault in enumerate(crops.check(), start=1):
        faults += [fault] if fault else []
        text = f"{fault} It is left out." if fault else ""
        yield Progress(what="sample", done=done, total=total, text=text)
    for hint in crops.hints:
        yield Progress(what="note", done=total, total=total, text=hint)
    if len(faults) == total:
        more = f" And {total - 1} more like it." if total > 1 else ""
        raise DatasetError(f"{faults[0]}{more}")


def _crop_shape(network: Checkpoint, settings: TrainSettings) -> tuple[int, ...]:
    size = network.size
    want = (settings.crop_z_px, settings.crop_px, settings.crop_px)[-network.ndim :]
    # Two pixels at the bottom of the network: batch normalisation needs more than one.
    want = tuple(max(n, 2 * s) for n, s in zip(want, size.stride, strict=True))
    if size.most:
        want = tuple(min(n, most) for n, most in zip(want, size.most, strict=True))
    return size.next_allowed(want)


def _parent(network: Checkpoint) -> Mapping[str, Any] | None:
    """Return what is kept of the network that the training begins with, if there is one."""
    if not network.path.exists():
        return None
    described = {
        key: network.card[key] for key in ("title", "data", "licence") if key in network.card
    }
    return {"name": network.path.name, "sha256": network.sha256, **described}


def _card(
    network: Checkpoint,
    parent: Mapping[str, Any] | None,
    dataset: Dataset,
    settings: TrainSettings,
    scores: Figures,
    object_px: float | None,
) -> Mapping[str, Any]:
    card = dict(network.card)
    if parent is not None:
        # Its scores and its data are no longer those of this network; how it is shown images is.
        scaled = any(step.name == "scale" for step in network.prepare)
        kept = ("label", "empty_channels", "channels", *(("object_px",) if scaled else ()))
        card = {"parent": parent, **{name: card[name] for name in kept if name in card}}
    if object_px is not None:
        card.setdefault("object_px", object_px)  # the window offers it as the object diameter
    if inverted(network, PredictSettings(invert=settings.invert)):
        card["invert"] = "yes"
    if settings.mirror and settings.flip and network.ndim == 2 and stands_mirrors(network):
        card["mirror"] = "yes"
    if settings.multiscale and stands_scales(network):
        card["multiscale"] = "yes"
    if settings.channels != "auto":
        card["channels"] = settings.channels
    card["training"] = {
        "samples": len(dataset.of("train")),
        "held_out": len(dataset.of("val")),
        "settings": asdict(settings),
        "scores": dict(scores),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "torch": torch.__version__,
    }
    return card

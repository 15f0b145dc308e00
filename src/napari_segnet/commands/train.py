"""``napari-segnet train``: train a network on approved labels."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.commands._words import SOURCE, file_name, some_text
from napari_segnet.errors import OutputError
from napari_segnet.settings import parse_pairs, settings_from

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.dataset import Dataset
    from napari_segnet.progress import Job
    from napari_segnet.train import StartingPoint, TrainingResult, TrainSettings

__all__ = ["Train"]

VAL = ("val_loss", "val_ap50", "val_dice")
"""Figures of the held-out part, by the names that ``train`` reports."""


class Train:
    """Train a network, and tell if it is better than before."""

    name = "train"
    help = "train a network on approved labels"
    examples = (
        ("train dataset/ -c nuclei -o mine.safetensors", "fine-tune the built-in network"),
        ("train dataset/ -c unet.pth -o better.pth --set epochs=20", "a shorter training"),
        ("train dataset/ -c unet.pth -o better.pth --resume", "resume a stopped training"),
    )

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments."""
        add = parser.add_argument
        add(
            "dataset",
            type=file_name,
            metavar="DATASET",
            help="a folder with images/ and labels/ of the same names",
        )
        add(
            "-c",
            "--checkpoint",
            required=True,
            type=some_text,
            metavar="WEIGHTS|NAME",
            help="the starting network: a weights file or the name of a built-in network",
        )
        add(
            "-o",
            "--output",
            type=file_name,
            required=True,
            metavar="FILE",
            help="the weights file to write",
        )
        add(
            "--device",
            type=some_text,
            default="auto",
            help="auto (default), cpu, mps, cuda or cuda:N",
        )
        add(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="a setting of the training, such as epochs=20",
        )
        add(
            "--override",
            "--told",
            dest="overrides",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="an override of an assumed fact of the network, such as lambda=divide-255",
        )
        _judging(parser)
        add("--source", type=some_text, metavar="FILE", help=SOURCE)
        add(
            "--resume",
            action="store_true",
            help="resume a stopped training with its settings",
        )
        add("--json", action="store_true", help="print one JSON object per epoch")

    def run(self, args: argparse.Namespace) -> int:
        """Score, train, score again; one line an epoch, the comparison at the end."""
        from napari_segnet.commands._proof import proven
        from napari_segnet.dataset import Dataset
        from napari_segnet.programs import writer_of
        from napari_segnet.recognition import identify
        from napari_segnet.train import TrainSettings, is_running, read_unfinished, state_path

        pairs = parse_pairs(args.set)
        settings = settings_from(TrainSettings, pairs)
        state = state_path(args.output)
        if not is_running(args.output):  # else it is refused when it begins, with the reason
            _refuse_existing(args.output, state, args.resume)
        if args.resume and state.exists():
            # As it was begun, but for what is said now.
            settings = replace(
                read_unfinished(state).settings, **{name: getattr(settings, name) for name in pairs}
            )
        network = identify(args.checkpoint, parse_pairs(args.overrides), args.source)
        writer_of(network, args.output)  # a name that cannot be written is refused at once
        dataset = Dataset.open(args.dataset)
        from napari_segnet.train import (
            fine_tune,
        )  # here, since it takes torch: mistakes show at once

        # Pictures of the package, no sample: a training that goes on begins with the same network.
        found = proven(network).checkpoint
        for note in [note for note in found.notes if note not in network.notes]:
            print(f"Note: {note}", file=sys.stderr)
        for problem in dataset.problems:
            print(f"Left out: {problem}", file=sys.stderr)
        settings, begun = _started(found, dataset, settings, args)
        steps = fine_tune(
            found,
            dataset,
            args.output,
            settings,
            device=args.device,
            resume=args.resume,
            earlier=None if args.earlier is None else Dataset.open(args.earlier),
        )
        try:
            trained, left_out = _follow(steps, as_json=args.json)
        except BaseException:
            if state_path(args.output).exists() and not is_running(args.output):
                print("Add --resume to go on from the last epoch.", file=sys.stderr)
            raise
        done = _done(args.output, trained, begun)
        done["cross_fit"] = _cross_fitted(found, dataset, settings, trained, args)
        folder = _write_changes(args.output, trained)
        for note in trained.after.scores.notes:
            print(f"Note: {note}", file=sys.stderr)
        print(json.dumps(done, allow_nan=False) if args.json else _verdict(done, trained, folder))
        return 1 if left_out or dataset.problems else 0


def _judging(parser: argparse.ArgumentParser) -> None:
    """Add what concerns the scores before and after a training."""
    add = parser.add_argument
    add(
        "--earlier",
        type=file_name,
        metavar="DATASET",
        help="a training set of images that the network labels well, to measure forgetting",
    )
    add(
        "--start",
        choices=("try", "take", "skip"),
        default="try",
        help="before training, find the best settings for your corrected images and print them "
        "(try, default), also train with them (take), or skip this",
    )
    add(
        "--cross-fit",
        action="store_true",
        help="for one to three images: also compare by two or three further trainings, each on "
        "images that it has not seen",
    )


def _done(out: Path, trained: TrainingResult, begun: StartingPoint | None) -> dict[str, Any]:
    """Return what came of a training, as plain JSON values."""
    comparison = trained.comparison
    return {
        "done": True,
        "checkpoint": str(out),
        "before": {} if trained.before is None else trained.before.figures(),
        "after": trained.after.figures(),
        "promoted": trained.promoted,
        "comparison": None if comparison is None else comparison.to_json(),
        "earlier": None if trained.earlier is None else trained.earlier.to_json(),
        "forecast": None if trained.forecast is None else trained.forecast.to_json(),
        "start": None if begun is None else begun.to_json(),
    }


def _cross_fitted(
    network: Checkpoint,
    dataset: Dataset,
    settings: TrainSettings,
    trained: TrainingResult,
    args: argparse.Namespace,
) -> dict[str, Any] | None:
    """Judge by further trainings if that is wished; else say what that would cost if it helps."""
    from napari_segnet.progress import run
    from napari_segnet.train import cross_fit, cross_fit_cost

    if args.cross_fit:
        found = run(cross_fit(network, dataset, settings, device=args.device))
        print(f"Note: {found.sentence()}", file=sys.stderr)
        return found.to_json()
    count, minutes = cross_fit_cost(dataset, settings)
    comparison = trained.comparison
    if count and comparison is not None and comparison.verdict == "unsure":
        each = "minute" if settings.minutes == 1 else "minutes"
        cost = f" of {settings.minutes:g} {each} each" if minutes else ""
        print(
            f"Note: --cross-fit compares on all objects, by {count} further trainings{cost}.",
            file=sys.stderr,
        )
    return None


def _started(
    network: Checkpoint, dataset: Dataset, settings: TrainSettings, args: argparse.Namespace
) -> tuple[TrainSettings, StartingPoint | None]:
    """Try how the corrected images are best shown, say it, and take it if that is wished."""
    from napari_segnet.errors import SegnetError
    from napari_segnet.progress import run
    from napari_segnet.train import other_built_in, start_well, state_path

    goes_on = args.resume and state_path(args.output).exists()
    if args.start == "skip" or goes_on or not network.path.exists():
        return settings, None
    try:
        others = other_built_in(network)
        # It takes up to minutes.
        trying = "Trying settings on the corrected images; --start skip leaves it out."
        print(trying, file=sys.stderr, flush=True)
        found = run(start_well(network, dataset, settings, device=args.device, others=others))
    except SegnetError as error:
        # What is wrong with the training set, the training itself says.
        print(f"Note: nothing could be tried before the training ({error})", file=sys.stderr)
        return settings, None
    print(f"Note: {found.sentence()}", file=sys.stderr)
    for way in found.ways:
        print(f"  {way.score:.3f}  {way.title}", file=sys.stderr)
    if found.other is not None:
        name = found.other.name
        print(
            f"Note: to begin with it: napari-segnet train ... -c {name}; to run it without "
            f"training it: napari-segnet segment ... -c {name}",
            file=sys.stderr,
        )
    if args.start == "take":
        return found.taken(settings), found
    if found.offered:
        pairs = _as_options(found.chosen.changes)
        print(f"Note: train with that by adding {pairs} (or --start take).", file=sys.stderr)
    if found.untrained.changes:
        pairs = _as_options(found.for_a_run)
        print(
            f"Note: to run the network without training it: napari-segnet segment ... {pairs}",
            file=sys.stderr,
        )
    return settings, found


def _as_options(settings: Mapping[str, str | float]) -> str:
    return " ".join(f"--set {name}={value}" for name, value in settings.items())


def _follow(steps: Job[TrainingResult], *, as_json: bool) -> tuple[TrainingResult, int]:
    """Do the training and print a line after every epoch; count what was left out."""
    begun, step, left_out, noted = time.monotonic(), 0, set[str](), set[str]()
    while True:
        try:
            report = next(steps)
        except StopIteration as stop:
            return stop.value, len(left_out)
        if report.what == "note" and report.text not in noted:
            noted.add(report.text)
            print(f"Note: {report.text}", file=sys.stderr)
        elif report.text and report.text not in left_out | noted:
            left_out.add(report.text)
            print(f"Left out: {report.text}", file=sys.stderr)
        if report.what == "step":
            step = report.done
        if report.what == "epoch":
            values = dict(report.values)
            line = {
                "epoch": report.done,
                "step": step,
                "train_loss": values["train_loss"],
                **{name: _number(values.get(name)) for name in VAL},
                "seconds": round(time.monotonic() - begun, 3),
            }
            print(json.dumps(line) if as_json else _shown(line, report.total), flush=True)


def _number(value: float | None) -> float | None:
    """Return a figure as JSON has it: where nothing was there to find, there is none."""
    return None if value is None or math.isnan(value) else value


def _write_changes(out: Path, trained: TrainingResult) -> Path | None:
    """Write a picture of each held-out image beside the network; return their folder."""
    from PIL import Image as Pillow

    folder = out.with_name(out.name + ".changes")
    written = False
    for number, change in enumerate(trained.changes(), start=1):
        try:
            folder.mkdir(exist_ok=True)
            Pillow.fromarray(change.picture).save(folder / f"{number:03d} {change.name}.png")
        except OSError as error:
            # The network is written: that is what counts.
            print(
                f"The pictures of the changes cannot be written to {folder} "
                f"({error.strerror or error}).",
                file=sys.stderr,
            )
            return None
        written = True
    return folder if written else None


def _refuse_existing(path: Path, state: Path, resume: bool) -> None:
    """Overwrite neither a network nor what is left of a training that was stopped.

    A folder that is not there is told at once, not after settings were tried for minutes.
    """
    if not path.absolute().parent.is_dir():
        raise OutputError(
            f"There is no folder {path.parent} to write {path.name} to. Make it, or choose another "
            "with -o."
        )
    if path.exists():
        raise OutputError(
            f"{path} exists already and is left as it is. Choose another name with -o, or move it "
            "away."
        )
    if state.exists() and not resume:
        raise OutputError(
            f"{state} is left from a training that was stopped. Continue it with --resume, or "
            "remove it to start from the first epoch."
        )


def _shown(line: dict[str, Any], epochs: int) -> str:
    names = ("train_loss", *VAL)
    figures = [f"{name} {line[name]:.4f}" for name in names if line[name] is not None]
    return f"epoch {line['epoch']} of {epochs}  {'  '.join(figures)}  {line['seconds']:.0f} s"


def _verdict(done: dict[str, Any], trained: TrainingResult, folder: Path | None) -> str:
    if not done["after"]:
        return (
            f"{done['checkpoint']} is written. No held-out image is scored, so nothing shows if "
            "it is better than the old network."
        )
    names = [name for name, value in done["after"].items() if isinstance(value, float)]
    rows = [
        f"  {name:12} {_four(done['before'].get(name))} -> {_four(done['after'][name])}"
        for name in names
    ]
    better = "better than" if done["promoted"] else "NOT proven better than"
    comparison = trained.comparison
    words = [] if comparison is None else [comparison.sentence()]
    if trained.earlier is not None:
        words.append(f"On the earlier images: {trained.earlier.sentence()}")
    if trained.forecast is not None:
        words.append(trained.forecast.sentence())
    seen = [] if folder is None else [f"{folder} has pictures of the changes on each of them."]
    return "\n".join(
        [
            "On the held-out images, before -> after:",
            *rows,
            *words,
            f"{done['checkpoint']} is written. It is {better} the network it began with.",
            *seen,
        ]
    )


def _four(value: float | None) -> str:
    return "     -" if value is None else f"{value:.4f}"

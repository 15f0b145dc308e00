"""``napari-segnet train``: teach a network from approved labels."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.commands._words import file_name, some_text
from napari_segnet.errors import OutputError
from napari_segnet.settings import parse_pairs, settings_from

if TYPE_CHECKING:
    from napari_segnet.progress import Job, Progress

__all__ = ["Train"]


class Train:
    """Teach a network, and tell if it is better than before."""

    name = "train"
    help = "teach a network from approved labels"

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
            help="what to begin with: a weights file or the name of a built-in network",
        )
        add(
            "-o",
            "--output",
            type=file_name,
            required=True,
            metavar="FILE",
            help="the weights file to write",
        )
        add("--device", type=some_text, default="auto", help="auto, cpu, mps, cuda or cuda:N")
        add(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="a setting of the training, such as epochs=20",
        )
        add("--resume", action="store_true", help="go on with a training that was stopped")
        add("--json", action="store_true", help="print one JSON object per epoch")

    def run(self, args: argparse.Namespace) -> int:
        """Score, train, score again; one line an epoch, the comparison at the end."""
        from napari_segnet.dataset import Dataset
        from napari_segnet.network import best_device, identify
        from napari_segnet.predict import PredictSettings
        from napari_segnet.progress import run
        from napari_segnet.train import TrainSettings, score_held_out, state_path, train

        settings = settings_from(TrainSettings, parse_pairs(args.set))
        how = PredictSettings(device=best_device(args.device), channels=settings.channels)
        _refuse_existing(args.output, state_path(args.output), args.resume)
        network = identify(args.checkpoint)
        dataset = Dataset.open(args.dataset)
        steps = train(
            network, dataset, args.output, settings, device=args.device, resume=args.resume
        )
        # What cannot be trained is refused before anything is scored.
        first = next(steps)
        before = run(score_held_out(network, dataset, how))
        try:
            taught = _follow(steps, first, as_json=args.json)
        except BaseException:
            if state_path(args.output).exists():
                print("Add --resume to go on from the last epoch.", file=sys.stderr)
            raise
        after = run(score_held_out(taught, dataset, how))
        done = {
            "done": True,
            "checkpoint": str(args.output),
            "before": before.figures(),
            "after": after.figures(),
            "promoted": after.better_than(before),
        }
        print(json.dumps(done, allow_nan=False) if args.json else _verdict(done))
        return 0


def _follow(steps: Job[Any], first: Progress, *, as_json: bool) -> Any:
    """Do the training and print a line after every epoch."""
    begun, step, report = time.monotonic(), 0, first
    while True:
        if report.what == "step":
            step = report.done
        if report.what == "epoch":
            values = dict(report.values)
            line = {
                "epoch": report.done,
                "step": step,
                "train_loss": values["train_loss"],
                "val_loss": values.get("val_loss"),
                "val_dice": values.get("val_dice"),
                "seconds": round(time.monotonic() - begun, 3),
            }
            print(json.dumps(line) if as_json else _shown(line, report.total), flush=True)
        try:
            report = next(steps)
        except StopIteration as stop:
            return stop.value


def _refuse_existing(path: Path, state: Path, resume: bool) -> None:
    """Overwrite neither a network nor what is left of a training that was stopped."""
    if path.exists():
        raise OutputError(
            f"{path} exists already and is left as it is. Choose another name with -o, or move it "
            "away."
        )
    if state.exists() and not resume:
        raise OutputError(
            f"{state} is left from a training that was stopped. Go on with it by --resume, or "
            "remove it to begin anew."
        )


def _shown(line: dict[str, Any], epochs: int) -> str:
    names = ("train_loss", "val_loss", "val_dice")
    figures = [f"{name} {line[name]:.4f}" for name in names if line[name] is not None]
    return f"epoch {line['epoch']} of {epochs}  {'  '.join(figures)}  {line['seconds']:.0f} s"


def _verdict(done: dict[str, Any]) -> str:
    if not done["before"]:
        return (
            f"{done['checkpoint']} is written. No image of the dataset is held out, so nobody "
            "knows if it is better than the old network."
        )
    names = [name for name, value in done["before"].items() if isinstance(value, float)]
    rows = [
        f"  {name:12} {done['before'][name]:.4f} -> {done['after'][name]:.4f}"
        for name in names
        if done["after"][name] is not None
    ]
    better = "better than" if done["promoted"] else "NOT better than"
    return "\n".join(
        [
            "On the images that were held out, before -> after:",
            *rows,
            f"{done['checkpoint']} is written. It is {better} the network it began with.",
        ]
    )

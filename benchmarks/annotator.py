"""How many corrected objects it takes until a network can label images of a new kind.

::

    python benchmarks/annotator.py [DATA] [--network NAME|FILE] [--kind histology]
        [--split val] [--images 1 4 16 all] [--folds 4] [--only 2 3] [--seeds 3]
        [--out runs/annotator.jsonl] [--set NAME=VALUE] [--likely] [--scratch] [--keep FOLDER]
        [--table]

DATA (default: the environment variable SEGNET_DATA) holds ``nuclei/`` with ``images/``, ``labels/``
and ``index.csv`` (columns name, split, kind). A simulated annotator corrects some images of a kind
that the built-in network never saw: all their objects, exactly. How they are best shown to the
network is tried on these objects first (``start_well``) and taken if it is offered; so is another
built-in network (its training images must then not be among them: ``--split``), with ``--likely``
also where its higher score may be chance. The network is taught them so as the Train dock does it
(something is held out, and only a better network is kept) and then labels images that neither the
annotator nor the training ever saw. The same is done with a network of the same shape that begins
from nothing (``--scratch``). The networks, and their labels of what nobody saw, are kept for other
measurements with ``--keep``.

The images are cut into ``--folds`` parts: each in turn is what is labelled in the end, and the
annotator draws from the others, other images with every seed. A larger set holds the smaller
ones of its seed. ``--only`` names the parts that are done, from 0 on (others may have served to
choose settings). Every run adds a line to ``--out``; a call goes on where the last one stopped,
and prints the table (``--table``: only that).

On a machine that others use, too, ``--set minutes=0 epochs=8`` gives a budget in steps (100 in each
epoch) instead of minutes; the table tells the minutes of processor time of the training, with the
trying of settings before it and the scores before and after.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nuclei import pairs
from scipy.special import stdtrit

import napari_segnet as sn
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.dataset import Dataset, Sample
from napari_segnet.evaluate import Scores, evaluate, pool, read_labels
from napari_segnet.settings import parse_pairs, settings_from
from napari_segnet.train import (
    TrainingResult,
    TrainSettings,
    fine_tune,
    other_built_in,
    start_well,
)
from napari_segnet.train._begin import SHOWN, with_facts_of

SETTINGS = TrainSettings(minutes=3, threads=1)
"""As the Train dock has it, but shorter: the same minutes of one thread with one image and all."""
CORRECT = 0.75
"""Objects that the network finds with this IoU at least need no correction."""
WANTED_OBJECTS, WANTED_SHARE = 200, 0.80
TAUGHT = "taught.safetensors"
"""Name of the new network's file."""


def samples(root: Path, kind: str, split: str | None = None) -> list[Sample]:
    """Return all images of a kind, of one split or of both, in the order of their names."""
    return [
        Sample(image=image, labels=truth, source=image.stem)
        for image, truth in pairs(root, kind, split)
    ]


def drawn(pool_: list[Sample], count: int, seed: int) -> list[Sample]:
    """Return the first images that an annotator takes."""
    return random.Random(seed).sample(pool_, len(pool_))[:count]


def as_dataset(root: Path, chosen: list[Sample]) -> Dataset:
    """Lay the pairs into a folder, as they would lie there after the Correct dock."""
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
        for sample in chosen:
            path = sample.image if name == "images" else sample.labels
            (root / name / path.name).symlink_to(path.resolve())
    return Dataset.open(root)


def labels_of(
    network: Checkpoint, images: list[Sample], settings: TrainSettings | None = None
) -> list[np.ndarray]:
    """Let a network label images; shown as a training would show them."""
    own = settings or TrainSettings()
    how = sn.PredictSettings(
        device="cpu",
        threads=own.threads,
        normalize=own.normalize,
        channels=own.channels,
        invert=own.invert,
        scale=own.scale or None,
    )
    return [sn.run(sn.segment(network, sn.open_image(s.image), how)).labels for s in images]


def scored(made: list[np.ndarray], images: list[Sample]) -> list[Scores]:
    """Score the labels of each image."""
    return [evaluate(one, read_labels(s.labels)) for one, s in zip(made, images, strict=True)]


def corrections(scores: list[Scores]) -> int:
    """Return how many objects had to be drawn, mended or deleted."""
    at = round((CORRECT - 0.5) / 0.05)
    return sum(s.n_true - s.tp[at] + s.n_pred - s.tp[at] for s in scores)


def run(
    network: Checkpoint,
    data: list[Sample],
    job: dict[str, Any],
    settings: TrainSettings,
    known: dict[str, Scores],
    keep: Path | None = None,
) -> dict[str, Any]:
    """Correct, teach, and label what nobody saw; return the figures."""
    test = [s for i, s in enumerate(data) if i % job["folds"] == job["fold"]]
    rest = [s for i, s in enumerate(data) if i % job["folds"] != job["fold"]]
    count = len(rest) if job["images"] == "all" else min(job["images"], len(rest))
    chosen = drawn(rest, count, job["seed"])
    with tempfile.TemporaryDirectory() as folder:
        begun, trained, settings, minutes = taught(network, chosen, job, settings, Path(folder))
        made = labels_of(trained.checkpoint, test)
        plain = labels_of(with_facts_of(begun, trained.checkpoint, *SHOWN), test)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(folder) / TAUGHT, keep / f"{named(job)}.safetensors")
            by_name = {s.source: one for s, one in zip(test, made, strict=True)}
            np.savez_compressed(keep / f"{named(job)}.npz", **by_name)
    each = scored(made, test)
    old = untaught(network, begun, trained.checkpoint, (test, chosen), settings, known)
    return {
        **job,
        "budget": settings.minutes,
        "steps": 0 if settings.minutes else settings.epochs * settings.steps_per_epoch,
        **minutes,
        "began_with": begun.path.stem,
        **old,
        "after_plain": pool(scored(plain, test)).ap50,
        "after": pool(each).ap50,
        "after_ap75": pool(each).ap75,
        "after_pq": pool(each).pq,
        "gate_before": None if trained.before is None else trained.before.scores.ap50,
        "gate_after": trained.after.scores.ap50,
        "promoted": trained.promoted,
        "learned_from": sorted(s.source for s in chosen),
        # Objects found at an IoU of 0.5, true ones and labels, of each image that nobody saw.
        "each": {s.source: [c.tp[0], c.n_true, c.n_pred] for s, c in zip(test, each, strict=True)},
    }


def taught(
    network: Checkpoint,
    chosen: list[Sample],
    job: dict[str, Any],
    settings: TrainSettings,
    folder: Path,
) -> tuple[Checkpoint, TrainingResult, TrainSettings, dict[str, float]]:
    """Return what was begun with, its training, how that showed the images, and its minutes."""
    dataset, out = as_dataset(folder / "dataset", chosen), folder / TAUGHT
    begin = network
    begun, cpu = time.perf_counter(), time.process_time()
    if not job["scratch"]:
        others = other_built_in(network)
        found = sn.run(start_well(network, dataset, settings, device="cpu", others=others))
        if found.other is None or not (found.other.is_certain or job["likely"]):
            settings = found.taken(settings)
        else:
            begin = sn.identify(found.other.name)
            settings = found.as_its_card_says(settings)
    taught_one = replace(begin, path=out, card={}) if job["scratch"] else begin
    trained = sn.run(
        fine_tune(taught_one, dataset, out, replace(settings, seed=job["seed"]), device="cpu")
    )
    minutes = (time.perf_counter() - begun) / 60, (time.process_time() - cpu) / 60
    took = dict(zip(("minutes", "cpu_minutes"), minutes, strict=True))
    return begin, trained, settings, took


def untaught(
    network: Checkpoint,
    begun: Checkpoint,
    trained: Checkpoint,
    parts: tuple[list[Sample], list[Sample]],
    settings: TrainSettings,
    known: dict[str, Scores],
) -> dict[str, Any]:
    """Return the figures of what was begun with on what nobody saw and what was learned from.

    ``known`` keeps the scores of each image and way.
    """
    test, chosen = parts
    way = f"{settings.normalize} {settings.channels} {settings.invert} {settings.scale}"

    def of(sample: Sample, shown: str) -> Scores:
        one = begun if shown else network
        key = f"{one.path.stem} {sample.image} {shown}"
        if key not in known:
            # Mirror images and scales bring something without any training.
            if shown.endswith("averaged"):
                one = with_facts_of(trained, begun, *SHOWN)
            how = settings if shown else None
            (known[key],) = scored(labels_of(one, [sample], how), [sample])
        return known[key]

    old = [of(s, way) for s in chosen]
    return {
        "objects": sum(s.n_true for s in old),
        "corrections": corrections(old),
        "untried": pool([of(s, "") for s in test]).ap50,
        "started": way,
        "before": pool([of(s, way) for s in test]).ap50,
        "before_averaged": pool([of(s, f"{way} averaged") for s in test]).ap50,
    }


def named(job: dict[str, Any]) -> str:
    """Return a name for the network of a run."""
    what = "scratch" if job["scratch"] else "likely" if job["likely"] else "taught"
    return f"{what}-{job['images']}-fold-{job['fold']}-seed-{job['seed']}"


def jobs(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield all runs; the first seed is done for everything first."""
    for seed in range(args.seeds):
        for fold in args.only or range(args.folds):
            for images in args.images:
                for scratch in (False, True) if args.scratch else (False,):
                    yield {
                        "images": images,
                        "fold": fold,
                        "folds": args.folds,
                        "seed": seed,
                        "scratch": scratch,
                        "likely": args.likely,
                    }


def read(path: Path) -> list[dict[str, Any]]:
    """Return the runs that were done."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def table(done: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table, and what it says of the aims."""
    yield (
        "| images | runs | objects | corrections | CPU minutes | as they are | started well | "
        "averaged, too | after, plain | after | from scratch |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    sizes = sorted({d["images"] for d in done}, key=lambda n: math.inf if n == "all" else n)
    curve: list[tuple[float, float]] = []
    for size in sizes:
        ours = [d for d in done if d["images"] == size and not d["scratch"]]
        bare = [d["after"] for d in done if d["images"] == size and d["scratch"]]
        if not ours:
            continue
        objects, minutes, untried, before, after = (
            statistics.mean(d[name] for d in ours)
            for name in ("objects", "cpu_minutes", "untried", "before", "after")
        )
        curve.append((objects, after))
        work = statistics.mean(d["corrections"] for d in ours)
        # Lines of earlier versions do not say it.
        averaged, plain = (
            spread([d[name] for d in ours if name in d])
            for name in ("before_averaged", "after_plain")
        )
        yield (
            f"| {size} | {len(ours)} | {objects:.0f} | {work:.0f} | {minutes:.1f} | "
            f"{untried:.3f} | {before:.3f} | {averaged} | {plain} | "
            f"{spread([d['after'] for d in ours])} | {spread(bare)} |"
        )
    at = interpolated(curve, WANTED_OBJECTS)
    if at is not None and curve[-1][1] > 0:
        yield (
            f"at {WANTED_OBJECTS} objects: {at:.3f}, {at / curve[-1][1]:.0%} of what all give "
            f"(aim: {WANTED_SHARE:.0%})"
        )
    kept = [d for d in done if d["promoted"] and not d["scratch"]]
    worse = sum(d["after"] < d["before"] for d in kept)
    yield f"let through by the gate: {len(kept)}, of them worse on what nobody saw: {worse}"


def spread(values: list[float]) -> str:
    """Return the mean over the runs and its 95 % interval (Student's distribution)."""
    if not values:
        return "-"
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    far = float(stdtrit(len(values) - 1, 0.975)) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.3f} ({mean - far:.3f} to {mean + far:.3f})"


def interpolated(curve: list[tuple[float, float]], objects: float) -> float | None:
    """Return the AP50 at a number of objects, linear in its logarithm."""
    for (a, low), (b, high) in itertools.pairwise(curve):
        if a <= objects <= b:
            return low + (high - low) * math.log(objects / a) / math.log(b / a)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=os.environ.get("SEGNET_DATA"))
    parser.add_argument("--network", default="nuclei")
    parser.add_argument("--kind", default="histology")
    parser.add_argument("--split", help="only images of this one")
    parser.add_argument(
        "--images",
        nargs="+",
        type=lambda text: text if text == "all" else int(text),
        default=[1, 4, 16, "all"],
    )
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--only", type=int, nargs="+", default=[], help="numbers of folds")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/annotator.jsonl"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--likely", action="store_true", help="take a network that may be better")
    parser.add_argument("--scratch", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for the networks and their labels")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if not all(0 <= fold < args.folds for fold in args.only):
        parser.error(f"--only takes numbers from 0 to {args.folds - 1}")
    if not args.table:
        if args.data is None:
            parser.error("name the folder of the data, or set SEGNET_DATA")
        told = parse_pairs(args.set)
        checked = settings_from(TrainSettings, told)
        settings = replace(SETTINGS, **{name: getattr(checked, name) for name in told})
        data = samples(Path(args.data) / "nuclei", args.kind, args.split)
        network, known = sn.identify(args.network), {}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        done = read(args.out)
        asked = list(jobs(args))
        # Lines of earlier versions do not say whether a likely network was taken: none was.
        seen = [{k: d.get(k, False) for k in asked[0]} for d in done] if asked else []
        for job in asked:
            if job in seen:
                continue
            line = run(network, data, job, settings, known, args.keep)
            with args.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), file=sys.stderr, flush=True)
    shown = [d for d in read(args.out) if d.get("likely", False) == args.likely]
    print("\n".join(table(shown)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

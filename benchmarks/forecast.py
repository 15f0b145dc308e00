"""Does the forecast of a training hold? What one more image really brings, by small trainings.

::

    python benchmarks/forecast.py [DATA] [--network nuclei] [--kind histology] [--invert yes]
        [--images 4] [--first-seed 0] [--seeds 10] [--steps 60] [--unseen 24]
        [--out runs/forecast.jsonl] [--table]

DATA (default: the environment variable SEGNET_DATA) holds ``nuclei/`` with ``images/``,
``labels/`` and ``index.csv``. With each seed, images are added one by one in a random order, and
the network is trained anew on those of each number. The truth is its AP at an IoU of 0.5 on images
that no training ever sees; what the training itself knows is its AP on two that were held out.

The same is done with images that are chosen to be like as many others of their folder as possible
(what comes to the norms of the network tells how alike they are): a paired test over seeds tells
if such an order is better than chance. Every training adds a line to ``--out``; a call goes on
where the last one stopped, and prints the tables (``--table``: only that).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nuclei import pairs
from scipy.stats import wilcoxon

import napari_segnet as sn
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.dataset import Dataset, Sample
from napari_segnet.evaluate import evaluate, pool, read_labels
from napari_segnet.find import Way
from napari_segnet.find._network import witness_of
from napari_segnet.find._shown import part_of
from napari_segnet.train import Forecast, TrainSettings, train

POOL, HELD = 20, 2
"""Images of a seed's folder, the last of which are held out."""
SMALL = TrainSettings(
    epochs=1, batch_size=4, crop_px=96, learning_rate=1e-3, average=0.95, mirror=False, threads=1
)
TILES = 6


def ap50(network: Checkpoint, samples: list[Sample], invert: str) -> float:
    """Return the pooled AP of a network."""
    how = sn.PredictSettings(device="cpu", invert=invert, threads=1)
    return pool(
        evaluate(
            sn.run(sn.segment(network, sn.open_image(s.image), how)).labels, read_labels(s.labels)
        )
        for s in samples
    ).ap50


def features(network: Checkpoint, sample: Sample, invert: str) -> np.ndarray:
    """Return what comes to the norms of a network, in units of what the file remembers."""
    witness = witness_of(network)
    if witness is None:
        raise SystemExit("The network remembers no statistics; choose another with --network.")
    part = part_of(sn.open_image(sample.image), network.channels, network.ndim, witness.depth)
    own = next((s.options for s in network.prepare if s.name == "normalize"), {})
    way = Way(normalize=str(own.get("how", "none")), invert=invert)
    tiles = [tile for row in part.grid(witness.edge, 1.0, TILES) for tile in row]
    seen = witness.norms.show(part.read(way, tiles, witness.edge))
    rows = [
        np.concatenate([mean.mean(0), np.sqrt(variance.mean(0))]) / np.sqrt(2 * mean.shape[1])
        for mean, variance in zip(seen.means, seen.variances, strict=True)
    ]
    return np.concatenate(rows)


def ordered(table: np.ndarray, count: int) -> list[int]:
    """Return rows, from the first on, of which each brings all others nearest to some of them."""
    apart = np.linalg.norm(table[:, None] - table[None], axis=2)
    chosen = [0]
    while len(chosen) < count:
        now = apart[:, chosen].min(axis=1)
        gain = np.maximum(now[:, None] - apart, 0).sum(axis=0)
        gain[chosen] = -1
        chosen.append(int(np.argmax(gain)))
    return chosen


def runs(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Do the trainings that are not done yet; yield the figures of each."""
    data = [
        Sample(image=i, labels=t, source=i.stem)
        for i, t in pairs(Path(args.data) / "nuclei", args.kind)
    ]
    data = random.Random(5).sample(data, len(data))
    unseen, rest = data[: args.unseen], data[args.unseen :]
    network = sn.identify(args.network)
    done = {(d["seed"], d["images"], d["order"]) for d in read(args.out)}
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        folder = random.Random(seed).sample(rest, min(POOL, len(rest)))
        open_, held = folder[:-HELD], folder[-HELD:]
        arms = [*((n, "chance") for n in range(1, args.images + 1)), (args.images, "alike")]
        for images, order in arms:
            if (seed, images, order) in done:
                continue
            chosen = open_[:images]
            if order == "alike":
                table = np.stack([features(network, s, args.invert) for s in open_])
                chosen = [open_[i] for i in ordered(table, images)]
            how = replace(SMALL, invert=args.invert, steps_per_epoch=args.steps, seed=seed)
            with tempfile.TemporaryDirectory() as place:
                # With the split as it is: what is held out here is never learned from.
                dataset = Dataset(root=Path(place), samples=tuple(chosen))
                made = sn.run(train(network, dataset, Path(place) / "n.safetensors", how))
                yield {
                    "seed": seed,
                    "images": images,
                    "order": order,
                    "held": ap50(made, held, args.invert),
                    "unseen": ap50(made, unseen, args.invert),
                }


def read(path: Path) -> list[dict[str, Any]]:
    """Return the trainings that were done."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(done: list[dict[str, Any]]) -> Iterator[str]:
    """Yield how often the true gain lay in the stated interval, and what the order brought."""
    chance = {(d["seed"], d["images"]): d for d in done if d["order"] == "chance"}
    yield "| images | trainings | true gain of one more | forecast | in the interval |"
    yield "| --- | --- | --- | --- | --- |"
    inside_all = []
    for images in sorted({n for _, n in chance}):
        pairs_ = [
            (d, chance[seed, n + 1])
            for (seed, n), d in chance.items()
            if n == images and (seed, n + 1) in chance
        ]
        if not pairs_:
            continue
        said = [Forecast(images=images, score=one["held"]).gain(1) for one, _ in pairs_]
        true = [two["unseen"] - one["unseen"] for one, two in pairs_]
        inside = [low <= t <= high for (low, _, high), t in zip(said, true, strict=True)]
        inside_all += inside
        yield (
            f"| {images} | {len(true)} | {statistics.mean(true):+.3f} | "
            f"{statistics.mean(g for _, g, _ in said):+.3f} | {sum(inside)} of {len(inside)} |"
        )
    if inside_all:
        yield f"in all: {sum(inside_all)} of {len(inside_all)} (aim: 80 %)"
    gains = [
        d["unseen"] - chance[d["seed"], d["images"]]["unseen"]
        for d in done
        if d["order"] == "alike" and (d["seed"], d["images"]) in chance
    ]
    if len(gains) > 1:
        p = float(wilcoxon(gains, alternative="greater").pvalue) if any(gains) else 1.0
        yield (
            f"chosen by likeness instead of chance: {statistics.mean(gains):+.3f} on average, "
            f"better in {sum(g > 0 for g in gains)} of {len(gains)} (one-sided Wilcoxon p {p:.3f})"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=os.environ.get("SEGNET_DATA"))
    parser.add_argument("--network", default="nuclei")
    parser.add_argument("--kind", default="histology")
    parser.add_argument("--invert", default="yes")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--unseen", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path("runs/forecast.jsonl"))
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if not args.table:
        if args.data is None:
            parser.error("name the folder of the data, or set SEGNET_DATA")
        args.out.parent.mkdir(parents=True, exist_ok=True)
        for line in runs(args):
            with args.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), file=sys.stderr, flush=True)
    print("\n".join(table(read(args.out))))
    return 0


if __name__ == "__main__":
    sys.exit(main())

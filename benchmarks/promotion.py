"""How often the gate of a training promotes a worse network, and holds a better one back.

::

    python benchmarks/promotion.py [DATA] --labels FOLDER [--kind histology] [--trials 200]
        [--wanted 0.9] [--make NETWORK --invert yes --images 120]

DATA (default: the environment variable SEGNET_DATA) holds ``nuclei/`` with ``images/``,
``labels/`` and ``index.csv``. FOLDER holds one ``.npz`` file per network: its labels ``(y, x)`` of
each image by the name of the image, of images that none of the networks has learned from. Several
stages of one training, networks run at a wrong scale, and mixtures of two networks will do.
``--make`` writes some first: of one network at several scales and thresholds. Files that share too
few images (``annotator.py --keep`` writes a quarter of them each) are not compared.

In each trial two networks are drawn as the old and the new one, and some images, or a part of the
objects of one image, as what is held out. The truth is which of the two has the higher AP50 on all
other images. The networks stand still: no training is run here. Beside the gate, the rule before it
is tried: the new one is promoted if its AP50 on what is held out is higher.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np
from nuclei import pairs

import napari_segnet as sn
from napari_segnet.evaluate import read_labels
from napari_segnet.train._comparison import Parts, compare_parts, parts_of_objects

HELD_OUT = ("a quarter of one image", "1 image", "2 images", "4 images")
SCALES, THRESHOLDS, VALLEYS = (0.85, 1.0, 1.2), (0.35, 0.5, 0.65), (0.05, 0.3)
SHARED = 12
"""Least number of images that two networks have in common: the truth needs some."""


def make(args: argparse.Namespace) -> None:
    """Write the labels that one network makes in several ways."""
    network = sn.identify(args.make)
    images = pairs(Path(args.data) / "nuclei", args.kind)
    images = random.Random(1).sample(images, min(args.images, len(images)))
    ways = [{"threshold": t} for t in THRESHOLDS]
    made: dict[str, dict[str, np.ndarray]] = {}
    for scale in SCALES:
        more = [{"seed_threshold": v} for v in VALLEYS] if scale == 1 else []
        how = sn.PredictSettings(device="cpu", invert=args.invert, scale=scale, threads=1)
        for path, _ in images:
            answer = sn.run(sn.predict(network, sn.open_image(path), how))
            for way in (*ways, *more):
                name = "-".join(f"{k}-{v}" for k, v in {"scale": scale, **way}.items())
                labels = sn.run(sn.label(answer, sn.LabelSettings(**way))).labels
                made.setdefault(name, {})[path.stem] = labels
    args.labels.mkdir(parents=True, exist_ok=True)
    for name, labels in made.items():
        np.savez_compressed(args.labels / f"{name}.npz", **labels)


def parts_of(root: Path, kind: str, folder: Path) -> dict[str, dict[str, Parts]]:
    """Return the parts of the score of each network on each image."""
    files = {path.stem: path for path in labels_of(root, kind)}
    found: dict[str, dict[str, Parts]] = {}
    truths = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as made:
            for name in made.files:
                truths.setdefault(name, read_labels(files[name]))
            found[path.stem] = {
                name: parts_of_objects(made[name], truths[name], name) for name in made.files
            }
    return found


def labels_of(root: Path, kind: str) -> list[Path]:
    """Return the label pictures of a kind."""
    return [truth for _, truth in pairs(root, kind)]


def ap50(parts: list[Parts]) -> float:
    """Return the pooled score."""
    return sum(p.top.sum() for p in parts) / max(1.0, sum(p.bottom.sum() for p in parts))


def cut(parts: Parts, chosen: slice) -> Parts:
    """Return some objects of an image, those that follow each other in the order of their ids."""
    top, bottom = parts.top[chosen], parts.bottom[chosen]
    return Parts(top=top, bottom=bottom, objects=top.size, source=parts.source)


def trial(
    old: dict[str, Parts], new: dict[str, Parts], held: str, wanted: float, seed: int
) -> tuple[float, int, bool, bool]:
    """Return the true gain, the held-out objects, and whether the gate and the rule promote."""
    rng = np.random.default_rng((seed, HELD_OUT.index(held)))
    names = sorted(old.keys() & new.keys())
    count = 1 if held == HELD_OUT[0] else int(held.split()[0])
    chosen = [names[i] for i in rng.choice(len(names), count, replace=False)]
    rest = [name for name in names if name not in chosen]
    part = slice(None)
    if held == HELD_OUT[0]:
        size = old[chosen[0]].top.size
        length = max(1, size // 4)
        first = int(rng.integers(size - length + 1))
        part = slice(first, first + length)
    before = {name: (cut(old[name], part),) for name in chosen}
    after = {name: (cut(new[name], part),) for name in chosen}
    told = compare_parts(before, after, wanted)
    assert told is not None
    gain = ap50([new[n] for n in rest]) - ap50([old[n] for n in rest])
    return gain, told.objects, told.verdict == "better", told.gain[1] > 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=os.environ.get("SEGNET_DATA"))
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--kind", default="histology")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--wanted", type=float, default=0.9)
    parser.add_argument("--make", metavar="NETWORK", help="write labels of this network first")
    parser.add_argument("--invert", default="auto", help="as in PredictSettings, for --make")
    parser.add_argument("--images", type=int, default=120, help="of so many, for --make")
    args = parser.parse_args()
    if args.data is None:
        parser.error("name the folder of the data, or set SEGNET_DATA")
    if args.make:
        make(args)
    networks = parts_of(Path(args.data) / "nuclei", args.kind, args.labels)
    for name, parts in networks.items():
        print(f"{name}: AP50 {ap50(list(parts.values())):.3f} on {len(parts)} images")
    couples = [
        (old, new)
        for old, new in permutations(networks, 2)
        if len(networks[old].keys() & networks[new].keys()) >= SHARED
    ]
    print(
        "| held out | objects | truly worse | of them promoted | as a share of what is promoted | "
        "by the higher score |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    backs = []
    for held in HELD_OUT:
        seen: Counter[str] = Counter()
        objects = []
        for seed in range(args.trials):
            old, new = couples[int(np.random.default_rng(seed).integers(len(couples)))]
            gain, count, gate, rule = trial(networks[old], networks[new], held, args.wanted, seed)
            objects.append(count)
            kind = "worse" if gain < 0 else "better"
            seen[kind] += 1
            seen[f"{kind} gate"] += gate
            seen[f"{kind} rule"] += rule
        print(
            f"| {held} | {np.median(objects):.0f} | {seen['worse']} | "
            f"{seen['worse gate']} ({seen['worse gate'] / max(1, seen['worse']):.1%}) | "
            f"{seen['worse gate'] / max(1, seen['worse gate'] + seen['better gate']):.1%} | "
            f"{seen['worse rule']} ({seen['worse rule'] / max(1, seen['worse']):.1%}) |"
        )
        backs.append(
            f"{held}: of {seen['better']} better ones {seen['better'] - seen['better gate']} held "
            f"back by the gate, {seen['better'] - seen['better rule']} by the higher score"
        )
    print("\n".join(backs))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Score a trained nuclei network and ship it: weights with their card into the package.

::

    python scripts/ship_nuclei.py runs/nuclei.safetensors DATA [--average NAME|FILE] [--note TEXT]

With ``--average`` the weights are the mean of these and of those of another network, such as the
one that the training began from. The label settings that the card advises were chosen on images of
the ``train`` split, held out or not; the scores are those on the ``val`` split, which no weight and
no setting was chosen on: of fluorescence, or of stained tissue and bright field where the network
inverts images by itself.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import sys
from pathlib import Path

import torch

from napari_segnet.builtin import MODELS
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.dataset import read_labels
from napari_segnet.engines.torch import identify, load
from napari_segnet.evaluate import Scores, evaluate_many
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.inference import segment
from napari_segnet.progress import run
from napari_segnet.readers import open_image

OBJECT_PX, DARK_OBJECT_PX = 20.3, 18.1
"""Median diameters (of the circle of their area) in the ``train`` split: of 18,815 nuclei in 435
fluorescence images, and of 4,896 in 101 of stained tissue and bright field."""
ADVICE = {"threshold": 0.5, "seed_threshold": 0.15, "min_size_px": 20}
DARK_ADVICE = {**ADVICE, "threshold": 0.6, "seed_threshold": 0.25}


def scores(checkpoint: Checkpoint, root: Path, kinds: tuple[str, ...]) -> Scores:
    """Return the pooled scores on the images of some kinds of the ``val`` split."""
    with (root / "index.csv").open(newline="") as file:
        rows = [
            row["name"]
            for row in csv.DictReader(file)
            if row["split"] == "val" and row["kind"] in kinds
        ]
    pairs = []
    for name in rows:
        (picture,) = (root / "images").glob(f"{name}.*")
        (truth,) = (root / "labels").glob(f"{name}.*")
        image = open_image(picture)
        found = run(segment(checkpoint, image)).labels
        pairs.append((found, read_labels(truth, image)[0, 0]))
    return evaluate_many(pairs)


def average(module: torch.nn.Module, other: torch.nn.Module) -> None:
    """Let a module have the mean of its weights and statistics and those of another one."""
    theirs = other.state_dict()
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 0.5)


def main() -> None:
    """Write the network with its card, and print its scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--average", help="another network of the same shape")
    parser.add_argument("--note", default="")
    args = parser.parse_args()
    trained = identify(args.weights)
    module = load(trained, "cpu").module
    if args.average:
        average(module, load(identify(args.average), "cpu").module)
    target = MODELS / f"{trained.card.get('name', 'nuclei')}.safetensors"
    dark = trained.card.get("invert") == "yes"
    kinds = ("histology", "brightfield") if dark else ("fluorescence",)
    object_px = DARK_OBJECT_PX if dark else OBJECT_PX
    card = {**trained.card, "label": DARK_ADVICE if dark else ADVICE, "object_px": object_px}
    if args.note:
        card["note"] = args.note
    shipped = SegnetUNet().save(module, dataclasses.replace(trained, card=card), target)
    found = scores(shipped, args.data, kinds)
    figures = {
        name: round(getattr(found, name), 4)
        for name in ("ap50", "ap75", "ap", "precision50", "recall50", "f1_50", "pq", "dice")
    }
    on = f"{found.to_json()['n_true']} nuclei of BBBC038v1, {' and '.join(kinds)}, val split"
    card["scores"] = {**figures, "on": on}
    SegnetUNet().save(module, dataclasses.replace(trained, card=card), target)
    print(figures, on)


if __name__ == "__main__":
    sys.exit(main())

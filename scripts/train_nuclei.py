"""Train the built-in network ``nuclei`` on the fluorescence images of BBBC038v1.

::

    python scripts/train_nuclei.py DATA [--out FILE] [--epochs N] [--resume]

DATA is a folder with ``images/``, ``labels/`` and ``index.csv`` (columns name, split,
kind): the Data Science Bowl 2018 images with corrected masks (Caicedo et al. 2019, doi
10.1038/s41592-019-0612-7; CC0). The ``val`` split is never seen: one in ten of the
``train`` images is held out instead, to watch the training. A run that was stopped goes
on with ``--resume``.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import sys
import time
from pathlib import Path

from napari_segnet.checkpoint import Output, PrepareStep
from napari_segnet.dataset import Dataset, Sample, held_out
from napari_segnet.families.segnet_unet import describe_new
from napari_segnet.train import TrainSettings, train

OUTPUTS = (
    Output(role="foreground", channels=1, activation="sigmoid"),
    Output(role="boundary", channels=1, activation="sigmoid"),
    Output(role="distance", channels=1, activation="sigmoid"),
)
WIDTHS = (16, 32, 64, 128, 256)


def fluorescence(root: Path) -> Dataset:
    """Return the fluorescence images of the ``train`` split; one in ten is held out."""
    with (root / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    samples = [
        Sample(
            image=_file(root / "images", row["name"]),
            labels=_file(root / "labels", row["name"]),
            source=row["name"],
            split=held_out(row["name"]),
        )
        for row in rows
        if row["split"] == "train" and row["kind"] == "fluorescence"
    ]
    return Dataset(root=root, samples=tuple(samples))


def _file(folder: Path, stem: str) -> Path:
    (path,) = folder.glob(f"{stem}.*")
    return path


def main() -> None:
    """Train, and print one line an epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/nuclei.safetensors"))
    parser.add_argument("--epochs", type=int, default=45)
    parser.add_argument("--steps", type=int, default=100, help="in an epoch")
    parser.add_argument("--crop-px", type=int, default=160)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    if args.out.exists():
        # The training would begin with its weights.
        parser.error(f"{args.out} is there already; move it away to train afresh")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    network = describe_new(
        path=args.out,
        hparams={
            "ndim": 2,
            "channels": 1,
            "widths": list(WIDTHS),
            "strides": [[2, 2] for _ in WIDTHS[1:]],
        },
        outputs=OUTPUTS,
        prepare=(PrepareStep(name="normalize", options={"how": "percentile:1,99.8"}),),
        pixel_size_um={},
        class_names=("background", "nucleus"),
        card={
            "name": "nuclei",
            "title": "Nuclei in fluorescence images",
            "data": "BBBC038v1 (Data Science Bowl 2018), corrected masks, fluorescence, "
            "train split",
            "data_licence": "CC0",
            "licence": "BSD-3-Clause",
        },
        dtype="float16",
    )
    # Most of these pictures are empty ground, and few nuclei are smaller than 8 pixels.
    settings = dataclasses.replace(
        TrainSettings(),
        epochs=args.epochs,
        steps_per_epoch=args.steps,
        batch_size=8,
        crop_px=args.crop_px,
        on_objects=0.75,
        scale_range=(0.75, 1.6),
        mirror=False,
    )
    begun = time.monotonic()
    steps = train(
        network,
        fluorescence(args.data),
        args.out,
        settings,
        device=args.device,
        resume=args.resume,
    )
    for report in steps:
        if report.what == "epoch":
            figures = "  ".join(f"{name} {value:.4f}" for name, value in report.values)
            minutes = (time.monotonic() - begun) / 60
            print(f"{report.done}/{report.total}  {figures}  {minutes:.1f} min", flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Train small models in Cellpose, or run one: for test_cellpose_interop.py, in a Python of its own.

run_cellpose.py train FOLDER DATA KIND   a small model, ``FOLDER/models/KIND``
run_cellpose.py run MODEL INPUT          objects of images in INPUT.npz, and times of both steps
"""

from __future__ import annotations

import csv
import logging
import sys
import time
from pathlib import Path

import numpy as np
import torch
from cellpose import dynamics, models, train
from PIL import Image

CHANNELS = {"fluorescence": [0, 0], "histology": [2, 3]}
"""As Cellpose has them: grey, or green with nuclei in blue."""
COUNT = 12
"""Images that a model is trained on."""
EPOCHS = 50
"""Fewer, or smaller crops, leave a model that finds nothing: 20 with crops of 112 pixels did."""


def picture(data: Path, name: str, colour: bool) -> np.ndarray:
    return np.asarray(Image.open(data / "images" / f"{name}.png").convert("RGB" if colour else "L"))


def train_one(folder: Path, data: Path, kind: str) -> None:
    with (data / "index.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    small = [
        row["name"]
        for row in rows
        if row["kind"] == kind and int(row["height_px"]) <= 400 and int(row["n_nuclei"]) >= 8
    ][:COUNT]
    channels, colour = CHANNELS[kind], CHANNELS[kind][0] > 0
    labels = [
        np.asarray(Image.open(next((data / "labels").glob(f"{name}.*")))).astype(np.int32)
        for name in small
    ]
    torch.manual_seed(1)
    np.random.seed(1)
    made = models.CellposeModel(pretrained_model=False, diam_mean=30.0)
    train.train_seg(
        made.net,
        train_data=[picture(data, name, colour) for name in small],
        train_labels=labels,
        channels=channels,
        channel_axis=2 if colour else None,
        learning_rate=0.1,
        SGD=True,
        n_epochs=EPOCHS,
        batch_size=4,
        nimg_per_epoch=8,
        min_train_masks=1,
        save_path=folder,
        model_name=kind,
    )


def run(model: Path, given: Path) -> None:
    channels = CHANNELS[model.name.partition(".")[0].partition("_")[0]]
    made = models.CellposeModel(pretrained_model=str(model))
    images = np.load(given)
    steps, whole = [0.0], time.process_time()
    flows_to_masks = dynamics.resize_and_compute_masks

    def timed(*arguments, **named):
        began = time.process_time()
        answer = flows_to_masks(*arguments, **named)
        steps[0] += time.process_time() - began
        return answer

    dynamics.resize_and_compute_masks = timed
    axis = 2 if channels[0] else None
    found = {
        name: made.eval(images[name], channels=channels, channel_axis=axis)[0]
        for name in images.files
    }
    times = np.array([time.process_time() - whole, steps[0]])
    np.savez(given.with_suffix(".out.npz"), times=times, **found)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    if sys.argv[1] == "train":
        train_one(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
    else:
        run(Path(sys.argv[2]), Path(sys.argv[3]))

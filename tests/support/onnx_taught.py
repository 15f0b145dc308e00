"""A small network in ONNX, and what an actual training makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.dataset import Dataset
from napari_segnet.progress import run
from napari_segnet.recognition import identify
from napari_segnet.train import train
from support.onnx_files import network, node
from support.teaching import QUICK, write_dataset


@dataclass(frozen=True)
class Lesson:
    """Where the network lay, its bytes before it was taught, and the one that was taught."""

    path: Path
    before: bytes
    taught: Checkpoint


def taught_onnx(folder: Path) -> Lesson:
    """Teach a U-Net in ONNX for a few steps, and write it as ONNX."""
    nodes = [
        node("Conv", ["image", "w", "b"], "c", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], "skip"),
        node("MaxPool", ["skip"], "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("ConvTranspose", ["p", "t"], "u", strides=[2, 2]),
        node("Concat", ["u", "skip"], "j", axis=1),
        node("Conv", ["j", "e"], "f"),
        node("Sigmoid", ["f"], "out"),
    ]
    source = np.random.default_rng(4)
    shapes = {"w": (4, 1, 3, 3), "b": (4,), "t": (4, 4, 2, 2), "e": (1, 8, 1, 1)}
    weights = {name: source.normal(0, 0.4, shape).astype("float32")
               for name, shape in shapes.items()}  # fmt: skip
    path = network(folder / "a.onnx", nodes, weights, shape=("n", 1, "y", "x"))
    before = path.read_bytes()
    write_dataset(folder / "data")
    dataset = Dataset.open(folder / "data")
    taught = run(train(identify(path), dataset, folder / "taught.onnx", QUICK, device="cpu"))
    return Lesson(path=path, before=before, taught=taught)

"""A small dataset and a small network that can be taught within seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from napari_segnet.checkpoint import Checkpoint, Output, PrepareStep
from napari_segnet.families.segnet_unet import describe_new
from napari_segnet.train import TrainSettings

FOREGROUND = (Output(role="foreground", channels=1, activation="sigmoid"),)
NUCLEI = (
    Output(role="foreground", channels=1, activation="sigmoid"),
    Output(role="boundary", channels=1, activation="sigmoid"),
    Output(role="distance", channels=1, activation="sigmoid"),
)
CLASSES = (Output(role="class", channels=3, activation="softmax"),)

QUICK = TrainSettings(
    epochs=2,
    steps_per_epoch=2,
    batch_size=2,
    crop_px=16,
    crop_z_px=4,
    scale_range=(0.8, 1.25),
    average=0.5,
    anchor=0.0,
    seed=3,
)
UNCHANGED = {
    "flip": False,
    "rotate": False,
    "scale_range": (1.0, 1.0),
    "gamma": 1.0,
    "gain": 1.0,
    "offset": 0.0,
    "noise": 0.0,
    "blur_px": 0.0,
}
"""Settings with which crops are not changed."""


def objects(shape, count=6, seed=0, classes=None):
    """Return labels int32: balls that do not overlap; ids, or classes 1.. in turn."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    labels = np.zeros(shape, np.int32)
    for i in range(count):
        centre = [rng.uniform(0, n) for n in shape]
        radius = rng.uniform(0.1, 0.18) * min(shape[-2:])
        far = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))
        labels[(far <= radius**2) & (labels == 0)] = 1 + (i % classes if classes else i)
    return labels


def photograph(labels, seed=0, channels=None):
    """Return uint8 pixels: what is labelled is brighter, the more the higher its label."""
    rng = np.random.default_rng(seed)
    light = np.where(labels > 0, 120 + 12 * np.minimum(labels, 9), 40)
    if channels is not None:
        light = np.stack([light // (1 + c) for c in range(channels)])
    return np.clip(light + rng.normal(0, 8, light.shape), 0, 255).astype(np.uint8)


def write(path: Path, pixels, axes="yx", size_um=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"axes": axes.upper()}
    for axis, value in (size_um or {}).items():
        metadata[f"PhysicalSize{axis.upper()}"] = value
        metadata[f"PhysicalSize{axis.upper()}Unit"] = "µm"
    tifffile.imwrite(path, pixels, ome=True, metadata=metadata, photometric="minisblack")
    return path


def write_dataset(root, count=2, shape=(40, 48), axes="yx", classes=None, channels=None):
    """Write ``images/i.tif`` and ``labels/i.tif``; return the root."""
    for i in range(count):
        labels = objects(shape, seed=i, classes=classes)
        image = photograph(labels, seed=i, channels=channels)
        write(root / "images" / f"{i}.tif", image, ("c" if channels else "") + axes)
        write(root / "labels" / f"{i}.tif", labels, axes)
    return root


def fresh(path, outputs=FOREGROUND, ndim=2, channels=1, widths=(4, 6), strides=None, **how):
    """Return a network that has no weights yet."""
    strides = strides or [[2] * ndim] * (len(widths) - 1)
    hparams = {
        "ndim": ndim,
        "channels": channels,
        "widths": list(widths),
        "strides": [list(s) for s in strides],
    }
    given = {
        "prepare": (PrepareStep(name="normalize", options={"how": "percentile:1,99.8"}),),
        "pixel_size_um": {},
        "class_names": (),
        "card": {},
        **how,
    }
    network: Checkpoint = describe_new(path=path, hparams=hparams, outputs=outputs, **given)
    return network

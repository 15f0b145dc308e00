"""Example networks and pictures as files, as a user has them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import tifffile
import torch

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.torch import identify
from support.examples import EXAMPLES, Example
from support.networks import calibrate, pictures


@functools.cache
def reference(family: str, example: str) -> torch.nn.Module:
    """Return the network of an example: one that answers with maps sees its neighbourhood."""
    found = next(e for e in EXAMPLES[family] if e.name == example)
    module = found.make()
    if "arithmetic" in found.hparams:  # a Mask R-CNN
        return module.eval()
    return calibrate(module, seed=3, images=pictures(4, found.channels, found.sizes[-1]))


def identified(folder: Path, family: str, example: Example, **told: Any) -> Checkpoint:
    """Write an example's network to a folder and say what it is."""
    module = reference(family, example.name)
    if example.metadata:
        path = folder / "network.safetensors"
        metadata = {key: str(value) for key, value in example.metadata.items()}
        safetensors.torch.save_file(dict(module.state_dict()), path, metadata)
    else:
        path = folder / "network.pth"
        torch.save(module.state_dict(), path)
    checkpoint: Checkpoint = identify(path, {**example.told, **told})
    return checkpoint


def write_picture(
    path: Path, pixels: Any, axes: str, size_um: float | None = None, rgb: bool = False
) -> Path:
    """Write an OME-TIFF; the last axis of an RGB picture holds its colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {"axes": axes.upper()}
    for axis in "XY" if size_um else "":
        metadata |= {f"PhysicalSize{axis}": size_um, f"PhysicalSize{axis}Unit": "µm"}
    how = "rgb" if rgb else "minisblack"
    tifffile.imwrite(path, np.asarray(pixels), ome=True, metadata=metadata, photometric=how)
    return path

"""Packages that are written here run in bioimageio.core, and answer there as here.

SEGNET_BIOIMAGEIO  Python with bioimageio.core and torch
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.networks import Milesial, calibrate, pictures

import napari_segnet as sn
from napari_segnet.checkpoint import Checkpoint, PrepareStep
from napari_segnet.image import Image
from napari_segnet.publish import write_package

pytestmark = [pytest.mark.interop, pytest.mark.subprocess, pytest.mark.timeout(1800)]

SCRIPT = Path(__file__).with_name("run_bioimageio.py")
TERMS = {"authors": ["A. Author"], "license": "MIT", "cite": "10.1007/978-3-319-24574-4_28"}
PLANE, VOLUME = (96, 80), (36, 40, 32)
CASES = (
    # dimensions, channels, classes, normalisation, scope
    (2, 1, 1, "none", "plane"),
    (2, 3, 1, "divide-255", "plane"),
    (2, 1, 3, "z-score", "plane"),
    (2, 3, 2, "min-max", "plane"),
    (2, 1, 1, "percentile:1,99.8", "plane"),
    (2, 1, 1, "window:10,200", "plane"),
    (2, 3, 1, "imagenet", "plane"),
    (2, 3, 1, "pooled-zero-mean-unit-variance", "plane"),
    (2, 1, 1, "scale-range:2,98 then clip:0,1 then mean-std:0.5,0.5", "plane"),
    (3, 1, 1, "z-score", "volume"),
    (3, 2, 3, "percentile:1,99.8", "volume"),
    (3, 1, 2, "divide-255", "plane"),
)
"""Between them every preprocessing that is written, a sigmoid and a softmax, in 2D and in 3D."""


def network(
    folder: Path, ndim: int, channels: int, classes: int, how: str, over: str
) -> Checkpoint:
    module = Milesial(channels=channels, classes=classes, depth=4 - ndim, width=4, ndim=ndim)
    seen = pictures(2, channels, PLANE if ndim == 2 else VOLUME)
    path = folder / f"{len(list(folder.iterdir()))}.pth"
    torch.save(calibrate(module, images=seen).state_dict(), path)
    step = PrepareStep(name="normalize", options={"how": how, "over": over})
    return replace(sn.identify(path), prepare=(step,))


def test_packages_run_in_bioimageio_core(tmp_path: Path, data: Path) -> None:
    """Its library validates each description, runs the network and compares the answers.

    And it answers to another image, of another size, as ``predict`` here.
    """
    if "SEGNET_BIOIMAGEIO" not in os.environ:
        pytest.skip("set SEGNET_BIOIMAGEIO to a Python that has bioimageio.core and torch")
    expected = {}
    for place in ("nuclei", data / "checkpoints/bioimageio_unet2d_nuclei_broad"):
        path = tmp_path / f"{Path(place).name}.zip"
        write_package(sn.identify(place), path, **TERMS)
        expected[path] = None
    for ndim, channels, classes, how, over in CASES:
        made = network(tmp_path, ndim, channels, classes, how, over)
        path = tmp_path / f"{ndim}D-{channels}-{classes}-{how.partition(':')[0]}.zip"
        write_package(made, path, **TERMS)
        # A network of values from 0 to 1 answers to those up to 255 with logits of thousands.
        whole = 1 if how == "none" else 255
        (pixels,) = whole * pictures(1, channels, PLANE if ndim == 2 else VOLUME, seed=5).numpy()
        np.save(path.with_suffix(".in.npy"), pixels[None])
        image = Image(data=pixels, axes="cyx" if ndim == 2 else "czyx", name="cells")
        expected[path] = sn.run(sn.predict(made, image)).answer.data
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [os.environ["SEGNET_BIOIMAGEIO"], str(SCRIPT), *map(str, expected)]
    subprocess.run(command, check=True, env=own)
    wrong = []
    for path, ours in expected.items():
        if ours is not None:
            theirs = np.load(path.with_suffix(".out.npy"))[0]
            apart = float(np.abs(theirs - ours.reshape(theirs.shape)).max())
            print(path.stem, theirs.shape, f"{apart:.1e}")
            if apart > 2e-4 or theirs.std() < 0.05:
                wrong.append(path.stem)
    assert not wrong

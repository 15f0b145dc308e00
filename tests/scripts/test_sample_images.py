"""The sample images of the README's first command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_segnet.readers import open_image

pytestmark = pytest.mark.subprocess


@pytest.fixture(scope="module")
def samples(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    script = root / "scripts" / "sample_images.py"
    subprocess.run([sys.executable, script, folder / "images", folder / "truth"], check=True)
    return folder


@pytest.mark.parametrize(
    ("name", "axes", "pixel_size_um", "objects"),
    [
        ("sparse", "yx", {"y": 0.5, "x": 0.5}, 25),
        ("dense", "yx", {"y": 0.5, "x": 0.5}, 170),
        ("stack", "zyx", {"z": 2.0, "y": 0.5, "x": 0.5}, 60),
    ],
)
def test_each_has_axes_pixel_size_and_true_labels(samples, name, axes, pixel_size_um, objects):
    image = open_image(samples / "images" / f"{name}.tif")
    truth = tifffile.imread(samples / "truth" / f"{name}.tif")
    assert (axes, np.uint16) == (image.axes, image.dtype)
    assert pixel_size_um == pytest.approx(dict(image.pixel_size_um))
    assert image.data.shape == truth.shape
    assert list(range(objects + 1)) == np.unique(truth).tolist()


def test_nuclei_are_brighter_than_what_lies_between_them(samples):
    pixels = tifffile.imread(samples / "images" / "dense.tif")
    truth = tifffile.imread(samples / "truth" / "dense.tif")
    assert pixels[truth > 0].mean() > 2 * pixels[truth == 0].mean()


def test_without_folders_it_says_how_it_is_used(root):
    script = [sys.executable, root / "scripts" / "sample_images.py"]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("usage:")

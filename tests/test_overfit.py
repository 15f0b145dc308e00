"""Every family learns one real picture by heart: minutes, so only with ``-m long``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from support.maskrcnns import small_maskrcnn
from support.networks import Jvanvugt, Mateuszbuda, Milesial, save_as
from support.teaching import NUCLEI, UNCHANGED, fresh, objects, photograph, write

from napari_segnet.dataset import Dataset, Sample
from napari_segnet.engines.torch import identify
from napari_segnet.evaluate import evaluate
from napari_segnet.inference import segment
from napari_segnet.progress import run
from napari_segnet.readers import open_image
from napari_segnet.train import TrainSettings, train

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

STILL = TrainSettings(
    epochs=1,
    batch_size=1,
    crop_px=128,
    crop_z_px=32,
    learning_rate=0.01,
    average=0.9,
    **UNCHANGED,
    freeze_norm=False,
)


@pytest.fixture
def picture(data, tmp_path):
    """A real picture of 128 x 128 pixels with its nuclei."""
    pixels = tifffile.imread(data / "samples" / "img2d.tif")[288:416, 160:288]
    labels = tifffile.imread(data / "samples" / "mask2d.tif")[288:416, 160:288]
    return sample(tmp_path, pixels, labels)


def sample(root, pixels, labels, axes="yx"):
    return Sample(
        image=write(root / "image.tif", pixels, ("c" if pixels.ndim > labels.ndim else "") + axes),
        labels=write(root / "labels.tif", labels.astype(np.int32), axes),
    )


def taught(network, picture, out, steps, **how):
    dataset = Dataset(root=out.parent, samples=(picture,))
    settings = replace(STILL, steps_per_epoch=steps, **how)
    return run(train(network, dataset, out, settings, device="cpu"))


def found(network, picture):
    image = open_image(picture.image)
    made = run(segment(network, image))
    truth = tifffile.imread(picture.labels)
    return evaluate(made.labels.reshape(truth.shape), truth)


NETWORKS = {
    "milesial": (lambda: Milesial(channels=1, classes=1, width=8, depth=3), {}),
    "milesial-bilinear": (
        lambda: Milesial(channels=1, classes=1, width=8, depth=3, bilinear=True),
        {},
    ),
    "mateuszbuda": (lambda: Mateuszbuda(channels=1, width=8), {}),
    "jvanvugt": (
        lambda: Jvanvugt(channels=1, classes=1, depth=4, width=8, padding=True, batch_norm=True),
        {"padding": True},
    ),
    "jvanvugt-valid": (
        lambda: Jvanvugt(channels=1, classes=1, depth=3, width=8, batch_norm=True),
        {},
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_map_family_learns_a_picture_by_heart(name, picture, tmp_path):
    make, told = NETWORKS[name]
    torch.manual_seed(0)
    old = save_as(make(), tmp_path / "old.pth", "bare")
    network = taught(identify(old, told), picture, tmp_path / "new.pth", 400)
    assert found(network, picture).dice > 0.95


def test_our_own_learns_a_picture_by_heart(picture, tmp_path):
    out = tmp_path / "new.safetensors"
    network = taught(fresh(out, outputs=NUCLEI, widths=(8, 16, 32)), picture, out, 400)
    scores = found(network, picture)
    assert scores.dice > 0.95
    assert scores.ap50 > 0.8


def test_our_own_learns_a_volume_by_heart(tmp_path):
    labels = objects((32, 32, 32), count=6, seed=1)
    volume = sample(tmp_path, photograph(labels), labels, "zyx")
    out = tmp_path / "new.safetensors"
    begun = fresh(out, outputs=NUCLEI, widths=(8, 16), ndim=3)
    network = taught(begun, volume, out, 110, crop_px=32, learning_rate=0.02)
    assert found(network, volume).dice > 0.95


def test_a_mask_rcnn_learns_a_picture_by_heart(data, tmp_path):
    pixels = tifffile.imread(data / "samples" / "img2d.tif")[288:416, 160:288]
    labels = tifffile.imread(data / "samples" / "mask2d.tif")[288:416, 160:288]
    low, high = np.percentile(pixels, (1, 99.8))
    grey = np.clip((pixels - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    picture = sample(tmp_path, np.stack([grey] * 3), labels)
    torch.manual_seed(0)
    module = small_maskrcnn(
        classes=2,
        fpn=32,
        hidden=64,
        mask_layers=(32, 32),
        mask_hidden=32,
        sizes=((8,), (16,), (32,), (64,), (128,)),
    )
    old = save_as(module, tmp_path / "old.pth", "bare")
    told = {"anchor_sizes_px": [[8], [16], [32], [64], [128]], "norm_eps": 1e-5}
    how = {"learning_rate": 2e-3, "average": 0.95}
    network = taught(identify(old, told), picture, tmp_path / "new.pth", 260, **how)
    assert found(network, picture).ap50 > 0.9

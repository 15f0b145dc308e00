"""Objects that lie wholly in a crop are those of the whole, from the pixels on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.teaching import fresh

import napari_segnet as sn
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.inference import predict
from napari_segnet.sinks import file as in_file
from napari_segnet.steps import _bands, _basin_bands, watershed

REACH_PX = 12
"""Two convolutions at the full size, two at half of it, two again, and those up and down."""
FIXED = {"normalize": "window:0,255", "device": "cpu"}


@pytest.mark.parametrize("instances", ["components", "watershed"])
def test_objects_of_a_crop_are_those_of_the_whole_network(tmp_path, monkeypatch, instances):
    """With normalisation in fixed numbers: the whole in tiles and in blocks, in files."""
    pixels = np.random.default_rng(0).integers(0, 256, (220, 260), np.uint8)
    checkpoint = network(tmp_path, pixels)
    box = slice(40, 180), slice(60, 220)  # at a multiple of all strides
    labels = {"threshold": 0.5, "instances": instances, "min_size_px": 3}
    crop = segmented(checkpoint, pixels[box], {}, labels)
    monkeypatch.setattr(in_file, "IN_MEMORY_BYTES", 0)
    for module in (_bands, _basin_bands):
        monkeypatch.setattr(module, "BAND_PX", 3000)
    monkeypatch.setattr(watershed, "LARGE_PX", 2000)
    whole = segmented(checkpoint, pixels, {"tile_px": (64, 64)}, labels)
    near = np.ones(crop.shape, bool)
    near[REACH_PX:-REACH_PX, REACH_PX:-REACH_PX] = False
    inside = np.setdiff1d(crop, np.append(np.unique(crop[near]), 0))
    assert inside.size > 20
    for number in inside.tolist():
        mine = crop == number
        (there,) = np.unique(whole[box][mine])
        assert there > 0
        assert (whole == there).sum() == mine.sum()


def network(folder, pixels):
    """Return a small network of random weights that finds objects, with hardly any doubt."""
    torch.manual_seed(3)
    checkpoint = fresh(folder / "first.safetensors")
    module = SegnetUNet().build(checkpoint).eval()
    SegnetUNet().save(module, checkpoint, checkpoint.path)
    image = sn.Image(data=pixels, axes="yx")
    found = sn.run(predict(sn.identify(checkpoint.path), image, sn.PredictSettings(**FIXED)))
    level = float(np.quantile(np.asarray(found.answer.data, np.float64), 0.8))
    *_, weight, bias = module.parameters()
    with torch.no_grad():
        bias -= float(np.log(level / (1 - level)))
        for values in (weight, bias):
            values *= 1000
    SegnetUNet().save(module, checkpoint, folder / "small.safetensors")
    return sn.identify(folder / "small.safetensors")


def segmented(checkpoint, pixels, how, labels):
    image = sn.Image(data=pixels, axes="yx")
    settings = sn.PredictSettings(**FIXED, **how), sn.LabelSettings(**labels)
    return np.asarray(sn.run(sn.segment(checkpoint, image, *settings)).labels)

"""The samples look like what they say they are, are the same every time, and can be found."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

import napari_segnet as sn
from napari_segnet.builtin import weights_path
from napari_segnet.samples import SAMPLES, TRUTHS, draw_nuclei, photograph

KEYS = list(SAMPLES)


@pytest.mark.parametrize(
    ("key", "axes", "shape", "dtype", "pixel_size_um", "objects"),
    [
        ("nuclei", "yx", (512, 512), np.uint16, {"y": 0.5, "x": 0.5}, 110),
        ("nuclei-stack", "zyx", (14, 192, 192), np.uint16, {"z": 2.0, "y": 0.5, "x": 0.5}, 34),
        ("nuclei-rgb", "yxc", (384, 512, 3), np.uint8, {"y": 0.5, "x": 0.5}, 48),
    ],
)
def test_each_has_axes_pixel_size_and_true_labels(key, axes, shape, dtype, pixel_size_um, objects):
    image, truth = SAMPLES[key](), TRUTHS[key]()
    assert (axes, shape, dtype) == (image.axes, image.data.shape, image.data.dtype)
    assert pixel_size_um == dict(image.pixel_size_um)
    assert image.rgb == ("c" in axes)
    assert (truth.dtype, truth.shape) == (np.int32, tuple(image.sizes[a] for a in axes if a != "c"))
    assert list(range(objects + 1)) == np.unique(truth).tolist()


@pytest.mark.parametrize("key", KEYS)
def test_a_nucleus_is_in_one_piece(key):
    truth = TRUTHS[key]()
    for number, box in enumerate(ndimage.find_objects(truth), 1):
        assert ndimage.label(truth[box] == number)[1] == 1


@pytest.mark.parametrize("key", KEYS)
def test_the_same_call_gives_the_same_pixels(key):
    assert np.array_equal(SAMPLES[key]().data, SAMPLES[key]().data)
    assert np.array_equal(TRUTHS[key](), TRUTHS[key]())


@pytest.mark.parametrize("key", KEYS)
def test_nuclei_are_brighter_than_what_lies_around_them(key):
    image, truth = SAMPLES[key](), TRUTHS[key]()
    seen = image.data[..., 2] if image.rgb else image.data
    around = ndimage.binary_dilation(truth > 0, iterations=4) & (truth == 0)
    assert seen[truth > 0].mean() > 1.5 * seen[around].mean()


def test_pixels_are_those_of_a_camera():
    """Neither too dark to see nor cut off at the bright end, and never without noise."""
    pixels = SAMPLES["nuclei"]().data
    assert pixels.max() < 65535
    assert np.percentile(pixels, 99.8) > 1000
    assert pixels[TRUTHS["nuclei"]() == 0].std() > 5


def test_some_nuclei_touch():
    truth = TRUTHS["nuclei"]()
    left, right = truth[:, :-1], truth[:, 1:]
    assert np.any((left > 0) & (right > 0) & (left != right))


def test_where_there_is_no_room_there_are_fewer():
    crowded = draw_nuclei(np.random.default_rng(1), (40, 40), 500)
    assert 1 < crowded.max() < 20


def test_an_empty_field_is_noise():
    seen = photograph(np.random.default_rng(1), np.zeros((64, 64), np.int32))
    assert 0 < seen.std() < 50


@pytest.mark.parametrize(
    ("key", "run", "label", "least"),
    [
        ("nuclei", {}, {}, 0.9),
        ("nuclei-stack", {}, {"link": "z"}, 0.6),
        ("nuclei-rgb", {"channels": "2"}, {}, 0.9),
    ],
)
def test_the_built_in_network_finds_them(key, run, label, least):
    network = sn.identify(weights_path("nuclei"))
    image, run, label = SAMPLES[key](), sn.PredictSettings(**run), sn.LabelSettings(**label)
    found = sn.run(sn.segment(network, image, run, label))
    assert sn.evaluate(found.labels, TRUTHS[key]()).ap50 > least


@pytest.mark.subprocess
def test_importing_it_imports_neither_scipy_nor_torch():
    code = "import sys, napari_segnet.samples; print({'scipy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

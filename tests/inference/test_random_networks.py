"""Tiles equal the whole for networks, images and tiles that nobody chose."""

from __future__ import annotations

import numpy as np
import pytest
from support.random_networks import draw, draw_image, draw_tile
from support.whole import forget, own_answer

from napari_segnet import cache
from napari_segnet.engines.torch import identify
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings, predict
from napari_segnet.progress import run

IMAGES = 4
"""For each network."""


def hold_against_the_networks_own_forward(seed, folder):
    rng = np.random.default_rng(seed)
    case = draw(rng)
    module = case.make(seed)
    checkpoint = identify(case.write(module, folder / f"{seed}.pth", rng), case.told)
    for number in range(IMAGES):
        pixels = draw_image(rng, case, seed + number)
        settings = PredictSettings(
            normalize="none",
            device="cpu",
            tile_px=draw_tile(rng, pixels.shape[1:]),
            batch_size=int(rng.integers(0, 5)),
            seams="exact",
        )
        expected, tolerance = own_answer(module, pixels, case.activation)
        image = Image(data=pixels, axes="c" + "zyx"[-case.ndim :])
        prediction = run(predict(checkpoint, image, settings))
        maps = prediction.answer.data
        about = f"{case}, image {pixels.shape}, {settings}"
        assert expected.shape == maps.shape, about
        assert np.abs(expected - maps).max() <= tolerance, about
        assert prediction.origin.engine["exact"], about
    cache.networks.clear()
    forget()


@pytest.mark.sample(3)
@pytest.mark.parametrize("seed", [1, 2, 4, 5, 6, 7, 9, 12])
def test_a_random_network(seed, tmp_path):
    hold_against_the_networks_own_forward(seed, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("first", range(100, 200, 10))
def test_many_random_networks(first, tmp_path):
    for seed in range(first, first + 10):
        hold_against_the_networks_own_forward(seed, tmp_path)

"""Whole volumes as nnU-Net shows them; tests/packages/test_nnunet.py compares its whole way."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segnet.checkpoint import PrepareStep
from napari_segnet.prepare import checked
from napari_segnet.prepare.resample import lone_axis, resample, resampled_lengths
from napari_segnet.prepare.volumes import Scheme, VolumeRecipe, volume_step

RECIPE = VolumeRecipe(
    schemes=(Scheme(how="z-score-masked"), Scheme(how="clip-mean-std", numbers=(0, 9, 4, 2))),
    window_px=(4, 8, 8),
    spacing=(2.0, 1.0, 1.0),
    order=(2, 0, 1),
    mirror=(0,),
    separate=False,
)


def test_a_recipe_is_plain_json_and_is_checked():
    step = checked(RECIPE.to_step())
    assert volume_step((PrepareStep(name="normalize"), step)) == RECIPE
    assert volume_step(()) is None
    for name, value in (("order", [0, 0, 1]), ("window_px", [4]), ("unit", "um"), ("mirror", [3])):
        with pytest.raises(ValueError, match=f"{name} is .* in a recipe of volumes|spacing is"):
            checked(PrepareStep(name="volume", options={**step.options, name: value}))
    for scheme in (["odd"], ["z-score", 1.0], ["clip-mean-std", 1, 2, 3, float("nan")]):
        with pytest.raises(ValueError, match="the normalisation"):
            checked(PrepareStep(name="volume", options={**step.options, "schemes": [scheme]}))


def test_nothing_but_zeros_and_no_numbers_are_prepared():
    pixels = np.zeros((2, 3, 4, 5), np.float32)
    pixels[0, 0, 0, 0] = np.nan
    made = RECIPE.prepared(pixels, (None, None, None))
    assert made.box == (slice(0, 5), slice(0, 3), slice(0, 4))
    assert made.pixels.shape == (2, 5, 3, 4)
    assert set(np.unique(made.pixels)) == {0, -2}
    back = RECIPE.turned_back(RECIPE.returned(made.pixels, made))
    assert back.shape == pixels.shape


def test_the_axis_of_far_planes_is_resampled_on_its_own():
    assert lone_axis((5, 1, 1), (1, 1, 1), None) == 0
    assert lone_axis((1, 1, 1), (1, 1, 3.5), None) == 2
    assert lone_axis((3, 1, 1), (1, 1, 1), None) is None
    assert lone_axis((1, 4, 4), (1, 1, 1), None) is None
    assert lone_axis((5, 1, 1), (1, 1, 1), False) is None
    assert lone_axis((2, 1, 1), (1, 1, 1), True) == 0
    assert resampled_lengths((10, 3, 1), (1, 1, 0.2), (2, 1, 1)) == (5, 3, 1)


@pytest.mark.parametrize("order", (0, 1))
def test_along_it_middles_of_voxels_keep_their_places(order):
    ramp = np.arange(6, dtype=np.float32)[None, :, None, None] * np.ones((1, 6, 2, 2), np.float32)
    made = resample(ramp, (12, 2, 2), (3, order), 0)
    assert made.dtype == np.float32
    places = (np.arange(12) + 0.5) / 2 - 0.5
    wanted = np.arange(12) // 2 if order == 0 else np.interp(places, np.arange(6), np.arange(6))
    assert np.allclose(made[0, :, 0, 0], wanted)
    assert resample(ramp, (6, 2, 2), (3, order), 0) is ramp


def test_a_size_of_single_precision_rounds_lengths_as_there():
    """1.17 mm of a file is 1.16999996, so 65 pixels are 84 of 0.9 mm, not 85."""
    recipe = VolumeRecipe(
        schemes=(Scheme(how="none"),), window_px=(8, 8), spacing=(0.8999999761581421,) * 2
    )
    made = recipe.prepared(np.ones((1, 2, 4, 65), np.float32), (3200.0, 900.0, 1170.0))
    assert made.pixels.shape == (1, 2, 4, 84)

"""Normalisations one after the other, and those that bioimage.io defines."""

import numpy as np
import pytest

from napari_segnet.errors import SettingsError
from napari_segnet.image import Image
from napari_segnet.prepare import fit, normalizer_text, parse_normalizer

RNG = np.random.default_rng(0)
GROUND = np.array([5.0, 50.0, 0.0])[:, None, None]
PIXELS = (RNG.gamma(2.0, 30.0, (3, 20, 30)) + GROUND).astype(np.float32)
EPS = 1e-3


def applied(how: str) -> np.ndarray:
    image = Image(data=PIXELS, axes="cyx", name="cells")
    affines = fit(image, (0, 1, 2), parse_normalizer(how)).affines()
    return np.stack([affine.apply(c) for affine, c in zip(affines, PIXELS, strict=True)])


def per_channel(function):
    return np.stack([function(c.astype(float)) for c in PIXELS])


def scaled(x, low=1.0, high=99.0):
    a, b = np.percentile(x, [low, high])
    return (x - a) / (b - a + EPS)


SAME = {
    f"zero-mean-unit-variance:{EPS}": per_channel(lambda x: (x - x.mean()) / (x.std() + EPS)),
    f"pooled-zero-mean-unit-variance:{EPS}": (PIXELS - PIXELS.mean()) / (PIXELS.std() + EPS),
    f"scale-range:1,99,{EPS}": per_channel(scaled),
    f"pooled-scale-range:1,99,{EPS}": scaled(PIXELS.astype(float)),
    "clip:10,90": PIXELS.clip(10, 90),
    "divide-255 then mean-std:0.5,0.25": (PIXELS / 255 - 0.5) / 0.25,
    f"scale-range:1,99,{EPS} then clip:0,1": per_channel(scaled).clip(0, 1),
    "clip:10,90 then z-score": per_channel(
        lambda x: (x.clip(10, 90) - x.clip(10, 90).mean()) / x.clip(10, 90).std()
    ),
    f"scale-range:1,99,{EPS} then clip:0,1 then mean-std:0.5,0.5 then clip:-0.5,2": (
        (per_channel(scaled).clip(0, 1) - 0.5) / 0.5
    ).clip(-0.5, 2),
    f"divide-255 then pooled-zero-mean-unit-variance:{EPS}": (
        (PIXELS / 255 - (PIXELS / 255).mean()) / ((PIXELS / 255).std() + EPS)
    ),
    "mean-std:100,50 then min-max": per_channel(lambda x: (x - x.min()) / (x.max() - x.min())),
}


@pytest.mark.parametrize("how", SAME)
def test_it_equals_numpy(how):
    np.testing.assert_allclose(applied(how), SAME[how], rtol=2e-5, atol=2e-6)
    assert normalizer_text(parse_normalizer(how)) == how


def test_percentiles_after_a_clip_are_those_of_the_clipped_values():
    clipped = PIXELS.clip(20, 60).astype(float)
    expected = np.stack([(c - c.min()) / (c.max() - c.min()) for c in clipped])
    np.testing.assert_allclose(applied("clip:20,60 then min-max"), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("z-score then pooled-scale-range", "takes all channels together, but z-score before"),
        ("divide-255 then nothing-known", "normalize=nothing-known is not known"),
        (" then ".join(["divide-255"] * 17), "17 steps, and no more than 16"),
        ("scale-range:1,99,2", r"from 0 to 0\.1"),
        ("zero-mean-unit-variance:1", r"one number from 0 to 0\.1"),
        ("clip:3", "two numbers, the lower one first"),
    ],
)
def test_what_makes_no_sense_is_refused(how, match):
    with pytest.raises(SettingsError, match=match):
        parse_normalizer(how)

"""Each normalizer against its formula in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segnet.errors import SettingsError
from napari_segnet.image import Image
from napari_segnet.prepare import ArrayStatistics, fit, normalizer_text, parse_normalizer

RNG = np.random.default_rng(11)
RGB = RNG.integers(3, 250, (3, 40, 50), dtype=np.uint8)


def normalised(pixels: np.ndarray, text: str, over: str = "volume") -> np.ndarray:
    """Normalise (c, y, x) as a run would."""
    image = Image(data=pixels, axes="cyx")
    channels = tuple(range(len(pixels)))
    affines = fit(image, channels, parse_normalizer(text), over).affines(0, 0)
    return np.stack([a.apply(p) for a, p in zip(affines, pixels, strict=True)])


def per_channel(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return pixels.mean((1, 2), keepdims=True), pixels.std((1, 2), keepdims=True)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_fixed_divisors() -> None:
    close(normalised(RGB, "none"), RGB)
    close(normalised(RGB, "divide-255"), RGB / 255)
    close(normalised(RGB.astype(np.uint16) * 200, "divide-65535"), RGB * 200.0 / 65535)


def test_min_max_and_percentiles() -> None:
    low, high = RGB.min((1, 2), keepdims=True), RGB.max((1, 2), keepdims=True)
    close(normalised(RGB, "min-max"), (RGB - low) / (high - low).astype(float))
    for text, q in (("percentile", (1, 99.8)), ("percentile:5,90", (5, 90))):
        low, high = np.percentile(RGB, q, axis=(1, 2), keepdims=True)
        close(normalised(RGB, text), (np.clip(RGB, low, high) - low) / (high - low))


def test_z_score() -> None:
    mean, std = per_channel(RGB)
    close(normalised(RGB, "z-score"), (RGB - mean) / std)


def test_the_brain_recipe_pools_its_percentiles() -> None:
    volume = RGB.astype(np.float32) * np.array([1, 0.2, 3], np.float32)[:, None, None]
    low, high = np.percentile(volume, (10, 99))
    scaled = (np.clip(volume, low, high) - low) / (high - low)
    mean, std = per_channel(scaled.astype(np.float64))
    close(normalised(volume, "percentile-z-score"), (scaled - mean) / std)
    own = np.percentile(volume[2], (10, 99))
    assert abs(own[0] - low) > 10, "the test must tell pooled from per channel"


@pytest.mark.parametrize(
    ("pixels", "full"),
    [
        (RGB, 255),
        (RGB.astype(np.uint16) * 257, 65535),
        ((RGB / 255).astype(np.float32), 1),
        (RGB.astype(np.float32), 255),
        (RGB.astype(np.int16), 255),
    ],
)
def test_imagenet(pixels: np.ndarray, full: float) -> None:
    mean = np.array([0.485, 0.456, 0.406])[:, None, None]
    std = np.array([0.229, 0.224, 0.225])[:, None, None]
    close(normalised(pixels, "imagenet"), (pixels / full - mean) / std)


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535)])
def test_imagenet_is_rounded_as_torchvision_rounds_it(dtype: type, full: int) -> None:
    """Deep networks make a large difference of a last digit."""
    pixels = RNG.integers(0, full + 1, (3, 40, 50)).astype(dtype)
    mean = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
    std = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
    expected = (pixels.astype(np.float32) / np.float32(full) - mean) / std
    np.testing.assert_array_equal(normalised(pixels, "imagenet"), expected)


def test_imagenet_looks_at_all_channels_together() -> None:
    floats = RGB.astype(np.float32)
    floats[1] /= 255
    affine = fit(Image(data=floats, axes="cyx"), (0, 1, 2), parse_normalizer("imagenet")).affines()[
        1
    ]
    assert affine.scale == pytest.approx(0.224 * 255)


def test_imagenet_is_for_three_channels() -> None:
    with pytest.raises(SettingsError, match=r"three channels .* channel number 4"):
        normalised(np.concatenate([RGB, RGB[:1]]), "imagenet")


def test_divide_only_if_over_one() -> None:
    close(normalised(RGB, "divide-255-if-over-1"), RGB / 255)
    close(normalised(RGB // 255, "divide-255-if-over-1"), RGB // 255)
    mixed = np.stack([RGB[0] / 255, RGB[1] * 1.0]).astype(np.float32)
    close(normalised(mixed, "divide-255-if-over-1"), mixed / 255)


def test_window() -> None:
    pixels = RGB.astype(np.int16) - 100
    close(normalised(pixels, "window:-20,80"), (np.clip(pixels, -20, 80) + 20) / 100)


def test_mean_std() -> None:
    close(normalised(RGB, "mean-std:100,20"), (RGB - 100.0) / 20)
    mean, std = np.array([1, 2, 3.0])[:, None, None], np.array([4, 5, 6.0])[:, None, None]
    close(normalised(RGB, "mean-std:1,2,3,4,5,6"), (RGB - mean) / std)
    with pytest.raises(SettingsError, match=r"numbers for 2 channels.*channel number 3"):
        normalised(RGB, "mean-std:1,2,4,5")


@pytest.mark.parametrize("value", [0, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("text", ["min-max", "percentile", "z-score", "percentile-z-score"])
def test_a_constant_image_becomes_zero(text: str, dtype: type, value: int) -> None:
    close(normalised(np.full((1, 9, 9), value, dtype), text), np.zeros((1, 9, 9)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("percentil", "percentil is not known.*percentile.*mean-std"),
        ("", "is not known"),
        ("auto:1", "is not known. Use auto or one of"),
        ("z-score:3", "takes none"),
        ("percentile:1", "two percentiles between 0 and 100"),
        ("percentile:90,10", "two percentiles"),
        ("percentile:1,100.5", "two percentiles"),
        ("percentile:a,b", "numbers with commas"),
        ("percentile:", "numbers with commas"),
        ("percentile:nan,5", "must be finite"),
        ("window", "needs two numbers"),
        ("window:5,5", "the lower one first"),
        ("mean-std", "a mean and a standard deviation"),
        ("mean-std:1,2,3", "a mean and a standard deviation"),
        ("mean-std:1,0", "above 0"),
    ],
)
def test_refusals(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parse_normalizer(text)


@pytest.mark.parametrize(
    "text",
    ["percentile", "percentile:0.5,99.99", "window:-100,300", "mean-std:0.1,1e-05", "divide-255"],
)
def test_text_survives_a_round_trip(text: str) -> None:
    assert normalizer_text(parse_normalizer(text)) == text


def test_a_single_array_can_be_measured() -> None:
    affine = parse_normalizer("min-max").affine(ArrayStatistics(RGB[0]), 0)
    assert affine.apply(RGB[0]).max() == 1

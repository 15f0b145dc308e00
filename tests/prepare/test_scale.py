"""resize: exact sizes, positions kept, smooth where it shrinks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.prepare import scale
from napari_segnet.prepare.scale import resize, resize_in_bands, scaled_lengths


@pytest.mark.parametrize(
    ("lengths", "factors", "expected"),
    [
        ((100, 31), (2.0, 2.0), (50, 16)),
        ((5, 1), (0.5, 9.0), (10, 1)),
        ((7, 8, 9), (1.0, 1.0, 1.0), (7, 8, 9)),
    ],
)
def test_lengths(lengths: tuple[int, ...], factors: tuple[float, ...], expected: object) -> None:
    assert scaled_lengths(lengths, factors) == expected


def smooth(*lengths: int) -> np.ndarray:
    """A slow wave along each axis, in units of the axis's whole length."""
    grids = np.meshgrid(*((np.arange(n) + 0.5) / n for n in lengths), indexing="ij")
    waves = [np.cos(2 * np.pi * g) for g in grids]
    return np.stack([sum(waves), waves[0]]).astype(np.float32)


@given(
    old=st.lists(st.integers(24, 60), min_size=2, max_size=3),
    factor=st.sampled_from([0.4, 0.8, 1.0, 1.5, 2.3]),
)
@settings(max_examples=25, deadline=None)
def test_there_and_back_is_the_same_picture_at_the_same_place(
    old: list[int], factor: float
) -> None:
    lengths = tuple(old)
    picture = smooth(*lengths)
    new = scaled_lengths(lengths, (factor,) * len(lengths))
    there = resize(picture, new)
    assert there.shape == (2, *new)
    inner = (slice(None), *(slice(3, -3),) * len(lengths))
    assert np.abs(there - smooth(*new))[inner].max() < 0.25
    back = resize(there, lengths)
    assert back.shape == picture.shape
    assert np.abs(back - picture)[inner].max() < 0.25
    assert np.corrcoef(back.ravel(), picture.ravel())[0, 1] > 0.99


def test_enlarging_a_volume_is_trilinear() -> None:
    volume = torch.randn(2, 5, 6, 7)
    expected = torch.nn.functional.interpolate(
        volume[None], size=(10, 9, 20), mode="trilinear", align_corners=False
    )[0]
    np.testing.assert_allclose(resize(volume.numpy(), (10, 9, 20)), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("lengths", [(8, 8), (8, 8, 8)])
def test_shrinking_averages_instead_of_skipping(lengths: tuple[int, ...]) -> None:
    noise = np.random.default_rng(0).normal(size=(1, *(8 * n for n in lengths)))
    assert resize(noise, lengths).std() < 0.3  # every eighth pixel alone would keep 1


def test_integers_and_views() -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(1, 6, 10)
    pixels.flags.writeable = False
    np.testing.assert_array_equal(resize(pixels, (6, 10)), pixels)
    assert resize(pixels[:, ::2], (6, 10)).dtype == np.float32
    frozen = np.zeros((1, 3, 3), np.float32)
    frozen.flags.writeable = False
    assert resize(frozen, (5, 5)).shape == (1, 5, 5)


def test_a_single_pixel_can_grow() -> None:
    grown = resize(np.full((1, 1, 1), 3.0), (4, 5))
    np.testing.assert_allclose(grown, np.full((1, 4, 5), 3.0), rtol=1e-6)


@given(
    old=st.sampled_from([(9, 7), (40, 31), (1, 12), (6, 9, 8), (1, 5, 7)]),
    factors=st.tuples(*[st.floats(0.3, 4)] * 3),
    band=st.integers(1, 90),
)
def test_band_by_band_it_is_the_same(old, factors, band) -> None:
    new = scaled_lengths(old, factors[: len(old)])
    pixels = np.random.default_rng(0).random((2, *old), np.float32)
    made = np.full((2, *new), np.nan, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale, "BAND_PX", band)
        for rows, block in resize_in_bands(lambda rows: pixels[:, rows], 2, old, new):
            made[:, rows] = block
    np.testing.assert_allclose(made, resize(pixels, new), atol=5e-6)

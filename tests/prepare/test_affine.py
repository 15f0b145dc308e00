"""Affine: clip, subtract, divide, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.prepare import Affine

DTYPES = [np.uint8, np.int16, np.uint16, np.int32, np.float16, np.float32, np.float64]


@given(
    dtype=st.sampled_from(DTYPES),
    offset=st.floats(-50, 50),
    scale=st.floats(0.5, 500),
    low=st.floats(0, 40),
    span=st.floats(1, 200),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_apply_is_the_formula_and_invert_undoes_it(
    dtype: type, offset: float, scale: float, low: float, span: float, seed: int
) -> None:
    pixels = (np.random.default_rng(seed).random((3, 17, 5)) * 120).astype(dtype)
    affine = Affine(offset=offset, scale=scale, low=low, high=low + span)
    clipped = np.clip(pixels.astype(np.float64), low, low + span)
    normal = affine.apply(pixels)
    assert normal.dtype == np.float32
    np.testing.assert_allclose(
        normal, (clipped - offset) / scale, rtol=1e-5, atol=2e-6 * 300 / scale
    )
    np.testing.assert_allclose(affine.invert(normal), clipped, atol=1e-3, rtol=1e-5)


def test_a_large_pedestal_does_not_eat_the_digits() -> None:
    pixels = np.array([16_777_217, 16_777_219, 16_777_300], np.int32)
    affine = Affine(offset=16_777_217.0, scale=1.0)
    np.testing.assert_array_equal(affine.apply(pixels), [0, 2, 83])
    floats = np.array([60_000.5, 60_001.0], np.float32)
    np.testing.assert_allclose(Affine(offset=60_000.1, scale=0.1).apply(floats), [4, 9], atol=0.02)


def test_what_is_not_finite_becomes_low_or_zero() -> None:
    pixels = np.array([np.nan, np.inf, -np.inf, 3.0], np.float32)
    np.testing.assert_array_equal(Affine(offset=1.0, scale=2.0).apply(pixels), [0, 0, 0, 1])
    clip = Affine(offset=1.0, scale=2.0, low=-1.0, high=5.0)
    np.testing.assert_array_equal(clip.apply(pixels), [-1, 2, -1, 1])


@pytest.mark.parametrize("view", [np.s_[:], np.s_[::2, :, 1:], np.s_[..., 1], np.s_[0, 0]])
def test_views_and_given_memory(view: object) -> None:
    whole = np.random.default_rng(0).random((4, 30, 9)).astype(np.float32)
    pixels = whole[view]
    affine = Affine(offset=0.3, scale=0.1)
    expected = affine.apply(pixels.copy())
    out = np.full_like(pixels, np.nan)
    assert affine.apply(pixels, out=out) is out
    np.testing.assert_array_equal(out, expected)
    affine.apply(pixels, out=pixels)  # in place, also through a view
    np.testing.assert_array_equal(pixels, expected)


def test_arrays_larger_than_a_block_and_without_dimensions() -> None:
    pixels = np.arange(300_000, dtype=np.uint16)
    np.testing.assert_array_equal(Affine(scale=2.0).apply(pixels), pixels / np.float32(2))
    assert Affine(scale=2.0).apply(np.array(3, np.uint8)) == 1.5


def test_json_has_no_infinity() -> None:
    assert Affine(offset=1.0, high=2.0).to_json() == {
        "offset": 1.0, "scale": 1.0, "low": None, "high": 2.0,
    }  # fmt: skip

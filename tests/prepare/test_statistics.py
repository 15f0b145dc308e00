"""Statistics equal numpy's, however the image is cut, and are read once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.errors import Cancelled, ImageError
from napari_segnet.image import Image
from napari_segnet.prepare import ArrayStatistics, fit, parse_normalizer, statistics
from napari_segnet.prepare.statistics import ImageStatistics, blocks
from napari_segnet.progress import job, run

Q = (0.0, 0.3, 1.0, 10.0, 50.0, 99.0, 99.8, 100.0)
EVERYTHING = (range(1), slice(None))


def random_pixels(dtype: str, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype.startswith("f"):
        return (rng.normal(size=shape) * 50 - 20).astype(dtype)
    info = np.iinfo(dtype)
    low, high = max(info.min, -(2**50)), min(info.max, 2**50)
    return rng.integers(low, high, shape, dtype, endpoint=True)


class Small:
    """Makes blocks and the sorting limit tiny, so that every path is walked."""

    def __init__(self, block: int, kept: int) -> None:
        self._new = {"BLOCK_PIXELS": block, "SORTED_PIXELS": kept}

    def __enter__(self) -> None:
        self._old = {name: getattr(statistics, name) for name in self._new}
        for name, value in self._new.items():
            setattr(statistics, name, value)

    def __exit__(self, *_: object) -> None:
        for name, value in self._old.items():
            setattr(statistics, name, value)


@given(
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]),
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20)),
    block=st.sampled_from([1, 30, 10**6]),
    kept=st.sampled_from([0, 10**6]),
)
@settings(max_examples=60, deadline=None)
def test_figures_equal_numpy(
    dtype: str, seed: int, shape: tuple[int, int, int], block: int, kept: int
) -> None:
    pixels = random_pixels(dtype, seed, shape)
    with Small(block, kept):
        found = ImageStatistics(Image(data=pixels, axes="zyx"), 0, EVERYTHING)
        wide = pixels.astype(np.float64)
        size = np.abs(wide).max() + 1e-9
        assert found.min_max() == (wide.min(), wide.max())
        np.testing.assert_allclose(found.percentiles(*Q), np.percentile(wide, Q), atol=1e-6 * size)
        np.testing.assert_allclose(found.mean_std(), (wide.mean(), wide.std()), atol=1e-6 * size)
        low, high = np.percentile(wide, (20, 70))
        clipped = np.clip(wide, low, high)
        np.testing.assert_allclose(
            found.mean_std(low, high), (clipped.mean(), clipped.std()), atol=1e-6 * size
        )


@pytest.mark.parametrize("kept", [0, 10**6])
def test_only_finite_values_count(kept: int) -> None:
    pixels = np.arange(60, dtype=np.float32).reshape(6, 10) - 30
    pixels[2, 3:6] = np.nan, np.inf, -np.inf
    good = pixels[np.isfinite(pixels)]
    with Small(20, kept):
        found = ImageStatistics(Image(data=pixels, axes="yx"), 0, EVERYTHING)
        assert found.min_max() == (good.min(), good.max())
        assert found.mean_std() == pytest.approx((good.mean(), good.std()))
        assert found.percentiles(5.0, 60.0) == pytest.approx(tuple(np.percentile(good, (5, 60))))


def test_a_pedestal_does_not_spoil_the_spread() -> None:
    pixels = 1e7 + np.random.default_rng(0).normal(size=(50, 50))
    with Small(64, 0):
        mean, std = ImageStatistics(Image(data=pixels, axes="yx"), 0, EVERYTHING).mean_std()
    assert mean == pytest.approx(pixels.mean(), rel=1e-14)
    assert std == pytest.approx(pixels.std(), rel=1e-9)


class Counting:
    """An array that counts what is read of it."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.read = 0
        self.largest = 0

    def __getitem__(self, index: Any) -> np.ndarray:
        part = self._pixels[index]
        self.read += part.size
        self.largest = max(self.largest, part.size)
        return part


def test_whole_numbers_are_read_once_and_in_pieces() -> None:
    data = Counting(random_pixels("u2", 0, (40, 50)))
    with Small(500, 0):
        found = ImageStatistics(Image(data=data, axes="yx"), 0, EVERYTHING)
        found.percentiles(1.0, 99.8)
        found.percentiles(50.0)
        found.mean_std()
        found.mean_std(100.0, 200.0)
        found.min_max()
    assert data.read == 2000
    assert data.largest <= 500


def test_blocks_cover_each_pixel_once() -> None:
    pixels = np.arange(3 * 2 * 7 * 300).reshape(3, 2, 7, 300)
    image = Image(data=pixels, axes="tzyx")
    for size in (1, 299, 301, 5000, 10**6):
        with Small(size, 0):
            parts = [b.ravel() for b in blocks(image, 0, (range(3), slice(None)))]
        np.testing.assert_array_equal(np.sort(np.concatenate(parts)), pixels.ravel())


def test_nothing_finite_is_refused() -> None:
    with pytest.raises(ImageError, match="the image has no finite pixel"):
        ArrayStatistics(np.full((3, 3), np.nan)).min_max()


def test_measuring_can_be_stopped() -> None:
    pixels = np.zeros((40, 50), np.uint8)

    @job
    def measure() -> Any:
        yield from ()
        running.cancel()
        return fit(Image(data=pixels, axes="yx"), (0,), parse_normalizer("z-score"))

    running = measure()
    with pytest.raises(Cancelled):
        run(running)

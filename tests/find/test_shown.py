"""The tiles that stand for an image are those whose figures are nearest to its own."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segnet.find._shown import LIMITS, TRIED_SETS, _drawn, part_of
from napari_segnet.image import Image


def picture(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.gamma(2.0, 30.0, shape).clip(0, 255).astype(dtype)


def likest(plane: np.ndarray, edge: int, count: int) -> list[tuple[int, int]]:
    """Return corners of the set, box by box."""
    plane = plane.astype(np.float32)
    limits = np.percentile(plane, LIMITS)
    spread = max(float(limits[-1] - limits[0]), 1e-6)
    tops, lefts = _drawn(plane.shape, (edge, edge), count)
    figures = [(plane <= limit).astype(float) for limit in limits]
    figures.append(np.abs(np.diff(plane, axis=1)).astype(float) * (5 / spread))
    unlike = np.zeros(TRIED_SETS)
    for number in range(TRIED_SETS):
        for figure in figures:
            seen = [
                figure[y : y + edge, x : x + edge - (plane.shape[1] - figure.shape[1])].mean()
                for y, x in zip(tops[number], lefts[number], strict=True)
            ]
            unlike[number] += abs(np.mean(seen) - figure.mean())
    best = int(unlike.argmin())
    return [(int(y), int(x)) for y, x in zip(tops[best], lefts[best], strict=True)]


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "int32"])
def test_tiles_are_the_likest_of_those_tried(dtype: str, count: int) -> None:
    pixels = picture(dtype, (70, 90), count)
    found = part_of(Image(data=pixels, axes="yx"), 1, 2).tiles(32, 1.0, count)

    assert [(tile.top, tile.left) for tile in found] == likest(pixels, 32, count)


def test_of_colours_the_mean_counts() -> None:
    pixels = picture("uint8", (3, 70, 90), 7)
    found = part_of(Image(data=pixels, axes="cyx"), 3, 2).tiles(32, 1.0, 2)
    mean = pixels.astype(np.float32).mean(axis=0)

    assert [(tile.top, tile.left) for tile in found] == likest(mean, 32, 2)


def test_what_is_no_number_counts_as_0() -> None:
    pixels = picture("float32", (70, 90), 8)
    pixels[3, 4], pixels[60, 50] = np.nan, np.inf
    found = part_of(Image(data=pixels, axes="yx"), 1, 2).tiles(32, 1.0, 2)
    pixels[3, 4] = pixels[60, 50] = 0

    assert [(tile.top, tile.left) for tile in found] == likest(pixels, 32, 2)

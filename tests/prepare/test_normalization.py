"""fit: over what the figures are taken, and what happens where there are none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_segnet.errors import ImageError, SettingsError
from napari_segnet.image import Image
from napari_segnet.prepare import ChannelMap, fit, parse_normalizer

PIXELS = np.random.default_rng(5).integers(0, 2**16, (2, 3, 2, 8, 9), dtype=np.uint16)
IMAGE = Image(data=PIXELS, axes="tzcyx")
MIN_MAX = parse_normalizer("min-max")


@pytest.mark.parametrize(
    ("over", "box"),
    [
        ("plane", lambda t, z: PIXELS[t, z, 1]),
        ("volume", lambda t, z: PIXELS[t, :, 1]),
        ("series", lambda t, z: PIXELS[:, :, 1]),
    ],
)
def test_scopes(over: str, box) -> None:
    fitted = fit(IMAGE, (0, 1), MIN_MAX, over)
    for t in range(2):
        for z in range(3):
            affine = fitted.affines(t, z)[1]
            assert affine.offset == box(t, z).min()
            assert affine.offset + affine.scale == box(t, z).max()
    assert len(fitted.table) == {"plane": 6, "volume": 2, "series": 1}[over]


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"normalize_over=tile is not known.*volume"):
        fit(IMAGE, (0,), MIN_MAX, "tile")


def test_a_channel_map_says_the_same_as_its_channels() -> None:
    a = fit(IMAGE, ChannelMap(channels=(1, 1)), MIN_MAX)
    assert a == fit(IMAGE, (1, 1), MIN_MAX)


def test_json_is_strict() -> None:
    content = fit(IMAGE, (0, 1), parse_normalizer("z-score"), "plane").to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["over"] == "plane"
    assert len(content["affines"]) == 6


@pytest.mark.parametrize("how", ["percentile", "divide-255", "none"])
def test_an_image_without_a_finite_pixel_is_refused(how: str) -> None:
    image = Image(data=np.full((9, 9), np.nan, np.float32), axes="yx", name="blank")
    with pytest.raises(ImageError, match="blank has no finite pixel"):
        fit(image, (0,), parse_normalizer(how))
    two = np.zeros((2, 9, 9), np.float32)
    two[1] = np.inf
    with pytest.raises(ImageError, match="blank, channel 1, has no finite pixel"):
        fit(Image(data=two, axes="cyx", name="blank"), (0, 1), parse_normalizer(how))


def test_a_blank_plane_among_others_becomes_zero() -> None:
    stack = np.random.default_rng(0).random((3, 9, 9)).astype(np.float32)
    stack[1] = np.nan
    fitted = fit(Image(data=stack, axes="zyx"), (0,), parse_normalizer("z-score"), "plane")
    assert np.all(fitted.affines(0, 1)[0].apply(stack[1]) == 0)
    assert abs(fitted.affines(0, 2)[0].apply(stack[2]).mean()) < 1e-6


def test_brightness_is_measured_as_the_network_sees_it() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    image = Image(data=rgb, axes="yxc", rgb=True)
    affine = fit(image, ("luminance",), MIN_MAX).affines()[0]
    grey = rgb @ np.array([0.299, 0.587, 0.114])
    assert affine.offset == pytest.approx(grey.min(), abs=1e-4)
    assert affine.offset + affine.scale == pytest.approx(grey.max(), abs=1e-4)
    # Beside a plain channel, pooled: one type for both.
    pooled = fit(image, (0, "luminance"), parse_normalizer("percentile-z-score")).affines()
    both = np.concatenate([rgb[..., 0].ravel().astype(np.float32), grey.ravel()])
    assert (pooled[1].low, pooled[1].high) == pytest.approx(
        tuple(np.percentile(both, (10, 99))), abs=1e-3
    )

"""What every normalizer in NORMALIZERS promises; a newcomer is tested without an edit here."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from napari_segnet.errors import SettingsError
from napari_segnet.image import Image
from napari_segnet.prepare import (
    NORMALIZERS,
    Adjustable,
    Normalizer,
    fit,
    normalizer_text,
    parse_normalizer,
)

every_normalizer = pytest.mark.parametrize("member", NORMALIZERS, ids=lambda n: n.name)

# Those that have no defaults, with numbers that could be meant.
NUMBERS = {"window": "window:10,200", "mean-std": "mean-std:100,30", "clip": "clip:10,200"}


@pytest.fixture
def normalizer(member: Normalizer) -> Normalizer:
    return parse_normalizer(NUMBERS.get(member.name, member.name))


def picture(dtype: str, channels: int) -> Image:
    rng = np.random.default_rng(4)
    pixels = (rng.random((2, channels, 30, 41)) * 200 + 3).astype(dtype)
    return Image(data=pixels, axes="zcyx")


@every_normalizer
def test_names(member: Normalizer) -> None:
    assert member.name == member.name.strip().lower()
    assert not set(member.name) & set(":, =")
    assert member.name != "auto"
    assert sum(other.name == member.name for other in NORMALIZERS) == 1


@every_normalizer
def test_text_round_trip(member: Normalizer, normalizer: Normalizer) -> None:
    text = normalizer_text(normalizer)
    again = parse_normalizer(text)
    assert normalizer_text(again) == text
    image = picture("uint16", 1)
    assert fit(image, (0,), again) == fit(image, (0,), normalizer)


@every_normalizer
def test_senseless_numbers_are_refused_by_name(member: Normalizer) -> None:
    with pytest.raises(SettingsError, match=member.name):
        parse_normalizer(f"{member.name}:1,2,3,inf")
    with pytest.raises(SettingsError, match=member.name):
        parse_normalizer(f"{member.name}:one")
    if isinstance(member, Adjustable):
        with pytest.raises(SettingsError, match=member.name):
            parse_normalizer(f"{member.name}:1,2,3")


@every_normalizer
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("over", ["volume", "plane", "series"])
def test_finite_ordered_and_invertible(
    member: Normalizer, normalizer: Normalizer, dtype: str, channels: int, over: str
) -> None:
    image = picture(dtype, channels)
    fitted = fit(image, tuple(range(channels)), normalizer, over)
    for z in range(2):
        for c, affine in enumerate(fitted.affines(0, z)):
            pixels = image.data[z, c]
            normal = affine.apply(pixels)
            assert np.isfinite(normal).all()
            order = np.argsort(pixels, axis=None)
            assert np.all(np.diff(normal.ravel()[order]) >= 0), "brighter must stay brighter"
            inside = (pixels >= affine.low) & (pixels <= affine.high)
            # float32 keeps seven digits of the normalised value, whatever its unit.
            atol = 1e-6 * (abs(affine.offset) + abs(affine.scale))
            again = affine.invert(normal)[inside]
            np.testing.assert_allclose(again, pixels[inside], rtol=1e-5, atol=atol)


@every_normalizer
@pytest.mark.parametrize("value", [0.0, 7.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 17)])
def test_constant_and_tiny_images_stay_finite(
    member: Normalizer, normalizer: Normalizer, value: float, shape: tuple[int, int]
) -> None:
    pixels = np.full(shape, value, np.float32)
    affine = fit(Image(data=pixels, axes="yx"), (0,), normalizer).affines()[0]
    assert np.isfinite(affine.apply(pixels)).all()


@every_normalizer
def test_missing_pixels_do_not_spread(member: Normalizer, normalizer: Normalizer) -> None:
    image = picture("f4", 1)
    expected = fit(image, (0,), normalizer).affines()[0].apply(image.data)
    holes = image.data.copy()
    holes[0, 0, :3, :3] = np.nan
    found = fit(Image(data=holes, axes="zcyx"), (0,), normalizer).affines()[0].apply(holes)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1], expected[1], atol=0.05 * np.abs(expected).max())


@every_normalizer
def test_it_travels_to_another_process(member: Normalizer, normalizer: Normalizer) -> None:
    assert normalizer_text(pickle.loads(pickle.dumps(normalizer))) == normalizer_text(normalizer)

"""map_channels: which channels, and the words when they do not fit."""

from __future__ import annotations

import re

import numpy as np
import pytest

from napari_segnet.errors import MismatchError, SettingsError
from napari_segnet.image import Image
from napari_segnet.prepare import map_channels

RNG = np.random.default_rng(2)


def image(c: int, rgb: bool = False, names: tuple[str, ...] = ()) -> Image:
    pixels = RNG.integers(0, 256, (2, 3, 6, 7, c), dtype=np.uint8)
    return Image(data=pixels, axes="tzyxc", rgb=rgb, channel_names=names, name="cells")


@pytest.mark.parametrize(
    ("have", "rgb", "want", "setting", "channels", "note"),
    [
        (1, False, 1, "auto", (0,), ""),
        (3, True, 3, "auto", (0, 1, 2), ""),
        (5, False, 5, "auto", (0, 1, 2, 3, 4), ""),
        (3, True, 1, "auto", ("luminance",), "BT.601"),
        (1, False, 3, "auto", (0, 0, 0), "channel 0 was used for each"),
        (5, False, 2, "0, 2", (0, 2), ""),
        (5, False, 3, "4,4,1", (4, 4, 1), ""),
        (5, False, 3, "4", (4, 4, 4), "channel 4 was used for each"),
        (3, True, 1, "1", (1,), ""),
        (3, True, 2, "luminance,0", ("luminance", 0), ""),
    ],
)
def test_choices(
    have: int, rgb: bool, want: int, setting: str, channels: tuple[object, ...], note: str
) -> None:
    found = map_channels(image(have, rgb), want, setting)
    assert found.channels == channels
    assert note in found.note
    assert bool(note) == bool(found.note)


@pytest.mark.parametrize(
    ("have", "rgb", "want", "spare", "setting", "channels", "note"),
    [
        (1, False, 2, 1, "auto", (0, "empty"), r"can take 2 channels and got 1; .*channels=0,1"),
        (3, True, 2, 1, "auto", ("luminance", "empty"), "BT.601.* what is left is empty"),
        (2, False, 2, 1, "auto", (0, 1), "^$"),
        (5, False, 2, 1, "3", (3, "empty"), "got 1; what is left is empty"),
        (5, False, 2, 1, "3,empty", (3, "empty"), "^$"),
        (5, False, 2, 0, "empty,3", ("empty", 3), "^$"),
        (1, False, 3, 2, "auto", (0, "empty", "empty"), "can take 3 channels and got 1"),
    ],
)
def test_a_network_that_can_do_without_a_channel(
    have: int,
    rgb: bool,
    want: int,
    spare: int,
    setting: str,
    channels: tuple[object, ...],
    note: str,
) -> None:
    given = image(have, rgb)
    found = map_channels(given, want, setting, spare=spare)
    assert found.channels == channels
    assert re.search(note, found.note)
    block = found.read(given, 0)
    assert [bool(c.any()) for c in block] == [c != "empty" for c in channels]


def test_what_a_network_cannot_do_without_is_asked_for() -> None:
    with pytest.raises(MismatchError, match=r"takes 2 channels, but cells has 5 channels\. "):
        map_channels(image(5), 2, spare=1)


def test_a_picture_without_a_channel_axis() -> None:
    flat = Image(data=np.arange(42, dtype=np.uint8).reshape(6, 7), axes="yx")
    block = map_channels(flat, 3).read(flat)
    assert block.shape == (3, 1, 6, 7)
    np.testing.assert_array_equal(block[2, 0], flat.data)


@pytest.mark.parametrize(
    ("have", "rgb", "want", "setting", "error", "words"),
    [
        (5, False, 1, "auto", MismatchError, r"5 channels \(a, b, c, d, e\)\. Choose with"),
        (4, False, 1, "auto", MismatchError, r"=0; they are numbered from 0 to 3\."),
        (3, False, 1, "auto", MismatchError, r"takes 1 channel, but cells has 3 channels\. "),
        (2, False, 3, "auto", MismatchError, r"takes 3 channels, but cells has 2 .*channels=0,1,2"),
        (2, False, 1, "2", MismatchError, r"no channel 2 in cells\. It has 2 channels; number"),
        (5, False, 3, "0,1", MismatchError, "chooses 2 channels, but this network takes 3"),
        (3, False, 1, "luminance", MismatchError, "not a red-green-blue image"),
        (2, False, 1, "red", SettingsError, "channels=red is not understood.*channels=0,2"),
        (2, False, 1, "-1", SettingsError, "channels=-1 is not understood"),
        (2, False, 1, "", SettingsError, "is not understood"),
        (2, False, 1, "0,", SettingsError, "is not understood"),
    ],
)  # fmt: skip
def test_refusals(
    have: int, rgb: bool, want: int, setting: str, error: type[Exception], words: str
) -> None:
    names = ("a", "b", "c", "d", "e") if have == 5 else ()
    with pytest.raises(error, match=words):
        map_channels(image(have, rgb, names), want, setting)


def test_boxes_are_read_in_the_networks_order() -> None:
    cells = image(5)
    block = map_channels(cells, 3, "4,0,4").read(cells, 1, slice(1, 3), slice(2, 6), slice(0, 4))
    assert block.dtype == np.uint8
    expected = cells.data[1, 1:3, 2:6, 0:4][..., [4, 0, 4]].transpose(3, 0, 1, 2)
    np.testing.assert_array_equal(block, expected)


def test_brightness() -> None:
    cells = image(3, rgb=True)
    block = map_channels(cells, 1).read(cells, 0)
    assert block.dtype == np.float32
    expected = cells.data[0] @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(block[0], expected, atol=1e-4)
    assert map_channels(cells, 1).to_json() == ["luminance"]


# ---- Dark objects ----


def test_inverted_is_the_largest_number_minus_the_value() -> None:
    for dtype, white in ((np.uint8, 255), (np.uint16, 65535), (np.float32, 1)):
        pixels = RNG.random((6, 7)) if dtype is np.float32 else RNG.integers(0, 200, (6, 7))
        flat = Image(data=pixels.astype(dtype), axes="yx")
        block = map_channels(flat, 1, invert=True).read(flat)
        assert block.dtype == dtype
        np.testing.assert_array_equal(block[0, 0], np.asarray(white, dtype) - flat.data)


@pytest.mark.parametrize("dtype", ["i1", "<i2", ">i2", "i4", "i8", "u8"])
def test_whole_numbers_are_inverted_without_overflow(dtype: str) -> None:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    flat = Image(data=np.array([[low, low + 5], [high - 3, high]], dtype), axes="yx")
    block = map_channels(flat, 1, invert=True).read(flat)
    assert [int(value) for value in block.ravel()] == [high - low, high - low - 5, 3, 0]


def test_inverted_twice_is_as_it_was() -> None:
    flat = image(2)
    assert map_channels(flat, 2, "inverted-1,0", invert=True).channels == (1, "inverted-0")


def test_an_inverted_choice_says_so() -> None:
    found = map_channels(image(3, rgb=True), 1, invert=True)
    assert found.channels == ("inverted-luminance",)
    assert "Dark and bright were exchanged" in found.note
    assert "BT.601" in found.note
    bright = map_channels(image(3, rgb=True), 1)
    flat = image(3, rgb=True)
    np.testing.assert_allclose(found.read(flat), 255 - bright.read(flat), atol=1e-4)


@pytest.mark.parametrize("stain", ["hematoxylin", "eosin", "dab"])
def test_a_stain_is_that_of_scikit_image(stain: str) -> None:
    from skimage.color import rgb2hed
    from skimage.data import immunohistochemistry

    pixels = immunohistochemistry()[:40, :50]
    flat = Image(data=pixels, axes="yxc", rgb=True)
    want = rgb2hed(pixels)[..., ["hematoxylin", "eosin", "dab"].index(stain)]
    np.testing.assert_allclose(map_channels(flat, 1, stain).read(flat)[0, 0], want, atol=1e-5)
    less = map_channels(flat, 1, f"inverted-{stain}").read(flat)[0, 0]
    np.testing.assert_allclose(less, -want, atol=1e-5)


def test_a_box_of_a_stain_is_that_of_the_whole() -> None:
    flat = image(3, rgb=True)
    chosen = map_channels(flat, 2, "hematoxylin,inverted-luminance")
    whole = chosen.read(flat, 1)
    np.testing.assert_array_equal(
        chosen.read(flat, 1, slice(1, 2), slice(2, 5), slice(0, 3)), whole[:, 1:2, 2:5, 0:3]
    )


def test_a_grey_image_has_no_stain() -> None:
    with pytest.raises(MismatchError, match="so it has no hematoxylin"):
        map_channels(image(3), 1, "hematoxylin")

"""What a network is shown."""

import numpy as np
import pytest
import torch

from napari_segnet.evidence._inputs import NORMALIZATIONS, normalized
from napari_segnet.evidence._matched import chosen, shares
from napari_segnet.evidence._pictures import Pictures, bundled, of_image
from napari_segnet.image import Image
from napari_segnet.prepare import parse_normalizer


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("edge", [64, 96, 200])
def test_bundled_pictures_have_the_size_and_channels_that_are_asked_for(channels, edge):
    pictures = bundled(channels, 2, edge, 3)
    assert pictures.values.shape == (3, channels, edge, edge)
    assert pictures.values.dtype == np.float32
    assert 0 <= pictures.values.min() < 30 < 200 < pictures.values.max() <= 255


def test_they_differ_from_each_other_and_are_not_flat():
    values = bundled(1, 2).values
    assert len(values) == 5
    assert min(picture.std() for picture in values) > 10
    assert all(abs(np.corrcoef(values[0].ravel(), v.ravel())[0, 1]) < 0.6 for v in values[1:])


def test_a_volume_changes_a_little_from_plane_to_plane():
    values = bundled(1, 3, 64, 2).values
    assert values.shape == (2, 1, 16, 64, 64)
    near = np.corrcoef(values[0, 0, 4].ravel(), values[0, 0, 5].ravel())[0, 1]
    far = np.corrcoef(values[0, 0, 0].ravel(), values[0, 0, 15].ravel())[0, 1]
    assert far < near < 1


def test_the_parts_of_an_image_that_show_most_are_taken():
    data = np.zeros((300, 300, 3), np.uint8)
    data[110:180, 110:180] = np.random.default_rng(0).integers(0, 255, (70, 70, 3))
    pictures = of_image(Image(data=data, axes="yxc", rgb=True), 3, 2, 96, 4)
    assert pictures.own and str(pictures).endswith("of your image")
    assert pictures.values.shape[1:] == (3, 96, 96)
    assert all(picture.std() > 0 for picture in pictures.values)
    assert pictures.white == 255


def test_a_grey_image_is_repeated_and_a_coloured_one_averaged():
    grey = Image(data=np.random.default_rng(0).integers(0, 4000, (128, 128), np.uint16), axes="yx")
    pictures = of_image(grey, 3, 2, 96)
    assert pictures.white == 65535
    assert (pictures.values[:, 0] == pictures.values[:, 2]).all()
    coloured = Image(data=np.moveaxis(np.stack([grey.data] * 3), 0, -1), axes="yxc", rgb=True)
    assert of_image(coloured, 1, 2, 96).values.shape == (1, 1, 96, 96)


def test_an_image_with_channels_to_choose_from_says_nothing():
    data = np.random.default_rng(0).integers(0, 4000, (3, 128, 128), np.uint16)
    image = Image(data=data, axes="cyx")
    assert of_image(image, 1, 2, 96) is None
    assert of_image(image, 3, 2, 96) is not None


def test_what_is_too_small_or_flat_says_nothing():
    assert of_image(Image(data=np.ones((20, 300)), axes="yx"), 1, 2) is None
    assert of_image(Image(data=np.ones((300, 300)), axes="yx"), 1, 2) is None
    assert of_image(Image(data=np.ones((3, 300, 300)), axes="zyx"), 1, 3, 64) is None


def test_the_middle_of_a_stack_is_taken_for_a_volume():
    data = np.random.default_rng(0).integers(0, 255, (40, 70, 70), np.uint8)
    assert of_image(Image(data=data, axes="zyx"), 1, 3, 64).values.shape == (1, 1, 16, 64, 64)


@pytest.mark.parametrize("how", NORMALIZATIONS)
def test_normalisations_are_those_of_the_setting(how):
    pictures = bundled(3, 2, 64, 2)
    shown = normalized(pictures, how)
    assert shown.shape == pictures.values.shape and shown.dtype == np.float32
    parse_normalizer(how)  # a value of the setting


def test_normalised_values_are_what_their_names_say():
    values = np.array([[[[0.0, 255.0], [51.0, 102.0]]]], np.float32)
    pictures = Pictures(values=values)
    assert normalized(pictures, "divide-255").max() == 1
    assert normalized(pictures, "none").max() == 255
    half = normalized(pictures, "mean-std:127.5,127.5")
    assert (half.min(), half.max()) == (-1, 1)
    assert abs(normalized(pictures, "z-score").mean()) < 1e-6


def test_shares_meet_what_the_file_says():
    generator = torch.Generator().manual_seed(3)
    mean = torch.rand((6, 5), generator=generator, dtype=torch.float64)
    variance = torch.rand((6, 5), generator=generator, dtype=torch.float64) + 0.1
    true = torch.tensor([0.7, 0, 0.3, 0, 0, 0], dtype=torch.float64)[:, None]
    whole = (true * mean).sum(0)
    moments = (mean, variance, whole, (true * (variance + (mean - whole) ** 2)).sum(0))
    assert chosen(moments, 2) == [0, 2]
    found = shares(moments)
    assert found.sum() == pytest.approx(1)
    # A tenth is even, so that few channels never choose a single picture.
    assert found == pytest.approx(0.9 * true[:, 0].numpy() + 0.1 / 6, abs=1e-6)


def test_shares_are_even_where_the_file_says_nothing():
    nothing = torch.full((3, 2), torch.nan, dtype=torch.float64)
    some = torch.ones(2, dtype=torch.float64)
    assert shares((nothing, nothing, some, some)) == pytest.approx(1 / 3)


def test_many_pictures_are_unlike_one_another():
    values = bundled(3, 2, 64, 2, varied=True).values
    assert values.shape[1:] == (3, 64, 64)
    assert len(values) > 20
    assert 0 <= values.min() < values.max() <= 255
    flat = values.reshape(len(values), -1)
    assert len({one.tobytes() for one in flat}) == len(values)

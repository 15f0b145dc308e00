"""The samples of File > Open Sample, as layers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_segnet import samples
from napari_segnet.image import Image
from napari_segnet.widgets.plugin import sample_data as _samples

COMMANDS = {
    "nuclei": _samples.nuclei,
    "nuclei-stack": _samples.nuclei_stack,
    "nuclei-rgb": _samples.nuclei_rgb,
}


@pytest.mark.parametrize("key", samples.SAMPLES)
def test_a_sample_is_a_layer_with_pixel_size_and_axes(key):
    image = samples.SAMPLES[key]()
    (layer,) = ViewerModel()._add_layer_from_data(*COMMANDS[key]()[0])
    axes = image.axes.removesuffix("c")
    assert np.array_equal(layer.data, image.data)
    assert (layer.name, layer.rgb) == (image.name, image.rgb)
    assert layer.axis_labels == tuple(axes)
    assert layer.scale.tolist() == [image.pixel_size_um[axis] for axis in axes]
    assert {str(unit) for unit in layer.units} == {"micrometer"}


def test_grey_levels_are_stretched_to_what_there_is_to_see():
    _, arguments, kind = _samples.nuclei()[0]
    low, high = arguments["contrast_limits"]
    assert kind == "image"
    assert 100 < low < 400 < high < 4000


def test_an_image_of_one_grey_level_can_be_shown():
    flat = Image(data=np.full((8, 8), 7, np.uint8), axes="yx")
    layer_data = _samples.image_layer(flat)
    (layer,) = ViewerModel()._add_layer_from_data(*layer_data)
    assert layer.contrast_limits == [7, 8]
    assert {str(unit) for unit in layer.units} == {"pixel"}

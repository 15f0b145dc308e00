"""Folders of Hugging Face: the configuration is on the card, the weights are read as always."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import save_file
from support.networks import Milesial, calibrate

import napari_segnet as sn
from napari_segnet.errors import BrokenWeightsError
from napari_segnet.packages import holds_package


@pytest.fixture
def folder(tmp_path):
    save_file(calibrate(Milesial(depth=2, width=4)).state_dict(), tmp_path / "model.safetensors")
    config = {"_model_class": "UNet", "classes": 2, "nested": {"a": 1}, "widths": [4, 8]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_the_configuration_is_on_the_card(folder):
    for place in (folder, folder / "model.safetensors", folder / "config.json"):
        found = sn.identify(place)
        assert found.path == folder / "model.safetensors"
        assert found.card["config"] == {"_model_class": "UNet", "classes": 2, "widths": [4, 8]}


def test_a_damaged_configuration_is_named(folder):
    (folder / "config.json").write_text("[")
    assert holds_package(folder)
    with pytest.raises(BrokenWeightsError, match=r"config\.json in .* cannot be understood"):
        sn.identify(folder)

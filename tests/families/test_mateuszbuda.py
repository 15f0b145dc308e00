"""The U-Net of mateuszbuda/brain-segmentation-pytorch: beyond its contract."""

from __future__ import annotations

import pytest
import torch
from support.networks import Mateuszbuda, assemble, calibrate, pictures, weights_of

from napari_segnet.checkpoint import Output, Size
from napari_segnet.errors import SettingsError, UnknownNetworkError
from napari_segnet.families.mateuszbuda import MateuszbudaUNet

FAMILY = MateuszbudaUNet()


def describe(module, told=None):
    return FAMILY.describe(weights_of(module, closed=True), told or {})


def test_the_published_network_has_7_763_041_values():
    """Counted in the original: 3 channels, 1 class, 32 features."""
    with torch.device("meta"):
        module = Mateuszbuda(width=32)
    assert (118, 7_763_041) == (len(module.state_dict()), describe(module).parameters)


def test_its_own_forward_already_gives_probabilities():
    module = calibrate(Mateuszbuda(width=4), seed=1)
    weights = weights_of(module)
    checkpoint = FAMILY.describe(weights, {})
    assert (Output(role="foreground", channels=1, activation="none"),) == checkpoint.outputs
    with torch.inference_mode():
        answer = FAMILY.maps(assemble(FAMILY, checkpoint, weights), pictures(1, 3, (64, 64)))
    assert 0 <= answer.min() < 0.2
    assert 0.8 < answer.max() <= 1


def test_a_fork_with_a_softmax_can_be_told():
    module = calibrate(Mateuszbuda(width=4, classes=3), seed=1)
    weights = weights_of(module)
    checkpoint = FAMILY.describe(weights, {"activation": "softmax"})
    assert (Output(role="class", channels=3, activation="softmax"),) == checkpoint.outputs
    image = pictures(1, 3, (32, 32))
    with torch.inference_mode():
        raw = FAMILY.maps(assemble(FAMILY, checkpoint, weights), image)
        assert (torch.sigmoid(raw) - module(image)).abs().max() < 1e-6


def test_a_softmax_over_one_channel_is_refused():
    with pytest.raises(
        SettingsError, match="activation must be sigmoid or none or tanh, not 'softmax'"
    ):
        describe(Mateuszbuda(width=4), {"activation": "softmax"})


def test_only_multiples_of_16_go():
    size = describe(Mateuszbuda(width=4)).size
    assert Size(minimum=(16, 16), multiple=(16, 16), stride=(16, 16)) == size


def test_the_recipe_is_that_of_its_training_program():
    (step,) = describe(Mateuszbuda(width=4)).prepare
    assert {"how": "percentile-z-score:10,99", "over": "volume"} == step.options
    assert "normalize" == step.name


def test_another_depth_is_refused_by_name():
    state = dict(Mateuszbuda(width=4).state_dict())
    state["encoder5.enc5conv1.weight"] = torch.zeros(64, 32, 3, 3)
    with pytest.raises(UnknownNetworkError, match=r"not part of it: encoder5.enc5conv1.weight"):
        describe(state)


def test_irregular_widths_are_refused_by_name():
    state = dict(Mateuszbuda(width=4).state_dict())
    state["encoder2.enc2conv1.weight"] = torch.zeros(6, 4, 3, 3)
    named = r"encoder2.enc2conv1.weight \(6, 4, 3, 3\) instead of \(8, 4, 3, 3\)"
    with pytest.raises(UnknownNetworkError, match=named):
        describe(state)

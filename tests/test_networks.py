"""The reference networks themselves: sharp enough, and written as users write them."""

from __future__ import annotations

import pytest
import torch
from support.networks import WRAPPERS, Mateuszbuda, Milesial, calibrate, pictures, save_as


def test_a_calibrated_network_is_sharp_and_repeatable():
    images = pictures(4, 2, (48, 48))
    module = calibrate(Milesial(channels=2, width=4, depth=3), seed=7, images=images)
    again = calibrate(Milesial(channels=2, width=4, depth=3), seed=7, images=images)
    with torch.inference_mode():
        answer = module(images)
        assert 2 < answer.std() < 4
        assert abs(float(answer.mean())) < 1
        assert torch.equal(answer, again(images))
    assert not module.training


def test_a_sigmoid_inside_does_not_blunt_it():
    images = pictures(2, 3, (32, 32))
    with torch.inference_mode():
        answer = calibrate(Mateuszbuda(width=4), seed=1, images=images)(images)
    assert 2 < torch.logit(answer.double(), eps=1e-12).std() < 4


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_wrapper_holds_the_network(wrapper, tmp_path):
    module = calibrate(Milesial(channels=1, width=3, depth=2), images=pictures(2, 1, (16, 16)))
    path = save_as(module, tmp_path / "network.pth", wrapper)
    if wrapper == "safetensors":
        from safetensors.torch import load_file

        found = load_file(path)
    else:
        found = torch.load(path, weights_only=wrapper != "whole-module")  # our own file
    for part in ("state_dict", "model_state_dict", "model", "net"):
        found = found[part] if isinstance(found, dict) and part in found else found
    if isinstance(found, torch.nn.Module):
        found = found.state_dict()
    last = next(value for key, value in found.items() if key.endswith("outc.conv.weight"))
    assert torch.equal(module.outc.conv.weight, last)

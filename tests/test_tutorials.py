"""U-Nets of tutorials: from their tensors alone to the network that is taught."""

from __future__ import annotations

import pytest
import torch
from support.networks import calibrate
from support.tutorials import TUTORIALS, Taught
from support.unets.judge import judge, opened

FEW = (
    "lists",
    "resized",
    "annotated",
    "backbone",
    "cropped",
    "nested",
    "nested_deep",
    "long_autoencoder",
    "preactivated",
)
UNTOLD = ("halved",)
"""The way to resize, and what a norm before a convolution is followed by, are marked as assumed."""


@pytest.mark.sample(3)
@pytest.mark.parametrize("what", [
    what if what in FEW else pytest.param(what, marks=pytest.mark.long) for what in TUTORIALS
])  # fmt: skip
def test_the_network_of_a_tutorial(what, tmp_path):
    torch.manual_seed(0)
    module = Taught(TUTORIALS[what])
    colours = any(isinstance(m, torch.nn.Conv2d) and m.in_channels == 3 for m in module.modules())
    generator = torch.Generator().manual_seed(2)
    batch = torch.rand(3, 3 if colours else 1, 64, 64, generator=generator)
    module = calibrate(module, 3, batch).eval()
    torch.save(module.state_dict(), tmp_path / "taught.pth")
    with torch.no_grad():
        raw = module(batch[:1])
    verdict = judge(opened(tmp_path / "taught.pth", statistics=False), batch[:1], raw, 0.0, {})
    assert not verdict.silently_wrong
    if what in UNTOLD:
        assert verdict.marked
    else:
        assert verdict.place == 0

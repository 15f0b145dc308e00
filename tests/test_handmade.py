"""U-Nets as people write them: from their tensors alone to the network that was written."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.handmade import HANDMADE
from support.unets._pictures import accumulate, batch_of, draw_weights, sources
from support.unets.judge import Verdict, judge, opened
from torch import nn

FEW = ("lists", "strides behind", "enlarged", "linked", "separable", "attentive")
UNTOLD = ("autoencoder without norms", "next", "stages, GELU", "stages, GroupNorm")
"""Nothing in the file tells these apart from likelier ones."""


def verdict_on(name, path) -> Verdict:
    torch.manual_seed(0)
    module = HANDMADE[name]()
    draw_weights(module, 0)
    first = next(m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Conv3d))
    shape = (16, 32, 32) if isinstance(first, nn.Conv3d) else (64, 64)
    rng = np.random.default_rng(0)
    pictures = sources("photographs", None)
    accumulate(module, [batch_of(rng, pictures, "÷255", first.in_channels, shape, 2)])
    batch = batch_of(rng, pictures, "÷255", first.in_channels, shape, 1)
    with torch.no_grad():
        raw = module.eval()(batch)
    torch.save(module.state_dict(), path)
    return judge(opened(path, statistics=False), batch, raw, 0.0, {})


@pytest.mark.parametrize("name", [
    name if name in FEW else pytest.param(name, marks=pytest.mark.long) for name in HANDMADE
])  # fmt: skip
def test_a_network_of_ones_own_is_among_the_first_three_or_marked(name, tmp_path):
    verdict = verdict_on(name, tmp_path / "own.pth")
    assert not verdict.silently_wrong
    unproven = name in UNTOLD or "leaky" in name or "ReLU6" in name
    assert verdict.place in (0, 1, 2) or unproven

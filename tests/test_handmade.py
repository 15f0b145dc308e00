"""U-Nets as people write them: from their tensors alone to the network that was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.handmade import HANDMADE
from support.more_unets import MORE
from support.strangers import STRANGERS
from support.unets._pictures import accumulate, batch_of, draw_weights, sources
from support.unets.judge import Opened, Verdict, judge, opened, runner
from torch import nn

from napari_segnet.containers import candidates, open_tree
from napari_segnet.programs.structure import read_structure
from napari_segnet.programs.structure.program import chosen

NETWORKS = {**HANDMADE, **STRANGERS, **MORE}
FEW = (
    "lists", "strides behind", "enlarged", "linked", "separable", "attentive", "depthwise", "gated",
    "pyramid", "shuffled", "two deep heads", "next", "next, norms of channels", *MORE,
)  # fmt: skip
UNTOLD = (
    "autoencoder without norms", "stages, GELU", "stages, GroupNorm", "excited, residual",
    "halved", "halved, enlarged", "mixed", "slices of a ResNet", "W-Net",
    "one norm", "one norm, listed first",
)  # fmt: skip
"""Nothing in the file tells these apart from likelier ones, but for the statistics of norms."""
REFUSED = ("fused",)
TOLD = {
    "excited, residual": {"join": "skip-up", "residual_activation": "both"},
    "mixed": {"encoder_activation": "leaky-0.2"},
    "slices of a ResNet": {"resize": "bilinear-aligned"},
}
LONG = pytest.mark.long


def written(name: str, path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Write the file of a network; return a picture and what its forward answers."""
    torch.manual_seed(0)
    module = NETWORKS[name]()
    draw_weights(module, 0)
    first = next(m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Conv3d))
    count = getattr(module, "channels", first.in_channels)
    shape = (16, 32, 32) if isinstance(first, nn.Conv3d) else (64, 64)
    rng = np.random.default_rng(0)
    pictures = sources("photographs", None)
    accumulate(module, [batch_of(rng, pictures, "÷255", count, shape, 2)])
    batch = batch_of(rng, pictures, "÷255", count, shape, 1)
    with torch.no_grad():
        raw = module.eval()(batch)
    torch.save(module.state_dict(), path)
    return batch, raw


def verdict_on(name: str, path: Path) -> Verdict:
    batch, raw = written(name, path)
    return judge(opened(path, statistics=False), batch, raw, 0.0, {})


@pytest.mark.sample(5)
@pytest.mark.parametrize("name", [
    name if name in FEW else pytest.param(name, marks=LONG) for name in NETWORKS
])  # fmt: skip
def test_a_network_of_ones_own_is_among_the_first_three_or_marked(name, tmp_path):
    verdict = verdict_on(name, tmp_path / "own.pth")
    assert not verdict.silently_wrong
    assert verdict.refused == (name in REFUSED)
    unproven = name in UNTOLD or "leaky" in name or "ReLU6" in name or verdict.refused
    assert verdict.place in (0, 1, 2) or unproven


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=LONG) if "ResNet" in name else name for name in TOLD
])  # fmt: skip
def test_what_no_tensor_shows_can_be_told(name, tmp_path):
    path = tmp_path / "own.pth"
    batch, raw = written(name, path)
    weights = next(iter(candidates(open_tree(path), path)))
    candidate = chosen(read_structure(weights), TOLD[name], weights)
    tensors = {name: one.load() for name, one in weights.tensors.items()}
    told = Opened(answers=(runner(candidate.graph, tensors),), family="structure")
    assert judge(told, batch, raw, 0.0, {}).place == 0

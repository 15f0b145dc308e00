"""A U-Net without paddings takes larger pictures than others; it is found all the same."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from support.unets._pictures import accumulate, batch_of, draw_weights, sources
from torch import nn
from torch.nn import functional

from napari_segnet.containers import open_weights
from napari_segnet.evidence import decide
from napari_segnet.programs.structure import read_structure
from napari_segnet.progress import run

WIDTHS = (3, 8, 12, 16, 20, 24)


def block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a in (inputs, outputs):
        layers += [nn.Conv2d(a, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class Unpadded(nn.Module):
    """As many levels as widths, the channels of the image not counted."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.enc = nn.ModuleList([block(a, b) for a, b in pairwise(widths)])
        steps = list(pairwise(widths[:0:-1]))
        self.up = nn.ModuleList([nn.ConvTranspose2d(a, b, 2, 2) for a, b in steps])
        self.dec = nn.ModuleList([block(2 * b, b) for _, b in steps])
        self.out = nn.Conv2d(WIDTHS[1], 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips: list[torch.Tensor] = []
        for level in self.enc:
            x = level(functional.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for up, dec, skip in zip(self.up, self.dec, skips[-2::-1], strict=True):
            x = up(x)
            cut = (skip.shape[-1] - x.shape[-1]) // 2
            x = dec(torch.cat([x, functional.pad(skip, (-cut,) * 4)], 1))
        answer: torch.Tensor = self.out(x)
        return answer


@pytest.mark.parametrize("levels", [3, 4, 5])
def test_a_network_without_paddings_stands_before_one_that_reflects(
    levels: int, tmp_path: Path
) -> None:
    network, random = Unpadded(WIDTHS[: levels + 1]), np.random.default_rng(0)
    draw_weights(network, 0)
    pictures = sources("photographs", None)
    accumulate(network, [batch_of(random, pictures, "÷255", 3, (252, 252), 2) for _ in range(4)])
    torch.save(network.state_dict(), tmp_path / "net.pth")
    weights = open_weights(tmp_path / "net.pth")[0]
    tensors = {name: tensor.load() for name, tensor in weights.tensors.items()}
    decision = run(decide(read_structure(weights), tensors))
    paddings = [one.choices["padding"] for one in decision.candidates]
    assert paddings[0] == "valid"
    assert "reflect" in paddings[1:]
    assert decision.known()["padding"].source == "assumed"

"""Autoencoders and small U-Nets, as repositories write them: each without statistics."""

from __future__ import annotations

from pathlib import Path

import torch
from support.bare_networks import settled
from support.candidates import far, opened
from torch import nn
from torch.nn import functional

from napari_segnet.graph.build import build


def layer(kind: type[nn.Conv2d | nn.ConvTranspose2d], a: int, b: int) -> nn.Sequential:
    return nn.Sequential(kind(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())


class KeepsTheSize(nn.Module):
    """Transposed convolutions of stride 1 behind resizings; two digits name level and place."""

    def __init__(self) -> None:
        super().__init__()
        down, up = nn.Conv2d, nn.ConvTranspose2d
        self.enc11, self.enc12 = layer(down, 3, 4), layer(down, 4, 4)
        self.enc21, self.enc22 = layer(down, 4, 4), layer(down, 4, 8)
        self.enc31 = layer(down, 8, 16)
        self.dec31 = layer(up, 16, 8)
        self.dec22, self.dec21 = layer(up, 8, 8), layer(up, 8, 4)
        self.dec12, self.dec11 = layer(up, 4, 4), nn.ConvTranspose2d(4, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enc12(self.enc11(x))
        x = self.enc22(self.enc21(functional.max_pool2d(x, 2)))
        x = self.dec31(self.enc31(functional.max_pool2d(x, 2)))
        x = self.dec21(self.dec22(functional.interpolate(x, scale_factor=2)))
        answer: torch.Tensor = self.dec11(self.dec12(functional.interpolate(x, scale_factor=2)))
        return answer


class BareCode(nn.Module):
    """No activation stands between the last layer of the encoder and the decoder."""

    def __init__(self, active: bool) -> None:
        super().__init__()
        code = [nn.ReLU()] if active else []
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), *code
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 3, 4, 2, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.decoder(self.encoder(x))
        return answer


class Hidden(nn.Module):
    """Each convolution may have an InstanceNorm behind it, which has no tensors."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.bias = bias
        self.down1, self.down2 = self.block(3, 8), self.block(8, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.up1, self.out = self.block(16, 8), nn.Conv2d(8, 1, 1)

    def block(self, a: int, b: int) -> nn.Sequential:
        one, two = (nn.Conv2d(n, b, 3, padding=1, bias=self.bias) for n in (a, b))
        return nn.Sequential(one, nn.InstanceNorm2d(b), nn.ReLU(), two, nn.InstanceNorm2d(b))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.down1(x).relu()
        x = self.up(self.down2(functional.max_pool2d(skip, 2)).relu())
        answer: torch.Tensor = self.out(self.up1(torch.cat([x, skip], 1)).relu())
        return answer


def test_transposed_convolutions_keep_the_size_between_resizings(tmp_path: Path) -> None:
    network = settled(KeepsTheSize())
    space = opened(network, tmp_path)
    x = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    apart = []
    for layout in space.layouts[:3]:
        module = build(space.candidate(layout, {"resize": "nearest"}).graph).eval()
        module.load_state_dict(network.state_dict())
        with torch.no_grad():
            apart.append(float((module(x) - network(x)).abs().max()))
    assert min(apart) < 1e-4


def test_a_code_may_have_no_activation(tmp_path: Path) -> None:
    bare, active = settled(BareCode(False)), settled(BareCode(True))
    space = opened(bare, tmp_path)
    assert space.first(1)[0].choices["code_activation"] == "activation"
    assert far(space, bare, code_activation="none") < 1e-4
    assert far(opened(active, tmp_path), active, code_activation="activation") < 1e-4


def test_convolutions_without_biases_stand_before_a_norm(tmp_path: Path) -> None:
    network = settled(Hidden(bias=False))
    space = opened(network, tmp_path)
    assert space.first(1)[0].choices["hidden_norm"] == "instance"
    assert far(space, network) < 1e-4
    biased = opened(settled(Hidden(bias=True)), tmp_path)
    assert biased.first(1)[0].choices["hidden_norm"] == "none"

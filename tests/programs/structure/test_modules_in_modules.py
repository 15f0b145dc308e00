"""Blocks and gates by the names of their modules: what looks like a published one need not be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.networks import calibrate
from support.strangers import BasicBlock
from support.unets.judge import judge, opened
from torch import nn
from torch.nn import functional


def conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class ThreeOfAGate(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.W_g = nn.Sequential(nn.Conv2d(width, inner, 1), nn.BatchNorm2d(inner))
        self.W_x = nn.Sequential(nn.Conv2d(width, inner, 1), nn.BatchNorm2d(inner))
        self.psi = nn.Sequential(nn.Conv2d(inner, 1, 1), nn.BatchNorm2d(1))

    def forward(self, g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.psi(torch.relu(self.W_g(g) + self.W_x(x))))


class GateInside(nn.Module):
    """The fourth convolution of a gate stands beside a module of the other three."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate = ThreeOfAGate(width, inner)
        self.W = nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width))

    def forward(self, g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.W(self.gate(g, x))
        return answer


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.mid = conv(3, 8), conv(8, 16)
        self.up1, self.att1 = nn.ConvTranspose2d(16, 8, 2, 2), GateInside(8, 4)
        self.dec1, self.head = conv(16, 8), nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.enc1(x)
        x = self.up1(self.mid(functional.max_pool2d(one, 2)))
        answer: torch.Tensor = self.head(self.dec1(torch.cat([x, self.att1(x, one)], 1)))
        return answer


class StepUp(nn.Module):
    """An element of a list: a step up and the block behind it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, 2)
        self.block = nn.Sequential(conv(2 * outputs, outputs), conv(outputs, outputs))


class GatesListedLast(nn.Module):
    """Gates stand behind all other layers; sorted by name, before them."""

    def __init__(self) -> None:
        super().__init__()
        widths = ((3, 4), (4, 8), (8, 16), (16, 32))
        self.contracting = nn.ModuleList(nn.Sequential(conv(a, b), conv(b, b)) for a, b in widths)
        self.middle = nn.Sequential(conv(32, 64), conv(64, 64))
        self.expanding = nn.ModuleList(StepUp(2 * b, b) for b in (32, 16, 8, 4))
        gates = (ThreeOfAGate(b, b // 2) for b in (32, 16, 8, 4))
        self.att4, self.att3, self.att2, self.att1 = gates
        self.classifier = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for one in self.contracting:
            skips.append(one(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.middle(x)
        gates = (self.att4, self.att3, self.att2, self.att1)
        for one, gate in zip(self.expanding, gates, strict=True):
            assert isinstance(one, StepUp)
            x = one.up(x)
            x = one.block(torch.cat([x, gate(x, skips.pop())], 1))
        answer: torch.Tensor = self.classifier(x)
        return answer


class Pooled(nn.Module):
    """Blocks of a ResNet on both ways, none of which strides."""

    def __init__(self) -> None:
        super().__init__()

        def level(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(BasicBlock(inputs, outputs), BasicBlock(outputs, outputs))

        self.enc1, self.enc2, self.mid = level(3, 8), level(8, 16), level(16, 32)
        self.up2, self.dec2 = nn.ConvTranspose2d(32, 16, 2, 2), level(32, 16)
        self.up1, self.dec1 = nn.ConvTranspose2d(16, 8, 2, 2), level(16, 8)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.enc1(x)
        two = self.enc2(functional.max_pool2d(one, 2))
        x = self.dec2(torch.cat([self.up2(self.mid(functional.max_pool2d(two, 2))), two], 1))
        answer: torch.Tensor = self.head(self.dec1(torch.cat([self.up1(x), one], 1)))
        return answer


@pytest.mark.parametrize("listed", ["as registered", "sorted by name"])
@pytest.mark.parametrize("kind", [Gated, GatesListedLast, Pooled])
def test_such_a_network_is_the_first(kind: type[nn.Module], listed: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    batch = torch.rand(2, 3, 64, 64)
    module = calibrate(kind(), 3, batch).eval()
    tensors = module.state_dict()
    order = sorted(tensors) if listed == "sorted by name" else tensors
    torch.save({name: tensors[name] for name in order}, tmp_path / "network.pth")
    with torch.no_grad():
        raw = module(batch[:1])
    found = opened(tmp_path / "network.pth", statistics=False)
    verdict = judge(found, batch[:1], raw, 0.0, {})
    assert verdict.place == 0, verdict.why

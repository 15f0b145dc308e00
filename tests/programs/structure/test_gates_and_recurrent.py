"""Gates that see the level below or weigh the decoder, and recurrent blocks of a copied version."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.bare_networks import settled
from support.candidates import far, opened
from support.strangers import Recurrent
from torch import nn
from torch.nn import functional

from napari_segnet.containers import open_weights
from napari_segnet.graph.build import build
from napari_segnet.programs.structure import read_structure


class Gate(nn.Module):
    """Weighs a skip connection by what stands at the level below."""

    def __init__(self, skip: int, below: int) -> None:
        super().__init__()
        self.theta_x, self.phi_g = nn.Conv2d(skip, skip // 2, 1), nn.Conv2d(below, skip // 2, 1)
        self.psi, self.bn = nn.Conv2d(skip // 2, 1, 1), nn.BatchNorm2d(skip // 2)

    def forward(self, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        one = self.theta_x(x)
        two = functional.interpolate(self.phi_g(g), None, 2, "bilinear")
        return x * torch.sigmoid(self.psi(torch.relu(self.bn(one + two))))


def block(a: int, b: int) -> nn.Sequential:
    layers = (nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())
    return nn.Sequential(*layers, nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())


class Gated(nn.Module):
    """A U-Net whose gates are registered before all steps up and blocks of the decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2, self.mid = block(3, 4), block(4, 8), block(8, 16)
        self.ag1, self.ag2 = Gate(8, 16), Gate(4, 8)
        self.up1, self.dec1 = nn.ConvTranspose2d(16, 8, 2, 2), block(16, 8)
        self.up2, self.dec2 = nn.ConvTranspose2d(8, 4, 2, 2), block(8, 4)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.enc1(x)
        two = self.enc2(functional.max_pool2d(one, 2))
        x = self.mid(functional.max_pool2d(two, 2))
        x = self.dec1(torch.cat([self.up1(x), self.ag1(two, x)], 1))
        x = self.dec2(torch.cat([self.up2(x), self.ag2(one, x)], 1))
        answer: torch.Tensor = self.head(x)
        return answer


def test_a_gate_sees_the_level_below_that_of_its_skip_connection(tmp_path: Path) -> None:
    network = settled(Gated())
    torch.save(network.state_dict(), tmp_path / "net.pth")
    module = build(read_structure(open_weights(tmp_path / "net.pth")[0]).first(1)[0].graph).eval()
    state = network.state_dict()
    module.load_state_dict({name: state[name] for name in module.state_dict()})
    x = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(module(x), network(x), atol=1e-5)


def early(a: int, b: int, kernel: int = 3) -> tuple[nn.Module, ...]:
    return nn.BatchNorm2d(a), nn.ReLU(), nn.Conv2d(a, b, kernel, padding=kernel // 2)


class AnswerGate(nn.Module):
    """Weighs what the decoder answers by that and by a pooled skip connection."""

    def __init__(self, skip: int, below: int, end: str) -> None:
        super().__init__()
        self.end = end
        self.conv_encoder = nn.Sequential(*early(skip, below), nn.MaxPool2d(2))
        self.conv_decoder = nn.Sequential(*early(below, below))
        self.conv_attn = nn.Sequential(*early(below, 1, 1))

    def forward(self, skip: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        weight = self.conv_attn(self.conv_encoder(skip) + self.conv_decoder(x))
        if self.end == "weights":
            return x * torch.sigmoid(weight)
        return torch.sigmoid(x * weight) if self.end == "product" else x * weight


class Branched(nn.Module):
    """Branches with norms that end in a convolution without a norm and an activation."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        for at in range(3):
            layers = (nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())
            setattr(self, f"block{at}", nn.Sequential(*layers))
        self.output = nn.Conv2d(3 * b, b, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers = [getattr(self, f"block{at}")(x) for at in range(3)]
        answer: torch.Tensor = self.output(torch.cat(answers, 1))
        return answer


class AnswerGated(nn.Module):
    """A U-Net in which the decoder's answer is weighed before each step up."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.enc1, self.enc2, self.bridge = block(3, 4), block(4, 8), Branched(8, 16)
        self.attn1, self.dec1 = AnswerGate(8, 16, end), block(24, 8)
        self.attn2, self.dec2 = AnswerGate(4, 8, end), block(12, 4)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def risen(x: torch.Tensor) -> torch.Tensor:
            return functional.interpolate(x, scale_factor=2, mode="bilinear")

        one = self.enc1(x)
        two = self.enc2(functional.max_pool2d(one, 2))
        x = self.bridge(functional.max_pool2d(two, 2))
        x = self.dec1(torch.cat([risen(self.attn1(two, x)), two], 1))
        x = self.dec2(torch.cat([risen(self.attn2(one, x)), one], 1))
        answer: torch.Tensor = self.head(x)
        return answer


@pytest.mark.parametrize("end", ["none", "weights", "product"])
def test_a_gate_weighs_the_answer_of_the_decoder(tmp_path: Path, end: str) -> None:
    network = settled(AnswerGated(end))
    space = opened(network, tmp_path)
    first = space.first(1)[0]
    assert first.choices["gate_end"] == "none"
    told = {**first.choices, "gate_end": end, "branch_dilation": "1,1,1", "resize": "bilinear"}
    assert far(space, network, **told) < 1e-4


class Doubled(Recurrent):
    """The blocks of a version that many copy: each layer runs again on twice its answer."""

    class Again(Recurrent.Again):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            answer: torch.Tensor = self.conv(x + x)
            return answer


def test_recurrent_layers_may_run_again_on_twice_their_answer(tmp_path: Path) -> None:
    network = settled(Doubled())
    torch.save(network.state_dict(), tmp_path / "net.pth")
    space = read_structure(open_weights(tmp_path / "net.pth")[0])
    assert space.first(1)[0].choices["recurrence"] == "2"
    answer, likeliest = network.state_dict(), space.layouts[0]
    module = build(space.candidate(likeliest, {"recurrence": "doubled"}).graph).eval()
    module.load_state_dict({name: answer[name] for name in module.state_dict()})
    x = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(module(x), network(x), atol=1e-5)

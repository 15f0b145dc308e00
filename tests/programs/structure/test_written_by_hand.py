"""Networks as beginners write them: lists, wrapped layers, names that mislead, heads made first."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from support.bare_networks import settled
from torch import nn
from torch.nn import functional

from napari_segnet.containers import open_weights
from napari_segnet.graph.build import build
from napari_segnet.programs.structure import read_structure


class Wrapped(nn.Module):
    """A convolution in a module of its own."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.conv1(x)
        return answer


def double(inputs: int, outputs: int, norm: bool = False, wrap: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for one in (inputs, outputs):
        layers += [Wrapped(one, outputs) if wrap else nn.Conv2d(one, outputs, 3, padding=1)]
        layers += [nn.BatchNorm2d(outputs)] if norm else []
        layers += [nn.ReLU()]
    return nn.Sequential(*layers)


class AllInLists(nn.Module):
    """Lists hold every layer, poolings too; the forward counts its way through."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for one, two in ((3, 4), (4, 8), (8, 16)):
            self.down += [nn.Conv2d(one, two, 3, 1, 1), nn.Conv2d(two, two, 3, 1, 1)]
            self.down += [nn.MaxPool2d(2)]
        self.middle1 = nn.Conv2d(16, 32, 3, padding=1)
        self.middle2 = nn.Conv2d(32, 32, 3, padding=1)
        for one in (32, 16, 8):
            two = one // 2
            self.up += [nn.ConvTranspose2d(one, two, 2, 2), nn.Conv2d(one, two, 3, 1, 1)]
            self.up += [nn.Conv2d(two, two, 3, 1, 1)]
        self.conv_out = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for at in (0, 3, 6):
            x = torch.relu(self.down[at + 1](torch.relu(self.down[at](x))))
            skips.append(x)
            x = self.down[at + 2](x)
        x = torch.relu(self.middle2(torch.relu(self.middle1(x))))
        for at in (0, 3, 6):
            x = torch.cat([self.up[at](x), skips.pop()], 1)
            x = torch.relu(self.up[at + 2](torch.relu(self.up[at + 1](x))))
        answer: torch.Tensor = self.conv_out(x)
        return answer


class WrappedLayers(nn.Module):
    """Each convolution of a block stands in a module of its own, beside its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = double(3, 8, norm=True, wrap=True)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), double(8, 16, norm=True, wrap=True))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), double(16, 32, norm=True, wrap=True))
        self.up1 = nn.ConvTranspose2d(32, 16, 2, 2)
        self.decoder1 = double(32, 16, norm=True, wrap=True)
        self.up2 = nn.ConvTranspose2d(16, 8, 2, 2)
        self.decoder2 = double(16, 8, norm=True, wrap=True)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.first(x)
        two = self.down1(one)
        x = self.decoder1(torch.cat([self.up1(self.down2(two)), two], 1))
        answer: torch.Tensor = self.last(self.decoder2(torch.cat([self.up2(x), one], 1)))
        return answer


class HeadFirst(nn.Module):
    """The head is registered first; channels become pixels, and no name says so."""

    def __init__(self) -> None:
        super().__init__()
        self.final_layer = nn.Conv2d(8, 3, 3, 1, 1)
        self.E1, self.E2, self.E3 = double(1, 8), double(8, 16), double(16, 32)
        self.D1a, self.D1b = nn.Conv2d(32, 64, 3, 1, 1), nn.Conv2d(32, 16, 3, 1, 1)
        self.D2a, self.D2b = nn.Conv2d(16, 32, 3, 1, 1), nn.Conv2d(16, 8, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.E1(x)
        two = self.E2(functional.max_pool2d(one, 2))
        x = functional.pixel_shuffle(self.D1a(self.E3(functional.max_pool2d(two, 2))), 2)
        x = torch.relu(self.D1b(torch.cat([x, two], 1)))
        x = torch.cat([functional.pixel_shuffle(self.D2a(x), 2), one], 1)
        answer: torch.Tensor = self.final_layer(torch.relu(self.D2b(x)))
        return answer


class CalledDeconv(nn.Module):
    """Blocks of the decoder are called ``deconv``; their convolutions are straight."""

    def __init__(self) -> None:
        super().__init__()
        widths = (8, 16, 32, 64)
        for at, (one, two) in enumerate(zip((1, *widths), widths, strict=False), start=1):
            self.add_module(f"enc{at}", double(one, two, norm=True))
        self.bottleneck = double(64, 128, norm=True)
        for at, width in zip((4, 3, 2, 1), widths[::-1], strict=True):
            self.add_module(f"upconv{at}", nn.ConvTranspose2d(2 * width, width, 2, 2))
            self.add_module(f"deconv{at}", double(2 * width, width, norm=True))
        self.final_conv = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for at in (1, 2, 3, 4):
            skips.append(self.get_submodule(f"enc{at}")(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.bottleneck(x)
        for at in (4, 3, 2, 1):
            x = torch.cat([self.get_submodule(f"upconv{at}")(x), skips.pop()], 1)
            x = self.get_submodule(f"deconv{at}")(x)
        answer: torch.Tensor = self.final_conv(x)
        return answer


class ManyClasses(nn.Module):
    """An encoder and a decoder without skip connections give more classes than images channels."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*double(3, 16), nn.MaxPool2d(2))
        self.middle = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
        resized = nn.Upsample(scale_factor=2), nn.Conv2d(32, 16, 3, padding=1)
        self.decoder = nn.Sequential(*resized, nn.ReLU(), nn.Conv2d(16, 60, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.decoder(self.middle(self.encoder(x)))
        return answer


class Striding(nn.Sequential):
    """No number is left for a pooling between strided convolutions and their activations."""

    def __init__(self) -> None:
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for one, two in ((3, 8), (8, 16), (16, 32)):
            down += [nn.Conv2d(one, two, 3, 2, 1), nn.ReLU()]
            up = [nn.ConvTranspose2d(two, one, 3, 2, 1, 1), nn.ReLU(), *up]
        super().__init__(OrderedDict(encoder=nn.Sequential(*down), decoder=nn.Sequential(*up[:-1])))


class Step(nn.Module):
    """One level: a block on the way down, or a step up with the block behind it."""

    def __init__(self, inputs: int, outputs: int, up: bool) -> None:
        super().__init__()
        if up:
            self.up = nn.ConvTranspose2d(inputs, outputs, 2, 2)
        held = nn.Module()
        held.add_module("conv", double(inputs, outputs))
        self.add_module("conv" if up else "double_conv", held)


class LooselyNamed(nn.Module):
    """Some names are those of a published network that joins the other way round; most are not."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = Step(3, 8, False), Step(8, 16, False)
        self.bottle_neck = double(16, 32)
        self.up1, self.up2 = Step(32, 16, True), Step(16, 8, True)
        self.final_layer = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.get_submodule("down1.double_conv.conv")(x)
        two = self.get_submodule("down2.double_conv.conv")(functional.max_pool2d(one, 2))
        x = self.bottle_neck(functional.max_pool2d(two, 2))
        for at, skip in ((1, two), (2, one)):
            x = torch.cat([self.get_submodule(f"up{at}.up")(x), skip], 1)
            x = self.get_submodule(f"up{at}.conv.conv")(x)
        answer: torch.Tensor = self.final_layer(x)
        return answer


@pytest.mark.parametrize(
    "kind",
    [AllInLists, WrappedLayers, HeadFirst, CalledDeconv, ManyClasses, Striding, LooselyNamed],
)
def test_the_first_candidate_answers_as_the_network(kind: type[nn.Module], tmp_path: Path) -> None:
    network = settled(kind())
    torch.save(network.state_dict(), tmp_path / "net.pth")
    graph = read_structure(open_weights(tmp_path / "net.pth")[0]).first(1)[0].graph
    module = build(graph).eval()
    module.load_state_dict(network.state_dict())
    channels = next(one.shape[1] for one in network.state_dict().values() if one.ndim == 4)
    channels = 1 if kind is HeadFirst else channels
    x = torch.rand((1, channels, 32, 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(module(x), network(x), atol=1e-5)

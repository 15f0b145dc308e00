"""Networks that make an image of an image, as repositories write them: each without statistics."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from support.candidates import far, opened
from torch import nn
from torch.nn import functional


def pair(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in ((inputs, outputs), (outputs, outputs)):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*layers)


class Small(nn.Module):
    """Two levels; each network of this page changes one part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2 = self.block(3, 8), self.block(8, 16)
        self.up = self.step_up(16, 8)
        self.dec = self.block(16, 8)
        self.out = nn.Conv2d(8, 3, 1)

    def block(self, inputs: int, outputs: int) -> nn.Module:
        return pair(inputs, outputs)

    def step_up(self, inputs: int, outputs: int) -> nn.Module:
        return nn.ConvTranspose2d(inputs, outputs, 2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.enc1(x)
        two = self.enc2(torch.max_pool2d(one, 2))
        answer: torch.Tensor = self.out(self.dec(torch.cat([self.up(two), one], 1)))
        return answer


class WithImage(Small):
    """What it makes is added to the image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


class Behind(nn.Conv2d):
    """A convolution of two pixels that pads as ``same`` does, of which torch warns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(functional.pad(x, (0, 1, 0, 1)))


class Even(Small):
    """Two pixels see what was resized."""

    def step_up(self, inputs: int, outputs: int) -> nn.Module:
        layer = Behind(inputs, outputs, 2)
        return nn.Sequential(nn.Upsample(scale_factor=2), layer, nn.BatchNorm2d(outputs), nn.ReLU())


class Slopes(Small):
    """Slopes follow the sum of a block and its shortcut, behind which they are registered."""

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.block = nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs),
                nn.PReLU(outputs), nn.Conv2d(outputs, outputs, 3, padding=1),
                nn.BatchNorm2d(outputs),
            )  # fmt: skip
            self.shortcut = nn.Conv2d(inputs, outputs, 1)
            self.act = nn.PReLU(outputs)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = self.act(self.block(x) + self.shortcut(x))
            return answer

    def block(self, inputs: int, outputs: int) -> nn.Module:
        return self.Block(inputs, outputs)


class Pix2pix(nn.Module):
    """Layers of 4x4 pixels that halve and double, each inside the skip connection of another."""

    def __init__(self, outer: int, inner: int, within: nn.Module | None, norm: type) -> None:
        super().__init__()
        down = nn.Conv2d(3 if outer == 3 else outer, inner, 4, 2, 1)
        up = nn.ConvTranspose2d(2 * inner if within else inner, outer, 4, 2, 1)
        self.outermost = outer == 3
        layers: list[nn.Module] = [] if self.outermost else [nn.LeakyReLU(0.2)]
        layers += [down, *((norm(inner),) if within and not self.outermost else ())]
        layers += [*((within,) if within else ()), nn.ReLU(), up]
        self.model = nn.Sequential(*layers, *(() if self.outermost else (norm(outer),)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.model(x)
        return answer if self.outermost else torch.cat([x, answer], 1)


def pix2pix(norm: type) -> nn.Module:
    network: nn.Module | None = None
    for outer, inner in ((16, 16), (16, 16), (8, 16), (3, 8)):
        network = Pix2pix(outer, inner, network, norm)
    assert network is not None
    return network


class ReflectedDown(nn.Module):
    """The pix2pix of a tutorial: on the way down edges are reflected, but not at its bottom."""

    def __init__(self) -> None:
        super().__init__()
        self.initial_down = nn.Sequential(self.down(3, 4), nn.LeakyReLU(0.2))
        self.down1, self.down2 = self.block(4, 8), self.block(8, 8)
        self.bottleneck = nn.Sequential(nn.Conv2d(8, 8, 4, 2, 1), nn.ReLU())
        self.up1, self.up2, self.up3 = (
            self.block(8, 8, 0),
            self.block(16, 8, 0),
            self.block(16, 4, 0),
        )
        self.final_up = nn.Sequential(nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh())

    @staticmethod
    def down(inputs: int, outputs: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, 4, 2, 1, padding_mode="reflect")

    def block(self, inputs: int, outputs: int, slope: float = 0.2) -> nn.Module:
        layer = (
            self.down(inputs, outputs) if slope else nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
        )
        layers = (layer, nn.BatchNorm2d(outputs), nn.LeakyReLU(slope))
        return nn.Sequential(OrderedDict(conv=nn.Sequential(*layers)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.initial_down(x)
        two = self.down1(one)
        three = self.down2(two)
        x = self.up1(self.bottleneck(three))
        x = self.up3(torch.cat([self.up2(torch.cat([x, three], 1)), two], 1))
        answer: torch.Tensor = self.final_up[0](torch.cat([x, one], 1))
        return answer


def padded(inputs: int, outputs: int, kernel: int, apart: bool) -> tuple[nn.Module, ...]:
    """Return a convolution that pads by zeros, or behind a layer that reflects the edges."""
    if apart:
        return nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, outputs, kernel)
    return (nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2),)


class Reflected(nn.Module):
    """A block of a CycleGAN's generator: a sum around two convolutions with layers that pad."""

    def __init__(self, width: int, norm: type, apart: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for last in (False, True):
            layers += [*padded(width, width, 3, apart), norm(width)]
            layers += [] if last else [nn.ReLU()]
        self.block = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = x + self.block(x)
        return answer


def generator(norm: type, apart: bool) -> nn.Module:
    """A small generator of a CycleGAN, or a copy without layers that pad."""
    layers: list[nn.Module] = [*padded(3, 4, 7, apart), norm(4), nn.ReLU()]
    for a, b in ((4, 8), (8, 16)):
        layers += [nn.Conv2d(a, b, 3, 2, 1), norm(b), nn.ReLU()]
    layers += [Reflected(16, norm, apart) for _ in range(3)]
    for a, b in ((16, 8), (8, 4)):
        layers += [nn.ConvTranspose2d(a, b, 3, 2, 1, output_padding=1), norm(b), nn.ReLU()]
    model = nn.Sequential(*layers, *padded(4, 3, 7, apart))
    return nn.Sequential(OrderedDict(model=model))


class Dense(Small):
    """Each layer of a block sees all that came before it there; a last one may follow."""

    last = True

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, last: bool) -> None:
            super().__init__()
            growth = 4 if last else (outputs - inputs) // 3
            widths = [inputs + at * growth for at in range(4)]
            self.layers = nn.ModuleList([self.layer(wide, growth) for wide in widths[:3]])
            self.last = self.layer(widths[3], outputs) if last else None

        @staticmethod
        def layer(inputs: int, outputs: int) -> nn.Module:
            layer = nn.Conv2d(inputs, outputs, 3, padding=1)
            return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = torch.cat([x, layer(x)], 1)
            return x if self.last is None else self.last(x)

    def block(self, inputs: int, outputs: int) -> nn.Module:
        if self.last or outputs < inputs:
            return self.Block(inputs, outputs, True)
        return self.Block(inputs, outputs, False)


class DenseWithoutLast(Dense):
    """The same, but on the way down there is no last layer."""

    last = False

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2 = self.block(3, 9), self.block(9, 18)
        self.up, self.dec = self.step_up(18, 9), pair(18, 8)


class Linear(Small):
    """The lowest block has no activation, as no number is left for one."""

    def __init__(self) -> None:
        super().__init__()
        one, two = nn.Conv2d(8, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.enc2 = nn.Sequential(one, nn.BatchNorm2d(16), two, nn.BatchNorm2d(16))


class ActiveBehind(Small):
    """No number is left for an activation in any block: each has its own behind it."""

    def block(self, inputs: int, outputs: int) -> nn.Module:
        one, two = (nn.Conv2d(n, outputs, 3, padding=1) for n in (inputs, outputs))
        return nn.Sequential(one, nn.BatchNorm2d(outputs), two, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = torch.relu(self.enc1(x))
        two = torch.relu(self.enc2(torch.max_pool2d(one, 2)))
        answer: torch.Tensor = torch.relu(self.dec(torch.cat([self.up(two), one], 1)))
        return self.out(answer)  # type: ignore[no-any-return]


def settled(network: nn.Module) -> nn.Module:
    """Give each tensor of a network values that show where it is used."""
    random = torch.Generator().manual_seed(0)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.uniform_(0.2, 0.9, generator=random)
    return network.eval()


@pytest.mark.parametrize(
    ("kind", "choices"),
    [
        (WithImage, {"image_sum": "added"}),
        (Even, {}),
        (Slopes, {}),
        (Linear, {}),
        (ActiveBehind, {}),
        (Dense, {}),
        (DenseWithoutLast, {}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_such_a_network_is_read(kind: type[Small], choices: dict[str, str], tmp_path: Path) -> None:
    network = settled(kind())
    assert far(opened(network, tmp_path), network, join="up-skip", **choices) < 1e-4


def test_a_sum_with_the_image_is_no_habit_of_networks_with_skip_connections(tmp_path: Path) -> None:
    assert opened(Small(), tmp_path).first(1)[0].choices["image_sum"] == "none"


@pytest.mark.parametrize(
    ("norm", "apart"),
    [(nn.BatchNorm2d, True), (nn.InstanceNorm2d, True), (nn.BatchNorm2d, False)],
)
def test_a_generator_of_blocks_with_sums_comes_first_with_its_paddings(
    norm: type, apart: bool, tmp_path: Path
) -> None:
    network = settled(generator(norm, apart))
    space = opened(network, tmp_path)
    assert far(space, network, **space.first(1)[0].choices) < 1e-4


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_pix2pix_comes_first_with_its_activations_before_its_layers(
    norm: type, tmp_path: Path
) -> None:
    network = settled(pix2pix(norm))
    space = opened(network, tmp_path)
    first = space.first(1)[0].choices
    assert first["activation_place"] == "before"
    assert first["encoder_activation"] == "leaky-0.2"
    assert far(space, network, **first) < 1e-4


def test_pix2pix_of_a_tutorial_comes_first_with_its_paddings(tmp_path: Path) -> None:
    network = settled(ReflectedDown())
    space = opened(network, tmp_path)
    assert far(space, network, **space.first(1)[0].choices) < 1e-4

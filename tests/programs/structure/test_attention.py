"""Attention behind blocks and to skip connections, levels without a gate, and ends of blocks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.bare_networks import TwoLevels, settled
from support.candidates import far, opened
from torch import nn
from torch.nn.functional import max_pool2d

from napari_segnet.programs.structure._layers import stored_layers
from napari_segnet.programs.structure._squeeze import squeezes_of
from napari_segnet.programs.structure._units import units_of


class Channels(nn.Module):
    """Weighs channels by their means and largest values."""

    def __init__(self, width: int) -> None:
        super().__init__()
        few = width // 2
        self.fc = nn.Sequential(nn.Conv2d(width, few, 1), nn.ReLU(), nn.Conv2d(few, width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means, most = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc(means) + self.fc(most))


class Dense(nn.Module):
    """The same with dense layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Flatten(), nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means, most = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return x * torch.sigmoid(self.mlp(means) + self.mlp(most))[..., None, None]


class Pixels(nn.Module):
    """Weighs pixels by the mean and the largest of their channels; ``late``: by these in turn."""

    def __init__(self, late: bool = False) -> None:
        super().__init__()
        self.late = late
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=late)
        self.norm = nn.BatchNorm2d(1) if late else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = (x.mean(1, keepdim=True), x.amax(1, keepdim=True))
        return x * torch.sigmoid(
            self.norm(self.conv(torch.cat(maps[::-1] if self.late else maps, 1)))
        )


class Convolved(nn.Sequential):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ca, self.sa = Channels(width), Pixels()


class Gates(nn.Sequential):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ChannelGate, self.SpatialGate = Dense(width), Pixels(late=True)


class Beside(nn.Module):
    """Weighs channels and pixels side by side, and adds the two."""

    def __init__(self, width: int) -> None:
        super().__init__()
        few = width // 2
        self.cSE = nn.Sequential(nn.Conv2d(width, few, 1), nn.ReLU(), nn.Conv2d(few, width, 1))
        self.sSE = nn.Sequential(nn.Conv2d(width, 1, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.cSE(x.mean((2, 3), keepdim=True))) + x * self.sSE(x)


class Attended(nn.Module):
    """Weighs channels by their means, in one ``Sequential``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        few = (nn.Conv2d(width, width // 2, 1), nn.ReLU(), nn.Conv2d(width // 2, width, 1))
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), *few, nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = x * self.attention(x)
        return answer


class Summed(Attended):
    """The same, with the answer added."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


def block(a: int, b: int) -> nn.Sequential:
    layers = (nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())
    return nn.Sequential(*layers, nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())


class Net(nn.Module):
    """A U-Net with attention behind the levels of its encoder."""

    def __init__(self, kind: type[nn.Module], weighed: str) -> None:
        super().__init__()
        self.weighed = weighed
        self.enc1, self.att1 = block(3, 4), kind(4)
        self.enc2, self.att2 = block(4, 8), kind(8)
        self.mid = block(8, 16)
        self.up2, self.dec2 = nn.ConvTranspose2d(16, 8, 2, 2), block(16, 8)
        self.up1, self.dec1 = nn.ConvTranspose2d(8, 4, 2, 2), block(8, 4)
        self.head = nn.Conv2d(4, 2, 1)

    def level(self, x: torch.Tensor, attention: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        y = attention(x)
        return {"answer": (y, y), "skip": (x, y), "onward": (y, x)}[self.weighed]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, one = self.level(self.enc1(x), self.att1)
        x, two = self.level(self.enc2(max_pool2d(x, 2)), self.att2)
        x = self.mid(max_pool2d(x, 2))
        x = self.dec2(torch.cat([self.up2(x), two], 1))
        answer: torch.Tensor = self.head(self.dec1(torch.cat([self.up1(x), one], 1)))
        return answer


class Gate(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        few = width // 2
        self.W_g, self.W_x = nn.Conv2d(width, few, 1), nn.Conv2d(width, few, 1)
        self.psi = nn.Conv2d(few, 1, 1)

    def forward(self, g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.psi(torch.relu(self.W_g(g) + self.W_x(x))))


class HalfGated(nn.Module):
    """A U-Net with a gate at its lower level alone, which joins its two levels in two orders."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2, self.mid = block(3, 4), block(4, 8), block(8, 16)
        self.up2, self.att2, self.dec2 = nn.ConvTranspose2d(16, 8, 2, 2), Gate(8), block(16, 8)
        self.up1, self.dec1 = nn.ConvTranspose2d(8, 4, 2, 2), block(8, 4)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.enc1(x)
        two = self.enc2(max_pool2d(one, 2))
        x = self.up2(self.mid(max_pool2d(two, 2)))
        x = self.up1(self.dec2(torch.cat([self.att2(x, two), x], 1)))
        answer: torch.Tensor = self.head(self.dec1(torch.cat([x, one], 1)))
        return answer


class WideGate(Gate):
    """A gate that makes a map for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__(2 * width)
        self.W_g, self.W_x = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.psi = nn.Conv2d(width, width, 1)


class WithImage(nn.Module):
    """A network with a pooling that adds the image to its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.enc, self.mid = block(1, 4), block(4, 8)
        self.up, self.head = nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = x + self.head(self.up(self.mid(max_pool2d(self.enc(x), 2))))
        return answer


class Up(nn.Module):
    """A step up whose skip connection goes through attention before it is joined."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.up, self.attn, self.conv = (
            nn.ConvTranspose2d(a, b, 2, 2),
            Convolved(b),
            block(2 * b, b),
        )

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.conv(torch.cat([self.attn(skip), self.up(x)], 1))
        return answer


class Late(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2, self.mid = block(3, 4), block(4, 8), block(8, 16)
        self.up2, self.up1, self.head = Up(16, 8), Up(8, 4), nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.enc1(x)
        two = self.enc2(max_pool2d(one, 2))
        x = self.up2(self.mid(max_pool2d(two, 2)), two)
        answer: torch.Tensor = self.head(self.up1(x, one))
        return answer


class Bare(nn.Module):
    """A block that ends with its norm."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return answer


@pytest.mark.parametrize("weighed", ["answer", "skip", "onward"])
@pytest.mark.parametrize(("kind", "pixels"), [(Convolved, "mean-max"), (Gates, "max-mean")])
def test_attention_to_channels_and_pixels(
    kind: type[nn.Module], pixels: str, weighed: str, tmp_path: Path
) -> None:
    network = settled(Net(kind, weighed))
    space = opened(network, tmp_path)
    other = {"mean-max": "max-mean", "max-mean": "mean-max"}[pixels]
    assert far(space, network, weighed=weighed, pixel_weights=pixels) < 1e-4
    assert far(space, network, weighed=weighed, pixel_weights=other) > 1e-3
    assert far(space, network, weighed=weighed, pixel_weights=pixels, channel_weights="mean") > 1e-3


@pytest.mark.parametrize("weighed", ["answer", "skip", "onward"])
@pytest.mark.parametrize(("kind", "added"), [(Attended, "none"), (Summed, "added")])
def test_a_sequential_that_begins_with_means_weighs_channels(
    kind: type[nn.Module], added: str, weighed: str, tmp_path: Path
) -> None:
    network = settled(Net(kind, weighed))
    space = opened(network, tmp_path)
    assert far(space, network, weighed=weighed, weighed_sum=added) < 1e-4
    assert space.first(1)[0].choices["weighed"] == "answer"


class Unnamed(nn.Module):
    """Weighs channels in a module without a telling name."""

    def __init__(self, width: int) -> None:
        super().__init__()
        few = width // 4
        self.net = nn.Sequential(nn.Conv2d(width, few, 1), nn.ReLU(), nn.Conv2d(few, width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = x * torch.sigmoid(self.net(x.mean((2, 3), keepdim=True)))
        return answer


def test_narrow_layers_that_several_levels_have_weigh_channels(tmp_path: Path) -> None:
    network = Net(Unnamed, "answer")
    network.mid = nn.Sequential(block(8, 16), Unnamed(16))
    network = settled(network)
    assert far(opened(network, tmp_path), network) < 1e-4


def test_channels_and_pixels_are_weighed_side_by_side(tmp_path: Path) -> None:
    network = settled(Net(Beside, "answer"))
    assert far(opened(network, tmp_path), network) < 1e-4


def test_a_convolution_of_two_maps_without_such_a_name_is_one_of_the_way() -> None:
    shapes = {"enc.weight": (2, 3, 3, 3), "out.weight": (1, 2, 3, 3), "sa.weight": (1, 2, 3, 3)}
    units, left = units_of(stored_layers(shapes), {})
    found, rest, _ = squeezes_of(units, left)
    assert [one.layer.name for one in found] == ["sa"]
    assert [unit.layer.name for unit in rest] == ["enc", "out"]


def test_a_level_without_a_gate_may_be_joined_in_another_order(tmp_path: Path) -> None:
    network = settled(HalfGated())
    space = opened(network, tmp_path)
    assert far(space, network, join="skip-up", ungated_join="other") < 1e-4
    assert far(space, network, join="skip-up", ungated_join="same") > 1e-3


def test_a_gate_may_weigh_each_channel(tmp_path: Path) -> None:
    network = HalfGated()
    network.att2 = WideGate(8)
    network = settled(network)
    space = opened(network, tmp_path)
    assert far(space, network, join="skip-up", ungated_join="other") < 1e-4


def test_a_network_with_poolings_may_add_the_image(tmp_path: Path) -> None:
    network = settled(WithImage())
    space = opened(network, tmp_path)
    candidate = space.candidate(space.layouts[0], {})
    assert candidate.choices["image_sum"] == "none"
    assert far(space, network, 1, image_sum="added") < 1e-4


def test_a_skip_connection_goes_through_attention_before_it_is_joined(tmp_path: Path) -> None:
    network = settled(Late())
    space = opened(network, tmp_path)
    assert far(space, network, join="skip-up", weighed="skip") < 1e-4
    assert far(space, network, join="skip-up", weighed="answer") > 1e-3


def test_blocks_of_named_layers_may_end_with_their_norm(tmp_path: Path) -> None:
    network = settled(TwoLevels(Bare, block))
    space = opened(network, tmp_path)
    assert far(space, network, block_end="none") < 1e-4
    assert far(space, network) > 1e-3

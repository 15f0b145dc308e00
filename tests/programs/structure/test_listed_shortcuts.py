"""Shortcuts that are listed behind their blocks or have a short name."""

from __future__ import annotations

from pathlib import Path

import torch
from support.bare_networks import TwoLevels, settled
from support.candidates import far, opened
from torch import nn

from napari_segnet.containers import open_weights
from napari_segnet.graph import Arithmetic
from napari_segnet.programs.structure import read_structure
from napari_segnet.programs.structure._layers import stored_layers
from napari_segnet.programs.structure._listed_shortcuts import with_listed_shortcuts
from napari_segnet.programs.structure._parts import Part, parts_of
from napari_segnet.programs.structure._units import units_of

LEVELS = (("encoder1", 3, 4), ("encoder2", 4, 8), ("bottleneck", 8, 16))


class Net(nn.Module):
    """Blocks of two convolutions, each with a convolution of one pixel listed behind it."""

    def __init__(self, last: int = 4) -> None:
        super().__init__()
        self.count = 0
        for name, a, b in LEVELS:
            self.add_level(name, a, b)
        self.upconv2 = nn.ConvTranspose2d(16, 8, 2, 2)
        self.add_level("decoder2", 16, 8)
        self.upconv1 = nn.ConvTranspose2d(8, 4, 2, 2)
        self.add_level("decoder1", 8, 4, last)
        self.conv_final = nn.Conv2d(4, 1, 1)

    def add_level(self, name: str, a: int, b: int, beside: int = 0) -> None:
        block = nn.Sequential(
            nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(),
            nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b),
        )  # fmt: skip
        self.add_module(name, block)
        self.count += 1
        self.add_module(f"conv1x1_{self.count}", nn.Conv2d(a, beside or b, 1))


def parts(network: nn.Module) -> tuple[Part, ...]:
    shapes = {name: tuple(one.shape) for name, one in network.state_dict().items()}
    return parts_of(units_of(stored_layers(shapes), {})[0], {})


def test_each_block_is_added_to_its_shortcut(tmp_path: Path) -> None:
    torch.save(Net().state_dict(), tmp_path / "net.pth")
    graph = read_structure(open_weights(tmp_path / "net.pth")[0]).first(1)[0].graph
    assert sum(isinstance(node.operation, Arithmetic) for node in graph.nodes) == 5


def test_none_is_a_shortcut_where_one_of_that_name_fits_no_block() -> None:
    found = parts(Net(last=6))
    assert with_listed_shortcuts(found) == found


class Short(nn.Module):
    """Two chains side by side, the second of which is called ``res``."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        one = (nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())
        self.conv = nn.Sequential(*one, nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b))
        self.res = nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b))


def test_a_convolution_called_res_stands_beside_its_block() -> None:
    found = parts(nn.Sequential(Short(3, 4), Short(4, 8)))
    assert [len(part.units) for part in found] == [2, 2]
    beside = [part.shortcut.layer.name for part in found if part.shortcut]
    assert beside == ["0.res.0", "1.res.0"]


class Quiet(nn.Module):
    """A block with a shortcut, whose only activation stands behind the sum."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b)
        self.shortcut = nn.Conv2d(a, b, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        return torch.relu(y + self.shortcut(x))


def test_a_block_may_have_no_activation_but_that_behind_its_sum(tmp_path: Path) -> None:
    network = settled(TwoLevels(Quiet))
    space = opened(network, tmp_path)
    first = space.first(1)[0]
    assert first.choices["inner_activation"] == "each"
    told = {**first.choices, "inner_activation": "none"}
    assert far(space, network, **told) < 1e-4

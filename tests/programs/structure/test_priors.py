"""How usual combinations are that no tensor shows."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from napari_segnet.containers import open_weights
from napari_segnet.programs.structure import Space, read_structure
from napari_segnet.programs.structure._priors import cost


def block(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(),
        nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(),
    )  # fmt: skip


def down(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, 3, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.LeakyReLU(0.2),
    )  # fmt: skip


class Net(nn.Module):
    def __init__(self, alike: bool) -> None:
        super().__init__()
        make = block if alike else down
        self.encoder = nn.ModuleList([make(1, 4), make(4, 8), make(8, 16)])
        self.ups = nn.ModuleList([nn.ConvTranspose2d(16, 8, 2, 2), nn.ConvTranspose2d(8, 4, 2, 2)])
        self.decoder = nn.ModuleList([block(16, 8), block(8, 4)])
        self.head = nn.Conv2d(4, 1, 1)


def space_of(network: nn.Module, folder: Path) -> Space:
    torch.save(network.state_dict(), folder / "net.pth")
    return read_structure(open_weights(folder / "net.pth")[0])


def price_of_another_way_down(space: Space) -> float:
    layout = space.layouts[0]
    other = space.candidate(layout, {"encoder_activation": "leaky-0.2"})
    return space.candidate(layout, {}).prior - other.prior


def test_blocks_of_one_class_have_one_activation(tmp_path: Path) -> None:
    alike = price_of_another_way_down(space_of(Net(alike=True), tmp_path))
    apart = price_of_another_way_down(space_of(Net(alike=False), tmp_path))
    assert 0 < apart < alike - 1


def test_what_favours_linear_weights_does_not_say_where_the_corners_lie() -> None:
    values = ("bilinear", "nearest", "bilinear-aligned")
    plain, nearest, aligned = (cost("resize", value, values) for value in values)
    assert plain < aligned < plain + 0.2 < nearest

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


class Resized(nn.Module):
    """A U-Net of bare convolutions by name that is resized, with a convolution behind it or not."""

    def __init__(self, apart: bool) -> None:
        super().__init__()
        self.enc1, self.enc2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        if apart:
            self.up = nn.Conv2d(8, 4, 3, padding=1)
        self.dec1 = nn.Conv2d(4 + (4 if apart else 8), 4, 3, padding=1)
        self.head = nn.Conv2d(4, 1, 1)


def test_a_resizing_that_is_joined_at_once_is_linear(tmp_path: Path) -> None:
    found = [space_of(Resized(apart), tmp_path).first(1)[0].choices for apart in (True, False)]
    assert [one["resize"] for one in found] == ["nearest", "bilinear-aligned"]
    assert {one["join"] for one in found} == {"up-skip"}


def test_a_norm_without_weights_is_rare_where_no_number_leaves_room(tmp_path: Path) -> None:
    space = space_of(Named(), tmp_path)
    layout = space.layouts[0]
    normed = space.candidate(layout, {"hidden_norm": "instance"})
    assert space.candidate(layout, {}).prior - normed.prior > 3


def price_without_paddings(space: Space) -> float:
    layout = space.layouts[0]
    valid = space.candidate(layout, {"padding": "valid"})
    return space.candidate(layout, {}).prior - valid.prior


def test_networks_without_norms_have_no_paddings_more_often(tmp_path: Path) -> None:
    bare = price_without_paddings(space_of(Named(), tmp_path))
    assert 1 < bare < 1.5 < price_without_paddings(space_of(Net(alike=True), tmp_path)) - 1


class Named(nn.Module):
    """A U-Net whose convolutions have names and no numbers in a ``Sequential``."""

    def __init__(self) -> None:
        super().__init__()
        for name, a, b in (("enc1", 3, 4), ("enc2", 4, 8), ("dec1", 8, 4)):
            module = nn.Module()
            module.first = nn.Conv2d(a, b, 3, padding=1)
            module.second = nn.Conv2d(b, b, 3, padding=1)
            self.add_module(name, module)
        self.up1 = nn.ConvTranspose2d(8, 4, 2, 2)
        self.head = nn.Conv2d(4, 1, 1)


def test_numbers_that_leave_room_for_a_pooling_speak_against_strides(tmp_path: Path) -> None:
    found = {}
    for room in (False, True):
        space = space_of(Features(room), tmp_path)
        one = space.candidate(space.layouts[0], {"pooling": "max"})
        other = space.candidate(space.layouts[0], {"pooling": "strided"})
        found[room] = one.prior - other.prior
    assert found[True] > found[False] + 1


class Features(nn.Module):
    """An encoder in one ``Sequential``, whose numbers leave room for a pooling or for none."""

    def __init__(self, room: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in ((3, 4), (4, 8), (8, 16)):
            layers += [nn.MaxPool2d(2)] * (room and a > 3)
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU()]
            layers += [nn.Conv2d(b, b, 3, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.up2, self.dec2 = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 8, 3, padding=1)
        self.up1, self.dec1 = nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(8, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 1, 1)

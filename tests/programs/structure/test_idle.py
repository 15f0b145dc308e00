"""Layers that are registered and never run: their norms are as they began."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.networks import pictures
from torch import nn
from torch.nn import functional

from napari_segnet.containers import open_weights
from napari_segnet.families import GraphFamily
from napari_segnet.graph import tensors
from napari_segnet.programs.structure import read_structure
from napari_segnet.progress import run
from napari_segnet.proof import prove
from napari_segnet.recognition import family_of, identify


def layer(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())


class Net(nn.Module):
    """A U-Net with a second layer at the bottom, which the forward may leave out."""

    def __init__(self, runs: bool) -> None:
        super().__init__()
        self.runs = runs
        self.res1, self.res11 = layer(3, 4), layer(4, 4)
        self.res2, self.res21 = layer(4, 8), layer(8, 8)
        self.up1 = nn.ConvTranspose2d(8, 4, 2, 2)
        self.up2 = layer(8, 4)
        self.last = nn.Conv2d(4, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.res11(self.res1(x))
        x = self.res2(functional.max_pool2d(skip, 2))
        x = self.up1(self.res21(x) if self.runs else x)
        answer: torch.Tensor = self.last(self.up2(torch.cat([x, skip], 1)))
        return answer


def drawn(network: nn.Module, path: Path) -> set[str]:
    torch.save(network.state_dict(), path)
    return set(tensors(read_structure(open_weights(path)[0]).first(1)[0].graph))


@pytest.mark.parametrize("runs", [False, True])
def test_a_layer_whose_norm_never_ran_is_left_out(runs: bool, tmp_path: Path) -> None:
    network = Net(runs)
    network(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    named = drawn(network, tmp_path / "net.pth")
    assert ("res21.0.weight" in named) == runs
    assert {"res2.0.weight", "up2.0.weight", "last.weight"} <= named


def test_a_network_that_was_never_trained_keeps_all_layers(tmp_path: Path) -> None:
    assert "res21.0.weight" in drawn(Net(False), tmp_path / "net.pth")


def test_a_layer_without_which_nothing_closes_stays(tmp_path: Path) -> None:
    network = Net(True)
    network(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    norm = network.res2[1]
    assert isinstance(norm, nn.BatchNorm2d)
    norm.reset_running_stats()
    assert "res2.0.weight" in drawn(network, tmp_path / "net.pth")


class Answering(nn.Module):
    """A network whose forward forgets the norm of its last convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.conv3, self.bn3 = nn.Conv2d(8, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv4, self.bn4 = nn.Conv2d(4, 1, 3, padding=1), nn.BatchNorm2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(functional.max_pool2d(skip, 2))))
        x = torch.relu(self.bn3(self.conv3(torch.cat([self.up(x), skip], 1))))
        answer: torch.Tensor = self.conv4(x)
        return answer


def test_the_last_convolution_runs_without_a_norm_that_never_ran(tmp_path: Path) -> None:
    network = Answering()
    network(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    named = drawn(network, tmp_path / "net.pth")
    assert {"conv4.weight", "bn3.weight"} <= named
    assert "bn4.weight" not in named


class Unit(nn.Module):
    """A convolution whose norm is registered whether it is called or not."""

    def __init__(self, a: int, b: int, normed: bool = True) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b)
        self.normed = normed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return torch.relu(self.bn(x) if self.normed else x)


def proven(network: nn.Module, path: Path) -> set[str]:
    """Show a network pictures, as a training does; return the tensors of what is proven of it."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    for seed in range(40):
        network(pictures(2, 3, (64, 64), seed))
    torch.save(network.state_dict(), path)
    found = run(prove(identify(path))).checkpoint
    family = family_of(found)
    assert isinstance(family, GraphFamily)
    return set(tensors(family.graph(found)))


class Forgetful(nn.Module):
    """A layer on the way down runs without its norm, or not at all."""

    def __init__(self, runs: bool) -> None:
        super().__init__()
        self.runs = runs
        self.enc1, self.enc2, self.enc3 = Unit(3, 8), Unit(8, 16), Unit(16, 16, normed=False)
        self.low1, self.low2 = Unit(16, 32), Unit(32, 32)
        self.up2, self.dec2 = nn.ConvTranspose2d(32, 16, 2, 2), Unit(32, 16)
        self.up1, self.dec1 = nn.ConvTranspose2d(16, 8, 2, 2), Unit(16, 8)
        self.last = nn.Conv2d(8, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.enc1(x)
        x = self.enc2(functional.max_pool2d(first, 2))
        second = self.enc3(x) if self.runs else x
        x = self.up2(self.low2(self.low1(functional.max_pool2d(second, 2))))
        x = self.up1(self.dec2(torch.cat([second, x], 1)))
        answer: torch.Tensor = self.last(self.dec1(torch.cat([first, x], 1)))
        return answer


class Double(nn.Module):
    """Two convolutions, the second of which may run without its norm, or not at all."""

    def __init__(self, a: int, b: int, second: str = "whole") -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b)
        self.second = second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        if self.second == "none":
            return x
        x = self.conv2(x)
        return torch.relu(self.bn2(x) if self.second == "whole" else x)


class Doubles(nn.Module):
    """A U-Net of such blocks, one of which is unlike the others."""

    def __init__(self, second: str) -> None:
        super().__init__()
        self.enc1, self.enc2 = Double(3, 8), Double(8, 16, second)
        self.low = Double(16, 32)
        self.up2, self.dec2 = nn.ConvTranspose2d(32, 16, 2, 2), Double(32, 16)
        self.up1, self.dec1 = nn.ConvTranspose2d(16, 8, 2, 2), Double(16, 8)
        self.last = nn.Conv2d(8, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.enc1(x)
        second = self.enc2(functional.max_pool2d(first, 2))
        x = self.up2(self.low(functional.max_pool2d(second, 2)))
        x = self.up1(self.dec2(torch.cat([second, x], 1)))
        answer: torch.Tensor = self.last(self.dec1(torch.cat([first, x], 1)))
        return answer


@pytest.mark.parametrize("second", ["norm left out", "none"])
def test_a_layer_inside_a_block_ran_without_its_norm_or_not(second: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    named = proven(Doubles(second), tmp_path / "net.pth")
    assert ("enc2.conv2.weight" in named) == (second != "none")
    assert "enc2.bn2.weight" not in named


@pytest.mark.parametrize("runs", [True, False])
def test_the_other_norms_tell_if_a_layer_ran_without_its_own(runs: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    named = proven(Forgetful(runs), tmp_path / "net.pth")
    assert ("enc3.conv.weight" in named) == runs
    assert "enc3.bn.weight" not in named


class Sequences(nn.Module):
    """The last block of the decoder ends without calling its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.enc1 = nn.Sequential(Unit(3, 4), Unit(4, 4))
        self.enc2 = nn.Sequential(Unit(4, 8), Unit(8, 8))
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.dec1 = nn.Sequential(Unit(8, 4), Unit(4, 4, normed=False))
        self.last = nn.Conv2d(4, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.enc1(x)
        x = self.up(self.enc2(functional.max_pool2d(skip, 2)))
        answer: torch.Tensor = self.last(self.dec1(torch.cat([x, skip], 1)))
        return answer


def test_a_sequential_runs_all_its_elements_whether_their_norms_ran_or_not(tmp_path: Path) -> None:
    network = Sequences()
    network(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    named = drawn(network, tmp_path / "net.pth")
    assert {"dec1.1.conv.weight", "dec1.0.bn.weight"} <= named
    assert "dec1.1.bn.weight" not in named


class Backbone(nn.Module):
    """A classifier of ImageNet."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1, self.layer2, self.layer3 = layer(3, 4), layer(4, 8), layer(8, 16)
        self.fc = nn.Linear(16, 1000)


class KeepsItsBackbone(nn.Module):
    """The encoder is taken out of a classifier, of which the end is never run."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Backbone()
        self.enc1, self.enc2 = self.base.layer1, self.base.layer2
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.dec, self.last = layer(8, 4), nn.Conv2d(4, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.enc1(x)
        x = self.up(self.enc2(functional.max_pool2d(skip, 2)))
        answer: torch.Tensor = self.last(self.dec(torch.cat([x, skip], 1)))
        return answer


def test_the_end_of_a_classifier_that_gives_its_layers_is_left_out(tmp_path: Path) -> None:
    network = KeepsItsBackbone()
    network(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    named = drawn(network, tmp_path / "net.pth")
    assert {"enc1.0.weight", "enc2.0.weight", "dec.0.weight"} <= named
    assert not any(name.startswith("base.") for name in named)


def test_a_head_of_imagenet_that_is_kept_is_left_out(tmp_path: Path) -> None:
    network = Net(False)
    kept = nn.Module()
    for name, module in network.named_children():
        if name == "up1":
            kept.add_module("fc", nn.Linear(8, 1000))
        kept.add_module(name, module)
    network(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert "up1.weight" in drawn(kept, tmp_path / "net.pth")

"""What is registered at another place than it runs: first layers, and norms before convolutions."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from support.bare_networks import settled
from torch import nn
from torch.nn import functional

from napari_segnet.containers import open_weights
from napari_segnet.graph import Arithmetic, BatchNorm, Convolution
from napari_segnet.programs.structure import Candidate, read_structure
from napari_segnet.programs.structure._layers import stored_layers
from napari_segnet.programs.structure._norms_ahead import with_norms_behind


class Summed(nn.Module):
    """A block of one width, to which its input is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + x)


def step(a: int, b: int) -> nn.Sequential:
    layers = [nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU(), Summed(b)]
    return nn.Sequential(*layers)


class ListsFirst(nn.Module):
    """The lists of encoder and decoder are made before the layer that takes the image."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        self.initial = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), Summed(4))
        self.encoder += [step(4, 8), step(8, 16)]
        self.bottleneck = Summed(16)
        for a, b in ((16 + 8, 8), (8 + 4, 4)):
            self.decoder.append(nn.Sequential(nn.Conv2d(a, b, 1), Summed(b)))
        self.final = nn.Conv2d(4, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = [self.initial(x)]
        for one in self.encoder:
            skips.append(one(skips[-1]))
        x = self.bottleneck(skips.pop())
        for one in self.decoder:
            x = functional.interpolate(x, scale_factor=2, mode="bilinear")
            x = one(torch.cat([x, skips.pop()], 1))
        answer: torch.Tensor = self.final(x)
        return answer


class NormsFirst(nn.Module):
    """Blocks list their norms before their convolutions."""

    def __init__(self) -> None:
        super().__init__()
        for name, a, b in (("enc1", 3, 4), ("enc2", 4, 8), ("dec1", 12, 4)):
            block = nn.Module()
            block.bn1, block.bn2 = nn.BatchNorm2d(b), nn.BatchNorm2d(b)
            block.conv1 = nn.Conv2d(a, b, 3, padding=1)
            block.conv2 = nn.Conv2d(b, b, 3, padding=1)
            self.add_module(name, block)
        self.head = nn.Conv2d(4, 1, 1)


def read(network: nn.Module, path: Path) -> Candidate:
    torch.save(network.state_dict(), path)
    return read_structure(open_weights(path)[0]).first(1)[0]


def test_the_layer_that_takes_the_image_runs_first(tmp_path: Path) -> None:
    found = read(settled(ListsFirst()), tmp_path / "net.pth")
    layers = [one.name for one in found.graph.nodes if isinstance(one.operation, Convolution)]
    assert layers[0] == "initial.0"
    assert found.graph.image.operation.channels(()) == 3


def test_the_input_of_a_block_of_one_width_may_be_added(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(settled(ListsFirst()).state_dict(), path)
    space = read_structure(open_weights(path)[0])
    summed = space.candidate(space.layouts[0], {"residual": "block"})
    assert sum(isinstance(one.operation, Arithmetic) for one in summed.graph.nodes) == 6


def test_norms_that_are_listed_first_stand_behind_the_convolutions_of_their_numbers(
    tmp_path: Path,
) -> None:
    nodes = {one.name: one for one in read(NormsFirst(), tmp_path / "net.pth").graph.nodes}
    norms = [one for one in nodes.values() if isinstance(one.operation, BatchNorm)]
    before = {one.name: one.inputs[0] for one in norms}
    assert before["enc1.bn1"] == "enc1.conv1" and before["dec1.bn2"] == "dec1.conv2"
    assert len(norms) == 6


def test_a_norm_before_each_convolution_stays_there() -> None:
    names = ("bn1", "conv1", "bn2", "conv2")
    shapes: dict[str, tuple[int, ...]] = {}
    for name in names:
        norm = name.startswith("bn")
        shapes[f"a.{name}.weight"] = (8,) if norm else (8, 8, 3, 3)
        shapes[f"a.{name}.bias"] = (8,)
    layers = stored_layers(shapes)
    assert with_norms_behind(layers) == layers


class NumberedOn(nn.Module):
    """Steps up are registered between the blocks of the encoder and those of the decoder."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 4, 8, 16)
        for at, (a, b) in enumerate(pairwise(widths), 1):
            self.add_module(f"conv{at}", double(a, b))
        for at, (a, b) in enumerate(pairwise(widths[:0:-1]), 1):
            self.add_module(f"up{at}", nn.Conv2d(a, b, 3, padding=1))
        for at, (a, b) in enumerate(pairwise(widths[:0:-1]), 4):
            self.add_module(f"conv{at}", double(a, b))
        self.out = nn.Conv2d(4, 1, 1)


def double(a: int, b: int) -> nn.Sequential:
    layers = [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


def test_blocks_numbered_on_behind_the_steps_up_take_turns_with_these(tmp_path: Path) -> None:
    graph = read(NumberedOn(), tmp_path / "net.pth").graph
    layers = [node.name for node in graph.nodes if isinstance(node.operation, Convolution)]
    order = [name.split(".")[0] for name in layers if not name.endswith(".2")]
    assert order == ["conv1", "conv2", "conv3", "up1", "conv4", "up2", "conv5", "out"]


class StepsUpLast(nn.Module):
    """Steps up are registered behind all other layers, and behind the last one."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 4, 8, 16, 32)
        for at, (a, b) in enumerate(pairwise(widths), 1):
            self.add_module(f"conv{at}", double(a, b))
        for at, (a, b) in enumerate(pairwise(widths[:0:-1])):
            self.add_module(f"conv{3 - at}m", double(a, b))
        self.conv0 = nn.Sequential(nn.Conv2d(4, 1, 3, padding=1))
        for at, (a, b) in enumerate(pairwise(widths[:0:-1])):
            ups = nn.Sequential(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.ReLU())
            self.add_module(f"upsample{4 - at}{3 - at}", ups)


def test_steps_up_behind_all_other_layers_run_where_their_channels_fit(tmp_path: Path) -> None:
    graph = read(StepsUpLast(), tmp_path / "net.pth").graph
    order = [node.name.split(".")[0] for node in graph.nodes if node.name.endswith(".0")]
    assert order == [
        "conv1", "conv2", "conv3", "conv4", "upsample43", "conv3m", "upsample32", "conv2m",
        "upsample21", "conv1m", "conv0",
    ]  # fmt: skip


class NamedByItsKernel(nn.Module):
    """A decoder lists its steps up, its blocks, and ``conv1x1`` behind the blocks."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 4, 8, 16)
        self.encoder, self.decoder = nn.Module(), nn.Module()
        for at, (a, b) in enumerate(pairwise(widths), 1):
            self.encoder.add_module(f"conv{at}", double(a, b))
        for at, (a, b) in enumerate(pairwise(widths[:0:-1]), 1):
            self.decoder.add_module(f"upconv{at}", nn.ConvTranspose2d(a, b, 2, 2))
        for at, (a, b) in enumerate(pairwise(widths[:0:-1]), 1):
            self.decoder.add_module(f"conv{at}", double(a, b))
        self.decoder.add_module("conv1x1", nn.Conv2d(4, 1, 1))


def test_the_edges_of_a_kernel_in_a_name_are_no_number_of_a_list(tmp_path: Path) -> None:
    graph = read(NamedByItsKernel(), tmp_path / "net.pth").graph
    layers = [node.name for node in graph.nodes if isinstance(node.operation, Convolution)]
    assert [name for name in layers if name.startswith("decoder.conv")] == [
        "decoder.conv1.0", "decoder.conv1.2", "decoder.conv2.0", "decoder.conv2.2",
        "decoder.conv1x1",
    ]  # fmt: skip


def test_norms_without_weights_keep_their_statistics(tmp_path: Path) -> None:
    network = NumberedOn()
    for name, module in list(network.named_modules()):
        if name.startswith("conv") and isinstance(module, nn.Sequential):
            for at in (2, 0):
                width = module[at].out_channels
                module.insert(at + 1, nn.BatchNorm2d(width, affine=False))
    graph = read(network, tmp_path / "net.pth").graph
    norms = [node for node in graph.nodes if isinstance(node.operation, BatchNorm)]
    assert len(norms) == 10
    assert not {"weight", "bias"} & {role for node in norms for role in node.tensors}

"""Encoders and decoders in Sequentials: where they pool and resize, as numbers and layers say."""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain, pairwise
from pathlib import Path

import torch
from support.bare_networks import settled
from torch import nn

from napari_segnet.containers import open_weights
from napari_segnet.graph import Activation, Graph, InstanceNorm
from napari_segnet.graph.build import build
from napari_segnet.programs.structure import read_structure

WIDTHS = (3, 4, 8, 16)


def levels() -> nn.Sequential:
    """Each level of the encoder ends in its pooling, each of the decoder in its resizing."""
    held: OrderedDict[str, nn.Module] = OrderedDict()
    for at, (one, two) in enumerate(pairwise(WIDTHS)):
        layers = nn.Conv2d(one, two, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        held[f"encoder{at + 1}"] = nn.Sequential(*layers)
    for at, (one, two) in enumerate(zip(WIDTHS[:0:-1], (8, 4, 4), strict=False)):
        layers = nn.Conv2d(one, two, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2)
        held[f"decoder{at + 1}"] = nn.Sequential(*layers)
    held["final"] = nn.Conv2d(4, 2, 1)
    return settled(nn.Sequential(held))


def equal(graph: Graph, network: nn.Module) -> bool:
    module = build(graph).eval()
    module.load_state_dict(network.state_dict())
    x = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return bool(torch.allclose(module(x), network(x), atol=1e-5))


def test_a_whole_module_says_where_it_pools_and_resizes(tmp_path: Path) -> None:
    network = levels()
    torch.save(network, tmp_path / "net.pth")
    space = read_structure(open_weights(tmp_path / "net.pth")[0])
    assert equal(space.first(1)[0].graph, network)


def test_an_encoder_without_a_bottleneck_pools_at_its_last_level(tmp_path: Path) -> None:
    network = levels()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    space = read_structure(open_weights(tmp_path / "net.pth")[0])
    assert any(equal(space.candidate(layout, {}).graph, network) for layout in space.layouts[:3])


def test_groups_divide_the_channels(tmp_path: Path) -> None:
    network = nn.Sequential()
    for at, (one, two) in enumerate(((1, 4), (4, 12), (12, 1))):
        network.add_module(f"conv{at}", nn.Conv2d(one, two, 3, padding=1))
        if two > 1:
            network.add_module(f"norm{at}", nn.GroupNorm(2, two))
    torch.save(network.state_dict(), tmp_path / "net.pth")
    space = read_structure(open_weights(tmp_path / "net.pth")[0])
    assert set(space.first(1)[0].open["groups"]) == {"instance", "4", "2", "1"}


def test_a_shortcut_belongs_to_convolutions_that_are_numbered_behind_its_block(
    tmp_path: Path,
) -> None:
    shapes = {
        "conv1_1.weight": (4, 3, 3, 3),
        "conv1.shortcut.0.weight": (4, 3, 1, 1),
        "conv2_1.weight": (8, 4, 3, 3),
        "conv2.shortcut.0.weight": (8, 4, 1, 1),
        "up3.weight": (8, 4, 2, 2),
        "conv3_1.weight": (4, 8, 3, 3),
        "conv3.shortcut.0.weight": (4, 8, 1, 1),
        "conv_last.weight": (2, 4, 1, 1),
    }
    torch.save({name: torch.ones(shape) for name, shape in shapes.items()}, tmp_path / "net.pth")
    space = read_structure(open_weights(tmp_path / "net.pth")[0])
    assert space.layouts[0].startswith("2-levels-1-skips")


def candidates(network: nn.Module, path: Path) -> tuple[Graph, ...]:
    torch.save(network.state_dict(), path)
    return tuple(one.graph for one in read_structure(open_weights(path)[0]).first(3))


def test_two_resizings_behind_one_another_are_told_by_the_numbers(tmp_path: Path) -> None:
    def level(one: int, two: int, *more: nn.Module) -> list[nn.Module]:
        return [nn.Conv2d(one, two, 3, padding=1), nn.BatchNorm2d(two), nn.ReLU(), *more]

    up = nn.Upsample(scale_factor=2)
    down = [level(one, two, nn.MaxPool2d(2)) for one, two in pairwise(WIDTHS)]
    rise = [*level(16, 8, up), *level(8, 4, up, up), nn.Conv2d(4, 2, 3, padding=1)]
    held = {"encoder": nn.Sequential(*chain(*down)), "decoder": nn.Sequential(*rise)}
    network = settled(nn.Sequential(OrderedDict(held)))
    assert equal(candidates(network, tmp_path / "net.pth")[0], network)


class Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 3, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = x - self.layers(x)
        return answer


def test_a_denoiser_may_take_its_answer_from_the_image(tmp_path: Path) -> None:
    network = settled(Denoiser())
    found = candidates(network, tmp_path / "net.pth")
    assert sum(equal(graph, network) for graph in found) == 1


class Flat(nn.Module):
    """3D: the first axis is halved at no level, and kernels of 3 bring the others up."""

    def __init__(self) -> None:
        super().__init__()

        def pair(one: int, two: int, depth: int) -> nn.Sequential:
            kernel, padding = (depth, 3, 3), (depth // 2, 1, 1)
            units = [
                nn.Sequential(nn.Conv3d(a, two, kernel, padding=padding), nn.BatchNorm3d(two))
                for a in (one, two)
            ]
            return nn.Sequential(units[0].append(nn.ReLU()), units[1].append(nn.ReLU()))

        self.down_1, self.bridge = pair(1, 4, 1), pair(4, 8, 3)
        how = {"stride": (1, 2, 2), "padding": 1, "output_padding": (0, 1, 1)}
        self.trans_1, self.up_1 = nn.ConvTranspose3d(8, 4, 3, **how), pair(8, 4, 1)
        self.out = nn.Conv3d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.down_1(x)
        x = self.bridge(nn.functional.max_pool3d(skip, (1, 2, 2)))
        answer: torch.Tensor = self.out(self.up_1(torch.cat([self.trans_1(x), skip], 1)))
        return answer


def test_an_odd_transposed_kernel_tells_no_stride(tmp_path: Path) -> None:
    network = settled(Flat())
    module = build(candidates(network, tmp_path / "net.pth")[0]).eval()
    module.load_state_dict(network.state_dict())
    x = torch.rand((1, 1, 5, 16, 16), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(module(x), network(x), atol=1e-5, rtol=0)


def test_a_number_between_a_convolution_and_its_slopes_is_a_norm(tmp_path: Path) -> None:
    def block(one: int, two: int) -> nn.Sequential:
        layers = (nn.Conv2d(one, two, 3, padding=1), nn.InstanceNorm2d(two), nn.PReLU())
        more = (nn.Conv2d(two, two, 3, padding=1), nn.InstanceNorm2d(two), nn.PReLU())
        return nn.Sequential(*layers, *more)

    network = nn.Module()
    network.down1, network.down2 = block(1, 4), block(4, 8)
    network.up, network.block = nn.ConvTranspose2d(8, 4, 2, 2), block(8, 4)
    network.head = nn.Conv2d(4, 1, 1)
    torch.save(settled(network).state_dict(), tmp_path / "net.pth")
    first = read_structure(open_weights(tmp_path / "net.pth")[0]).first(1)[0]
    assert first.choices["hidden_norm"] == "instance"
    norms = [node for node in first.graph.nodes if isinstance(node.operation, InstanceNorm)]
    activations = [one for one in first.graph.nodes if isinstance(one.operation, Activation)]
    slopes = [one.inputs[0] for one in activations if one.tensors]
    assert len(norms) == 6
    assert {norm.name for norm in norms} == set(slopes)

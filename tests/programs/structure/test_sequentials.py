"""Encoders and decoders in Sequentials: where they pool and resize, as numbers and layers say."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from pathlib import Path

import torch
from support.bare_networks import settled
from torch import nn

from napari_segnet.containers import open_weights
from napari_segnet.graph import Graph
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

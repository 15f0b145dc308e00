"""A network is written, read by its structure, and compared with what was read."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from napari_segnet.containers import open_weights
from napari_segnet.graph.build import build
from napari_segnet.programs.structure import Networks, read_structure

__all__ = ["far", "opened"]


def opened(network: nn.Module, path: Path) -> Networks:
    """Return the networks that the file of a network may hold; it is written into a folder."""
    torch.save(network.state_dict(), path / "net.pth")
    return read_structure(open_weights(path / "net.pth")[0])


def far(space: Networks, network: nn.Module, colours: int = 3, **choices: str) -> float:
    """Return by how much a candidate of the first topology differs from a network."""
    module = build(space.candidate(space.layouts[0], choices).graph).eval()
    state = network.state_dict()
    module.load_state_dict({name: state[name] for name in module.state_dict()})
    x = torch.rand((1, colours, 32, 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return float((module(x) - network(x)).abs().max())

"""The same network in rows of layers that feed one another, for an engine to fuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from napari_segnet.graph._graph import Graph
from napari_segnet.graph.build._placed import place_layers

__all__ = ["Joining", "Row", "Rows"]


class Joining(nn.Sequential):
    """Layers in a row that take several tensors and join their channels.

    The first layer may do the joining itself, piece by piece, where that is faster.
    """

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """Map tensors ``(n, c, [z,] y, x)`` of one size, joined along ``c``."""
        first, *others = self
        if len(parts) > 1 and not getattr(first, "joins", False):
            parts = (torch.cat(parts, dim=1),)
        x: torch.Tensor = first(*parts)
        for layer in others:
            x = layer(x)
        return x

    joins = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Layers that run one after the other.

    Attributes
    ----------
    name : str
        The node whose answer it gives.
    inputs : tuple of str
        Nodes that its first layer takes.
    drop : tuple of str
        Nodes whose answers nobody needs once it begins.
    """

    name: str
    inputs: tuple[str, ...]
    drop: tuple[str, ...]


class Rows(nn.Module):
    """A network as rows of layers; answers as the network does.

    Parameters
    ----------
    graph : Graph
        What it is.
    rows : sequence of Row
        In running order.
    layers : sequence of Module
        One for each row.
    """

    def __init__(self, graph: Graph, rows: Sequence[Row], layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.graph = graph
        self.rows = tuple(rows)
        for number, layer in enumerate(layers):
            self._modules[str(number)] = layer

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Answer ``(n, c, [z,] y, x)`` with maps of all outputs, one after the other."""
        found = {self.graph.image.name: image}
        del image
        for number, row in enumerate(self.rows):
            inputs = [found[name] for name in row.inputs]
            for name in row.drop:
                del found[name]
            layer = self._modules[str(number)]
            assert layer is not None
            found[row.name] = layer(*inputs)
            del inputs
        answers = [found[name] for name in self.graph.outputs]
        return answers[0] if len(answers) == 1 else torch.cat(answers, dim=1)

    def place(self, offset_px: tuple[int, ...], whole_px: tuple[int, ...]) -> None:
        """Tell where the cut-outs lie that come, see ``families.kit.blocks.place``."""
        place_layers(self, self.graph, offset_px, whole_px)

    def unplace(self) -> None:
        """Tell that whole images come again."""
        place_layers(self, self.graph)

"""A network that is cut where branches are joined."""

from __future__ import annotations

import torch
from torch import nn

from napari_segnet.graph._cuts import cut_edges
from napari_segnet.graph._pointwise import Image
from napari_segnet.graph._windows import MatchSize
from napari_segnet.graph.build._network import GraphNetwork

__all__ = ["CutNetwork"]


class CutNetwork(nn.Module):
    """The network of a graph, whose joins take a part of their inputs; see ``cuts_for``.

    Parameters
    ----------
    network : GraphNetwork
        Of a graph with ``cut_edges``; its layers are shared.
    """

    def __init__(self, network: GraphNetwork) -> None:
        super().__init__()
        self.network = network
        edges = cut_edges(network.graph)
        self._edges = {edge: number for number, edge in enumerate(edges)}

    def forward(self, image: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
        """Answer ``(n, c, [z,] y, x)`` with what is left of the maps.

        Parameters
        ----------
        image : Tensor
            The same as of ``network``.
        bounds : Tensor
            int64 ``(edge, axis, 2)``: ``Cuts.bounds`` for the size of the image.
        """
        graph = self.network.graph
        found = {graph.image.name: image}
        for node in graph.nodes:
            if isinstance(node.operation, Image):
                continue
            inputs = [found[name] for name in node.inputs]
            if isinstance(node.operation, MatchSize):
                found[node.name] = inputs[0]  # it is the join that cuts
                continue
            if (node.name, 0) in self._edges:
                inputs = [
                    _cut(x, bounds[self._edges[node.name, number]])
                    for number, x in enumerate(inputs)
                ]
            for layer in self.network.layers(node.name):
                inputs = [layer(*inputs)]
            (found[node.name],) = inputs
        return found[graph.outputs[0]]


def _cut(x: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    # Numbers stay tensors: a tracer would take them for constants.
    spans = [slice(*bounds[axis]) for axis in range(x.ndim - 2)]
    return x[(slice(None), slice(None), *spans)]

"""The shape of every node of a graph, for one size of the image."""

from __future__ import annotations

from collections.abc import Mapping

from napari_segnet.graph._graph import Graph
from napari_segnet.graph._operation import Shape
from napari_segnet.graph._pointwise import Image

__all__ = ["shapes"]


def shapes(graph: Graph, lengths: Shape) -> Mapping[str, Shape]:
    """Return the shape of each node's answer, without the axis of the batch.

    Parameters
    ----------
    graph : Graph
        The network.
    lengths : tuple of int
        ``([z,] y, x)`` of the image, in pixels.

    Raises
    ------
    ValueError
        If some operation cannot take what comes to it.
    """
    found: dict[str, Shape] = {}
    for node in graph.nodes:
        if isinstance(node.operation, Image):
            found[node.name] = (node.operation.count, *lengths)
            continue
        shape = node.operation.shape([found[name] for name in node.inputs])
        if min(shape, default=0) < 1:
            raise ValueError(f"nothing is left at {node.name!r} of an image of {lengths} pixels")
        found[node.name] = shape
    return found

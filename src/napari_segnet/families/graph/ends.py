"""Both ends of a graph: what its outputs mean, a new last layer, the levels of its encoder."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Known, Output
from napari_segnet.errors import SettingsError
from napari_segnet.graph import (
    Activation,
    Convolution,
    Graph,
    Identity,
    Node,
    Softmax,
    needed,
    scales,
)

if TYPE_CHECKING:
    import torch

__all__ = ["new_ends", "raw_ends", "roles", "stages"]

INSIDE = ("sigmoid", "hard-sigmoid", "hard-sigmoid-fifth", "log-sigmoid", "tanh", "relu")
"""Activations after which no other follows."""


def roles(graph: Graph, count: int) -> tuple[tuple[Output, ...], Known]:
    """Return what ``count`` channels of output mean, and how that is known.

    One channel is a foreground, several are classes. An activation at the end of the graph is
    inside the network; else a sigmoid or a softmax is assumed to follow.
    """
    last = _last(graph).operation
    inside = isinstance(last, Softmax) or (isinstance(last, Activation) and last.function in INSIDE)
    role: Any = "foreground" if count == 1 else "class"
    activation: Any = "none" if inside else ("sigmoid" if count == 1 else "softmax")
    name = last.function if isinstance(last, Activation) else "softmax"
    if inside:
        known = Known(source="read", why=f"the network ends with {name}")
    else:
        why = f"the network ends without an activation; {activation} is usual then"
        known = Known(source="assumed", why=why)
    return (Output(role=role, channels=count, activation=activation),), known


def _last(graph: Graph) -> Node:
    """Return the last node that changes anything, before the first output."""
    nodes = {node.name: node for node in graph.nodes}
    node = nodes[graph.outputs[0]]
    while isinstance(node.operation, Identity):
        node = nodes[node.inputs[0]]
    return node


def raw_ends(graph: Graph, outputs: tuple[Output, ...]) -> tuple[Graph, tuple[Output, ...]]:
    """Return a network without the sigmoid of one map, or the softmax of several, at its end.

    The output names it instead. Where there is none of both, all is as it was.
    """
    node, single = _last(graph), len(graph.outputs) == len(outputs) == 1
    last, end = node.operation, ""
    if isinstance(last, Softmax) and last.along == 0 and not last.log:
        end = "softmax"
    elif isinstance(last, Activation) and last.function == "sigmoid" and outputs[0].channels == 1:
        end = "sigmoid"
    if not single or not end or outputs[0].activation != "none":
        return graph, outputs
    raw: Any = end
    return needed(graph, node.inputs), (replace(outputs[0], activation=raw),)


def new_ends(graph: Graph, count: int) -> Graph:
    """Return the same network with another number of channels, and no activation behind them.

    Raises
    ------
    SettingsError
        If it does not end with a convolution of its own.
    """
    nodes = {node.name: node for node in graph.nodes}
    node = nodes[graph.outputs[0]]
    while isinstance(node.operation, Activation | Softmax | Identity):
        node = nodes[node.inputs[0]]
    layer = node.operation
    users = [one for one in graph.nodes if one.tensors and one.tensors == node.tensors]
    if len(graph.outputs) > 1 or not isinstance(layer, Convolution) or len(users) != 1:
        raise SettingsError(
            "The network does not end with one convolution whose channels are its outputs, so it "
            "cannot get others. Leave head as it is, or begin with the built-in network."
        )
    last = replace(node, operation=replace(layer, outputs=count, groups=1))
    kept = tuple(last if one is node else one for one in graph.nodes)
    cut = Graph(nodes=kept[: kept.index(last) + 1], outputs=(node.name,))
    return needed(cut, cut.outputs)


def stages(module: torch.nn.Module) -> tuple[torch.nn.Module, ...]:
    """Return the levels of the encoder, that of the full size first.

    Layers with tensors in running order belong to the level of their scale, up to the last one of
    the coarsest; of those that come back to a finer one before it, the level is the coarser.
    """
    from torch import nn

    from napari_segnet.graph.build import GraphNetwork

    assert isinstance(module, GraphNetwork)
    graph = module.graph
    axes = [scales(graph, axis) for axis in range(graph.ndim)]
    size = {node.name: max(axis[node.name] for axis in axes) for node in graph.nodes}
    coarsest = max(size.values())
    levels: dict[Fraction, list[nn.Module]] = {}
    deepest = Fraction(0)
    for node in graph.nodes:
        deepest = max(deepest, size[node.name])
        if size[node.name] < deepest and deepest == coarsest:
            break  # the decoder begins
        if node.tensors:
            levels.setdefault(deepest, []).extend(module.layers(node.name))
    return tuple(nn.ModuleList(layers) for _, layers in sorted(levels.items()))

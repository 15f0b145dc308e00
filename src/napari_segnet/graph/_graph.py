"""Graph and its nodes, how one is put together, and which tensors it has."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from napari_segnet.graph._operation import Operation, Tensor
from napari_segnet.graph._pointwise import Image

__all__ = [
    "MOST_NODES",
    "Graph",
    "GraphBuilder",
    "Node",
    "channels",
    "needed",
    "parameters",
    "tensors",
]

MOST_NODES = 20_000
"""More nodes than any network for images has: EfficientNet-B7 has 800 layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operation at its place in a network.

    Attributes
    ----------
    name : str
        Unique in the graph; for a layer with tensors what stands before their names.
    operation : Operation
        What it does, with its numbers.
    inputs : tuple of str
        Names of the nodes whose answers it takes, in order.
    tensors : mapping of str to str
        Role in the operation (``weight``, ``bias``, ...) -> name of the tensor. Two nodes may
        share tensors.
    """

    name: str
    operation: Operation
    inputs: tuple[str, ...] = ()
    tensors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A network from one image to one or more maps.

    Attributes
    ----------
    nodes : tuple of Node
        In running order: every node stands behind its inputs. Exactly one is the ``Image``.
    outputs : tuple of str
        Names of the nodes whose answers are the network's.

    Raises
    ------
    ValueError
        If the nodes do not make a network: a name twice, an input that does not come before,
        a wrong number of inputs, none or several images, numbers for other axes than its own.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.nodes) > MOST_NODES:
            raise ValueError(f"{len(self.nodes)} nodes; no more than {MOST_NODES} are taken")
        self._check_order()
        if sum(isinstance(node.operation, Image) for node in self.nodes) != 1:
            raise ValueError("a network has exactly one image as its input")
        self._check_axes()

    @property
    def image(self) -> Node:
        """The node that stands for the input."""
        return next(node for node in self.nodes if isinstance(node.operation, Image))

    @property
    def ndim(self) -> int:
        """Spatial dimensions, 2 or 3."""
        operation = self.image.operation
        assert isinstance(operation, Image)
        return operation.ndim

    def _check_order(self) -> None:
        before: set[str] = set()
        for node in self.nodes:
            if node.name in before:
                raise ValueError(f"two nodes are called {node.name!r}")
            least, most = node.operation.arity
            if not least <= len(node.inputs) <= most:
                raise ValueError(
                    f"{node.name!r} ({node.operation.name}) takes {least} inputs"
                    f"{f' to {most}' if most > least else ''}, not {len(node.inputs)}"
                )
            if missing := [name for name in node.inputs if name not in before]:
                raise ValueError(f"no node before {node.name!r} is called {missing[0]!r}")
            before.add(node.name)
        if not self.outputs or not before.issuperset(self.outputs):
            raise ValueError(f"the outputs {self.outputs} are none, or not all of them nodes")

    def _check_axes(self) -> None:
        ndim = self.ndim
        for node in self.nodes:
            kind: Any = type(node.operation)
            for name in _by_axis(kind):
                value = getattr(node.operation, name)
                if isinstance(value, tuple) and len(value) != ndim:
                    raise ValueError(
                        f"{name} of {node.name!r} is {value}, where {ndim} numbers were "
                        "expected, one per axis"
                    )


@functools.cache
def _by_axis(kind: type[Any]) -> tuple[str, ...]:
    """Return the fields of a kind of operation whose tuples have one entry per axis."""
    return tuple(own.name for own in fields(kind) if own.name not in kind.free)


class GraphBuilder:
    """Puts a graph together, one node after the other.

    Parameters
    ----------
    channels : int
        Of the image.
    ndim : int
        Spatial dimensions, 2 or 3.
    size : tuple of int
        Of the only image that it takes; empty: of any.

    Attributes
    ----------
    image : str
        Name of the node that stands for the input.
    """

    image = "image"

    def __init__(self, channels: int, ndim: int, size: tuple[int, ...] = ()) -> None:
        self.ndim = ndim
        operation = Image(count=channels, ndim=ndim, size=size)
        self._nodes = [Node(name=self.image, operation=operation)]
        self._channels = {self.image: channels}

    def add(self, name: str, operation: Operation, *inputs: str, layer: str = "") -> str:
        """Append an operation; return its name.

        Parameters
        ----------
        name : str
            Of the node, unique in the graph.
        operation : Operation
            What it does.
        *inputs : str
            Names of the nodes that it takes.
        layer : str
            Its tensors are called ``layer.role``: two nodes of one layer share them. Without:
            the name of the node.

        Raises
        ------
        ValueError
            If it cannot take the channels of its inputs.
        """
        own = [self._channels[one] for one in inputs]
        self._channels[name] = operation.channels(own)
        named = {role: f"{layer or name}.{role}" for role in operation.tensors(own)}
        self._nodes.append(Node(name=name, operation=operation, inputs=inputs, tensors=named))
        return name

    def channels(self, name: str) -> int:
        """Return how many channels a node answers with."""
        return self._channels[name]

    def graph(self, *outputs: str) -> Graph:
        """Return all of it."""
        return Graph(nodes=tuple(self._nodes), outputs=outputs)


def channels(graph: Graph) -> dict[str, int]:
    """Return how many channels each node answers with.

    Raises
    ------
    ValueError
        If some operation cannot take those of its inputs.
    """
    found: dict[str, int] = {}
    for node in graph.nodes:
        found[node.name] = node.operation.channels([found[name] for name in node.inputs])
    return found


def tensors(graph: Graph) -> dict[str, Tensor]:
    """Return every tensor by name, in running order.

    Raises
    ------
    ValueError
        If nodes that share a tensor do not agree on its shape, or a node has others than its
        operation takes.
    """
    counts, found = channels(graph), dict[str, Tensor]()
    for node in graph.nodes:
        own = node.operation.tensors([counts[name] for name in node.inputs])
        if set(own) != set(node.tensors):
            raise ValueError(
                f"{node.name!r} has the tensors {sorted(node.tensors)}, where {sorted(own)} were "
                "expected"
            )
        for role, tensor in own.items():
            name = node.tensors[role]
            if found.setdefault(name, tensor) != tensor:
                raise ValueError(f"{name} is both {found[name].shape} and {tensor.shape}")
    return found


def needed(graph: Graph, outputs: tuple[str, ...]) -> Graph:
    """Return the graph of these outputs, without the nodes that none of them needs."""
    want = set(outputs)
    for node in reversed(graph.nodes):
        if node.name in want:
            want.update(node.inputs)
    kept = (n for n in graph.nodes if n.name in want or isinstance(n.operation, Image))
    return Graph(nodes=tuple(kept), outputs=outputs)


def parameters(tensors: Mapping[str, Tensor]) -> int:
    """Return how many numbers are trained."""
    return sum(math.prod(tensor.shape) for tensor in tensors.values() if tensor.trained)

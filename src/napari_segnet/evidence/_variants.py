"""Other networks with the same tensors: what leaves no trace in a file is changed in a graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

from napari_segnet.graph import (
    Activation,
    Arithmetic,
    BatchNorm,
    Concatenate,
    Convolution,
    Graph,
    Identity,
    Node,
    Operation,
    Pooling,
    Resize,
    TransposedConvolution,
    channels,
    shapes,
)
from napari_segnet.programs.structure import Candidate

__all__ = ["Variants", "choices_of"]

VALUES: Mapping[str, tuple[str, ...]] = {
    "join": ("up-skip", "skip-up"),
    "up_activation": ("none", "relu"),
    "activation": ("relu", "leaky-0.01", "leaky-0.1", "leaky-0.2", "elu", "gelu", "silu", "none"),
    "pooling": ("max", "average", "max-3"),
    "resize": ("nearest", "bilinear", "bilinear-aligned"),
    "padding": ("same", "valid", "reflect", "replicate"),
    "dilation": ("1", "2"),
    "epsilon": ("1e-05", "0.001"),
    "residual": ("none", "add"),
}
"""Every value of a choice that a graph can be changed to."""
NEVER = (("padding", "valid"),)
"""Nobody takes paddings out of a network that is published with them."""
LIKELY = 0.9
"""Share of the networks with the names of a published one that are as published: of the forks that
were looked at most change one thing. Where the published one has no paddings, half of these: they
may be asked for."""
RARELY: Mapping[str, float] = {"dilation": 0.98, "epsilon": 0.98}
"""The same of what is changed less often, an estimate: one network in sixty is dilated, and an
epsilon is that of torch in nearly all."""
HIDDEN = ("relu", "leaky-relu", "elu", "gelu", "silu")
FIELD = 3
"""Edge of a kernel that may be dilated or padded otherwise."""


def choices_of(graph: Graph) -> dict[str, str]:
    """Return what a graph does of all that leaves no trace; choices that it mixes are left out."""
    found: dict[str, set[str]] = {}
    counts = channels(graph)
    ends = _before_outputs(graph)
    after = {name: node for node in graph.nodes for name in node.inputs}
    deep = _origins(graph)
    for node in graph.nodes:
        own = node.operation
        if isinstance(own, Activation | Identity) and node.name not in ends:
            _add(found, "activation", _word_of_activation(own))
        elif isinstance(own, Pooling):
            _add(found, "pooling", _word_of_pooling(own))
        elif isinstance(own, Resize):
            _add(found, "resize", _word_of_resize(own))
        elif isinstance(own, BatchNorm):
            _add(found, "epsilon", f"{own.epsilon:g}")
        elif isinstance(own, Convolution) and _wide(own):
            _add(found, "dilation", str(own.dilation[0]) if len({*own.dilation}) == 1 else None)
            padded = any((*own.before, *own.after))
            _add(found, "padding", {"zeros": "same"}.get(own.fill, own.fill) if padded else "valid")
        elif isinstance(own, TransposedConvolution):
            following = after.get(node.name)
            acts = following is not None and isinstance(following.operation, Activation)
            _add(found, "up_activation", "relu" if acts else "none")
        elif isinstance(own, Concatenate) and len(node.inputs) == 2 and not own.along:
            one, two = (deep[name] for name in node.inputs)
            # What was up-sampled comes from deeper down, and later.
            _add(found, "join", "up-skip" if one > two else "skip-up")
    plain = {name: values.pop() for name, values in found.items() if len(values) == 1}
    if plain.get("activation") == "none" or _pairs(graph, counts):
        plain["residual"] = "none"
    return {name: value for name, value in plain.items() if value in VALUES.get(name, ())}


class Variants:
    """The networks that differ from a graph in nothing that a file shows; a ``Space``.

    Parameters
    ----------
    graph : Graph
        As it is assumed.
    open : tuple of str
        Names of the choices that may be otherwise.
    """

    layouts = ("published",)

    def __init__(self, graph: Graph, open: tuple[str, ...]) -> None:
        self.graph = graph
        self.usual = choices_of(graph)
        self.open = {
            name: (value, *(v for v in VALUES[name] if v != value and (name, v) not in NEVER))
            for name, value in self.usual.items()
            if name in open
        }

    def candidate(self, layout: str, choices: Mapping[str, str]) -> Candidate:
        """Return the network with these choices, see ``Space``."""
        taken = {name: values[0] for name, values in self.open.items()} | dict(choices)
        if layout not in self.layouts or set(taken) != set(self.open):
            raise ValueError(f"{layout} with {dict(choices)} is none of these networks")
        graph, prior = self.graph, 0.0
        for name, value in taken.items():
            prior += math.log(_share(name, value, self.open[name]))
            if value != self.open[name][0]:
                graph = _CHANGES[name](graph, value)
        return Candidate(
            graph=graph,
            choices={"layout": layout, **taken},
            open={"layout": self.layouts, **self.open},
            prior=prior,
            why=dict.fromkeys(self.open, "as in the published network"),
        )

    def first(self, n: int) -> tuple[Candidate, ...]:
        """Return the network as it is assumed."""
        return (self.candidate(self.layouts[0], {}),)


def _share(name: str, value: str, values: tuple[str, ...]) -> float:
    """Return how many of the networks with the names of a published one have a value."""
    usual, *others = values
    if usual == "valid" and value in (usual, "same"):
        return LIKELY / 2
    usually = RARELY.get(name, LIKELY)
    return usually if value == usual else (1 - usually) / len(others)


def _add(found: dict[str, set[str]], name: str, word: str | None) -> None:
    found.setdefault(name, set()).add(word or "")


def _wide(own: Convolution) -> bool:
    return max(own.kernel) >= FIELD


def _before_outputs(graph: Graph) -> set[str]:
    """Return the nodes behind the last layers with tensors: they are no hidden activations."""
    later = {name: [n for n in graph.nodes if name in n.inputs] for name in graph.outputs}
    found = {name for name in graph.outputs if not later[name]}
    for node in reversed(graph.nodes):
        if node.name in found and not node.tensors:
            found.update(node.inputs)
    return found


def _origins(graph: Graph) -> dict[str, int]:
    """Return, for each node, the number of the last layer with tensors or a resizing before it."""
    found: dict[str, int] = {}
    for number, node in enumerate(graph.nodes):
        own = bool(node.tensors) or isinstance(node.operation, Resize)
        # A node that brings two maps to one size is of the first of them.
        found[node.name] = number if own or not node.inputs else found[node.inputs[0]]
    return found


def _word_of_activation(own: Operation) -> str | None:
    if isinstance(own, Identity):
        return "none" if not own.dropout else "relu"
    assert isinstance(own, Activation)
    if own.function == "leaky-relu":
        return f"leaky-{own.slope:g}"
    return own.function if own.function in HIDDEN else None


def _word_of_pooling(own: Pooling) -> str | None:
    if {*own.stride} - {1, 2} or {*own.dilation} != {1} or own.ceil or own.same:
        return None
    if own.kernel == own.stride and not any(own.padding):
        return own.kind
    return "max-3" if own.kind == "max" and {*own.kernel} == {3} and {*own.padding} == {1} else None


def _word_of_resize(own: Resize) -> str | None:
    if own.mode == "nearest":
        return "nearest"
    return {"half-pixel": "bilinear", "corners": "bilinear-aligned"}.get(own.grid)


# ---- Changes ----


def _each(graph: Graph, change: Callable[[Node], Operation]) -> Graph:
    nodes = tuple(replace(node, operation=change(node)) for node in graph.nodes)
    return Graph(nodes=nodes, outputs=graph.outputs)


def _activations(graph: Graph, value: str) -> Graph:
    ends = _before_outputs(graph)
    new: Operation = Identity()
    if value.startswith("leaky-"):
        new = Activation(function="leaky-relu", slope=float(value.removeprefix("leaky-")))
    elif value != "none":
        functions: Mapping[str, Literal["relu", "elu", "gelu", "silu"]] = {
            "relu": "relu", "elu": "elu", "gelu": "gelu", "silu": "silu",
        }  # fmt: skip
        new = Activation(function=functions[value], slope=1.0)

    def change(node: Node) -> Operation:
        own = node.operation
        hidden = isinstance(own, Activation) and own.function in HIDDEN
        bare = isinstance(own, Identity) and not own.dropout
        return new if (hidden or bare) and node.name not in ends else own

    return _each(graph, change)


def _poolings(graph: Graph, value: str) -> Graph:
    def change(node: Node) -> Operation:
        own = node.operation
        if not isinstance(own, Pooling):
            return own
        halved = tuple(step > 1 for step in own.stride)
        three = value == "max-3"
        return replace(
            own,
            kind="average" if value == "average" else "max",
            kernel=tuple(
                3 if three and half else step for half, step in zip(halved, own.stride, strict=True)
            ),
            padding=tuple(1 if three and half else 0 for half in halved),
        )

    return _each(graph, change)


def _resizings(graph: Graph, value: str) -> Graph:
    grid: Literal["corners", "half-pixel"] = (
        "corners" if value == "bilinear-aligned" else "half-pixel"
    )
    mode: Literal["nearest", "linear"] = "nearest" if value == "nearest" else "linear"

    def change(node: Node) -> Operation:
        own = node.operation
        return replace(own, mode=mode, grid=grid) if isinstance(own, Resize) else own

    return _each(graph, change)


def _paddings(graph: Graph, value: str) -> Graph:
    fills: Mapping[str, Literal["zeros", "reflect", "replicate"]] = {
        "reflect": "reflect", "replicate": "replicate",
    }  # fmt: skip
    fill: Literal["zeros", "reflect", "replicate"] = fills.get(value, "zeros")

    def change(node: Node) -> Operation:
        own = node.operation
        if not isinstance(own, Convolution) or not _wide(own):
            return own
        if not any((*own.before, *own.after)):
            half = tuple(d * (k - 1) // 2 for k, d in zip(own.kernel, own.dilation, strict=True))
            own = replace(own, before=half, after=half)
        return replace(own, fill=fill)

    return _each(graph, change)


def _dilations(graph: Graph, value: str) -> Graph:
    rate = int(value)

    def change(node: Node) -> Operation:
        own = node.operation
        if not isinstance(own, Convolution) or not _wide(own):
            return own
        return replace(
            own,
            dilation=(rate,) * graph.ndim,
            before=tuple(n // d * rate for n, d in zip(own.before, own.dilation, strict=True)),
            after=tuple(n // d * rate for n, d in zip(own.after, own.dilation, strict=True)),
        )

    return _each(graph, change)


def _epsilons(graph: Graph, value: str) -> Graph:
    def change(node: Node) -> Operation:
        own = node.operation
        return replace(own, epsilon=float(value)) if isinstance(own, BatchNorm) else own

    return _each(graph, change)


def _joins(graph: Graph, value: str) -> Graph:
    nodes = tuple(
        replace(node, inputs=node.inputs[::-1])
        if isinstance(node.operation, Concatenate) and len(node.inputs) == 2
        else node
        for node in graph.nodes
    )
    return Graph(nodes=nodes, outputs=graph.outputs)


def _up_activations(graph: Graph, value: str) -> Graph:
    """Insert a ReLU behind every transposed convolution, or take it away."""
    nodes, instead = list[Node](), dict[str, str]()
    ups = {n.name for n in graph.nodes if isinstance(n.operation, TransposedConvolution)}
    for node in graph.nodes:
        inputs = tuple(instead.get(name, name) for name in node.inputs)
        node = replace(node, inputs=inputs)
        if value == "none" and isinstance(node.operation, Activation) and inputs[0] in ups:
            instead[node.name] = inputs[0]
            continue
        nodes.append(node)
        if value == "relu" and node.name in ups:
            new = f"{node.name} (relu)"
            nodes.append(Node(name=new, operation=Activation(function="relu"), inputs=(node.name,)))
            instead[node.name] = new
    outputs = tuple(instead.get(name, name) for name in graph.outputs)
    return Graph(nodes=tuple(nodes), outputs=outputs)


def _pairs(graph: Graph, counts: Mapping[str, int]) -> dict[str, str]:
    """Return the end of each block -> the node whose answer a shortcut would add to it.

    A block are two convolutions of as many channels and the same pixels, each with what belongs
    to it; the shortcut goes from the first one's end to the second one's.
    """
    chains: dict[str, tuple[str, ...]] = {}
    uses: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            uses.setdefault(name, []).append(node)
    found = {}
    for node in graph.nodes:
        if len(node.inputs) != 1:
            continue
        before = chains.get(node.inputs[0], ())
        if isinstance(node.operation, Convolution) and _wide(node.operation):
            begins = (*before[-1:], node.inputs[0])
            chains[node.name] = begins
        elif isinstance(node.operation, BatchNorm | Activation | Identity):
            chains[node.name] = before
        else:
            continue
        last = not any(
            isinstance(n.operation, BatchNorm | Activation | Identity)
            for n in uses.get(node.name, [])
        )
        start = chains[node.name][-1:]
        if last and len(chains[node.name]) == 2 and counts[start[0]] == counts[node.name]:
            found[node.name] = start[0]
    return found


def _residuals(graph: Graph, value: str) -> Graph:
    pairs = _pairs(graph, channels(graph))
    nodes, instead = list[Node](), dict[str, str]()
    for node in graph.nodes:
        node = replace(node, inputs=tuple(instead.get(name, name) for name in node.inputs))
        nodes.append(node)
        if node.name in pairs:
            new = f"{node.name} (added)"
            start = instead.get(pairs[node.name], pairs[node.name])
            add = Arithmetic(kind="add")
            nodes.append(Node(name=new, operation=add, inputs=(node.name, start)))
            instead[node.name] = new
    changed = Graph(nodes=tuple(nodes), outputs=tuple(instead.get(n, n) for n in graph.outputs))
    shapes(changed, (64,) * graph.ndim)
    return changed


_CHANGES: Mapping[str, Callable[[Graph, str], Graph]] = {
    "activation": _activations,
    "pooling": _poolings,
    "resize": _resizings,
    "padding": _paddings,
    "dilation": _dilations,
    "epsilon": _epsilons,
    "join": _joins,
    "up_activation": _up_activations,
    "residual": _residuals,
}

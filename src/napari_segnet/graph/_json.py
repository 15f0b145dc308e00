"""A graph as plain JSON values, and back: only operations of the closed list are accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from napari_segnet.graph._arrays import Constant, Dense, MatrixProduct, Permute, Reshape
from napari_segnet.graph._attention import WindowAttention
from napari_segnet.graph._convolutions import Convolution, TransposedConvolution
from napari_segnet.graph._extent import Extent
from napari_segnet.graph._graph import MOST_NODES, Graph, Node
from napari_segnet.graph._norms import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from napari_segnet.graph._operation import Operation
from napari_segnet.graph._pointwise import (
    Activation,
    Arithmetic,
    ChannelPooling,
    Channels,
    Concatenate,
    Identity,
    Image,
    Rescale,
    Softmax,
)
from napari_segnet.graph._resizing import PixelShuffle, PixelUnshuffle, Resize, ResizeLike
from napari_segnet.graph._windows import (
    AdaptivePooling,
    Crop,
    GlobalPooling,
    MatchSize,
    Pad,
    Pooling,
    Unpooling,
)

__all__ = ["OPERATIONS", "graph_from_json", "graph_to_json"]

FORMAT = 1

OPERATIONS: Mapping[str, type[Operation]] = {
    kind.name: kind
    for kind in (
        *(Image, Convolution, TransposedConvolution),
        *(BatchNorm, GroupNorm, InstanceNorm, LayerNorm),
        *(Activation, Softmax, Identity, Rescale, Concatenate, Arithmetic),
        *(Channels, ChannelPooling, Pooling, GlobalPooling, AdaptivePooling),
        *(Resize, ResizeLike, PixelShuffle, PixelUnshuffle, Pad, Crop, MatchSize, Unpooling),
        *(Reshape, Permute, MatrixProduct, Dense, Constant, WindowAttention),
    )
}
"""Every operation there is, by the name that stands in JSON."""
HINTS: Mapping[str, Mapping[str, Any]] = {
    name: get_type_hints(kind) for name, kind in OPERATIONS.items()
}


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """Return a graph as numbers, text, lists and dicts."""
    return {
        "format": FORMAT,
        "nodes": [
            {
                "name": node.name,
                "operation": node.operation.name,
                "numbers": _numbers(node.operation),
                "inputs": list(node.inputs),
                "tensors": dict(node.tensors),
            }
            for node in graph.nodes
        ],
        "outputs": list(graph.outputs),
    }


def graph_from_json(content: Mapping[str, Any]) -> Graph:
    """Return the graph that :func:`graph_to_json` wrote.

    Raises
    ------
    ValueError
        If it is not what that function writes.
    """
    try:
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, where {FORMAT} was expected")
        if len(content["nodes"]) > MOST_NODES:
            raise ValueError(f"{len(content['nodes'])} nodes; no more than {MOST_NODES} are taken")
        return Graph(
            nodes=tuple(_node(row) for row in content["nodes"]),
            outputs=tuple(_text(name) for name in content["outputs"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is not a graph ({error!r})") from error


def _numbers(operation: Operation) -> dict[str, Any]:
    values = {own.name: getattr(operation, own.name) for own in fields(operation)}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _node(row: Mapping[str, Any]) -> Node:
    kind = OPERATIONS.get(row["operation"])
    if kind is None:
        known = ", ".join(OPERATIONS)
        raise ValueError(f"there is no operation {row['operation']!r}; there are {known}")
    return Node(
        name=_text(row["name"]),
        operation=_operation(kind, row["numbers"]),
        inputs=tuple(_text(name) for name in row["inputs"]),
        tensors={_text(role): _text(name) for role, name in row["tensors"].items()},
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} stands where a name was expected")
    return value


def _operation(kind: type[Operation], numbers: Mapping[str, Any]) -> Operation:
    """Return an operation with numbers of the kinds that its fields have."""
    hints = HINTS[kind.name]
    found = {_text(name): _plain(value) for name, value in numbers.items()}
    for name, value in found.items():
        if name not in hints or not _fits(value, hints[name]):
            raise ValueError(f"{name} of {kind.name!r} is {value!r}, which it cannot be")
    return kind(**found)


def _fits(value: Any, hint: Any) -> bool:
    """Tell if a value is of the kind that a field has."""
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(one, get_args(hint)[0]) for one in value)
    if hint == Extent:
        return type(value) in (int, str)
    return type(value) is hint or (hint is float and type(value) is int)


def _plain(value: Any) -> Any:
    """Return a number, text or truth value, or a tuple of them."""
    if isinstance(value, list):
        return tuple(_plain(one) for one in value)
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"{value!r} is no plain number")
    return value

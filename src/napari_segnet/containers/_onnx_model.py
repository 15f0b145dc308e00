"""What an ONNX file says: its nodes, attributes and tensors, as plain values.

Field numbers are those of https://github.com/onnx/onnx/blob/v1.19.0/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_segnet.containers._onnx_tensor import LAST_KIND, OnnxTensor, read_tensor
from napari_segnet.containers._protobuf import Field, Message

__all__ = ["NEWEST", "OnnxGraph", "OnnxInput", "OnnxModel", "OnnxNode", "read_model"]

DEEPEST = 8
"""Graphs inside of graphs (the branches of an ``If``)."""
MOST_NODES = 100_000
NEWEST = 14
"""The version of the format, which grows by one in a year; that of ``onnx`` 1.20 to 1.23.

Neither ``onnx`` nor ONNX Runtime opens a version that is newer than themselves.
"""
FIRST_TYPED = 2
"""The first version of the format in which attributes say their kind."""
PAIR: Mapping[int, Any] = {}
FUNCTION: Mapping[int, Any] = {7: {5: {}}, 9: {}, 11: {}, 14: PAIR}
"""Messages in a function: its nodes with their attributes, its opsets, its properties."""
UNREAD: Mapping[int, Mapping[int, Any]] = {14: {2: PAIR}, 16: PAIR}
"""Messages in a graph that nobody reads: notes on quantisation, properties."""
UNREAD_OF_NODE, UNREAD_OF_VALUE, UNREAD_OF_MODEL = (9, 10), (4,), (20, 26)
"""Messages in a node, in an input or output, and in the file."""
UNREAD_OF_ATTRIBUTE = (14, 15, 22, 23)
"""Values of an attribute that are messages nobody reads: types and sparse tensors."""
MOST_PROPERTIES = 100
"""Of what a file says of itself beside its graph; more are left out."""
LONGEST_TEXT = 10_000
"""Letters of documentation that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class OnnxNode:
    """One node.

    Attributes
    ----------
    operation, domain, name : str
        ``"Conv"``; empty for ONNX's own; its name, which may be empty.
    inputs, outputs : tuple of str
        Names of values; empty: left out.
    attributes : mapping
        Numbers, texts, lists of them, :class:`OnnxTensor` or :class:`OnnxGraph` by name.
    """

    operation: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnnxInput:
    """An input or output of a graph.

    Attributes
    ----------
    name : str
        Of the value.
    shape : tuple of int or str, or None
        Lengths; a text where any is taken; None where the file does not say.
    kind : int
        Of its numbers, as ``TensorProto.DataType``.
    typed : bool
        Whether the file says a type: of tensors, or of sequences and the like.
    """

    name: str
    shape: tuple[int | str, ...] | None
    kind: int
    typed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class OnnxGraph:
    """Nodes in running order, and the tensors that they take."""

    name: str
    nodes: tuple[OnnxNode, ...]
    tensors: Mapping[str, OnnxTensor]
    inputs: tuple[OnnxInput, ...]
    outputs: tuple[OnnxInput, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class OnnxModel:
    """A whole file.

    Attributes
    ----------
    graph : OnnxGraph
        The network.
    opsets : mapping of str to int
        Version of each domain of operations; that of ONNX itself is ``""``.
    functions : frozenset of (str, str)
        Domain and name of operations that the file defines itself.
    version : int
        Of ONNX.
    producer, producer_version, doc : str
        Who wrote it, and what about it.
    properties : mapping of str to str
        What else it says of itself.
    """

    graph: OnnxGraph
    opsets: Mapping[str, int]
    functions: frozenset[tuple[str, str]] = frozenset()
    version: int = 0
    producer: str = ""
    producer_version: str = ""
    doc: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


def read_model(message: Message) -> OnnxModel:
    """Return what a file says.

    Raises
    ------
    ValueError
        If it is no ONNX.
    """
    graph: OnnxGraph | None = None
    version = 0
    texts = dict.fromkeys((2, 3, 6), "")  # producer, its version, documentation
    opsets: dict[str, int] = {}
    properties: dict[str, str] = {}
    functions: set[tuple[str, str]] = set()
    for one in message:
        if one.number == 1:
            version = message.long(one)
        elif one.number == 7:
            if graph is not None:
                raise ValueError("it holds two graphs")
            graph = _graph(message.inside(one), _Count(typed=version >= FIRST_TYPED))
        elif one.number == 8:
            domain, opset = _opset(message.inside(one))
            opsets[domain] = opset
        elif one.number in texts:
            texts[one.number] = message.text(one)[:LONGEST_TEXT]
        elif one.number == 14 and len(properties) < MOST_PROPERTIES:
            key, value = _pair(message.inside(one))
            if key in properties:
                raise ValueError(f"two of its properties are called {key[:100]!r}")
            properties[key] = value[:LONGEST_TEXT]
        elif one.number in UNREAD_OF_MODEL:
            message.inside(one).walk({})
        elif one.number == 25:
            functions.add(_function(message.inside(one)))
    if graph is None:
        raise ValueError("it holds no graph")
    if version < 1:
        raise ValueError("it does not say the version of its format")
    return OnnxModel(
        graph=graph,
        opsets=opsets,
        functions=frozenset(functions),
        version=version,
        producer=texts[2],
        producer_version=texts[3],
        doc=texts[6],
        properties=properties,
    )


def _opset(message: Message) -> tuple[str, int]:
    domain, version = "", 0
    for one in message:
        if one.number == 1:
            domain = message.name(one)
        elif one.number == 2:
            version = message.long(one)
    return ("" if domain == "ai.onnx" else domain), version


def _pair(message: Message) -> tuple[str, str]:
    found = {one.number: message.text(one) for one in message if one.number in (1, 2)}
    return found.get(1, ""), found.get(2, "")


def _function(message: Message) -> tuple[str, str]:
    message.walk(FUNCTION)
    found = {one.number: message.name(one) for one in message if one.number in (1, 10)}
    if not found.get(1):
        raise ValueError("one of its functions has no name")
    return found.get(10, ""), found[1]


@dataclass(slots=True)
class _Count:
    """Nodes that may still come, and how deep graphs lie in each other."""

    left: int = MOST_NODES
    depth: int = 0
    typed: bool = False


def _graph(message: Message, count: _Count) -> OnnxGraph:
    count.depth += 1
    if count.depth > DEEPEST:
        raise ValueError(f"graphs are nested more than {DEEPEST} deep")
    name, nodes, tensors = "", list[OnnxNode](), dict[str, OnnxTensor]()
    inputs, outputs = list[OnnxInput](), list[OnnxInput]()
    for one in message:
        if one.number == 1:
            count.left -= 1
            if count.left < 0:
                raise ValueError(f"it has more than {MOST_NODES:,} nodes")
            nodes.append(_node(message.inside(one), count))
        elif one.number == 2:
            name = message.text(one)
        elif one.number == 5:
            tensor = read_tensor(message.inside(one))
            if tensor.name in tensors:
                raise ValueError(f"two tensors are called {tensor.name[:80]!r}")
            tensors[tensor.name] = tensor
        elif one.number == 11:
            inputs.append(_input(message.inside(one)))
        elif one.number == 12:
            outputs.append(_input(message.inside(one)))
        elif one.number == 15:
            raise ValueError("it holds sparse tensors, which are not read")
        elif one.number == 13:
            _input(message.inside(one))
        elif one.number in UNREAD:
            message.inside(one).walk(UNREAD[one.number])
    count.depth -= 1
    if not all(one.name for one in (*inputs, *outputs)):
        raise ValueError("one of its inputs or outputs has no name")
    if count.depth == 0 and not all(one.typed for one in inputs):
        raise ValueError("one of its inputs has no type")
    return OnnxGraph(
        name=name,
        nodes=tuple(nodes),
        tensors=tensors,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )


def _node(message: Message, count: _Count) -> OnnxNode:
    texts = dict.fromkeys((3, 4, 7), "")  # name, operation, domain
    inputs, outputs, attributes = list[str](), list[str](), dict[str, Any]()
    for one in message:
        if one.number == 1:
            inputs.append(message.name(one))
        elif one.number == 2:
            outputs.append(message.name(one))
        elif one.number in texts:
            texts[one.number] = message.name(one)
        elif one.number in UNREAD_OF_NODE:
            message.inside(one).walk({})
        elif one.number == 5:
            key, value = _attribute(message.inside(one), count)
            if key in attributes:
                raise ValueError(f"a node has two attributes {key[:80]!r}")
            attributes[key] = value
    domain = "" if texts[7] == "ai.onnx" else texts[7]
    return OnnxNode(
        operation=texts[4],
        domain=domain,
        name=texts[3],
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        attributes=attributes,
    )


def _attribute(message: Message, count: _Count) -> tuple[str, Any]:
    """Return name and value; without a type (before IR version 2) by the field that is there."""
    name, kind, values = "", 0, dict[int, list[Any]]()
    for one in message:
        if one.number == 1:
            name = message.name(one)
        elif one.number == 20:
            kind = message.whole(one)
        elif one.number in _READ:
            if one.number in (5, 6) and one.number in values:  # protobuf would join the two
                raise ValueError(f"the attribute {name[:80]!r} has two values")
            values.setdefault(one.number, []).extend(_read(message, one, count))
        elif one.number in UNREAD_OF_ATTRIBUTE:
            message.inside(one).walk({})
            values.setdefault(one.number, [])
    if values and (kind or count.typed) and set(values) != {_FIELDS.get(kind)}:
        raise ValueError(f"the attribute {name[:80]!r} is not of the kind that it says")
    number = _FIELDS.get(kind)
    if number is None:
        number = next(iter(values), 0)
    found = values.get(number, [])
    if number in (2, 3, 4, 5, 6):  # one alone; a zero or an empty text may be left out
        return name, found[-1] if found else {2: 0.0, 3: 0, 4: ""}.get(number)
    return name, tuple(found)


TYPES = (1, 4, 5, 7, 8, 9)
"""Where a type lies: tensor, sequence, map, opaque, sparse tensor, optional (``TypeProto``)."""
LEFT_ALONE = (7, 8)
"""Types of which nothing is read; they must be messages."""
MADE_OF = {4: 1, 5: 2, 9: 1}
"""Where the type lies that a sequence, a map or an optional value is made of."""
_FIELDS = {
    **{1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 6: 7, 7: 8, 8: 9, 9: 10, 10: 11},
    **{11: 22, 12: 23, 13: 14, 14: 15},
}
"""Where the value of an attribute of each kind lies (``AttributeProto.AttributeType``)."""
_READ = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
"""f, i, s, t, g; floats, ints, strings, tensors, graphs."""


def _read(message: Message, one: Field, count: _Count) -> list[Any]:
    if one.number == 2:
        return [message.real(one)]
    if one.number == 3:
        return [message.long(one)]
    if one.number in (4, 9):
        return [message.text(one)]
    if one.number in (5, 10):
        return [read_tensor(message.inside(one))]
    if one.number in (6, 11):
        return [_graph(message.inside(one), count)]
    return message.reals(one) if one.number == 7 else message.integers(one)


def _input(message: Message) -> OnnxInput:
    name, kind, shape, typed = "", 0, None, False
    for one in message:
        if one.number in UNREAD_OF_VALUE:
            message.inside(one).walk({})
        if one.number == 1:
            name = message.name(one)
        elif one.number == 2:
            kind, shape = _type(message.inside(one))
            typed = True
    return OnnxInput(name=name, shape=shape, kind=kind, typed=typed)


def _type(message: Message, depth: int = 0) -> tuple[int, tuple[int | str, ...] | None]:
    """Return kind and lengths of a tensor; of a sequence and the like 0 and None."""
    kind, shape, typed = 0, None, False
    if depth > DEEPEST:
        raise ValueError(f"types are nested more than {DEEPEST} deep")
    for one in message:
        typed = typed or one.number in TYPES
        if one.number == 1:
            kind, shape = _tensor_type(message.inside(one), least=0 if depth else 1)
        elif one.number in LEFT_ALONE:
            message.inside(one).walk({})
        elif one.number in MADE_OF:
            inner, parts = message.inside(one), 0
            for two in inner:
                if two.number == MADE_OF[one.number]:
                    parts += 1
                    _type(inner.inside(two), depth + 1)
            if not parts:
                raise ValueError("the type of a value is unknown")
    if not typed:
        raise ValueError("the type of a value is unknown")
    return kind, shape


def _tensor_type(message: Message, least: int) -> tuple[int, tuple[int | str, ...] | None]:
    """Return kind and lengths; a tensor in a sequence may be of kind 0, as in ONNX Runtime."""
    kind, shape = 0, None
    for one in message:
        if one.number == 1:
            kind = message.whole(one)
        elif one.number == 2:
            inner = message.inside(one)
            shape = tuple(_length(inner.inside(two)) for two in inner if two.number == 1)
    if not least <= kind <= LAST_KIND:
        raise ValueError("the data type of a tensor is unknown")
    return kind, shape


def _length(message: Message) -> int | str:
    found: int | str = ""
    for one in message:
        if one.number == 1:
            number = message.long(one)
            found = number if number > 0 else ""
        elif one.number == 2:
            found = message.text(one)[:80]
    return found

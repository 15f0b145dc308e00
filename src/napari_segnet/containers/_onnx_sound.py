"""Whether a graph of ONNX is one that ``onnx.checker`` lets pass.

Types and lengths are not looked at: many programs leave those out.
https://github.com/onnx/onnx/blob/v1.20.0/onnx/checker.cc
"""

from __future__ import annotations

from collections.abc import Iterator

from napari_segnet.containers._onnx_model import OnnxGraph, OnnxModel, OnnxNode
from napari_segnet.containers._onnx_operators import require_known

__all__ = ["require_sound"]

FIRST_WITH_OPSETS = 3
"""The version of ONNX from which on a file says the version of its operations."""
FIRST_WITHOUT_INPUTS = 4
"""The version of ONNX from which on its tensors need not be inputs as well."""


def require_sound(model: OnnxModel) -> None:
    """Look at all nodes.

    Raises
    ------
    ValueError
        If one has what its operation has not, or takes what was not made before.
    """
    if model.version >= FIRST_WITH_OPSETS and not model.opsets:
        raise ValueError("it does not say the version of its operations")
    if model.opsets and 0 < model.version < FIRST_WITH_OPSETS:
        raise ValueError("it says a version of its operations, which came later than its format")
    if any(not 1 <= version < 2**31 for version in model.opsets.values()):
        raise ValueError("it says a version of its operations that there is not")
    if model.version < FIRST_WITHOUT_INPUTS:
        given = {one.name for one in model.graph.inputs}
        if missing := [name for name in model.graph.tensors if name not in given]:
            raise ValueError(f"its tensor {missing[0][:80]!r} is none of its inputs")
    opset = model.opsets.get("", 0 if model.opsets else 1)
    own = {name for domain, name in model.functions if not domain or domain == "ai.onnx"}
    _graph(model.graph, frozenset(), own, opset)
    known = model.opsets.keys() | {domain for domain, _ in model.functions}
    for node in _nodes(model.graph):
        if not node.operation:
            raise ValueError("a node has no operation")
        if known and node.domain and node.domain not in known:
            raise ValueError(f"it does not say the version of operations of {node.domain[:80]!r}")


def _graph(graph: OnnxGraph, outer: frozenset[str], own: set[str], opset: int) -> None:
    if "" in graph.tensors:
        raise ValueError("a tensor has no name")
    given = {one.name for one in graph.inputs}
    if len(given) < len(graph.inputs):
        raise ValueError("two of its inputs have one name")
    here = given | graph.tensors.keys()
    made = set(here)
    for node in graph.nodes:
        for name in node.inputs:
            if name and name not in here and name not in outer:
                raise ValueError(f"a node takes {name[:80]!r}, which nothing before it makes")
        if not node.domain and node.operation not in own:
            if not opset:
                raise ValueError("it does not say the version of ONNX' own operations")
            require_known(node, opset)
        if graphs := [one for value in node.attributes.values() for one in _graphs(value)]:
            inside = outer | here
            for one in graphs:
                _graph(one, inside, own, opset)
        for name in node.outputs:
            if name and name in made:
                raise ValueError(f"two nodes make {name[:80]!r}")
            made.add(name)
            here.add(name)
    for output in graph.outputs:
        if output.name not in here and output.name not in outer:
            raise ValueError(f"nothing makes its output {output.name[:80]!r}")


def _nodes(graph: OnnxGraph) -> Iterator[OnnxNode]:
    """Yield the nodes of a graph and of those inside of it."""
    for node in graph.nodes:
        yield node
        for value in node.attributes.values():
            for one in _graphs(value):
                yield from _nodes(one)


def _graphs(value: object) -> list[OnnxGraph]:
    found = value if isinstance(value, tuple) else (value,)
    return [one for one in found if isinstance(one, OnnxGraph)]

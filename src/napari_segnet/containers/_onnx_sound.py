"""Whether a graph of ONNX is one that ``onnx.checker`` lets pass.

Types and lengths are not looked at: many programs leave those out.
https://github.com/onnx/onnx/blob/v1.20.0/onnx/checker.cc
"""

from __future__ import annotations

from napari_segnet.containers._onnx_model import OnnxGraph, OnnxModel, OnnxNode
from napari_segnet.containers._onnx_operators import NEWEST_OPSET, OPERATORS

__all__ = ["require_sound"]

FIRST_WITH_OPSETS = 3
"""The version of ONNX from which on a file says the version of its operations."""


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
    opset = model.opsets.get("", 0 if model.opsets else 1)
    known = opset <= NEWEST_OPSET
    own = {name for domain, name in model.functions if not domain or domain == "ai.onnx"}
    _graph(model.graph, frozenset(), own, opset if known else None)


def _graph(graph: OnnxGraph, outer: frozenset[str], own: set[str], opset: int | None) -> None:
    if "" in graph.tensors:
        raise ValueError("a tensor has no name")
    here = {one.name for one in graph.inputs} | graph.tensors.keys()
    made = set(here)
    for node in graph.nodes:
        for name in node.inputs:
            if name and name not in here and name not in outer:
                raise ValueError(f"a node takes {name[:80]!r}, which nothing before it makes")
        if opset is not None and not node.domain and node.operation not in own:
            _require_schema(node, opset)
        elif not node.operation:
            raise ValueError("a node has no operation")
        inside = outer | here if any(_is_graph(v) for v in node.attributes.values()) else outer
        for value in node.attributes.values():
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, OnnxGraph):
                    _graph(one, frozenset(inside), own, opset)
        for name in node.outputs:
            if name and name in made:
                raise ValueError(f"two nodes make {name[:80]!r}")
            made.add(name)
            here.add(name)
    for output in graph.outputs:
        if output.name not in here and output.name not in outer:
            raise ValueError(f"nothing makes its output {output.name[:80]!r}")


def _is_graph(value: object) -> bool:
    return isinstance(value, OnnxGraph | tuple)


def _require_schema(node: OnnxNode, opset: int) -> None:
    said = OPERATORS.get(node.operation)
    if said is None or opset < said.since:
        raise ValueError(f"there is no operation {node.operation[:60]!r} in version {opset}")
    odd = node.attributes.keys() - said.attributes
    if odd:
        raise ValueError(f"{node.operation[:60]} has no attribute {min(odd)[:60]!r}")
    for what, count, (least, most) in (
        ("inputs", len(node.inputs), said.inputs),
        ("outputs", len(node.outputs), said.outputs),
    ):
        if not least <= count <= most:
            raise ValueError(f"a {node.operation[:60]} has {count} {what}")

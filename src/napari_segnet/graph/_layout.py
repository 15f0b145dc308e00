"""Which layer of a module has a node's tensors, by their names."""

from __future__ import annotations

from collections.abc import Mapping

from napari_segnet.graph._graph import Graph, Node

__all__ = ["Path", "layout"]

Path = tuple[str, ...]
"""Names from the network down to a layer: the parts between the dots of a tensor's name."""


def layout(graph: Graph) -> Mapping[str, Path]:
    """Return the layer of each node that has tensors.

    Raises
    ------
    ValueError
        If tensors are not called ``layer.role``, those of one node belong to several layers,
        layers of several kinds share one name, or a layer lies inside another.
    """
    found: dict[str, Path] = {}
    owners: dict[Path, Node] = {}
    for node in graph.nodes:
        path = _path(node)
        if path is None:
            continue
        found[node.name] = path
        owner = owners.setdefault(path, node)
        if (owner.operation, owner.tensors) != (node.operation, node.tensors):
            raise ValueError(f"{node.name!r} shares tensors with another kind of layer")
    for path in owners:
        for end in range(1, len(path)):
            if path[:end] in owners:
                raise ValueError(f"the layer {'.'.join(path)!r} lies inside another layer")
    return found


def _path(node: Node) -> Path | None:
    layers = set()
    for role, name in node.tensors.items():
        if not name.endswith(f".{role}"):
            raise ValueError(
                f"the tensor {name!r} is the {role} of {node.name!r}: call it 'layer.{role}'"
            )
        layers.add(name.removesuffix(f".{role}"))
    if len(layers) > 1:
        raise ValueError(f"the tensors of {node.name!r} belong to {len(layers)} layers")
    return tuple(layers.pop().split(".")) if layers else None

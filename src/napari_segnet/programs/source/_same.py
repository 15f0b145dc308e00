"""Tells if two graphs compute the same with the tensors of one file."""

from __future__ import annotations

from collections.abc import Mapping

from napari_segnet.graph import Graph, Identity

__all__ = ["same_network"]


def same_network(
    one: Graph, keys: Mapping[str, str], other: Graph, other_keys: Mapping[str, str]
) -> bool:
    """Tell if two graphs have the same operations on the same tensors.

    Parameters
    ----------
    one, other : Graph
        The graphs; names of their nodes do not count.
    keys, other_keys : mapping of str to str
        Names of tensors in the file -> in each graph.
    """
    return _ends(one, keys) == _ends(other, other_keys)


def _ends(graph: Graph, keys: Mapping[str, str]) -> list[int]:
    """Return a number for each answer that only its operations and tensors decide."""
    files = {name: key for key, name in keys.items()}
    found: dict[str, int] = {}
    for node in graph.nodes:
        inputs = tuple(found[name] for name in node.inputs)
        if isinstance(node.operation, Identity) and len(inputs) == 1:
            found[node.name] = inputs[0]
            continue
        # A norm's counter stands in some files only and changes nothing.
        own = tuple(
            sorted(
                (role, files.get(name, name))
                for role, name in node.tensors.items()
                if role != "num_batches_tracked"
            )
        )
        found[node.name] = hash((_plain(node.operation), inputs, own))
    return [found[name] for name in graph.outputs]


def _plain(operation: object) -> str:
    return repr(operation).replace("counted=True", "counted=False")

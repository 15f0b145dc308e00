"""Both ends of a graph that a program says: what it does to the image, what its outputs are."""

from __future__ import annotations

from typing import Any

from napari_segnet.checkpoint import Output, Role
from napari_segnet.graph import Activation, BatchNorm, Graph, Identity, Rescale, Softmax

__all__ = ["group_of", "rescaled_by"]

INSIDE = ("sigmoid", "hard-sigmoid", "hard-sigmoid-fifth", "log-sigmoid", "tanh", "relu", "clip")
"""Activations after which no other follows."""
ROLES: tuple[tuple[Role, tuple[str, ...]], ...] = (
    ("boundary", ("bound", "edge", "contour", "border")),
    ("distance", ("dist",)),
    ("affinity", ("affin",)),
)
"""Words in the name of an output that say what it is."""


def rescaled_by(graph: Graph) -> str:
    """Return the first node behind the image if it prepares its values; empty where none does."""
    names = {graph.image.name}
    for node in graph.nodes:
        if not names.intersection(node.inputs):
            continue
        operation = node.operation
        if isinstance(operation, Rescale | BatchNorm) and len(node.inputs) == 1:
            if isinstance(operation, Rescale) or operation.frozen:
                return node.name
        if not node.tensors and len(node.inputs) == 1:
            names.add(node.name)
    return ""


def group_of(graph: Graph, node: str, count: int, name: str, *, first: bool) -> Output:
    """Return what one of several outputs means, by its name; the first are the classes."""
    nodes = {one.name: one for one in graph.nodes}
    last = nodes[node]
    while isinstance(last.operation, Identity):
        last = nodes[last.inputs[0]]
    operation = last.operation
    inside = isinstance(operation, Softmax) or (
        isinstance(operation, Activation) and operation.function in INSIDE
    )
    words = name.lower()
    role: Any = next((role for role, own in ROLES if any(word in words for word in own)), None)
    if role is None:
        role = ("foreground" if count == 1 else "class") if first else "other"
    activation: Any = "sigmoid" if count == 1 or role != "class" else "softmax"
    if inside or role == "distance":
        activation = "none"
    return Output(role=role, channels=count, activation=activation)

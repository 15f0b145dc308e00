"""From a graph and the tensors of its file to a checkpoint of the family ``graph``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from napari_segnet.checkpoint import Checkpoint, Known, Layout, Output, PrepareStep, Store
from napari_segnet.containers import TensorRef, Tree
from napari_segnet.families.graph import describe_graph
from napari_segnet.graph import BatchNorm, Graph, Rescale, tensors
from napari_segnet.programs.keras._drawing import Drawing
from napari_segnet.programs.keras._model import Model, NotReadable
from napari_segnet.programs.keras._weights import Found, matched

__all__ = ["described"]

FLOATING = ("float32", "float16", "bfloat16", "float64")
PREPARE = Known(
    source="assumed",
    why="Keras files do not say how images were prepared; dividing those with values over 1 by 255 "
    "is usual, and the network holds no rescaling of its own",
)


def _complete(graph: Graph, found: Found) -> None:
    """Refuse a file in which a tensor of the graph is missing."""
    there = {name for name, _ in found.values()}
    if missing := [name for name in tensors(graph) if name not in there]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise NotReadable(f"the weights of {missing[0]}{more} are not in the file")


def _refuse_whole_numbers(root: Mapping[str, TensorRef], found: Found) -> None:
    for key in found:
        if root[key].dtype not in FLOATING:
            raise NotReadable(
                f"the weight {key} holds numbers of the kind {root[key].dtype}, where float32 was "
                "expected"
            )


def described(
    path: Path,
    tree: Tree,
    graph: Graph,
    draw: Drawing,
    model: Model,
    outputs: tuple[Output, ...] = (),
) -> Checkpoint:
    """Return what is known of a network from its graph and its file.

    Parameters
    ----------
    path, tree
        The file.
    graph : Graph
        The network.
    draw, model
        How it was drawn, and of what.
    outputs : tuple of Output, optional
        What its maps mean, where the graph does not say it.

    Raises
    ------
    NotReadable
        If a tensor is missing, or does not fit.
    """
    found = matched(draw, model, tree.root, tree.metadata)
    found = {key: one for key, one in found.items() if one[0] in tensors(graph)}
    _complete(graph, found)
    _refuse_whole_numbers(tree.root, found)
    kinds = Counter(tree.root[key].dtype for key in found)
    store = Store(
        container=tree.container,
        dtype=kinds.most_common(1)[0][0] if kinds else "float32",
        keys={key: name for key, (name, _) in found.items()},
        layouts=_layouts(tree.root, graph, found),
    )
    inside = _rescales(graph)
    prepare = (
        ()
        if inside
        else (
            PrepareStep(
                name="normalize", options={"how": "divide-255-if-over-1", "over": "volume"}
            ),
        )
    )
    known = {
        "prepare": Known(source="read", why=f"the network does it itself ({inside})")
        if inside
        else PREPARE
    }
    return describe_graph(
        path=path, graph=graph, store=store, prepare=prepare, known=known, outputs=outputs
    )


def _layouts(root: Mapping[str, TensorRef], graph: Graph, found: Found) -> dict[str, Layout]:
    """Return how tensors lie in the file, of those that lie otherwise than in the module."""
    layouts, wanted = {}, tensors(graph)
    for key, (name, slot) in found.items():
        shape = root[key].shape
        plain = tuple(range(len(shape)))
        # A mean may be (1, 1, 1, c) as well as (c,): then only axes of one go.
        order = slot.order if len(slot.order) == len(shape) else plain
        if slot.flipped or order != plain or shape != wanted[name].shape:
            layouts[key] = Layout(order=order, flipped=slot.flipped)
    return layouts


def _rescales(graph: Graph) -> str:
    """Return the first node behind the image if it rescales; empty where none does."""
    names = {graph.image.name}
    for node in graph.nodes:
        if not names.intersection(node.inputs):
            continue
        if isinstance(node.operation, Rescale):
            return node.name
        if isinstance(node.operation, BatchNorm) and node.operation.frozen:
            return node.name  # Keras' Normalization
        if not node.tensors and len(node.inputs) == 1:
            names.add(node.name)
    return ""

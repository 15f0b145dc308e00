"""From a graph that a program drew to a checkpoint of the family ``graph``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known, Layout, Output, PrepareStep, Store
from napari_segnet.containers import Tree
from napari_segnet.families.graph import describe_graph
from napari_segnet.graph import Graph, needed, scales, tensors
from napari_segnet.graph import sizes as sizes_of
from napari_segnet.programs._evaluate import Drawing, NotReadable, Value, answered
from napari_segnet.programs._outputs import group_of, rescaled_by

__all__ = ["Drawn", "checkpoint_of", "ended"]

FLOATING = ("float32", "float16", "bfloat16", "float64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A network that was read.

    Attributes
    ----------
    graph : Graph
        What answers with maps as large as the image.
    draw : Drawing
        Where its tensors lie.
    outputs : tuple of Output
        What its outputs mean; empty for one.
    notes : tuple of str
        What a user should know of how it was read.
    """

    graph: Graph
    draw: Drawing
    outputs: tuple[Output, ...]
    notes: tuple[str, ...]


def ended(draw: Drawing, answers: Sequence[tuple[str, Any]], inputs: Sequence[str]) -> Drawn:
    """Return the graph of those answers that are maps as large as the image.

    Parameters
    ----------
    draw : Drawing
        All that was drawn.
    answers : sequence of (str, Any)
        Name and value of each; what is no map is left out.
    inputs : sequence of str
        Names of the images.

    Raises
    ------
    NotReadable
        If none is such a map, or sizes decide what is done.
    """
    ends: list[tuple[str, str]] = []
    for name, value in answers:
        if not isinstance(value, Value):
            continue
        draw.at = f"output {name}".strip()
        try:
            ends.append((name, answered(draw, value)))
        except NotReadable:
            if len(answers) == 1:
                raise
    if not ends:
        raise NotReadable("it answers with no map")
    whole = draw.graph([node for _, node in ends])
    sizes = [scales(whole, axis) for axis in range(draw.ndim)]
    kept = dict[str, str]()
    for name, node in ends:
        if all(scale[node] == 1 for scale in sizes):
            kept.setdefault(node, name)
    if not kept:
        raise NotReadable("its answer has another scale than the image")
    graph = needed(whole, tuple(kept))
    _require_one_way(draw, graph)
    outputs: tuple[Output, ...] = ()
    if len(kept) > 1:
        outputs = tuple(
            group_of(graph, node, draw.builder.channels(node), name, first=place == 0)
            for place, (node, name) in enumerate(kept.items())
        )
    notes = _notes(answers, ends, set(kept), inputs)
    return Drawn(graph=graph, draw=draw, outputs=outputs, notes=notes)


def _notes(
    answers: Sequence[tuple[str, Any]],
    ends: Sequence[tuple[str, str]],
    kept: set[str],
    inputs: Sequence[str],
) -> tuple[str, ...]:
    notes = []
    used = {name for name, node in ends if node in kept}
    left = [name for name, _ in answers if name not in used]
    if left:
        shown = ", ".join(name[:40] for name in left[:3])
        notes.append(f"Outputs that are no maps of the image's size are left out: {shown}.")
    if len(inputs) > 1:
        order = ", ".join(name[:40] for name in inputs)
        notes.append(f"Its {len(inputs)} inputs are the channels of one image: {order}.")
    return tuple(notes)


def _require_one_way(draw: Drawing, graph: Graph) -> None:
    """Refuse a graph that takes sizes at which the program does something else."""
    size, probes = sizes_of(graph), draw.probes
    if size is None:
        return
    rules = tuple(zip(size.minimum, size.multiple, size.remainder, strict=True))
    for place in probes.other.nonzero()[0]:
        lengths = tuple(int(axis[place]) for axis in probes.lengths)
        if all(n >= low and n % m == r for n, (low, m, r) in zip(lengths, rules, strict=True)):
            shown = " x ".join(map(str, lengths))
            raise NotReadable(f"it does something else with an image of {shown} pixels")


# ---- The checkpoint --------------------------------------------------------------------


def checkpoint_of(
    path: Path,
    tree: Tree,
    drawn: Drawn,
    *,
    program: str,
    title: str,
    known: Mapping[str, Known],
    card: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Return what is known of a network that was read.

    Parameters
    ----------
    path, tree : Path, Tree
        The file.
    drawn : Drawn
        The network.
    program, title : str
        Name of the kind of program; what people call it.
    known : mapping of str to Known
        How the graph and the channels are known, and what else the program says.
    card : mapping, optional
        What the file says of itself.

    Raises
    ------
    NotReadable
        If its tensors are not those of a network.
    ValueError
        If no image can be answered by it.
    """
    inside = rescaled_by(drawn.graph)
    how = PrepareStep(name="normalize", options={"how": "divide-255-if-over-1", "over": "volume"})
    checkpoint = describe_graph(
        path=path,
        graph=drawn.graph,
        store=_store(tree, drawn),
        outputs=drawn.outputs,
        prepare=() if inside else (how,),
        card=card,
    )
    facts = dict(known)
    if inside:
        facts["prepare"] = Known(source="read", why=f"the network does it itself ({inside})")
    else:
        why = (
            f"{title} does not say how images were prepared; dividing those with values over 1 by "
            "255 is usual, and the network holds no rescaling of its own"
        )
        facts["prepare"] = Known(source="assumed", why=why)
    if drawn.outputs:
        why = "the file has several outputs; what their channels mean is taken from their names"
        facts["outputs"] = Known(source="assumed", why=why)
    return replace(
        checkpoint,
        program=program,
        notes=drawn.notes,
        known={**checkpoint.known, **facts},
    )


def _store(tree: Tree, drawn: Drawn) -> Store:
    """Return which tensor of the file each of the graph is, and how it lies there."""
    keys, layouts = dict[str, str](), dict[str, Layout]()
    for name, tensor in tensors(drawn.graph).items():
        slot = drawn.draw.slots[name]
        if slot.key not in tree.root:
            raise NotReadable(f"the weights of {slot.key[:80]} are not in the file")
        key, number = slot.key, 1
        while key in keys or (key != slot.key and key in tree.root):
            number += 1
            key = f"{slot.key} ({number})"
        keys[key] = name
        shape = tree.root[slot.key].shape
        have, want = math.prod(shape), math.prod(tensor.shape)
        if have != want:
            raise NotReadable(
                f"the weights of {slot.key[:80]} are {have:,} numbers, and its layer has {want:,}"
            )
        plain = slot.order == tuple(range(len(shape))) and shape == tensor.shape
        if not plain or key != slot.key:
            shared = slot.key if key != slot.key else ""
            layouts[key] = Layout(order=slot.order, key=shared)
    kinds = Counter(tree.root[drawn.draw.slots[name].key].dtype for name in keys.values())
    if wrong := [kind for kind in kinds if kind not in FLOATING]:
        raise NotReadable(f"its weights hold numbers of the kind {wrong[0]}")
    return Store(
        container=tree.container,
        dtype=kinds.most_common(1)[0][0] if kinds else "float32",
        keys=keys,
        layouts=layouts,
    )

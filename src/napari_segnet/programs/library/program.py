"""What a file of a library holds, as a checkpoint of the family ``graph``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known, PrepareStep, Store
from napari_segnet.containers import Weights
from napari_segnet.errors import UnknownNetworkError
from napari_segnet.families.graph import describe_graph
from napari_segnet.families.kit.facts import common_dtype, refusal
from napari_segnet.families.kit.hparams import settle
from napari_segnet.graph import Activation, Graph, channels, needed, tensors
from napari_segnet.programs.library._kinds import KINDS, Kind
from napari_segnet.programs.library._pen import Miss, Pen
from napari_segnet.programs.library._smp_arguments import arguments
from napari_segnet.programs.library.plans import Plans, layer_facts, plans_of, said_by_file

__all__ = ["Library"]

FLOATING = ("float32", "float16", "bfloat16", "float64")
COUNTER = "num_batches_tracked"
GEOMETRY = ("stride", "output_stride", "rates", "pooling", "norm", "padding")
"""Facts from which follows how far a network sees."""
PREPARE = Known(
    source="assumed",
    why="the file does not say how images were prepared; dividing those with values over 1 by 255 "
    "is usual",
)


class Library:
    """The program; it is asked after all families, before what reads structures."""

    name = "library"
    title = "Network of a library, known by its names"

    def describe(self, views: Sequence[Weights], overrides: Mapping[str, Any]) -> Checkpoint | None:
        """Return the network; None if no view has the names of one.

        Raises
        ------
        UnknownNetworkError
            If some view has the names, but the network cannot be drawn; says what is missing.
        SettingsError
            If something is told that the network does not leave open.
        """
        refused: UnknownNetworkError | None = None
        for weights in views:
            shapes = {key: one.shape for key, one in weights.tensors.items()}
            kind = next((one for one in KINDS if one.fits(shapes)), None)
            if kind is None:
                continue
            try:
                found = _described(weights, kind, overrides)
            except UnknownNetworkError as error:
                refused = refused or error
                continue
            return replace(found, stamp=weights.stamp, notes=(*weights.notes, *found.notes))
        if refused is not None:
            raise refused
        return None


def _described(weights: Weights, kind: Kind, overrides: Mapping[str, Any]) -> Checkpoint:
    plain = {key: one.shape for key, one in weights.tensors.items()}
    same = kind.canonical
    names = {key: same(key, plain) if same else key for key in plain}
    shapes = {names[key]: one.shape for key, one in weights.tensors.items()}
    read = {"library": kind.name}
    recorded = _recorded(weights, kind)
    hparams, known = settle(kind.open(shapes), read, recorded, overrides, kind.title)
    try:
        graph = _drawn(kind, shapes, hparams)
        found = tensors(graph)
        keys = _keys(weights, kind, names, found)
        plans = _plans(weights, kind, graph)
        checkpoint = describe_graph(
            path=weights.path,
            graph=graph,
            prepare=plans.prepare,
            pixel_size_um=plans.pixel_size_um,
            outputs=plans.outputs,
            class_names=plans.class_names,
            card=plans.card,
            store=Store(
                container=weights.container,
                wrapper=weights.wrapper,
                prefix=weights.prefix,
                dtype=common_dtype(weights),
                keys=keys,
            ),
            known={"prepare": PREPARE, **plans.known},
        )
    except (Miss, ValueError) as error:
        raise refusal(weights, kind.title, str(error)) from error
    why = f"drawn as {kind.title}, by the names and shapes of its tensors"
    drawn = Known(source="read", why=why)
    guessed = [name for name in GEOMETRY if name in known and known[name].source == "assumed"]
    guessed += [f"{name} as in the library" for name in _fixed(graph, hparams)]
    layers = (
        Known(source="assumed", why=f"{why}; assumed of it: {', '.join(guessed)}")
        if guessed
        else drawn
    )
    facts = {"family": drawn, "program": drawn, "graph": layers}
    unused = [key for key in weights.tensors if key not in keys and not kind.is_silent(key)]
    return replace(
        checkpoint,
        program=Library.name,
        hparams={**checkpoint.hparams, **hparams},
        known={**checkpoint.known, **known, **facts},
        notes=(*plans.notes, *((_aside(unused),) if unused else ())),
    )


def _recorded(weights: Weights, kind: Kind) -> Weights:
    """Return a file with what its plans or arguments say of layers, by our names of it."""
    if kind.name == "nnunet":
        facts = layer_facts(said_by_file(weights.metadata))
    else:
        facts = arguments(weights.metadata) if kind.name.startswith("smp-") else {}
    return replace(weights, metadata={**facts, **weights.metadata})


def _fixed(graph: Graph, hparams: Mapping[str, Any]) -> list[str]:
    """Return the activations that are the library's own: no tensor and no setting shows them."""
    word = str(hparams.get("nonlinearity", "")).partition(":")[0].replace("_", "-")
    shown = {word, "prelu", "sigmoid"}
    ops = (node.operation for node in graph.nodes)
    return sorted({op.function for op in ops if isinstance(op, Activation)} - shown)


def _plans(weights: Weights, kind: Kind, graph: Graph) -> Plans:
    """Return what is said beside the tensors of how images are prepared, and of classes."""
    usual = PrepareStep(name="normalize", options={"how": "divide-255-if-over-1", "over": "volume"})
    counts, end = channels(graph), graph.outputs[0]
    said = None
    if kind.name == "nnunet":
        own = said_by_file(weights.metadata)
        said = plans_of(own, counts[graph.image.name], graph.ndim, counts[end])
    if kind.divides:
        step = PrepareStep(name="normalize", options={"how": "divide-255", "over": "volume"})
        why = f"the code of {kind.title} divides values of 8 bits by 255; no tensor shows it"
        said = Plans(prepare=(step,), known={"prepare": Known(source="assumed", why=why)})
    if kind.outputs is not None:
        found = kind.outputs([counts[name] for name in graph.outputs])
        read = Known(source="read", why=f"as {kind.title} answers")
        said = said or Plans(prepare=(usual,))
        said = replace(said, outputs=found, known={**said.known, "outputs": read})
    if said is None:
        return Plans(prepare=(usual,))
    return replace(said, prepare=said.prepare or (usual,))


def _drawn(
    kind: Kind, shapes: Mapping[str, tuple[int, ...]], overrides: Mapping[str, Any]
) -> Graph:
    """Draw the network; nothing that its answer does not need stays."""
    first = next((one for one in kind.first if len(shapes.get(f"{one}.weight", ())) > 3), None)
    if first is None:
        raise Miss("its first convolution is not where it is known to be")
    shape = shapes[f"{first}.weight"]
    size = tuple(int(n) for n in str(overrides.get("img_size", "")).split(",") if n)
    pen = Pen(shapes, shape[1], len(shape) - 2, overrides, size)
    drawn = kind.draw(pen)
    ends = (drawn,) if isinstance(drawn, str) else drawn
    return needed(pen.draw.graph(*ends), ends)


def _keys(
    weights: Weights, kind: Kind, names: Mapping[str, str], found: Mapping[str, Any]
) -> dict[str, str]:
    """Return names in the file -> those of the graph; every tensor has its place, or is aside."""
    keys = {key: name for key, name in names.items() if name in found}
    missing = [name for name in found if name not in keys.values() and not name.endswith(COUNTER)]
    if missing:
        raise Miss(f"the tensor {missing[0]} is missing")
    for key, name in keys.items():
        if weights.tensors[key].shape != found[name].shape:
            have = weights.tensors[key].shape
            raise Miss(f"the tensor {key} has the shape {have} instead of {found[name].shape}")
        if weights.tensors[key].dtype not in FLOATING and not key.endswith(COUNTER):
            raise Miss(f"the tensor {key} holds no floating numbers")
    left = [key for key in weights.tensors if key not in keys]
    odd = [key for key in left if not any(re.fullmatch(p, names[key]) for p in kind.aside)]
    if odd:
        raise Miss(f"{len(odd)} tensors are not part of it: {', '.join(odd[:4])}")
    return keys


def _aside(unused: list[str]) -> str:
    shown = ", ".join(unused[:4]) + (f" and {len(unused) - 4} more" if len(unused) > 4 else "")
    return f"Tensors that its answer does not need: {shown}."

"""A network of whatever file, written with its graph as a file of our own: it needs no code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_segnet.checkpoint import Checkpoint, Store
from napari_segnet.errors import BrokenWeightsError, OutputError, UnsupportedWeightsError
from napari_segnet.evidence import load_tensors
from napari_segnet.families import GraphFamily
from napari_segnet.families.graph import StoredGraph, describe_graph
from napari_segnet.graph import Graph, tensors
from napari_segnet.recognition import family_of

__all__ = ["check_own_name", "save_own"]

ENDING = ".safetensors"


def check_own_name(path: Path) -> None:
    """Refuse the name of a file that is no safetensors, or that is there already.

    Raises
    ------
    OutputError
        With the reason.
    """
    if path.suffix.lower() != ENDING:
        raise OutputError(
            f"A network is saved as {ENDING}, not as {path.name!r}. Choose a name that ends so."
        )
    if path.exists():
        raise OutputError(f"{path} exists already and is left as it is. Choose another name.")


def save_own(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Write a network with its graph, as it is known now, to a new ``.safetensors``.

    What was assumed of the network stands in its card.

    Returns
    -------
    Checkpoint
        Of the new file.

    Raises
    ------
    OutputError
        If the name is taken or another kind of file's, or the disk refuses.
    WeightsError
        If the network has no graph, or its file cannot be read any more.
    """
    check_own_name(path)
    family = family_of(checkpoint)
    if not isinstance(family, GraphFamily):
        raise UnsupportedWeightsError(
            f"{checkpoint.path.name} cannot be saved with its graph: {family.title} is not "
            "described layer by layer. Use the file as it is."
        )
    graph = family.graph(checkpoint)
    described = _described(checkpoint, graph, path)
    own = StoredGraph()
    module = own.build(described)
    values = load_tensors(checkpoint, graph)
    # A file may lack the count of batches, which nothing depends on; it stays as it is built.
    lacking = [
        n for n in tensors(graph) if n not in values and not n.endswith("num_batches_tracked")
    ]
    if lacking:
        raise BrokenWeightsError(
            f"{checkpoint.path.name} lacks tensors of its network, first {lacking[0]}. Open it "
            "again."
        )
    module.load_state_dict({**module.state_dict(), **values})
    return own.save(module, replace(described, program=""), path)


def _described(checkpoint: Checkpoint, graph: Graph, path: Path) -> Checkpoint:
    assumed = {
        name: checkpoint.hparams[name]
        for name, fact in checkpoint.known.items()
        if fact.source == "assumed" and name in checkpoint.hparams and name != "graph"
    }
    came = {"from": checkpoint.path.name, "sha256": checkpoint.sha256, "assumed": assumed}
    return describe_graph(
        path=path,
        graph=graph,
        outputs=checkpoint.outputs,
        prepare=checkpoint.prepare,
        pixel_size_um=checkpoint.pixel_size_um,
        class_names=checkpoint.class_names,
        card={**checkpoint.card, "converted": came},
        store=Store(
            container="safetensors",
            dtype=checkpoint.store.dtype,
            keys={name: name for name in tensors(graph)},
        ),
    )

"""Networks that are stored with their graph: any network of known operations, without code.

The file is a safetensors file of our own, see ``segnet_unet.py``, whose text holds the graph as
``hparams["graph"]``. What reads graphs out of other files describes them with
:func:`describe_graph` and has all the rest from here: one family serves them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint, Known, Output, PrepareStep, Store, Task
from napari_segnet.containers import Weights
from napari_segnet.errors import SettingsError, UnknownNetworkError
from napari_segnet.families.graph.ends import new_ends, raw_ends, roles, stages
from napari_segnet.families.kit.drawing import Drawn
from napari_segnet.families.kit.facts import common_dtype, refusal, require_keys, unstated
from napari_segnet.families.kit.own_header import read_header, said_family
from napari_segnet.families.kit.own_write import write_own
from napari_segnet.families.kit.training import MapTraining
from napari_segnet.families.kit.write import write_back
from napari_segnet.graph import (
    Graph,
    channels,
    graph_from_json,
    graph_to_json,
    layout,
    parameters,
    sizes,
    tensors,
)

if TYPE_CHECKING:
    from pathlib import Path

    import torch

__all__ = ["BARE", "StoredGraph", "describe_graph"]

BARE = ("structure", "library")
"""Programs that read bare weights; all others hold a graph in a form that is not written."""


class StoredGraph(Drawn, MapTraining):
    """The family; see the module's docstring."""

    name = "graph"
    title = "Network stored with its graph"
    task: Task = "semantic"

    def detect(self, weights: Weights) -> bool:
        """Tell by our own text in the header."""
        return said_family(weights) == self.name

    def describe(self, weights: Weights, overrides: Mapping[str, Any]) -> Checkpoint:
        """Read everything from the header; nothing is left to be told."""
        if overrides:
            raise SettingsError(
                f"{weights.path.name} describes itself completely, so "
                f"{', '.join(sorted(overrides))} cannot be told. Leave the setting out."
            )
        said = read_header(weights, _checked)
        try:
            graph = graph_from_json(said.hparams["graph"])
            checkpoint = describe_graph(
                path=weights.path,
                graph=graph,
                outputs=said.outputs,
                prepare=said.prepare,
                pixel_size_um=said.pixel_size_um,
                class_names=said.class_names,
                card=said.card,
                store=Store(
                    container=weights.container,
                    wrapper=weights.wrapper,
                    prefix=weights.prefix,
                    dtype=common_dtype(weights),
                    keys={name: name for name in tensors(graph)},
                ),
            )
        except ValueError as error:
            raise refusal(weights, self.title, f"it cannot be built ({error})") from error
        require_keys(self.tensors(checkpoint), checkpoint, weights, self.title)
        if "star" not in said.hparams:
            return checkpoint
        hparams = {**checkpoint.hparams, "star": said.hparams["star"]}
        return replace(
            checkpoint,
            hparams=hparams,
            task="instance",
            classes=max([2, *(o.channels for o in said.outputs if o.role == "object_class")]),
            answer_kind="star_polygons",
        )

    def graph(self, checkpoint: Checkpoint) -> Graph:
        """Return the graph that the checkpoint holds."""
        return graph_from_json(checkpoint.hparams["graph"])

    def build(self, checkpoint: Checkpoint) -> torch.nn.Module:
        """Build the network."""
        from napari_segnet.graph.build import build

        try:
            return build(self.graph(checkpoint))
        except (ValueError, RuntimeError) as error:
            raise UnknownNetworkError(
                f"The network of {checkpoint.path.name} cannot be built: {error}. Ask whoever "
                "wrote the file which program runs it."
            ) from error

    def maps(self, module: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Return raw maps ``(n, channel, [z,] y, x)``."""
        answer: torch.Tensor = module(batch)
        return answer

    def stages(self, module: torch.nn.Module) -> tuple[torch.nn.Module, ...]:
        """Return the levels of the encoder: layers up to the coarsest, by their scale."""
        return stages(module)

    def raw(self, checkpoint: Checkpoint) -> Checkpoint:
        """Describe the same network without the activation at its end, see ``RawFamily``."""
        graph, outputs = raw_ends(self.graph(checkpoint), checkpoint.outputs)
        hparams = {**checkpoint.hparams, "graph": graph_to_json(graph)}
        return replace(checkpoint, hparams=hparams, outputs=outputs)

    def with_outputs(self, checkpoint: Checkpoint, outputs: tuple[Output, ...]) -> Checkpoint:
        """Describe the same network with another last convolution, and nothing behind it."""
        graph = new_ends(self.graph(checkpoint), sum(o.channels for o in outputs))
        there = set(tensors(graph))
        keys = {key: name for key, name in checkpoint.store.keys.items() if name in there}
        missing = there - set(keys.values())
        described = describe_graph(
            path=checkpoint.path,
            graph=graph,
            outputs=outputs,
            prepare=checkpoint.prepare,
            pixel_size_um=checkpoint.pixel_size_um,
            # What was said of the values of the old maps is no longer true.
            card={k: v for k, v in checkpoint.card.items() if k != "mask_values"},
            store=replace(checkpoint.store, keys={**keys, **{name: name for name in missing}}),
            known={**checkpoint.known, "outputs": Known(source="told", why="by the training")},
        )
        if checkpoint.program not in BARE:
            return described
        hparams = {**checkpoint.hparams, **described.hparams}
        return replace(described, hparams=hparams, program=checkpoint.program)

    def save(self, module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
        """Write a file of our own, see ``write_own``.

        Bare weights are written back as they were: the code that they came from loads them.
        """
        if checkpoint.program in BARE:
            return write_back(module, checkpoint, path)
        keys = {name: name for name in module.state_dict()}
        # A file of our own, whatever program the network came from.
        store = replace(checkpoint.store, keys=keys, layouts={})
        # What was told of that one is in the graph.
        kept = ("graph", "star")
        own = {name: value for name, value in checkpoint.hparams.items() if name in kept}
        return write_own(module, replace(checkpoint, store=store, program="", hparams=own), path)


def describe_graph(
    *,
    path: Path,
    graph: Graph,
    store: Store,
    outputs: tuple[Output, ...] = (),
    prepare: tuple[PrepareStep, ...] = (),
    pixel_size_um: Mapping[str, float] | None = None,
    class_names: tuple[str, ...] = (),
    card: Mapping[str, Any] | None = None,
    known: Mapping[str, Known] | None = None,
) -> Checkpoint:
    """Describe a network that a graph says, wherever that comes from.

    Parameters
    ----------
    path : Path
        Where the weights are, or will be.
    graph : Graph
        The network. Names of its tensors are ``layer.role``, see ``graph.layout``.
    store : Store
        How the tensors lie in the file; ``keys`` are their names there -> those of the graph.
    outputs : tuple of Output, optional
        Groups of output channels. Without: see ``roles``.
    prepare, pixel_size_um, class_names, card : optional
        As in :class:`Checkpoint`.
    known : mapping of str to Known, optional
        How facts are known, where it is otherwise than read from the graph.

    Raises
    ------
    ValueError
        If no image can be answered by it, or its tensors' names cannot be those of a module.
    """
    layout(graph)
    size = sizes(graph)
    if size is None:
        raise ValueError(
            "its answer has another scale than the image, or it takes images of one size only"
        )
    ends, reason = _ends(graph, outputs)
    head = Checkpoint(
        path=path,
        family=StoredGraph.name,
        task="semantic",
        hparams={"graph": graph_to_json(graph)},
        ndim=graph.ndim,
        channels=channels(graph)[graph.image.name],
        classes=_classes(ends),
        outputs=ends,
        size=size,
        prepare=prepare,
        class_names=class_names,
        pixel_size_um=pixel_size_um or {},
        parameters=parameters(tensors(graph)),
        store=store,
        card=card or {},
    )
    return replace(head, known={**_known(head, reason), **(known or {})})


def _ends(graph: Graph, outputs: tuple[Output, ...]) -> tuple[tuple[Output, ...], Known | None]:
    """Return the groups of output channels, and why, where nobody says them."""
    counts = channels(graph)
    count = sum(counts[name] for name in graph.outputs)
    ends, reason = roles(graph, count)
    if not outputs:
        return ends, reason
    if sum(output.channels for output in outputs) != count:
        raise ValueError(f"its outputs {outputs} do not share {count} channels")
    return outputs, None


def _checked(given: Any) -> dict[str, Any]:
    graph_from_json(given["graph"])
    return {name: given[name] for name in ("graph", "star") if name in given}


def _classes(outputs: tuple[Output, ...]) -> int:
    found = [output.channels for output in outputs if output.role in ("class", "foreground")]
    return found[0] if found else 1


def _known(head: Checkpoint, assumed: Known | None) -> dict[str, Known]:
    """Tell what stands in the file, what follows from the graph, and what is left out."""
    written = Known(source="read", why="written in the file")
    follows = Known(source="read", why="follows from the graph")
    known = dict.fromkeys(("family", "graph", "outputs", "prepare"), written)
    known |= dict.fromkeys(("task", "ndim", "channels", "classes", "size"), follows)
    known["parameters"] = Known(source="read", why="counted")
    if assumed is not None:
        known["outputs"] = assumed
    stated = {name: written for name in ("class_names", "pixel_size_um") if getattr(head, name)}
    return {**unstated(head), **known, **stated}

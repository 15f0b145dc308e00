"""What a bare file holds, as a checkpoint of the family ``graph``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known, Output, PrepareStep, Store
from napari_segnet.containers import Weights
from napari_segnet.errors import SettingsError
from napari_segnet.families.graph import describe_graph
from napari_segnet.graph import sizes, tensors
from napari_segnet.programs.structure._read import common_dtype, read_structure
from napari_segnet.programs.structure._types import Candidate, Space

__all__ = ["Structure"]

PREPARE = Known(
    source="assumed",
    why="bare weights do not say how images were prepared; dividing those with values over 1 by "
    "255 is most frequent (37 of 66 networks of public repositories)",
)
UNKNOWN_PURPOSE = (
    "What this network is for is not known: it answers with an image of the same kind as it is "
    "shown, without poolings. It may be no segmentation, but a denoiser."
)
OF_LEVELS = "a network without poolings and with as many channels out as in may be no segmentation"


class Structure:
    """The program; see the package's docstring. It is asked after all known families."""

    name = "structure"
    title = "Network read from its tensors"

    def describe(self, weights: Weights, told: Mapping[str, Any]) -> Checkpoint:
        """Return the likeliest network with what was told.

        Raises
        ------
        UnknownNetworkError
            If the tensors are those of no network for images.
        SettingsError
            If something is told that the file does not leave open.
        """
        return checkpoint_of(weights, chosen(read_structure(weights), told, weights), told)


def chosen(space: Space, told: Mapping[str, Any], weights: Weights) -> Candidate:
    """Return the likeliest candidate that has what was told.

    Raises
    ------
    SettingsError
        If there is none.
    """
    likeliest = space.first(1)[0]
    if not told:
        return likeliest
    words = {name: str(value).strip() for name, value in told.items()}
    layouts = [words["layout"]] if "layout" in words else space.layouts
    found: list[Candidate] = []
    reason = ""
    for layout in layouts:
        try:
            one = space.candidate(layout, words)
        except ValueError as error:
            reason = reason or str(error)
            continue
        if sizes(one.graph) is not None:
            found.append(one)
    if found:
        return max(found, key=lambda one: one.prior)
    can = "; ".join(f"{name}: {' or '.join(values)}" for name, values in likeliest.open.items())
    raise SettingsError(
        f"{weights.path.name} cannot be read so ({reason or 'the numbers do not close'}). What can "
        f"be told of it: {can}."
    )


def checkpoint_of(weights: Weights, candidate: Candidate, told: Mapping[str, Any]) -> Checkpoint:
    """Describe a candidate as the network of a file."""
    graph = candidate.graph
    named = tensors(graph)
    outputs, purpose = _purpose(candidate)
    checkpoint = describe_graph(
        path=weights.path,
        graph=graph,
        outputs=outputs,
        prepare=(
            PrepareStep(
                name="normalize", options={"how": "divide-255-if-over-1", "over": "volume"}
            ),
        ),
        store=Store(
            container=weights.container,
            wrapper=weights.wrapper,
            prefix=weights.prefix,
            dtype=common_dtype(weights),
            keys={name: name for name in named if name in weights.tensors},
        ),
        known={"prepare": PREPARE},
    )
    known = {name: _known(candidate, name, told) for name in candidate.choices}
    shapes = "the channels of its tensors close only so"
    if len(candidate.open["layout"]) > 1:
        shapes = "the likeliest of several networks whose channels close"
    structure = Known(source=known["layout"].source, why=shapes)
    read = Known(source="read", why="from the order and the shapes of the tensors")
    unused = [key for key in weights.tensors if key not in named]
    notes = (f"Tensors that no layer uses: {', '.join(unused)}.",) if unused else ()
    facts = {"family": read, "program": read, "graph": structure}
    if purpose is not None:
        facts |= {"task": purpose, "outputs": purpose}
        notes += (UNKNOWN_PURPOSE,)
    elif not outputs:
        facts["outputs"] = checkpoint.known["outputs"]
    return replace(
        checkpoint,
        program=Structure.name,
        hparams={**checkpoint.hparams, **candidate.choices},
        known={**checkpoint.known, **known, **facts},
        notes=notes,
    )


def _known(candidate: Candidate, name: str, told: Mapping[str, Any]) -> Known:
    if name in told:
        return Known(source="told", why="by the user")
    one = len(candidate.open[name]) == 1
    return Known(source="read" if one else "assumed", why=candidate.why[name])


def _purpose(candidate: Candidate) -> tuple[tuple[Output, ...], Known | None]:
    """Return outputs that mean nothing known, where a network may be no segmentation."""
    graph = candidate.graph
    counts: dict[str, int] = {}
    for node in graph.nodes:
        counts[node.name] = node.operation.channels([counts[name] for name in node.inputs])
    given = counts[graph.outputs[0]]
    if "pooling" in candidate.choices or given != counts[graph.image.name]:
        return (), None
    output = Output(role="other", channels=given, activation="none")
    return (output,), Known(source="assumed", why=OF_LEVELS)

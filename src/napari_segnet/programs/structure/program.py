"""What a bare file holds, as a checkpoint of the family ``graph``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known, Output, PrepareStep, Store
from napari_segnet.containers import Weights
from napari_segnet.errors import SettingsError
from napari_segnet.families.graph import describe_graph
from napari_segnet.graph import channels, sizes, tensors
from napari_segnet.programs.structure._open_ends import questions
from napari_segnet.programs.structure._read import common_dtype, read_structure
from napari_segnet.programs.structure._space import OTHER
from napari_segnet.programs.structure._types import Candidate, Space

__all__ = ["Structure"]

PREPARE = Known(
    source="assumed",
    why="bare weights do not say how images were prepared; dividing those with values over 1 by "
    "255 is most frequent (37 of 66 networks of public repositories)",
)
UNKNOWN_PURPOSE = (
    "The purpose of this network is not known: it has no skip connections, and no poolings or as "
    "many channels out as in. It may clean, enlarge or compress images instead of labelling them."
)
ADDED = {
    "norm_use": "once", "recurrence": "none", "branch_mean": "mean", "unused_layer": "none",
    "inner_activation": "each", "weighed": "answer", "weighed_sum": "none",
}  # fmt: skip
"""Choices that cards of earlier versions do not name -> how networks were drawn then."""
ALIKE = "a network without skip connections and without levels, or with images out, may not label"


class Structure:
    """The program; see the package's docstring. It is asked after all known families."""

    name = "structure"
    title = "Network read from its tensors"

    def describe(
        self, weights: Weights, overrides: Mapping[str, Any], space: Space | None = None
    ) -> Checkpoint:
        """Return the likeliest network with what was told.

        ``space``: what ``read_structure`` returned, where that is known already.

        Raises
        ------
        UnknownNetworkError
            If the tensors are those of no network for images.
        SettingsError
            If something is told that the file does not leave open.
        """
        space = read_structure(weights) if space is None else space
        return checkpoint_of(weights, chosen(space, overrides, weights), overrides)


def chosen(space: Space, overrides: Mapping[str, Any], weights: Weights) -> Candidate:
    """Return the likeliest candidate that has what was told.

    Raises
    ------
    SettingsError
        If there is none.
    """
    likeliest = space.first(1)[0]
    if not overrides:
        return likeliest
    words = {name: str(value).strip() for name, value in overrides.items()}
    layouts = [words["layout"]] if "layout" in words else space.layouts
    found: list[Candidate] = []
    reason = ""
    for layout in layouts:
        try:
            said = _in_new_words(space, layout, words)
            one = space.candidate(layout, said)
            left = {n for n, values in one.open.items() if len(values) > 1} - set(said)
            if left and left <= ADDED.keys():
                one = space.candidate(layout, {**said, **{name: ADDED[name] for name in left}})
        except ValueError as error:
            reason = reason or str(error)
            continue
        if sizes(one.graph) is not None:
            found.append(one)
    if found:
        return max(found, key=lambda one: one.prior)
    can = "; ".join(
        f"{name}: {' or '.join(value for value in values if value != OTHER)}"
        for name, values in likeliest.open.items()
    )
    raise SettingsError(
        f"{weights.path.name} cannot be read so ({reason or 'the numbers do not close'}). What can "
        f"be told of it: {can}."
    )


def _in_new_words(space: Space, layout: str, words: Mapping[str, str]) -> Mapping[str, str]:
    """Return what is told in today's words: ``resize`` once said how the output is enlarged, too.

    Raises
    ------
    ValueError
        If there is no such layout.
    """
    if "resize" not in words or "output_resize" in words:
        return words
    names = space.candidate(layout, {}).open
    if "output_resize" not in names:
        return words
    others = {name: value for name, value in words.items() if name != "resize" or name in names}
    return {**others, "output_resize": words["resize"]}


def checkpoint_of(
    weights: Weights, candidate: Candidate, overrides: Mapping[str, Any]
) -> Checkpoint:
    """Describe a candidate as the network of a file."""
    graph = candidate.graph
    named = tensors(graph)
    keys = {name: name for name in named if name in weights.tensors}
    keys |= {key: name for key, name in candidate.aliases.items() if name in named}
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
            keys=keys,
        ),
        known={"prepare": PREPARE},
    )
    known = {name: _known(candidate, name, overrides) for name in candidate.choices}
    structure = Known(source=known["layout"].source, why=known["layout"].why)
    read = Known(source="read", why="from the order and the shapes of the tensors")
    unused = [key for key in weights.tensors if key not in keys]
    notes: tuple[str, ...] = (
        (f"Tensors that no layer uses: {', '.join(unused)}.",) if unused else ()
    )
    notes += questions(candidate, overrides)
    facts = {"family": read, "program": read, "graph": structure}
    if purpose is not None:
        facts["task"] = purpose
        notes += (UNKNOWN_PURPOSE,)
        if outputs:
            facts["outputs"] = purpose
    return replace(
        checkpoint,
        program=Structure.name,
        hparams={**checkpoint.hparams, **candidate.choices},
        known={**checkpoint.known, **known, **facts},
        notes=notes,
    )


def _known(candidate: Candidate, name: str, overrides: Mapping[str, Any]) -> Known:
    if name in overrides:
        return Known(source="told", why="by the user")
    one = len(candidate.open[name]) == 1
    return Known(source="read" if one else "assumed", why=candidate.why[name])


def _purpose(candidate: Candidate) -> tuple[tuple[Output, ...], Known | None]:
    """Return outputs that mean nothing known, where a network may be no segmentation.

    Without skip connections and with the channels of a colour image at both ends, or without
    poolings and with those of any image, a network may as well clean images or compress them.
    """
    counts = channels(candidate.graph)
    given, taken = counts[candidate.graph.outputs[0]], counts[candidate.graph.image.name]
    levels = "pooling" in candidate.choices
    if candidate.choices["join"] != "none" or (levels and (given == 1 or given != taken)):
        return (), None
    known = Known(source="assumed", why=ALIKE)
    if given != taken:
        return (), known
    return (Output(role="other", channels=given, activation="none"),), known

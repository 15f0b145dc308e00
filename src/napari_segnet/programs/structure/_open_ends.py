"""What a network does behind its encoder and its last step up, where the file cannot tell."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from napari_segnet.programs.structure._codes import code_of
from napari_segnet.programs.structure._names import pattern
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._priors import ordered
from napari_segnet.programs.structure._topology import RESIZINGS, Topology
from napari_segnet.programs.structure._types import Candidate, Space
from napari_segnet.programs.structure._uneven_end import uneven_end
from napari_segnet.programs.structure._units import Unit

__all__ = ["open_ends", "questions", "with_both_answers"]

ASKED = ("unused_layer", "output_resize")
"""Choices that no file decides wherever they are open: users are asked, and shown both answers."""
SHOWN = 3
"""So many candidates stand beside one another on the contact sheet."""
ENLARGED = (
    "Please check: the network has fewer steps up than down, so its output is smaller than the "
    "image. It is enlarged here ({value}); no tensor says whether the network's own code does so. "
    "For the other way, set output_resize to {other}."
)
RUN = (
    "Please check: the layer {layer} is run here, but no tensor says so: the network also works "
    "without it. To leave it out, set unused_layer to {layer}."
)
LEFT_OUT = (
    "Please check: the layer {layer} is left out here, but no tensor says so: the network also "
    "works with it. To run it, set unused_layer to none."
)

WHY_ENLARGED = (
    "the network has fewer steps up than down; no tensor shows if its code enlarges the output: "
    "nearest copies each pixel of the smaller output, and enlarges nothing else"
)
WHY_UNUSED = (
    "no tensor shows if this layer is run: the network works with it and without it, and no other "
    "layer is like it"
)


def open_ends(parts: Sequence[Part], topology: Topology) -> dict[str, tuple[tuple[str, ...], str]]:
    """Return how codes end, how a smaller output is enlarged, and which layer may never be run."""
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    if code_of(parts, topology) is not None:
        why = "the last layer of the encoder's Sequential may be one without an activation"
        found["code_activation"] = (ordered("code_activation"), why)
    if topology.level:
        found["output_resize"] = (ordered("output_resize"), WHY_ENLARGED)
    unit = _perhaps_unused(parts, topology)
    if unit is not None and unit.layer.name not in uneven_end(parts, topology):
        found["unused_layer"] = (("none", unit.layer.name), WHY_UNUSED)
    return found


def _perhaps_unused(parts: Sequence[Part], topology: Topology) -> Unit | None:
    """Return a bare convolution before the last one that is like no other layer; None without one.

    It stands behind the last step up and has as many channels out as in, so the network closes
    without it. Others have a norm that it lacks, or none has its name but for the numbers.
    """
    every = [unit for part in parts for unit in part.units]
    normed = any(unit.norm is not None for unit in every)
    names = [pattern(unit.layer.name) for unit in every]
    found: list[Unit] = []
    for step in topology.steps:
        part = parts[step.part]
        if step.rises or step.join != "none" or step.before in RESIZINGS or step.sees:
            found = []
        elif step.before == "none" and not (part.shortcut or part.identity or part.branches):
            found += list(part.units if step.groups == 1 and part.squeeze is None else ())
    rises = any(step.rises or step.before in RESIZINGS for step in topology.steps)
    alone = [
        unit
        for unit in found[:-1]
        if unit.norm is None and unit.slopes is None and unit.after is None
        and unit.inputs(False) == unit.outputs(False)
        and (normed or names.count(pattern(unit.layer.name)) == 1)
    ]  # fmt: skip
    return alone[0] if rises and len(alone) == 1 else None


def questions(candidate: Candidate, overrides: Collection[str]) -> tuple[str, ...]:
    """Return what users are asked of a network, as the file cannot tell, and what to set.

    Parameters
    ----------
    candidate : Candidate
        The network.
    overrides : collection of str
        Choices that users have made: of these, nothing is asked.
    """
    found = []
    enlarged = candidate.choices.get("output_resize")
    if enlarged is not None and "output_resize" not in overrides:
        other = "bilinear" if enlarged == "nearest" else "nearest"
        found.append(ENLARGED.format(value=enlarged, other=other))
    unused = candidate.choices.get("unused_layer")
    if unused is not None and "unused_layer" not in overrides:
        layer = next(value for value in candidate.open["unused_layer"] if value != "none")
        found.append((RUN if unused == "none" else LEFT_OUT).format(layer=layer))
    return tuple(found)


def with_both_answers(space: Space, found: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return candidates with both answers to each question among those that are shown.

    Parameters
    ----------
    space : Space
        Of the file.
    found : sequence of Candidate
        The best first; the first one stays there.
    """
    beside: list[Candidate] = []
    for name in ASKED if found else ():
        best = found[0]
        other = next((v for v in best.open.get(name, ()) if v != best.choices.get(name)), None)
        if other is None:
            continue
        shown = [one for one in found[1:SHOWN] if one.choices.get(name) == other]
        try:
            beside += shown[:1] or [space.candidate(best.layout, {**best.choices, name: other})]
        except ValueError:
            continue  # the question is answered
    if not beside or all(one in found[:SHOWN] for one in beside):
        return tuple(found)
    graphs = [one.graph for one in beside]
    left = [one for one in found if one.graph not in graphs]
    place = SHOWN - len(beside)
    return (*left[:place], *beside, *left[place:])

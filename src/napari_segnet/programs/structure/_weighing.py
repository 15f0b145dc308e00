"""How an answer or a skip connection is weighed: what is open of it, and its graph.

See ``_squeeze.py`` for answers, and ``_gates.py`` for skip connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from napari_segnet.graph import (
    Activation,
    Arithmetic,
    ChannelPooling,
    Concatenate,
    Dense,
    GlobalPooling,
    Operation,
    Reshape,
)
from napari_segnet.programs.structure._attention import Squeeze
from napari_segnet.programs.structure._gates import Gate
from napari_segnet.programs.structure._kernels import straight
from napari_segnet.programs.structure._layers import StoredLayer
from napari_segnet.programs.structure._operations import pooling_of
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._priors import ordered
from napari_segnet.programs.structure._squeeze import SEES_BOTH
from napari_segnet.programs.structure._topology import RESIZINGS, Step, Topology
from napari_segnet.programs.structure._units import Unit

if TYPE_CHECKING:
    from napari_segnet.programs.structure._draw import Drawing

__all__ = [
    "before_joins", "gated", "gated_answer", "is_within", "taken_answers", "weighed",
    "weighing_choices",
]  # fmt: skip

CHANNELS = "channels look alike with their largest values and without, which have no tensors"
PIXELS = "both orders have the same shapes"
SUM = "an answer may be added to what attention lets through of it; the sum has no tensors"
GATE = "a sigmoid may stand behind the map of a gate, or behind what it weighs; it has no tensors"
PLACE = "a skip connection may be taken before its answer is weighed; no tensor shows it"


def weighing_choices(
    parts: Sequence[Part], topology: Topology
) -> dict[str, tuple[tuple[str, ...], str]]:
    """Return what no tensor shows of how answers are weighed."""
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    squeezes = [part.squeeze for part in parts if part.squeeze is not None]
    two_maps = [one for one in squeezes if one.pixels and one.pixels.inputs(False) == 2]
    both = any(one in two_maps or SEES_BOTH.search(one.layer.name) for one in squeezes if one.one)
    if both:
        found["channel_weights"] = (ordered("channel_weights"), CHANNELS)
    if any(part.gate is not None and part.gate.answer for part in parts):
        found["gate_end"] = (ordered("gate_end"), GATE)
    if two_maps:
        found["pixel_weights"] = (ordered("pixel_weights"), PIXELS)
    turns = taken_answers(topology) | before_joins(topology)
    steps = (topology.steps[turn] for turn in turns)
    if any(not is_within(parts[step.part]) for step in steps):
        found["weighed"] = (ordered("weighed"), PLACE)
    if any(part.squeeze is not None and not is_within(part) for part in parts):
        found["weighed_sum"] = (ordered("weighed_sum"), SUM)
    return found


def taken_answers(topology: Topology) -> frozenset[int]:
    """Return the turns of which the answer becomes a skip connection later."""
    answers, found = [-1], set[int]()
    for turn, step in enumerate(topology.steps):
        answers = [-1] if step.sees else answers
        answers += [answers[-1]] if step.keeps_pooled else []
        found |= {answers[one] for one in (step.skip, *step.row) if one > 0}
        answers += [turn] if step.keeps else []
    return frozenset(found)


def before_joins(topology: Topology) -> frozenset[int]:
    """Return the turns of steps up that a skip connection is joined right behind."""
    return frozenset(
        turn
        for turn, (step, after) in enumerate(pairwise(topology.steps))
        if (step.rises or step.before in RESIZINGS) and after.join == "concat" and after.skip > 0
    )


def is_within(part: Part) -> bool:
    """Tell if an answer is weighed before the sum of a block, which holds both; or not at all."""
    return part.squeeze is None or part.squeeze.layer.name.startswith(f"{part.name}.")


def weighed(drawing: Drawing, x: str, part: Part) -> str:
    """Draw what weighs the answer of a part."""
    if part.squeeze is None:
        return x
    y = _weighed(drawing, x, part.squeeze)
    if drawing.choices.get("weighed_sum") == "added" and not is_within(part):
        y = drawing.new("add", Arithmetic(kind="add"), y, x)
    return y


def _weighed(drawing: Drawing, x: str, squeeze: Squeeze) -> str:
    beside = squeeze.pixels is not None and max(squeeze.pixels.kernel) == 1
    y = x
    if squeeze.one is not None and squeeze.two is not None:
        y = drawing.new(
            "weighed", Arithmetic(kind="multiply"), x, _of_channels(drawing, x, squeeze)
        )
    if squeeze.pixels is None:
        return y
    seen = x if beside else y
    z = _of_pixels(drawing, seen, squeeze.pixels)
    z = drawing.new("weighed", Arithmetic(kind="multiply"), seen, z)
    return drawing.new("add", Arithmetic(kind="add"), y, z) if beside else z


def _of_channels(drawing: Drawing, x: str, squeeze: Squeeze) -> str:
    """Draw the weight of each channel, from 0 to 1."""
    ones = (1,) * drawing.ndim
    assert squeeze.one is not None and squeeze.two is not None
    dense = squeeze.one.kind == "dense"
    answers = []
    both = drawing.choices.get("channel_weights") == "mean-and-max"
    for kind in ("average", "max") if both else ("average",):
        y = drawing.new("seen", GlobalPooling(kind=kind), x)
        y = drawing.new("flat", Reshape(lengths=(squeeze.width,)), y) if dense else y
        y = _small(drawing, y, squeeze.one)
        y = drawing.new("activation", Activation(function="relu"), y)
        answers.append(_small(drawing, y, squeeze.two))
    y = drawing.new("add", Arithmetic(kind="add"), *answers) if both else answers[0]
    y = drawing.new("activation", Activation(function="sigmoid"), y)
    return drawing.new("map", Reshape(lengths=(squeeze.width, *ones)), y) if dense else y


def _small(drawing: Drawing, y: str, layer: StoredLayer) -> str:
    outputs, inputs = layer.weight[:2]
    operation: Operation = Dense(inputs=inputs, outputs=outputs, bias=layer.bias)
    if layer.kind != "dense":
        unit = Unit(layer=layer, ways=(False,))
        operation = straight(unit, (1,) * drawing.ndim, 1, 1, "same")
    return drawing.layer(layer, operation, y)


def _of_pixels(drawing: Drawing, x: str, unit: Unit) -> str:
    """Draw the weight of each pixel, from 0 to 1."""
    if unit.inputs(False) == 2 and max(unit.kernel) > 1:
        maps = [
            drawing.new("seen", ChannelPooling(kind="average"), x),
            drawing.new("seen", ChannelPooling(kind="max"), x),
        ]
        first = drawing.choices.get("pixel_weights") == "max-mean"
        x = drawing.new("join", Concatenate(), *(maps[::-1] if first else maps))
    x = drawing.layer(unit.layer, straight(unit, (1,) * drawing.ndim, 1, 1, "same"), x)
    x = x if unit.norm is None else drawing.norm(x, unit.norm)
    return drawing.new("activation", Activation(function="sigmoid"), x)


def gated(drawing: Drawing, x: str, skip: str, part: Part, below: bool) -> str:
    """Draw what weighs a skip connection by the decoder, see ``_gates.py``."""
    gate = part.gate
    assert gate is not None
    stride = drawing.factors[drawing.level - 1] if gate.halves else ()
    one, two = _bare(drawing, x, gate.gating), _bare(drawing, skip, gate.skip, stride)
    one = drawing.brought_up(one, drawing.level - 1) if below else one
    both = drawing.new("add", Arithmetic(kind="add"), one, two)
    both = both if gate.norm is None else drawing.norm(both, gate.norm)
    both = drawing.new("activation", Activation(function="relu"), both)
    weight = _bare(drawing, both, gate.psi)
    weight = drawing.new("activation", Activation(function="sigmoid"), weight)
    weight = drawing.brought_up(weight, drawing.level - 1) if gate.halves else weight
    skip = drawing.new("gated", Arithmetic(kind="multiply"), skip, weight)
    return skip if gate.after is None else _bare(drawing, skip, gate.after)


def gated_answer(drawing: Drawing, x: str, skip: str, gate: Gate, step: Step) -> str:
    """Draw what weighs the answer of the decoder, see ``_gates.py``."""
    one = drawing.convolved(skip, gate.skip, step, (), False)
    one = drawing.new("pooling", pooling_of("max", drawing.factors[drawing.level - 1]), one)
    two = drawing.convolved(x, gate.gating, step, (), False)
    both = drawing.new("add", Arithmetic(kind="add"), one, two)
    weight = drawing.convolved(both, gate.psi, step, (), False)
    end = drawing.choices["gate_end"]
    if end == "weights":
        weight = drawing.new("activation", Activation(function="sigmoid"), weight)
    x = drawing.new("gated", Arithmetic(kind="multiply"), x, weight)
    return drawing.new("activation", Activation(function="sigmoid"), x) if end == "product" else x


def _bare(drawing: Drawing, x: str, unit: Unit, stride: tuple[int, ...] = ()) -> str:
    steps = stride or (1,) * drawing.ndim
    x = drawing.draw.add(unit.layer.name, straight(unit, steps, 1, 1, "same"), x)
    return x if unit.norm is None else drawing.norm(x, unit.norm)

"""Which convolutions stand in one block, where a sum may lie around all but the first of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from napari_segnet.programs.structure._names import is_down, numbers, pattern
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import Step, Topology
from napari_segnet.programs.structure._units import Unit

__all__ = ["all_step_down", "in_chain", "inner_sums", "is_even", "sums_of", "unlike"]

UNLIKE = 2.0
"""Of blocks of one kind whose layers of one number are partly transposed, partly straight."""
LEAST_IN_CHAIN = 3
"""So many blocks of one width behind one another would do little without sums."""
UNEVEN = 0.7
"""Of each change between levels of one list, such as one without its pooling."""


def inner_sums(parts: Sequence[Part], topology: Topology) -> Mapping[str, str]:
    """Return the last convolution of each block -> the first one, whose answer may be added.

    Blocks with a shortcut of their own have none; nor has one whose answers differ in width.
    """
    blocks: list[list[Unit]] = []
    before: tuple[Part, Step] | None = None
    for step in topology.steps:
        part = parts[step.part]
        plain = not (step.transposed or part.shortcut or part.identity or part.gate)
        if plain and before is not None and _goes_on(before[0], part, step):
            blocks[-1] += part.units
        elif plain:
            blocks.append(list(part.units))
        before = (part, step) if plain else None
    return {
        block[-1].layer.name: block[0].layer.name
        for block in blocks
        if len(block) > 1 and block[0].outputs(False) == block[-1].outputs(False)
    }


def is_even(part: Part) -> bool:
    """Tell if a block of two convolutions or more has one width, so that its input may be added."""
    beside = part.shortcut or part.identity or part.gate or part.branches
    widths = {count for unit in part.units for count in (unit.inputs(False), unit.outputs(False))}
    return len(part.units) > 1 and not beside and len(widths) == 1


def in_chain(parts: Sequence[Part], topology: Topology) -> bool:
    """Tell if blocks of one width and one list run one behind the other, as those with a sum do."""
    longest = count = 0
    before = ""
    for step in topology.steps:
        part = parts[step.part]
        follows = is_even(part) and step.before == step.join == "none"
        count = count + 1 if follows and before == part.series else int(follows)
        before = part.series if follows else ""
        longest = max(longest, count)
    return longest >= LEAST_IN_CHAIN


def all_step_down(parts: Sequence[Part], topology: Topology) -> bool:
    """Tell if each pooling stands before a convolution that is named as a step down.

    One that doubles the channels is some where a block of its level runs behind it.
    """
    near = pairwise(topology.steps)
    pooled = [(parts[one.part], two) for one, two in near if one.before == "pool"]
    return all(part.steps_down or _only_doubles(part, two) for part, two in pooled)


def _only_doubles(part: Part, after: Step) -> bool:
    """Tell if a convolution that is named as a step down doubles the channels of its level."""
    alone = len(part.units) == 1 and not (part.shortcut or part.identity or part.branches)
    doubles = alone and part.outputs(False) == 2 * part.inputs(False)
    inside = after.before == after.join == "none" and not after.transposed
    return doubles and inside and is_down(part.first.layer.name) and max(part.first.kernel) > 1


def sums_of(parts: Sequence[Part], topology: Topology) -> tuple[str, ...]:
    """Return which sums a network may have that no tensor shows; ``none`` is not among them."""
    even = any(is_even(parts[step.part]) for step in topology.steps)
    return ("inner",) * bool(inner_sums(parts, topology)) + ("block",) * even


def _goes_on(one: Part, two: Part, step: Step) -> bool:
    """Tell if two single convolutions are numbered as one block, such as ``conv1_1, conv1_2``."""
    first, second = numbers(one.name), numbers(two.name)
    single = len(one.units) == len(two.units) == 1
    alike = pattern(one.name) == pattern(two.name) and first[:-1] == second[:-1] != ()
    return single and alike and step.before == "none" and step.join == "none"


def unlike(parts: Sequence[Part], steps: Sequence[Step]) -> float:
    """Return what is unusual about blocks such as ``upconv1`` and ``upconv2`` that differ in kind.

    The layers of one number in them are all transposed or all straight.
    """
    kinds: dict[str, set[bool]] = {}
    for step in steps:
        for unit in parts[step.part].units:
            layer = unit.layer
            if layer.number is not None and numbers(layer.parent):
                place = f"{pattern(layer.parent)}.{layer.number}"
                kinds.setdefault(place, set()).add(step.transposed)
    mixed = any(len(found) > 1 for found in kinds.values()) + _some_have_shortcuts(parts, steps)
    return UNLIKE * mixed + UNEVEN * sum(_changes(parts, steps).values())


def _some_have_shortcuts(parts: Sequence[Part], steps: Sequence[Step]) -> bool:
    """Tell if of blocks of one class that change the channels some have a shortcut, others none.

    What is taken for a shortcut then stands in the way itself, such as before a resizing.
    """
    kinds: dict[tuple[str, ...], set[bool]] = {}
    for step in steps:
        part = parts[step.part]
        if len(part.units) > 1 and part.inputs(False) != part.outputs(False):
            inside = tuple(".".join(u.layer.name.split(".")[-2:]) for u in part.units)
            kinds.setdefault(inside, set()).add(part.shortcut is not None)
    return any(len(found) > 1 for found in kinds.values())


def _changes(parts: Sequence[Part], steps: Sequence[Step]) -> Mapping[str, int]:
    """Return how often levels of one name differ in what stands before them, first ones aside.

    Levels are those of one list, such as ``decoder2`` to ``decoder4``; within one ``Sequential``,
    those behind as many layers without tensors.
    """
    found: dict[str, list[tuple[str, bool, bool]]] = {}
    for step in steps:
        part = parts[step.part]
        first, *inner = numbers(part.name) or (-1,)
        if 9 < first < 100 and not inner:  # ``e11``, ``e12``, ``e21``: level and place in it
            inner = [first % 10]
        if first >= 0 and len(inner) < 2 and step.join != "bridge":
            place = f"{pattern(part.name)} {inner} {part.gap}"
            kind = (step.before, step.transposed, step.join in ("concat", "add"))
            found.setdefault(place, []).append(kind)
    return {place: _uneven(kinds) for place, kinds in found.items() if len(kinds) > 2}


def _uneven(kinds: Sequence[object]) -> int:
    """Return how often levels differ from the one before, or from that as many layers before it.

    A list of all layers, such as a step up and two convolutions for each level, repeats itself.
    """
    turns = [period for period in (1, 2, 3) if period == 1 or len(kinds) > 2 * period + 1]
    return min(
        sum(one != two for one, two in zip(kinds[1:], kinds[1 + turn :], strict=False))
        for turn in turns
    )

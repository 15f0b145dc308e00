"""Decoders whose convolutions are those of the encoder in reverse, as in a SegNet.

Badrinarayanan et al. 2015, arXiv 1511.00561: each stage of a VGG network ends with a max pooling,
the last one too, and the decoder begins with the reverse of the last stage. Without skip
connections channels close wherever poolings stand; that one half is the other one's mirror image
tells where.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import Before, Step, Topology
from napari_segnet.programs.structure._units import Unit

__all__ = ["mirrored", "pools_at_the_end"]

COST = 3.0
"""As much as the likeliest of the others: two things in it are unusual."""
LEAST_IN_STAGE = 2
"""So many convolutions have the stages of an encoder on average: a chain of single ones is mirrored
in many networks that bring up what they pooled by other means."""


def mirrored(parts: Sequence[Part]) -> Topology | None:
    """Return the network that pools and brings up at the same convolutions; None: no mirror image.

    A last convolution may stand behind the mirror image.
    """
    units = [unit for part in parts for unit in part.units]
    count = len(units) - len(units) % 2
    if not all(map(_is_plain, parts)) or count < 2 * LEAST_IN_STAGE or not _mirrors(units[:count]):
        return None
    half = count // 2
    stages = [at for at in range(1, half) if _begins_stage(units[at - 1], units[at])]
    widened = any(units[at].inputs(False) < units[at].outputs(False) for at in stages)
    if not widened or half < LEAST_IN_STAGE * (len(stages) + 1):
        return None
    before: dict[int, Before] = dict.fromkeys(stages, "pool")
    before.update({count - at: "resize" for at in stages})
    before[half] = "pool-resize"
    steps, place = [], 0
    for number, part in enumerate(parts):
        inside = range(place + 1, place + len(part.units))
        if any(at in before for at in inside):
            return None  # nothing stands inside a part
        own = before.get(place, "none")
        pooled, first = own == "pool", place < half
        steps.append(Step(part=number, before=own, keeps=first, keeps_pooled=pooled))
        place += len(part.units)
    return Topology(steps=tuple(steps), level=0, cost=COST, poolings=len(stages) + 1, skips=0)


def pools_at_the_end(topology: Topology) -> bool:
    """Tell if what was pooled is brought up at once."""
    return any(step.before == "pool-resize" for step in topology.steps)


def _is_plain(part: Part) -> bool:
    beside = part.shortcut or part.identity or part.gate or part.branches or part.dense
    straight = all(False in unit.ways for unit in part.units)
    # Numbers of a Sequential tell where poolings stand.
    return straight and not beside and not part.squeeze and not part.gap and not part.lead


def _mirrors(units: Sequence[Unit]) -> bool:
    """Tell if the convolutions of one half are those of the other one in reverse."""
    pairs = list(zip(units, reversed(units), strict=True))[: len(units) // 2]
    first, last = pairs[0]
    return first.outputs(False) == last.inputs(False) and all(
        one.inputs(False) == other.outputs(False) and one.outputs(False) == other.inputs(False)
        for one, other in pairs[1:]
    )


def _begins_stage(before: Unit, unit: Unit) -> bool:
    """Tell if the channels grow there, or the first digit of the names changes."""
    stages = [_stage(one.layer.name) for one in (before, unit)]
    if None not in stages:
        return stages[0] != stages[1]
    return unit.inputs(False) < unit.outputs(False)


def _stage(name: str) -> str | None:
    """Return the first of two digits in a name, such as ``conv43`` or ``conv4_3``."""
    found = re.fullmatch(r"\D*(\d)\D*\d\D*", name)
    return found[1] if found else None

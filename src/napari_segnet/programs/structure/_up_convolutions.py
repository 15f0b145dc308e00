"""Which convolutions only bring an answer to the next finer level, before a skip connection."""

from __future__ import annotations

from collections.abc import Sequence

from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import Step
from napari_segnet.programs.structure._units import Unit

__all__ = ["up_convolution"]


def up_convolution(parts: Sequence[Part], steps: Sequence[Step], turn: int) -> Unit | None:
    """Return the convolution that only brings an answer to the next level, if a step is that."""
    step, part = steps[turn], parts[steps[turn].part]
    if len(part.units) != 1 or part.shortcut or part.identity or part.branches:
        return None
    if step.rises:
        return part.units[0]
    after = steps[turn + 1] if turn + 1 < len(steps) else None
    alone = part.units[0].norm is None and part.units[0].slopes is None
    rises = step.before == "resize" or (after is not None and after.before == "resize")
    rises |= turn > 0 and steps[turn - 1].rises and _only_bare(parts, steps[turn - 1], step)
    joins = after is not None and after.join in ("concat", "add", "gate")
    return part.units[0] if alone and rises and joins and step.join == "none" else None


def _only_bare(parts: Sequence[Part], *steps: Step) -> bool:
    """Tell if some parts lack the norm that convolutions of the network have elsewhere."""
    own = [unit for step in steps for unit in parts[step.part].units]
    return any(u.norm for p in parts for u in p.units) and not any(u.norm for u in own)

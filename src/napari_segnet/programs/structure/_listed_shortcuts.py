"""Shortcuts that are listed behind their block, and not inside it: ``enc1``, then ``conv1x1_1``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_segnet.programs.structure._names import is_shortcut
from napari_segnet.programs.structure._parts import Part

__all__ = ["with_listed_shortcuts"]


def with_listed_shortcuts(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return parts with such convolutions as shortcuts of the blocks before them.

    Each has the channels of its block at both ends, which differ, and a kernel of one pixel. Where
    one that is named alike fits no block, or only one does, none is taken for a shortcut.
    """
    found: list[Part] = []
    taken = 0
    for part in parts:
        if _is_beside(part) and found and _fits(found[-1], part):
            found[-1] = replace(found[-1], shortcut=part.units[0])
            taken += 1
        else:
            found.append(part)
    alone = {part.series for part in found if _is_beside(part)}
    beside = {part.series for part in parts if part not in found}
    return tuple(found) if taken > 1 and not beside & alone else tuple(parts)


def _is_beside(part: Part) -> bool:
    """Tell if a part is one bare convolution of a pixel that is named as a shortcut."""
    unit = part.units[0] if len(part.units) == 1 else None
    plain = unit is not None and unit.slopes is None and not (part.shortcut or part.branches)
    return plain and unit is not None and max(unit.kernel) == 1 and is_shortcut(part.name)


def _fits(block: Part, beside: Part) -> bool:
    """Tell if a convolution may stand beside a block of two or more."""
    plain = len(block.units) > 1 and not (block.shortcut or block.identity or block.branches)
    ends = (block.inputs(False), block.outputs(False))
    own = (beside.inputs(False), beside.outputs(False))
    return plain and ends == own and ends[0] != ends[1]

"""Blocks whose layers each see all that came before them in the block.

So do those of a DenseNet (Huang et al. 2017, arXiv 1608.06993) and of a U-Net of such blocks (Jegou
et al. 2017, arXiv 1611.09326): each layer takes what comes to the block and all answers before its
own. The block answers with all of that, or with what a last layer makes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_segnet.graph import Concatenate
from napari_segnet.programs.structure._names import pattern
from napari_segnet.programs.structure._topology import Step
from napari_segnet.programs.structure._units import Unit

if TYPE_CHECKING:
    from napari_segnet.programs.structure._draw import Drawing
    from napari_segnet.programs.structure._parts import Part

__all__ = ["dense", "dense_of", "keeps_all"]

Axes = tuple[int, ...]
LEAST = 3
"""So many layers whose inputs grow by what the one before answers are no coincidence."""


def dense_of(left: list[Unit]) -> list[tuple[str, tuple[Unit, ...]]]:
    """Take out the units of such blocks; return the modules that hold them, too."""
    found: list[tuple[str, tuple[Unit, ...]]] = []
    at = 0
    while at < len(left):
        block = _block(left[at])
        run = [left[at]]
        for unit in left[at + 1 :]:
            grown = run[-1].inputs(False) + run[-1].outputs(False)
            if not block or _block(unit) != block or unit.inputs(False) != grown:
                break
            run.append(unit)
        if len(run) >= LEAST and all(False in unit.ways for unit in run):
            found.append((block, tuple(run)))
            del left[at : at + len(run)]
        else:
            at += 1
    return found


def keeps_all(units: Sequence[Unit]) -> bool:
    """Tell if such a block answers with all that its layers saw and made, and has no last layer."""
    *others, last = units
    growth = {unit.outputs(False) for unit in others}
    alike = {pattern(unit.layer.name) for unit in others} == {pattern(last.layer.name)}
    return alike and growth == {last.outputs(False)}


def dense(drawing: Drawing, x: str, part: Part, step: Step, stride: Axes) -> str:
    """Draw such a block."""
    for place, unit in enumerate(part.units):
        y = drawing.convolved(x, unit, step, () if place else stride, not place)
        y = drawing.finished(y, unit, drawing.active(unit, False, False))
        end = place == len(part.units) - 1
        x = y if end and not keeps_all(part.units) else drawing.new("join", Concatenate(), x, y)
    return x


def _block(unit: Unit) -> str:
    """Return the module around that of a layer; empty where it is the network itself."""
    return unit.layer.parent.rpartition(".")[0]

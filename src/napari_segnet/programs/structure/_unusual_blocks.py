"""Draws blocks whose layers run otherwise than one behind the other, each once.

Recurrent ones run again (``_shared.py``), on the sum of input and answer; or, in a version that
many copy, on twice the answer (https://github.com/bigmb/Unet-Segmentation-Pytorch-Nest-of-Unets).
Inverted ones are those of a ConvNeXt (Liu et al. 2022,
arXiv 2201.03545): each channel is convolved alone, behind a norm one pixel is made wider and
narrower again, and the input is added; the only activation stands where it is wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_segnet.graph import Arithmetic
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import Step
from napari_segnet.programs.structure._units import Unit

if TYPE_CHECKING:
    from napari_segnet.programs.structure._draw import Drawing

__all__ = ["again", "inverted", "is_inverted"]

Axes = tuple[int, ...]


def is_inverted(units: Sequence[Unit]) -> bool:
    """Tell if units are those of an inverted block, by their shapes."""
    if len(units) != 3:
        return False
    apart, wide, narrow = units
    width = apart.outputs(False)
    shapes = [(unit.inputs(False), unit.outputs(False)) for unit in (wide, narrow)]
    fits = shapes == [(width, shapes[0][1]), (shapes[0][1], width)] and shapes[0][1] > width
    bare = all(max(u.kernel) == 1 and u.norm is None and u.slopes is None for u in (wide, narrow))
    return fits and bare and apart.inputs(False) == 1 < width and max(apart.kernel) > 1


def inverted(drawing: Drawing, x: str, part: Part, step: Step) -> str:
    """Draw an inverted block."""
    y = x
    for place, unit in enumerate(part.units):
        y = drawing.convolved(y, unit, step, (), place == 0)
        y = drawing.finished(y, unit, place == 1)
    return drawing.new("add", Arithmetic(kind="add"), y, x)


def again(drawing: Drawing, x: str, part: Part, step: Step, stride: Axes) -> str:
    """Draw a recurrent residual block."""
    lead, *others = part.units
    active = lead.norm is not None or bool(lead.after)
    x = drawing.convolved(x, lead, step, stride, True)
    first = x = drawing.finished(x, lead, active)
    doubled = drawing.choices["recurrence"] == "doubled"
    for unit in others:
        begin = x
        for turn in range(2 if doubled else 1 + int(drawing.choices["recurrence"])):
            begin = x if doubled else begin
            y = drawing.new("add", Arithmetic(kind="add"), begin, x) if turn else begin
            x = drawing.finished(drawing.convolved(y, unit, step, (), False), unit, True)
    return drawing.new("add", Arithmetic(kind="add"), first, x)

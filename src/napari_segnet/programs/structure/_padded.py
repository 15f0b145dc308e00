"""Paddings that are layers of their own: the numbers that they take in a ``Sequential``.

The generators of a CycleGAN (Zhu et al. 2017, arXiv 1703.10593) reflect the edges in such layers
before some convolutions, and pad the others by zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_segnet.programs.structure._hidden_norms import hidden_place
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._units import Unit

if TYPE_CHECKING:
    from napari_segnet.programs.structure._draw import Drawing

__all__ = ["padded", "padding_of"]


def padded(parts: Sequence[Part]) -> frozenset[str]:
    """Return names of convolutions that a number is free for a padding before; empty: none is.

    Before the first convolution of a network little else can stand, so one is free there too. Where
    no norm has tensors, a norm without any is likelier at these numbers.
    """
    if not parts or parts[0].first.lead != 1:
        return frozenset()
    normed = any(unit.norm for part in parts for unit in part.all_units)
    if not normed and hidden_place(parts) == "before":
        return frozenset()
    found: dict[str, tuple[int, bool]] = {}
    for part in parts:
        free = part.gap
        for at, unit in enumerate(part.units):
            free = part.units[at - 1].after if at else free
            lead = free is None and unit.lead == 1
            if max(unit.kernel) % 2 and max(unit.kernel) > 1 and not unit.ways[0]:
                found[unit.layer.name] = (free or 0, lead)
    least = min((free for free, _ in found.values() if free), default=0)
    return frozenset(
        n for n, (free, lead) in found.items() if lead or (least and free == least + 1)
    )


def padding_of(drawing: Drawing, unit: Unit) -> str:
    """Return how a convolution is padded."""
    if unit.layer.name in drawing.uneven:
        return "wide" if unit.layer.name == drawing.uneven[-1] else "valid"
    fill = drawing.choices.get("padding", "same")
    if fill == "reflect-down":
        pooled = [step.part for step in drawing.topology.steps if step.before == "pool"]
        lowest = unit in drawing.parts[pooled[-1]].units
        return "same" if drawing.rising or lowest else "reflect"
    apart = fill == "reflect" and drawing.padded and unit.layer.name not in drawing.padded
    return "same" if apart else fill

"""Norms without weights: the numbers that they leave free in a ``Sequential``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._units import Unit

__all__ = ["before_slopes", "hidden_place"]


def hidden_place(parts: Sequence[Part]) -> str:
    """Return where a norm without weights may stand in each block, by the numbers.

    ``before``: also the first block leaves a number free before its convolution, where no
    pooling can be; ``behind``: two numbers are free behind each; ``functional``: no numbers
    tell; empty: nowhere.
    """
    chains = [part for part in parts if len(part.units) > 1]
    gaps = {unit.free for part in chains for unit in part.units[:-1]}
    if gaps <= {None}:
        return "functional"
    if gaps != {2}:
        return ""
    return "before" if all(part.first.lead == 1 for part in chains) else "behind"


def before_slopes(units: Iterable[Unit]) -> bool:
    """Tell if a number is free between a convolution and its slopes, where no dropout stands."""
    return any(unit.slopes and (unit.free or 0) > (unit.after or 0) + 1 for unit in units)

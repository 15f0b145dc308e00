"""Norms without weights: the numbers that they leave free in a ``Sequential``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._units import Unit

__all__ = ["before_slopes", "hidden_place", "taken_numbers", "without_biases"]

MOST_BIASED = 0.25
"""Heads and steps up keep their biases where the blocks have none."""


def hidden_place(parts: Sequence[Part]) -> str:
    """Return where a norm without weights may stand in each block, by the numbers.

    ``before``: also the first block leaves a number free before its convolution, where no
    pooling can be; ``behind``: two numbers are free behind each, or three where the first block
    leaves one for a padding, too; ``functional``: no numbers tell; empty: nowhere.
    """
    chains = [part for part in parts if len(part.units) > 1]
    gaps = {unit.free for part in chains for unit in part.units[:-1]}
    if gaps <= {None}:
        return "functional"
    ahead = all(part.first.lead == 1 for part in chains)
    if gaps == {3} and ahead:
        return "behind"
    if gaps != {2}:
        return ""
    return "before" if ahead else "behind"


def before_slopes(units: Iterable[Unit]) -> bool:
    """Tell if a number is free between a convolution and its slopes, where no dropout stands."""
    return any(unit.slopes and (unit.free or 0) > (unit.after or 0) + 1 for unit in units)


def without_biases(units: Iterable[Unit]) -> bool:
    """Tell if convolutions have no biases, as is usual before a norm.

    Of five public repositories whose networks have neither biases nor norms with tensors, four
    have an InstanceNorm without weights (November 2026); two of the five were not drawn by chance.
    """
    wide = [unit for unit in units if max(unit.kernel) > 1]
    biased = sum(unit.layer.bias for unit in wide)
    return bool(wide) and biased <= MOST_BIASED * len(wide)


def taken_numbers(parts: Sequence[Part]) -> int:
    """Return how many free numbers an activation takes between layers, with a norm where one is."""
    normed = any(unit.norm for part in parts for unit in part.all_units)
    return 2 if not normed and hidden_place(parts) == "behind" else 1

"""Convolutions of 1×1 that run beside those of their module: the channels say it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from napari_segnet.programs.structure._units import Unit

__all__ = ["MOST_IN_BLOCK", "closes", "follows", "is_beside", "owners_by_channels"]

MOST_IN_BLOCK = 4
"""A module with more convolutions of its own, without numbers, is a network and no block."""
LEAST_IN_BLOCK = 2
"""Beside a single convolution another one may be a second answer."""


def closes(units: Sequence[Unit]) -> bool:
    """Tell if the channels of convolutions fit one behind the other."""
    straight = all(False in unit.ways for unit in units)
    return straight and all(follows(one, two) for one, two in pairwise(units))


def follows(one: Unit, two: Unit) -> bool:
    """Tell if the channels of one fit the next; a depthwise one has a group for each."""
    given, taken = one.outputs(False), two.inputs(False)
    return given == taken or (taken == 1 and two.outputs(False) == given)


def owners_by_channels(units: Sequence[Unit]) -> dict[str, str]:
    """Return the block of each convolution that is a shortcut by its channels, by its name.

    It takes what the first convolution of its module takes, answers as many channels as the last
    one, and cannot run behind that or before the first. Where it could, because the channels stay,
    those of other modules with the same names tell.
    """
    found: dict[str, str] = {}
    possible: list[tuple[str, str, tuple[str, ...]]] = []
    proven: set[tuple[str, ...]] = set()
    for unit in units:
        owner, others = _block(unit, units)
        if not owner:
            continue
        own = unit.layer.name
        kind = tuple(name.removeprefix(owner) for name in (own, *(o.layer.name for o in others)))
        if unit.inputs(False) == unit.outputs(False):
            possible.append((own, owner, kind))
        else:
            found[own] = owner
            proven.add(kind)
    return found | {own: owner for own, owner, kind in possible if kind in proven}


def _block(unit: Unit, units: Sequence[Unit]) -> tuple[str, list[Unit]]:
    """Return the module in which a convolution may be a shortcut, and the others there."""
    if max(unit.kernel) > 1:
        return "", []
    words = unit.layer.name.split(".")
    for at in range(1, len(words)):
        owner, branch = ".".join(words[:at]), ".".join(words[: at + 1])
        inside = [one for one in units if one.layer.name.startswith(f"{owner}.")]
        others = [one for one in inside if not f"{one.layer.name}.".startswith(f"{branch}.")]
        alone = len(others) + 1 == len(inside) and unit in (inside[0], inside[-1])
        if alone and not words[at].isdecimal() and _may_stand_beside(unit, others):
            return owner, others
    return "", []


def is_beside(unit: Unit, others: Sequence[Unit]) -> bool:
    """Tell if a convolution takes and answers what others do, and cannot run behind them."""
    possible = max(unit.kernel) == 1 and _may_stand_beside(unit, others)
    return possible and unit.inputs(False) != unit.outputs(False)


def _may_stand_beside(unit: Unit, others: Sequence[Unit]) -> bool:
    if not LEAST_IN_BLOCK <= len(others) <= MOST_IN_BLOCK or not closes(others):
        return False
    ends = unit.inputs(False), unit.outputs(False)
    wide = any(max(one.kernel) > 1 for one in others)
    closed = ends == (others[0].inputs(False), others[-1].outputs(False))
    return wide and closed and not _are_heads(unit, others[-1])


def _are_heads(one: Unit, two: Unit) -> bool:
    """Tell if two convolutions are alike and answer few channels that nothing runs behind."""
    bare = one.norm is None and two.norm is None
    return bare and one.layer.weight == two.layer.weight and one.outputs(False) < one.inputs(False)

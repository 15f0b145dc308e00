"""Modules whose convolutions have the same numbers: blocks, and not levels of an encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from napari_segnet.programs.structure._names import pattern
from napari_segnet.programs.structure._units import Unit

__all__ = ["in_chains", "repeated"]

PAIR, LEAST = 2, 3
"""So many convolutions a block of a chain has, and so many such blocks are a chain."""


def repeated(left: Sequence[Unit]) -> set[str]:
    """Return modules whose convolutions have the same numbers as those of others.

    Such modules are blocks: what lies between their layers without tensors is no pooling, but
    an activation with a dropout.
    """
    found: dict[str, list[int]] = {}
    for unit in left:
        if unit.layer.number is not None:
            found.setdefault(unit.layer.parent, []).append(unit.layer.number)
    alike = Counter(tuple(own) for own in found.values())
    listed = Counter((pattern(name), tuple(own)) for name, own in found.items())
    return {
        name
        for name, own in found.items()
        if len(own) > 1 and (alike[tuple(own)] > 2 or listed[pattern(name), tuple(own)] > 1)
    }


def in_chains(left: Sequence[Unit]) -> set[str]:
    """Return modules of one width with the same numbers as others before or behind them.

    Between their two convolutions a norm without weights, an activation and a padding may stand.
    """
    found: dict[str, list[Unit]] = {}
    for unit in left:
        found.setdefault(unit.layer.parent, []).append(unit)
    kinds: dict[tuple[object, ...], list[str]] = {}
    for name, own in found.items():
        widths = {count for unit in own for count in (unit.inputs(False), unit.outputs(False))}
        kind = (pattern(name), *(unit.layer.number for unit in own), *widths)
        if len(own) == PAIR and len(widths) == 1 and None not in kind:
            kinds.setdefault(kind, []).append(name)
    return {name for own in kinds.values() if len(own) >= LEAST for name in own}

"""Layers that run side by side on one answer and are joined by their channels.

So do the dilated convolutions at the bottom of a DeepLab (Chen et al. 2017, arXiv 1706.05587) and
the blocks of an Inception. The layers stand behind one another in the file, all take as many
channels, and what follows takes as many as they answer together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._units import Unit

__all__ = [
    "doublings", "is_pooled", "linear", "rates_of", "side_by_side", "wide_branches",
]  # fmt: skip

FEWEST = 3
"""So many layers side by side are no coincidence; two are, where channels double."""
RATES: Mapping[int, tuple[str, ...]] = {
    2: ("1,1", "2,4", "6,12", "1,2", "3,6", "12,24"),
    3: ("6,12,18", "1,1,1", "2,4,8", "2,4,6", "1,2,4", "3,6,9", "4,8,12", "12,24,36"),
    4: ("6,12,18,24", "1,6,12,18", "1,1,1,1", "1,2,4,8", "2,4,8,16", "3,6,12,18"),
}
"""How many branches of one kernel there are -> dilations that published networks have, and none."""
SERIES: tuple[Callable[[int], int], ...] = (
    lambda at: 6 * (at + 1),
    lambda at: 1,
    lambda at: 2**at,
    lambda at: at + 1,
)
"""Dilations of more branches, by their place."""


def side_by_side(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return the parts with those joined that run side by side."""
    found: list[Part] = []
    at = 0
    while at < len(parts):
        count = _branches(parts, at)
        if count:
            chains = tuple(part.units for part in parts[at : at + count])
            last = parts[at + count]
            found.append(
                replace(last, branches=chains, name=_holder(parts[at].name)[:-1], gap=None)
            )
        else:
            found.append(parts[at])
        at += count + 1
    return tuple(found)


def _branches(parts: Sequence[Part], at: int) -> int:
    """Return how many parts from a place on run side by side; 0: none do."""
    wants, holder = parts[at].inputs(False), _holder(parts[at].name)
    together, count = 0, 0
    for part in parts[at:-1]:
        plain = not (part.shortcut or part.identity or part.gate or part.squeeze)
        inside = bool(holder) and part.name.startswith(holder)
        if not (plain and inside and False in part.ways and part.inputs(False) == wants):
            break
        together, count = together + part.outputs(False), count + 1
    if count < FEWEST:
        return 0
    after, beside = parts[at + count], parts[at : at + count]
    plain = not (after.shortcut or after.gate) and False in after.ways
    chain = all(one.outputs(False) == two.inputs(False) for one, two in pairwise(beside))
    return count if plain and not chain and after.inputs(False) == together else 0


def _holder(name: str) -> str:
    """Return the outermost module of a name, with its point."""
    return name.partition(".")[0] + "." if "." in name else ""


def wide_branches(part: Part) -> tuple[Unit, ...]:
    """Return the convolutions of branches that may be dilated: two or more of one kernel."""
    wide = tuple(unit for chain in part.branches for unit in chain if max(unit.kernel) > 1)
    same = len({unit.kernel for unit in wide}) == 1
    return wide if same and len(wide) > 1 else ()


def rates_of(parts: Sequence[Part]) -> tuple[str, ...]:
    """Return the dilations that branches may have; empty where nothing is open."""
    counts = {len(wide) for part in parts if (wide := wide_branches(part))}
    if len(counts) != 1:
        return ()
    count = counts.pop()
    series = (",".join(str(rate(at)) for at in range(count)) for rate in SERIES)
    return RATES.get(count) or tuple(series)


def is_pooled(part: Part, place: int) -> bool:
    """Tell if a branch may see the mean of its channels: a second one of a single pixel."""
    pointwise = [
        at
        for at, chain in enumerate(part.branches)
        if len(chain) == 1 and max(chain[0].kernel) == 1
    ]
    return len(pointwise) > 1 and place == len(part.branches) - 1 == pointwise[-1]


def linear(parts: Sequence[Part]) -> frozenset[int]:
    """Return the places of parts that end without an activation, by their numbers or norms.

    Branches with norms end so in a convolution of a pixel without; a ``Sequential`` does where no
    number is left for an activation between any of its layers, as one is in others. Where none is
    in any, activations stand behind them.
    """
    crowded = {at for at, part in enumerate(parts) if _is_crowded(part)}
    others = any(_is_numbered(part) and at not in crowded for at, part in enumerate(parts))
    bare = {at for at, part in enumerate(parts) if _ends_bare(part)}
    return frozenset(crowded | bare if others else bare)


def _is_numbered(part: Part) -> bool:
    known = len(part.units) > 1 and part.units[-1].layer.number is not None
    return known and not part.branches


def _is_crowded(part: Part) -> bool:
    """Tell if the numbers of a block with norms leave no room for an activation."""
    if not _is_numbered(part):
        return False
    last = part.units[-1]
    inside = all(unit.norm and unit.between == unit.after == 0 for unit in part.units[:-1])
    return inside and last.norm is not None and not last.norm_first


def _ends_bare(part: Part) -> bool:
    """Tell if branches with norms end in a convolution of a pixel without."""
    if not part.branches:
        return False
    last = part.units[-1]
    bare = last.norm is None and last.slopes is None and max(last.kernel) == 1
    return bare and any(unit.norm for chain in part.branches for unit in chain)


def doublings(count: int) -> tuple[str, ...]:
    """Return dilations of a chain of so many convolutions that double, from the first or later on.

    The last one may see its nearest pixels again, as in the context module of Yu and Koltun (2016,
    arXiv 1511.07122), whose rates are 1, 1, 2, 4, 8, 16, 1.
    """
    found = []
    for ones in range(1, count):
        rates = [2 ** max(0, at - ones + 1) for at in range(count)]
        found += [rates] if count - ones < 2 else [rates, [*rates[:-1], 1]]
    return tuple(",".join(map(str, rates)) for rates in found)

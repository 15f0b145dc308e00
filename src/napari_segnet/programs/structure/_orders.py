"""In which order parts may run: as registered, or as the names of their lists say.

Registration order is running order, but for lists that are made first and walked through later:
all up-convolutions and then all blocks of the decoder (which run in turns), a decoder before
its encoder, a decoder that is numbered from the finest level on (which runs backwards).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, groupby

from napari_segnet.programs.structure._names import DECODER, UNKNOWN, pattern, role
from napari_segnet.programs.structure._parts import Part

__all__ = ["orders"]

Group = tuple[int, ...]
"""Places of parts that stay together: one element of a list."""
List = tuple[Group, ...]

BY_ROLE, IN_TURNS, BACKWARDS = 0.3, 0.3, 0.6
"""What each costs, see ``_priors.py``."""
MOST_IN_TURNS = 3
"""So many lists run in turns at most: up-convolutions, attention gates, blocks."""


def orders(parts: Sequence[Part]) -> tuple[tuple[float, tuple[int, ...]], ...]:
    """Return orders of all places, each with what is unusual about it; the file's own first."""
    found: dict[tuple[int, ...], float] = {}
    plain = _lists(parts)
    sorted_ = tuple(sorted(plain, key=lambda one: _rank(parts, one)))
    known = sum(_role(parts, one) != UNKNOWN for one in plain)
    for base, price in ((plain, 0.0), (sorted_, BY_ROLE)):
        if price and known * 2 < len(plain):
            continue
        for turned, more in _turned(parts, base):
            for order, most in _taking_turns(parts, turned):
                found.setdefault(tuple(chain.from_iterable(order)), price + more + most)
    return tuple((price, order) for order, price in found.items())


def _head(name: str) -> str:
    """Return a name up to its first number: ``decoder.blocks.0`` of ``decoder.blocks.0.conv``."""
    match = re.match(r"^(.*?\d+)(?=\D|$)", name)
    return match[1] if match else name.split(".")[0]


def _lists(parts: Sequence[Part]) -> tuple[List, ...]:
    heads = [_head(part.name) for part in parts]
    groups = [
        (pattern(head), tuple(places))
        for head, places in groupby(range(len(parts)), key=lambda at: heads[at])
    ]
    return tuple(
        tuple(places for _, places in same) for _, same in groupby(groups, key=lambda one: one[0])
    )


def _role(parts: Sequence[Part], one: List) -> int:
    return role(parts[one[0][0]].name)


def _rank(parts: Sequence[Part], one: List) -> float:
    found = _role(parts, one)
    return found if found != UNKNOWN else 0.5


def _turned(
    parts: Sequence[Part], lists: tuple[List, ...]
) -> Iterator[tuple[tuple[List, ...], float]]:
    """Yield the lists as they are, and with those of the decoder backwards."""
    yield lists, 0.0
    decoders = [len(one) > 1 and _role(parts, one) == DECODER for one in lists]
    if not any(decoders):
        decoders = [len(one) > 1 and at > 0 for at, one in enumerate(lists)]
    if any(decoders):
        turned = (one[::-1] if back else one for one, back in zip(lists, decoders, strict=True))
        yield tuple(turned), BACKWARDS


def _taking_turns(
    parts: Sequence[Part], lists: tuple[List, ...]
) -> Iterator[tuple[tuple[Group, ...], float]]:
    """Yield the groups one list after the other, and in turns where lists have one length."""
    yield tuple(chain.from_iterable(lists)), 0.0
    runs: list[list[List]] = []
    for one in lists:
        fits = runs and len(runs[-1][0]) == len(one) > 1 and len(runs[-1]) < MOST_IN_TURNS
        apart = runs and _role(parts, runs[-1][0]) != _role(parts, one)
        if fits and not apart:
            runs[-1].append(one)
        else:
            runs.append([one])
    if all(len(run) == 1 for run in runs):
        return
    for back in (False, True):
        groups: list[Group] = []
        for run in runs:
            ordered = run[::-1] if back else run
            groups += [group for turn in zip(*ordered, strict=True) for group in turn]
        yield tuple(groups), IN_TURNS

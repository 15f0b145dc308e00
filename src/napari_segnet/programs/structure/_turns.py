"""Which part may run next, and what is unusual about it: by the order of the file, by names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from napari_segnet.programs.structure._facts import Facts
from napari_segnet.programs.structure._names import (
    OUTPUT,
    in_common,
    is_bridge,
    is_whole,
    numbers,
    pattern,
)
from napari_segnet.programs.structure._orders import orders
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import State

__all__ = ["Turns"]

MOST_PLACES = 4
"""Levels of more convolutions are not numbered by two digits."""


class Turns:
    """Turns of the parts of one network.

    Parameters
    ----------
    parts : sequence of Part
        All of one network.
    facts : Facts
        What its file says besides.
    """

    def __init__(self, parts: Sequence[Part], facts: Facts) -> None:
        self.parts = parts
        self.facts = facts
        self.orders = orders(parts, facts.by_name)
        self.ranks = [{at: turn for turn, at in enumerate(order)} for _, order in self.orders]
        self.series: dict[str, list[int]] = {}
        ends = {order[-1] for _, order in self.orders if facts.by_name}
        for at, part in enumerate(parts):
            # The first by name may run last: then it is none of its list.
            own = part.name if not at and at in ends else part.series
            self.series.setdefault(own, []).append(at)
        self.depth = in_common(part.name for part in parts)
        self.bridges = {at for at, part in enumerate(parts) if _beside(part)}
        self.two_digits = _two_digits(self._own_name(at) for at in range(len(parts)))

    def eligible(self, state: State) -> Iterator[int]:
        """Yield the first and the last part of each list that are left, and what is next in order.

        A list of blocks may be walked backwards, and what stands in each block forwards.
        """
        used, seen = state.used, set()
        following = self._following(state, state.steps[-1].part)
        for places in self.series.values():
            open_places = [at for at in places if not used >> at & 1]
            for at in (*open_places[:1], *open_places[-1:], *(following,) * (following in places)):
                behind = (self.parts[at].gap or 0) > 0  # another layer of its Sequential
                if at not in seen and not (behind and not used >> (at - 1) & 1):
                    seen.add(at)
                    yield at

    def jump(self, state: State, before: int, at: int) -> float:
        """Return the cost of an order other than that of the file."""
        one, two = self.parts[before], self.parts[at]
        if at in self.bridges:
            return self._aside(state, at)
        if self._following(state, before) == at:
            return 1.5 if 0 <= two.role < one.role and state.level else 0.0
        if next((own for own in self.unused(state) if own not in self.bridges), -1) == at:
            return 0.4
        if one.name != two.name and one.gap is None and self._torn(before, state.used):
            return 6.0
        if two.role > one.role >= 0:
            return 1.5
        return 2.5

    def _aside(self, state: State, at: int) -> float:
        """Return the cost of a part on a skip connection: the coarsest level comes first."""
        series = self.series.get(self.parts[at].series, [])
        alike = [one for one in series if not state.used >> one & 1]
        coarsest = max(alike or [at], key=lambda one: numbers(self.parts[one].name))
        whole = next(self.unused(state), -1) == at and is_whole(self.parts[at].name)
        return 0.1 if at == coarsest or whole else 0.6

    def _following(self, state: State, before: int) -> int:
        """Return the next part in the order that the state follows; -1: there is none."""
        behind = self.ranks[state.order][before]
        if before in self.bridges:  # it stands beside the way: that goes on where it was
            main = (one.part for one in reversed(state.steps) if one.part not in self.bridges)
            behind = max((self.ranks[state.order][at] for at in main), default=behind)
        later = self.unused(state, behind + 1)
        return next((at for at in later if at not in self.bridges), -1)

    def unused(self, state: State, first: int = 0) -> Iterator[int]:
        order = self.orders[state.order][1]
        return (at for at in order[first:] if not state.used >> at & 1)

    def _torn(self, before: int, used: int) -> bool:
        """Tell if the next part stands in the same ``Sequential`` as the one before."""
        after = before + 1
        return after < len(self.parts) and not used >> after & 1 and bool(self.parts[after].gap)

    def related(self, state: State, at: int) -> bool:
        """Tell if a part belongs to the same level as the one before, by its name."""
        if not state.steps:
            return False
        one, two = self._own_name(state.steps[-1].part), self._own_name(at)
        first, second = numbers(one), numbers(two)
        if pattern(one) in self.two_digits and pattern(one) == pattern(two):
            return first[0] // 10 == second[0] // 10 and first[1:] == second[1:]
        return pattern(one) == pattern(two) and first[:-1] == second[:-1] != ()

    def begins_level(self, state: State, at: int) -> bool:
        """Tell if the digits of its name say that a part is the first of another level."""
        if not state.steps:
            return False
        word = pattern(self._own_name(at))
        both = word in self.two_digits and word == pattern(self._own_name(state.steps[-1].part))
        return both and not self.related(state, at)

    def _own_name(self, at: int) -> str:
        return ".".join(self.parts[at].name.split(".")[self.depth :])


def _beside(part: Part) -> bool:
    """Tell if a part is one convolution that by its name stands on a skip connection."""
    single = len(part.units) == 1 and not part.shortcut and not part.identity
    return single and is_bridge(part.units[0].layer.name) and part.role != OUTPUT


def _two_digits(names: Iterable[str]) -> frozenset[str]:
    """Return patterns of names whose first number is a level and a place: ``enc11``, ``enc12``."""
    found: dict[str, set[int]] = {}
    for name in names:
        if own := numbers(name):
            found.setdefault(pattern(name), set()).add(own[0])
    return frozenset(
        word
        for word, counted in found.items()
        if all(10 < one < 100 and 1 <= one % 10 <= MOST_PLACES for one in counted)
        and len({one // 10 for one in counted}) > 1
        and len({one % 10 for one in counted}) > 1
    )

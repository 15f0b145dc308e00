"""Search for the networks that use every part once and whose channels close, cheapest first.

A state is a network that is begun: which parts have run, how many channels there are at which
level (how often the image was halved), and which earlier answers may still be a skip connection.
One step runs one more part: after a pooling, a resizing or neither, and with or without a skip
connection. Skip connections are taken in reverse order. Steps cost what is unusual, see
``_priors.py``; states are continued in the order of their costs, so complete networks come out
in the order of theirs. The number of states is bounded.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace

from napari_segnet.programs.structure._between import MIXED, Between
from napari_segnet.programs.structure._ends import MOST_CHANNELS, end_cost
from napari_segnet.programs.structure._facts import Facts
from napari_segnet.programs.structure._flat_steps import that_keep_the_size
from napari_segnet.programs.structure._names import (
    DECODER,
    OUTPUT,
    is_bridge,
    is_whole,
    one_list,
    same_element,
)
from napari_segnet.programs.structure._parts import Part, is_separable
from napari_segnet.programs.structure._steps import behind
from napari_segnet.programs.structure._topology import (
    RESIZINGS,
    Answer,
    Join,
    State,
    Step,
    Topology,
)
from napari_segnet.programs.structure._turns import Turns

__all__ = ["MOST_STATES", "Search"]

MOST_STATES = 12_000
MOST_WORK = 200_000
"""No more states are continued, nor more divided by the parts: about a second or two."""
MOST_FOUND = 16
"""More topologies are not looked at."""
MOST_COLOURS = 8
"""Images of more channels are met by layers of as many or more."""
AHEAD = 0.25
"""Of each part that is left. Complete networks have none, so these come out by their costs."""
MOST_COST = 9.0
"""What costs more explains nothing: three things in it would be unheard of. The true one costs 6.5
at most in those of ``tests/support/handmade.py``."""
WORST = 7.0
"""Topologies that cost so much more than the first are left out: e^7 is 1,000 times rarer."""


class Search:
    """One search, see the module.

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
        self.turns = Turns(parts, facts)
        self.all = (1 << len(parts)) - 1
        self.between = Between(parts, facts, self.turns)
        self.flat = self.between.flat
        self.says_whole = any(is_whole(part.name) for part in parts)
        self.says_out = any(part.role == OUTPUT for part in parts)

    def run(self) -> Iterator[Topology]:
        """Yield complete networks."""
        heap: list[tuple[float, int, State, bool]] = []
        count = 0
        for cost, state in self._starts():
            count += 1
            heapq.heappush(heap, (cost + self._ahead(state), -count, state, False))
        found, best, popped = 0, None, 0
        seen: set[tuple[Step, ...]] = set()
        most = min(MOST_STATES, MOST_WORK // len(self.parts))
        while heap and popped < most and found < MOST_FOUND:
            cost, _, state, complete = heapq.heappop(heap)
            if cost > MOST_COST or (best is not None and cost > best + WORST):
                return
            if complete:
                if state.steps in seen:
                    continue
                seen.add(state.steps)
                best = cost if best is None else best
                found += 1
                yield Topology(
                    steps=state.steps,
                    level=state.level,
                    cost=cost,
                    poolings=state.poolings,
                    skips=state.taken,
                )
                continue
            popped += 1
            cost -= self._ahead(state)
            if state.used == self.all:
                more = end_cost(self.parts, state, self.flat, self.says_out)
                if more is not None:
                    count += 1
                    heapq.heappush(heap, (cost + more, -count, state, True))
                continue
            for more, following in self._continued(state):
                count += 1
                price = cost + more + self._ahead(following)
                heapq.heappush(heap, (price, -count, following, False))

    def _ahead(self, state: State) -> float:
        """Return about what the parts that are left cost: states of many parts come first."""
        return AHEAD * (len(self.parts) - len(state.steps))

    def _starts(self) -> Iterator[tuple[float, State]]:
        for number, (price, order) in enumerate(self.turns.orders):
            starts = [order[0]]
            if not number:
                starts += [
                    places[0] for places in self.turns.series.values() if places[0] != order[0]
                ]
            for at in starts:
                part, count = self.parts[at], _colours(self.parts[at])
                if part.gate or False not in part.ways or count > MOST_CHANNELS:
                    continue
                if part.gap:
                    continue  # another layer of its Sequential runs before
                narrows = part.outputs(False) < count
                if narrows and (count > MOST_COLOURS or at != order[0]):
                    continue  # a code that becomes an image, or an answer, and no image
                cost = price + (0.0 if at == order[0] else 2.5)
                cost += {1: 0.0, 3: 0.0, 2: 0.7, 4: 0.7}.get(count, 2.0)
                cost += 2.0 if part.role in (DECODER, OUTPUT) else 0.0
                image = Answer(channels=count, level=0)
                begin = State(used=0, channels=count, level=0, answers=(image,), order=number)
                yield from self._straight(begin, at, cost)

    # ---- One more part -------------------------------------------------------------

    def _continued(self, state: State) -> Iterator[tuple[float, State]]:
        before = state.steps[-1].part
        for at in self.turns.eligible(state):
            jump = self.turns.jump(state, before, at)
            part = self.parts[at]
            if part.gate is not None:
                yield from self._gate(state, at, jump)
                continue
            known = self._way_of_others(state, part) if len(part.ways) > 1 else None
            for turn, way in enumerate(part.ways):
                penalty = 2.5 * (turn if known is None else known != way)
                if way and state.gated >= 0 and state.steps[-1].join == "bridge":
                    continue  # what was just run on a skip connection is joined at once
                if way:
                    yield from self._transposed(state, at, jump + penalty)
                else:
                    yield from self._shuffled(state, at, jump + penalty)
                    yield from self._straight(state, at, jump + penalty)
                    yield from self._bridge(state, at, jump + penalty)

    def _way_of_others(self, state: State, part: Part) -> bool | None:
        """Tell if parts of its list that may be either are transposed; None: none has run."""
        own = (one for one in reversed(state.steps) if self.parts[one.part].series == part.series)
        return next((one.transposed for one in own if len(self.parts[one.part].ways) > 1), None)

    def _straight(self, state: State, at: int, cost: float) -> Iterator[tuple[float, State]]:
        part = self.parts[at]
        wants, groups = part.inputs(False), 1
        if wants == 1 and state.channels > 1 and part.first.outputs(False) == state.channels:
            wants = groups = state.channels
        bridged = state.gated >= 0 and state.steps[-1].join == "bridge"
        if wants == state.channels and not bridged:
            aside = 0.0
            if at in self.turns.bridges:
                aside = 1.0 if next(self.turns.unused(state), -1) == at else 3.0
            cost += 1.5 if state.up and is_bridge(part.name) and part.role == DECODER else 0.0
            if state.up and len(part.units) > 1 and state.taken and state.limit > 1:
                aside += 0.7  # a level of the decoder without its skip connection
            cost += aside + 1.5 * is_whole(part.name)
            for before, more in self.between.befores(state, at):
                step = Step(part=at, before=before, groups=groups)
                yield cost + more, behind(state, step, part)
            cost -= aside + 1.5 * is_whole(part.name)
        inside = bool(state.steps) and state.steps[-1].part == at - 1
        if part.gap is not None and not bridged and inside:
            return  # inside a Sequential nothing is joined
        for place, answer, more in self._skips(state, part):
            both = state.channels + answer.channels
            alone = part.inputs(False) == 1 and part.first.outputs(False) == both
            if wants == both or alone:
                join: Join = "concat"
                grouped = both if alone else 1
            elif wants == state.channels == answer.channels:
                added = any(one.join == "add" for one in state.steps)
                up = answer.level < state.level
                # Behind a step up of its own a block is joined with what has its width.
                arrived = self._arrived(state)
                own, grouped = arrived and not up and len(part.units) > 1, groups
                join, more = "add", more + (0.0 if added else 0.7 if own else 2.0)
                more += 0.0 if up or arrived else 1.5
            else:
                continue
            up = answer.level < state.level
            if not bridged and any(not state.used >> one & 1 for one in self.turns.bridges):
                more += 1.0  # others are left for skip connections
            if self.says_whole and is_whole(part.name) != (place == 0):
                more += 2.0
            step = Step(
                part=at, before="resize" if up else "none", join=join, skip=place, groups=grouped
            )  # fmt: skip
            mixed = MIXED * any(one.transposed for one in state.steps)
            mixed += 0.7 * self._narrows(state)
            yield cost + more + (0.3 + mixed if up else 0.0), behind(state, step, part)

    def _narrows(self, state: State) -> bool:
        """Tell if the last step was one convolution to fewer channels, as stands behind a resizing.

        One of a single pixel does the same on either side of it.
        """
        last = self.parts[state.steps[-1].part]
        plain = len(last.units) == 1 and not last.shortcut and max(last.first.kernel) > 1
        return plain and last.outputs(False) < last.inputs(False)

    def _arrived(self, state: State) -> bool:
        """Tell if the last step was one up, of a single convolution."""
        last = next(one for one in reversed(state.steps) if one.join not in ("bridge", "gate"))
        risen = last.transposed or last.before in RESIZINGS
        return risen and len(self.parts[last.part].units) == 1

    def _transposed(self, state: State, at: int, cost: float) -> Iterator[tuple[float, State]]:
        part = self.parts[at]
        yield from that_keep_the_size(part, self.turns, state, at, cost)
        cost += MIXED * any(one.before in RESIZINGS for one in state.steps)
        cost += MIXED * any(one.stride_one for one in state.steps)
        wants, odd = part.inputs(True), max(part.first.kernel) % 2 == 1
        if wants == state.channels:
            if state.level:
                yield cost, behind(state, Step(part=at, transposed=True), part)
            elif odd:
                step = Step(part=at, transposed=True, stride_one=True)
                yield cost + (0.3 if self.flat else 4.0), behind(state, step, part)
            if not state.up and (part.gap is None or part.gap > 0):
                step = Step(part=at, transposed=True, before="pool")
                rare = 2.5 * self._strides(state) + (1.5 if part.gap == 1 else 0.4)
                yield cost + rare, behind(state, step, part)
        for place, answer, more in self._skips(state, part):
            flat = not state.level
            if flat and not odd:
                continue  # nothing but a stride makes an even kernel useful
            if answer.level == state.level and wants == state.channels + answer.channels:
                step = Step(part=at, transposed=True, join="concat", skip=place, stride_one=flat)
                yield (
                    cost + more + (1.0 if flat and not self.flat else 0.2),
                    behind(state, step, part),
                )

    def _strides(self, state: State) -> bool:
        """Tell if the levels so far can only be strided: no number is left for their poolings."""
        pooled = [self.parts[one.part] for one in state.steps if one.before == "pool"]
        return self.between.striding and any(part.gap == 1 for part in pooled)

    def _shuffled(self, state: State, at: int, cost: float) -> Iterator[tuple[float, State]]:
        """Run a convolution whose channels become pixels."""
        part = self.parts[at]
        unit, block = part.first, 2 ** len(part.first.kernel)
        alone = len(part.units) == 1 and not (part.shortcut or part.identity or part.branches)
        closes = unit.inputs(False) == state.channels and unit.outputs(False) % block == 0
        if alone and closes and state.level:
            named = part.role >= DECODER and unit.outputs(False) > unit.inputs(False)
            before = any(one.shuffled for one in state.steps)
            step = Step(part=at, shuffled=True)
            yield cost + (0.7 if named or before else 3.0), behind(state, step, part)

    def _gate(self, state: State, at: int, cost: float) -> Iterator[tuple[float, State]]:
        gate = self.parts[at].gate
        assert gate is not None
        if gate.gating.inputs(False) != state.channels or state.gated >= 0:
            return
        for place, answer, more in self._skips(state, self.parts[at]):
            if gate.skip.inputs(False) != answer.channels:
                continue
            below = answer.level < state.level
            if gate.sees_finer and not below:
                continue
            up = below and not gate.sees_finer
            used = state.used | 1 << at
            for resized in (True, False) if up else (False,):
                step = Step(
                    part=at, before="resize" if resized else "none", join="gate", skip=place,
                    below=up and not resized,
                )  # fmt: skip
                following = replace(
                    state, used=used, steps=(*state.steps, step), level=state.level - resized,
                    gated=place, up=True, ups=state.ups + resized,
                )  # fmt: skip
                yield cost + more + 0.3 * up, following

    def _bridge(self, state: State, at: int, cost: float) -> Iterator[tuple[float, State]]:
        """Run a part on a skip connection that is not taken yet."""
        part = self.parts[at]
        if not is_bridge(part.name) or not (state.up or state.poolings):
            return
        for place, answer, more in self._skips(state, part):
            if part.inputs(False) != answer.channels:
                continue
            if state.gated >= 0 and state.gated != place:
                continue
            if place == 0:
                more = 0.3 if is_whole(part.name) else 2.5
            elif one_list(part.name, self.parts[answer.part].name):
                more += 2.0 * (not same_element(part.name, self.parts[answer.part].name))
            step = Step(part=at, join="bridge", skip=place)
            wider = replace(answer, channels=part.outputs(False))
            answers = (*state.answers[:place], wider, *state.answers[place + 1 :])
            following = replace(
                state,
                used=state.used | 1 << at,
                steps=(*state.steps, step),
                answers=answers,
                gated=place,
            )
            yield min(cost, 0.5) + more + 0.1, following

    def _skips(self, state: State, part: Part) -> Iterator[tuple[int, Answer, float]]:
        """Yield answers that may be joined now, with what is unusual about each."""
        if state.gated >= 0:
            answer = state.answers[state.gated]
            if part.gate is None and answer.level <= state.level:
                yield state.gated, answer, 0.0
            return
        for place in range(min(state.limit, len(state.answers)) - 1, -1, -1):
            answer = state.answers[place]
            own = place == len(state.answers) - 1 and not state.up
            if own or answer.level > state.level or answer.level < state.level - 1:
                continue
            if answer.pooled and state.after_pooling is False:
                continue
            if not answer.pooled and state.after_pooling:
                continue
            cost = 0.0 if answer.natural or self.facts.nested else 2.0
            if answer.pooled and self.facts.strided:
                continue
            if answer.pooled:
                cost = 1.5 if state.after_pooling is None else 0.0
            if place == 0:
                cost = 2.5
            yield place, answer, cost


def _colours(part: Part) -> int:
    """Return the channels of an image that a part takes; each may have a kernel of its own."""
    apart = len(part.units) > 1 and is_separable(*part.units[:2])
    return part.first.outputs(False) if apart else part.inputs(False)

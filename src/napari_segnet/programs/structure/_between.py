"""What may stand before a part: a pooling, a resizing, or neither; and how usual each is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from napari_segnet.programs.structure._facts import Facts
from napari_segnet.programs.structure._names import BOTTLENECK, DECODER, ENCODER, OUTPUT, pattern
from napari_segnet.programs.structure._padded import padded
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import Before, State
from napari_segnet.programs.structure._turns import Turns

__all__ = ["MIXED", "Between"]

MIXED = 1.5
"""Of a resizing beside transposed convolutions: networks have one or the other."""


class Between:
    """What may stand between the parts of one network.

    Parameters
    ----------
    parts : sequence of Part
        All of one network.
    facts : Facts
        What its file says besides.
    turns : Turns
        In which order they may run.

    Attributes
    ----------
    flat : bool
        Whether nothing is pooled, by the strides.
    """

    def __init__(self, parts: Sequence[Part], facts: Facts, turns: Turns) -> None:
        self.parts, self.facts, self.turns = parts, facts, turns
        self.flat = facts.strided and all(one == 1 for one in facts.strides.values())
        self.usual = _usual_gap(parts)
        self.padded = padded(parts)
        grown = [part for part in parts[1:] if part.units and _grows(part)]
        # No number is free for a pooling anywhere, so that these layers stride.
        self.crowded = len(grown) > 1 and all(
            len(part.units) == 1 and part.gap is not None and part.gap <= self.usual
            for part in grown
        )
        self.turning = _turning(parts)
        # Each level of an encoder of single convolutions may stride.
        levels = parts[: self.turning] or _single(parts)
        self.striding = bool(levels) and all(
            len(part.units) == 1 and part.gap in (None, 1) for part in levels
        )
        downs = {part.series for part in parts if part.steps_down}
        self.downs = bool(downs) and any(
            part.series not in downs and part.role <= ENCODER for part in parts
        )

    def befores(self, state: State, at: int) -> Iterator[tuple[Before, float]]:
        """Yield what may stand before a part, with what is unusual about it."""
        part = self.parts[at]
        # A block may grow in its last convolution alone.
        ends = part.outputs(False) if part.units else 0
        grows = max(part.first.outputs(False), ends) > part.first.inputs(False)
        gap, even = part.gap, max(part.first.kernel) % 2 == 0 and max(part.first.kernel) > 1
        stride = self.facts.strides.get(part.first.layer.name)
        room = gap is None or gap > 0
        if stride == 2 or (even and stride is None):
            yield from () if state.up else (("pool", 0.2),)
            if stride == 2:
                return
        if marks := self.facts.marks.get(part.first.layer.name):
            yield from _marked(marks, state)
            return
        if part.first.layer.name in self.facts.pooled and not state.up:
            yield "pool", 0.0
            yield "none", 2.0
            return
        if (stride == 1 and self.facts.strided) or self.flat:
            yield "none", 0.0
            if self.facts.functional and not state.up and gap is None:
                yield "pool", 2.5
            return
        none, pool = self._pooling(state, at, grows)
        pointwise = max(part.first.kernel) == 1 and not self._closes(state, part)
        rises = part.lead > 0 and part.role == DECODER and state.level > 0
        pair = max(part.first.kernel) == 2
        if not even or pair:
            yield "none", none + (4.0 if even else 2.5 if rises and not pointwise else 0.0)
        if room and not even:
            yield "pool", pool
        # A resizing may stand there as well.
        if (
            state.level
            and room
            and (rises or (pair and part.role == DECODER) or not (even or pointwise))
        ):
            ups = part.lead > 0 or (part.role >= DECODER and not grows)
            mixed = MIXED * any(one.transposed for one in state.steps)
            gone = gap is not None and gap > self.usual and part.role != ENCODER
            mixed += 1.5 * (part.role == ENCODER) + 0.5 * (at == self.turning > 0)
            twice = (gap or 0) > self.usual + 1  # an activation and two resizings
            yield "resize", mixed + 0.8 * twice + (0.1 if rises or gone else 0.4 if ups else 1.5)
            if state.level > 1 and (rises or twice):
                yield "resize-twice", mixed + (0.3 if twice else 0.9)
        if part.role == DECODER and not even and self._ends(state):
            if part.lead > 0:
                yield "pool-resize", 0.1 if at == self.turning else 1.0
            elif at == self.turning and room:
                yield "pool-resize", 0.9

    def _pooling(self, state: State, at: int, grows: bool) -> tuple[float, float]:
        """Return what is unusual about no pooling before a part, and about one."""
        part = self.parts[at]
        gap, related = part.gap, self.turns.related(state, at)
        if self.striding and at < self.turning and gap == 1:
            none, pool = 1.0, 0.2
        elif gap is not None and self.crowded and grows:
            none, pool = 0.9, 0.0
        elif gap is not None:
            none, pool = (0.7, 0.0) if gap > self.usual else (0.0, 1.5 if grows else 3.0)
        elif not state.steps:
            none, pool = (0.5, 0.5) if self.facts.nested else (0.0, 3.0)
            pool = 1.0 if self.striding else 1.5 if self.turning else pool
        elif part.steps_down and self.downs:
            none, pool = 2.0, 0.0
        elif self.downs and self._stepped_down(state):
            none, pool = 0.0, 3.0
        else:
            none, pool = (0.9, 0.0) if grows and not related else (0.1, 1.2)
            if related:
                none, pool = 0.0, 3.0
            if part.lead and not related and part.first.layer.name not in self.padded:
                sure = not self.parts[state.steps[0].part].lead
                none, pool = none + (2.0 if sure else 0.5), 0.0 if sure else max(pool - 0.5, 0.0)
        if self.turns.begins_level(state, at):
            none, pool = none + 1.0, 0.0
        if self.turning and at == self.turning:
            none, pool = 0.5, 0.0
        if state.up:
            room_left = gap is not None and gap > self.usual
            none, pool = 0.5 if self._rising(state, part) and not related else 0.1, 6.0
            none = max(none, 0.7 * room_left)
        return none, pool

    def _stepped_down(self, state: State) -> bool:
        """Tell if the last part did nothing but step down."""
        last = state.steps[-1]
        return self.parts[last.part].steps_down and last.before == "pool"

    def _ends(self, state: State) -> bool:
        """Tell if the last part is of the encoder, which may end in its pooling."""
        return (
            bool(state.steps) and not state.up and self.parts[state.steps[-1].part].role < DECODER
        )

    def _rising(self, state: State, part: Part) -> bool:
        """Tell if each level of the decoder is one part, and some are left to rise through."""
        return bool(self.turning and state.level) and part.role == DECODER

    def _closes(self, state: State, part: Part) -> bool:
        """Tell if a part is a head behind levels that may each end in their resizing."""
        before = self.parts[state.steps[-1].part] if state.steps else part
        numbered = before.first.layer.number is not None
        return part.role == OUTPUT and state.up and not state.taken and numbered


def _grows(part: Part) -> bool:
    return not part.ways[0] and part.outputs(False) > part.inputs(False)


def _usual_gap(parts: Sequence[Part]) -> int:
    """Return how many layers without tensors stand behind each convolution of a level.

    Two, where a dropout follows each activation; one level of two convolutions or more shows it.
    """
    inside = [u.after for part in parts for u in part.units[:-1] if u.after is not None]
    between = [part.gap for part in parts if part.gap is not None]
    return max(1, min(inside, default=1)) if {*inside, *between} != {2} else 1


def _turning(parts: Sequence[Part]) -> int:
    """Return the first part of a decoder with as many levels as its encoder; 0: there is none.

    Without a bottleneck, each level of such an encoder ends in its pooling.
    """
    roles = [part.role for part in parts]
    rising = {pattern(part.first.layer.name) for part in parts if part.role == DECODER}
    if BOTTLENECK in roles or len(rising) != 1:
        return 0
    return roles.index(DECODER) if 1 < roles.count(ENCODER) == roles.count(DECODER) else 0


def _single(parts: Sequence[Part]) -> Sequence[Part]:
    """Return the levels before the first step up, where each is one layer to more channels."""
    ends = next((at for at, part in enumerate(parts) if part.ways[0] or part.role == DECODER), 0)
    grows = all(part.outputs(False) > part.inputs(False) for part in parts[:ends])
    return parts[:ends] if ends > 2 and grows else ()


def _marked(marks: Sequence[str], state: State) -> Iterator[tuple[Before, float]]:
    """Yield what stands before a part by the layers of a pickled module."""
    if "pool" in marks:
        if not state.up:
            yield "pool", 0.0
    elif state.level >= len(marks):
        yield "resize" if len(marks) == 1 else "resize-twice", 0.0
    yield "none", 2.5

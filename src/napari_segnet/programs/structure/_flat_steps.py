"""Transposed convolutions that keep the size: those of a decoder that resizes."""

from __future__ import annotations

from collections.abc import Iterator

from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._steps import behind
from napari_segnet.programs.structure._topology import RESIZINGS, State, Step
from napari_segnet.programs.structure._turns import Turns

__all__ = ["that_keep_the_size"]

STRIDE_ONE = 2.0
"""Transposed convolutions keep the size in 10 of 270 public repositories that have any (2026)."""


def that_keep_the_size(
    part: Part, turns: Turns, state: State, at: int, cost: float
) -> Iterator[tuple[float, State]]:
    """Yield steps of such a convolution, behind a resizing or beside others.

    Parameters
    ----------
    part : Part
        The one that runs.
    turns : Turns
        Of all parts.
    state : State
        What is begun.
    at : int
        Place of the part.
    cost : float
        Of the step so far.
    """
    odd = max(part.first.kernel) % 2 == 1
    if not (odd and part.ways[0] and part.inputs(True) == state.channels):
        return
    before = any(one.stride_one for one in state.steps)
    resized = any(one.before in RESIZINGS for one in state.steps)
    cost += 0.1 if before else STRIDE_ONE
    related, new = turns.related(state, at), turns.begins_level(state, at)
    if state.level and (part.gap is None or part.gap > 0):
        step = Step(part=at, transposed=True, before="resize", stride_one=True)
        yield cost + 1.5 * related, behind(state, step, part)
    if resized or (state.level and not any(one.rises for one in state.steps)):
        step = Step(part=at, transposed=True, stride_one=True)
        yield cost + 0.4 * (not related) + new, behind(state, step, part)

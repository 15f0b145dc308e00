"""What one more step makes of a network that is begun."""

from __future__ import annotations

from dataclasses import replace

from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import (
    LEVELS,
    POOLS,
    RESIZINGS,
    Answer,
    State,
    Step,
)

__all__ = ["behind"]


def behind(state: State, step: Step, part: Part) -> State:
    """Return what a step that runs a part makes of a network that is begun."""
    level, answers, up, limit = state.level, state.answers, state.up, state.limit
    ups = state.ups
    if step.before == "pool-resize":
        answers = (*answers[:-1], replace(answers[-1], natural=True))
    if step.before == "pool":
        if not state.up:
            last = answers[-1]
            answers = (*answers[:-1], replace(last, natural=True))
            pooled = replace(last, level=level + 1, natural=False, pooled=True)
            answers = (*answers, pooled)
            step = replace(step, keeps_pooled=True)
        level += 1
    if resizings := RESIZINGS.get(step.before, 0):
        level, up, ups = level + LEVELS[step.before], True, ups + resizings
    if step.transposed:
        up = True
        level, ups = (level, ups) if step.stride_one else (level - 1, ups + 1)
    taken, after_pooling, gated = state.taken, state.after_pooling, state.gated
    outputs = part.outputs(step.transposed)
    if step.shuffled:
        up, level, ups = True, level - 1, ups + 1
        outputs //= 2 ** len(part.first.kernel)
    if step.skip >= 0:
        up, gated = True, -1
        taken, limit = taken + (step.skip > 0), step.skip
        if step.skip:
            after_pooling = answers[step.skip].pooled
    if not up:
        answers = (*answers, Answer(channels=outputs, level=level, part=step.part))
        step = replace(step, keeps=True)
    return State(
        used=state.used | 1 << step.part,
        channels=outputs,
        level=level,
        answers=answers,
        steps=(*state.steps, step),
        up=up,
        limit=limit,
        taken=taken,
        after_pooling=after_pooling,
        gated=gated,
        poolings=state.poolings + (step.before in POOLS),
        ups=ups,
        order=state.order,
    )

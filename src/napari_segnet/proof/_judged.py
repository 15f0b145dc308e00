"""Of a known family: the network that fits best, and beside a fork the published one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.judge import Judgement
from napari_segnet.programs import UNASKED_COPY
from napari_segnet.proof._types import Possible, Recognised
from napari_segnet.proof._words import in_words, input_note

__all__ = ["of_judgement"]


def of_judgement(before: Checkpoint, judged: Judgement) -> Recognised:
    """Return the network that fits best; beside a fork the published one."""
    before = replace(before, notes=tuple(note for note in before.notes if note != UNASKED_COPY))
    said = (judged.says,) if judged.remarkable else ()
    notes = (*said, *input_note(before, judged.inputs))
    better = replace(judged.checkpoint, notes=(*before.notes, *notes))
    if not judged.forks:
        return _with_offers(before, better, judged)
    own = {} if better.family != before.family else _changed_facts(before, better)
    words = ", ".join(in_words(name, value) for name, value in judged.forks.items())
    assumed = _assumed_facts(before)
    return Recognised(
        checkpoint=better,
        candidates=(
            Possible(checkpoint=better, choices=own, differs=f"changed: {words}"),
            Possible(checkpoint=before, choices=assumed, differs="as published"),
        ),
        says=judged.says,
        inputs=judged.inputs,
    )


def _with_offers(before: Checkpoint, better: Checkpoint, judged: Judgement) -> Recognised:
    """Return the published network, and beside it what fits better without being proven."""
    others = tuple(
        Possible(
            checkpoint=replace(other, notes=better.notes),
            choices={**_assumed_facts(before), **_changed_facts(before, other)},
            differs=f"changed: {in_words(name, value)}",
        )
        for name, value, other in judged.offered
        if other.family == before.family
    )
    own = Possible(checkpoint=better, choices=_assumed_facts(before), differs="as published")
    return Recognised(
        checkpoint=better,
        candidates=(own, *others) if others else (),
        says=judged.says,
        inputs=judged.inputs,
    )


def _assumed_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        name: value
        for name, value in checkpoint.hparams.items()
        if name != "graph"
        and name in checkpoint.known
        and checkpoint.known[name].source == "assumed"
    }


def _changed_facts(before: Checkpoint, better: Checkpoint) -> dict[str, Any]:
    return {
        name: value
        for name, value in better.hparams.items()
        if name != "graph" and name in better.known and value != before.hparams.get(name)
    }

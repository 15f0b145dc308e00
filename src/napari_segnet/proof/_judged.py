"""Of a known family: the network that fits best, and beside a fork the published one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.judge import Judgement
from napari_segnet.proof._types import Possible, Recognised
from napari_segnet.proof._words import in_words, input_note

__all__ = ["of_judgement"]


def of_judgement(before: Checkpoint, judged: Judgement) -> Recognised:
    """Return the network that fits best; beside a fork the published one."""
    said = (judged.says,) if judged.remarkable else ()
    notes = (*said, *input_note(before, judged.inputs))
    better = replace(judged.checkpoint, notes=(*before.notes, *notes))
    if not judged.forks:
        return Recognised(checkpoint=better, says=judged.says, inputs=judged.inputs)
    own = {} if better.family != before.family else _changed_facts(before, better)
    words = ", ".join(in_words(name, value) for name, value in judged.forks.items())
    assumed = {
        name: value
        for name, value in before.hparams.items()
        if name in before.known and before.known[name].source == "assumed"
    }
    return Recognised(
        checkpoint=better,
        candidates=(
            Possible(checkpoint=better, choices=own, differs=f"changed: {words}"),
            Possible(checkpoint=before, choices=assumed, differs="as published"),
        ),
        says=judged.says,
        inputs=judged.inputs,
    )


def _changed_facts(before: Checkpoint, better: Checkpoint) -> dict[str, Any]:
    return {
        name: value
        for name, value in better.hparams.items()
        if name in better.known and value != before.hparams.get(name)
    }

"""Which of several networks answer alike: of these, one is enough to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_segnet.evidence._measure import Measure
from napari_segnet.programs.structure import Candidate

if TYPE_CHECKING:
    import torch

__all__ = ["distinct"]

SPREAD = 1e-3
"""Answers that differ by less than this share of their standard deviation are alike: another
runtime differs by up to 6e-5 of it."""


def distinct(found: Sequence[Candidate], measure: Measure, most: int) -> tuple[Candidate, ...]:
    """Return candidates without those that answer as one before them does.

    Parameters
    ----------
    found : sequence of Candidate
        The best first. Those that cannot take the picture are left out, but for the first.
    measure : Measure
        Runs them.
    most : int
        So many different ones are looked for; those behind them stay as they are.
    """
    first = measure.answers([one.graph for one in found[:most]])
    kept: list[Candidate] = []
    answers: list[torch.Tensor] = []
    for at, one in enumerate(found):
        if len(kept) == most:
            return (*kept, *found[at:])
        answer = first[at] if at < most else measure.answer(one.graph)
        if answer is None:
            if not kept:
                return tuple(found)
        elif not any(_alike(answer, other) for other in answers):
            kept.append(one)
            answers.append(answer)
    return tuple(kept)


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return float((one - other).abs().max()) <= SPREAD * float(other.std())

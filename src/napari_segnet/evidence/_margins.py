"""How much better a choice must fit before it counts as decided."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["DOUBTFUL", "FAIR", "MARGINS", "PAIRS", "margin_of"]

MARGINS: Mapping[str, float] = {
    "layout": 0.4,
    "join": 0.3,
    "skip": 0.3,
    "up_activation": 0.2,
    "norm_place": 0.3,
    "activation": 0.4,
    "pooling": 0.3,
    "resize": 0.2,
    "padding": 0.2,
    "dilation": 0.35,
    "epsilon": 0.2,
    "residual": 0.4,
}
"""Logarithm of the ratio of divergences, see ``margin``, by name of the choice.

Set so that no wrong value leads by as much in 96 networks whose truth is known, of twelve kinds
trained for 45 steps (``benchmarks/structure_margins.py``, 2026). The largest lead of a wrong value
was, for networks of even kinds and of odd ones: join none (the truth leads by 0.44 at least),
norm_place none (0.53 at least), up_activation 0.17 and none, pooling 0.24 and 0.19, activation as
below, resize 0.08 and 0.06, padding 0.12 and 0.07, dilation 0.31 and 0.08, epsilon 0.11 and 0.15.
``layout``, ``skip`` and ``residual`` were not measured so: they are set beside the largest.
"""
ALIKE = 0.65
"""The same between two functions that pass what is positive: a wrong one led by 0.60 and 0.47."""
PASSING = ("relu", "leaky-", "gelu", "silu", "mish")
"""How their names begin. All others led by 0.36 at most where they were wrong."""
USUAL = 0.65
"""For a choice that is not named: the largest of those that are."""
PAIRS = (("join", "up_activation"), ("join", "resize"), ("skip", "pooling"))
"""Choices that may make up for one another: each is judged beside the best of the other."""
FAIR = 0.2
"""Nats. Where even the better value is so far from the file's numbers at the norms that tell it
from the other, something else is wrong there, and twice the margin is asked: of seven real
networks one was told a wrong join by 0.27 against 0.33."""
DOUBTFUL = 0.5
"""Nats. Where even the best network is typically so far from the file's numbers, the true one
is not among them, and nothing is decided. The true one was 0.14 away at most."""


def margin_of(name: str, value: str = "", other: str = "") -> float:
    """Return the margin by which a value of a choice must fit better than another."""
    if name == "activation" and value.startswith(PASSING) and other.startswith(PASSING):
        return ALIKE
    return MARGINS.get(name, USUAL)

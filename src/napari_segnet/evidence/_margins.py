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
    "activation": 0.65,
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
norm_place none (0.53 at least), up_activation 0.17 and none, pooling 0.24 and 0.19, activation
0.60 and 0.47 (0.63 beside another wrong choice), resize 0.08 and 0.06, padding 0.12 and 0.07,
dilation 0.31 and 0.08, epsilon 0.11 and 0.15.
``layout``, ``skip`` and ``residual`` were not measured so: they are set beside the largest.
"""
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


POOR = 0.05
"""Nats. Where the best network fits typically no better, some weak choice of it is wrong, and one
may make up for another: a wrong up_activation then led by 0.64 in one of 48 networks. Four times
the margin is asked there, except of STRONG choices, whose wrong values never led."""
STRONG = ("layout", "join", "norm_place")


def margin_of(name: str, typical: float = 0.0) -> float:
    """Return the margin by which a value of a choice must fit better than another.

    ``typical``: the typical divergence of the better network, in nats.
    """
    least = MARGINS.get(name, USUAL)
    return least if typical < POOR or name in STRONG else 4 * least

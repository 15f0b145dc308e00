"""How much better a choice must fit before it counts as decided."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["DOUBTFUL", "MARGINS", "PAIRS", "margin_of"]

MARGINS: Mapping[str, float] = {
    "layout": 0.4,
    "join": 0.25,
    "skip": 0.3,
    "up_activation": 0.2,
    "norm_place": 0.4,
    "activation": 0.6,
    "pooling": 0.25,
    "resize": 0.25,
    "padding": 0.25,
    "dilation": 0.3,
    "epsilon": 0.3,
    "groups": 0.3,
}
"""Logarithm of the ratio of divergences, see ``margin``; by name of the choice."""
USUAL = 0.6
"""For a choice that was not measured: the largest of those that were."""
PAIRS = (("join", "up_activation"), ("skip", "pooling"))
"""Choices that may make up for one another: each is judged beside the best of the other."""
DOUBTFUL = 0.5
"""Nats. Where even the best network is typically so far from the file's numbers, the true one
is not among them, and nothing is decided."""


def margin_of(name: str) -> float:
    """Return the margin that decides a choice."""
    return MARGINS.get(name, USUAL)

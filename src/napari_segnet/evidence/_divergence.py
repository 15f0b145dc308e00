"""How far what comes to a norm is from what the file says of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["FLOOR", "alive", "divergence"]

ALIVE = 1e-6
"""A channel whose stored variance is less than this share of the largest is dead: a ReLU that
never fires. What comes to it says nothing."""
FLOOR = 1e-3
"""Of the median variance, added to both variances: differences below it are rounding."""


def divergence(
    mean: torch.Tensor, variance: torch.Tensor, to_mean: torch.Tensor, to_variance: torch.Tensor
) -> float:
    """Return the median over channels of the divergence of two normal distributions, in nats.

    Parameters
    ----------
    mean, variance, to_mean, to_variance : Tensor
        ``(channels,)``: what came, and what the file says.

    Returns
    -------
    float
        NaN where the file says nothing: numbers with which a norm begins, or all channels dead.
        Infinity where what came is no number.
    """
    apart = _apart(mean, variance, to_mean, to_variance)
    if isinstance(apart, float):
        return apart
    shift, ratio = apart
    return float((0.5 * (ratio + shift**2 - 1 - ratio.log())).median())


def alive(to_variance: torch.Tensor) -> torch.Tensor:
    """Return which channels say something ``(channels,)``, by their stored variance."""
    return to_variance > ALIVE * to_variance.max()


def _apart(
    mean: torch.Tensor, variance: torch.Tensor, to_mean: torch.Tensor, to_variance: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor] | float:
    """Return the shifts in standard deviations and the ratios of the variances, channel by channel.

    NaN where the file says nothing, infinity where what came is no number.
    """
    untrained = bool((to_mean == 0).all()) and bool((to_variance == 1).all())
    counted = alive(to_variance)
    if untrained or not bool(counted.any()):
        return math.nan
    if not bool((mean.isfinite() & variance.isfinite()).all()):
        return math.inf
    mean, variance, to_mean, to_variance = (
        one[counted] for one in (mean, variance, to_mean, to_variance)
    )
    least = FLOOR * to_variance.median()
    shift = (mean - to_mean) / (to_variance + least).sqrt()
    return shift, (variance + least) / (to_variance + least)

"""How far what comes to a norm is from what the file says of it, and how unlikely that is."""

from __future__ import annotations

import math

import torch

__all__ = ["divergence", "misfit"]

ALIVE = 1e-6
"""A channel whose stored variance is less than this share of the largest is dead: a ReLU that
never fires. What comes to it says nothing."""
FLOOR = 1e-3
"""Of the median variance, added to both variances: differences below it are rounding."""
FINE = 0.01
"""Standard deviations: what a running mean or the logarithm of one may be off by, whatever else."""
FEW, MOST_WEIGHT = 8, 1.5
"""So many channels weigh once. More weigh more, but not for long: foreign pictures shift many
channels of a layer together."""
FARTHEST = 1e6


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
    return float((0.5 * (ratio + shift**2 - 1 - torch.log(ratio))).median())


def misfit(
    mean: torch.Tensor, variance: torch.Tensor, to_mean: torch.Tensor, to_variance: torch.Tensor
) -> float:
    """Return how unlikely it is that these are of one network: minus a logarithm, up to a constant.

    How far pictures are from those of the training is not known; so the means and the variances
    of all channels are taken to differ by one amount each, which is what they differ by: that of
    the true network is the least. Parameters are those of :func:`divergence`.

    Returns
    -------
    float
        The logarithms of the mean differences of both, more where there are more channels; NaN
        where the file says nothing.
    """
    apart = _apart(mean, variance, to_mean, to_variance)
    if isinstance(apart, float):
        return apart if math.isnan(apart) else 2 * MOST_WEIGHT * math.log(FARTHEST)
    shift, ratio = apart
    weight = min(math.sqrt(len(shift) / FEW), MOST_WEIGHT)
    return weight * sum(
        math.log(min(_usual(one), FARTHEST) + FINE) for one in (shift, 0.5 * torch.log(ratio))
    )


def _usual(values: torch.Tensor) -> float:
    """Return the mean size; what is far beyond the median counts as three times that."""
    sizes = values.abs()
    return float(torch.minimum(sizes, 3 * sizes.median()).mean())


def _apart(
    mean: torch.Tensor, variance: torch.Tensor, to_mean: torch.Tensor, to_variance: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor] | float:
    """Return the shifts in standard deviations and the ratios of the variances, channel by channel.

    NaN where the file says nothing, infinity where what came is no number.
    """
    untrained = bool((to_mean == 0).all()) and bool((to_variance == 1).all())
    alive = to_variance > ALIVE * to_variance.max()
    if untrained or not bool(alive.any()):
        return math.nan
    if not bool((torch.isfinite(mean) & torch.isfinite(variance)).all()):
        return math.inf
    mean, variance, to_mean, to_variance = (
        one[alive] for one in (mean, variance, to_mean, to_variance)
    )
    least = FLOOR * to_variance.median()
    shift = (mean - to_mean) / torch.sqrt(to_variance + least)
    return shift, (variance + least) / (to_variance + least)

"""Pictures that come nearest to those of the training, as the first norm of a file remembers them.

A network that was trained on dark pictures with bright spots says so: the stored mean and variance
of each channel of its first norm are those of what one layer makes of them. A mixture of pictures
whose means and second moments are the same there is a better stand-in for the training than any
picture alone. Shares of pictures enter both linearly, so they are found by least squares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.evidence._least_squares import nonnegative

if TYPE_CHECKING:
    import torch

    Moments = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
    """Mean and variance ``(pictures, channels)`` of what came; of the file ``(channels,)``."""

__all__ = ["chosen", "shares"]

Values = npt.NDArray[np.float64]

ALIVE = 1e-6
"""A channel whose stored variance is less than this share of the largest is dead."""
CLOSED = 10.0
"""Weight of the condition that all shares together are one."""
EVEN = 0.1
"""Part of the shares that all pictures have alike: few channels would choose a single picture."""


def chosen(moments: Moments, most: int) -> list[int]:
    """Return the pictures with the largest shares, at most so many."""
    found, usable = _solved(moments)
    return [int(usable[at]) for at in np.argsort(-found, kind="stable")[:most]]


def shares(moments: Moments) -> Values:
    """Return the share of each picture ``(pictures,)``; the sum is one.

    Parameters
    ----------
    moments : Moments
        Of what comes to the first norm.
    """
    found, usable = _solved(moments)
    count = len(moments[0])
    share = np.full(count, 1.0 if found.sum() <= 0 else EVEN / count)
    if found.sum() > 0:
        share[usable] += (1 - EVEN) * found / found.sum()
    whole: Values = share / share.sum()
    return whole


def _solved(moments: Moments) -> tuple[Values, npt.NDArray[np.intp]]:
    """Return shares that bring mean and variance to those of the file, and of which pictures."""
    mean, variance, to_mean, to_variance = (one.numpy() for one in moments)
    alive = to_variance > ALIVE * to_variance.max()
    usable = np.flatnonzero(np.isfinite(mean).all(1) & np.isfinite(variance).all(1))
    shift = (mean - to_mean)[usable][:, alive]
    ratio = (variance[usable][:, alive] + shift**2) / to_variance[alive]
    shift = shift / np.sqrt(to_variance[alive])
    channels = shift.shape[1]
    if not channels or not len(usable):
        return np.zeros(len(usable)), usable
    closed = CLOSED * np.sqrt(channels)
    matrix = np.concatenate([shift.T, ratio.T, np.full((1, len(shift)), closed)])
    target = np.concatenate([np.zeros(channels), np.ones(channels), [closed]])
    try:
        found = nonnegative(matrix, target)
    except RuntimeError:  # too many iterations
        found = np.ones(len(usable))
    return found, usable

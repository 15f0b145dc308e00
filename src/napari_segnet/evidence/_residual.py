"""How far what comes to each channel of a norm is from the file's numbers, and what that tells.

The pictures that a network is shown are not those of its training. So the channels of a norm are
off together, in the directions in which pictures differ from one another: one that is brighter or
sharper than the others shows these directions. Along them little is told of the network, and across
them much: a wrong padding or resizing changes little, but in other channels.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.evidence._divergence import FLOOR, alive

if TYPE_CHECKING:
    import torch

__all__ = ["Residual", "likelier", "residual"]

Values = npt.NDArray[np.float64]
Directions = tuple[Values, Values]

FOREIGN = 0.3
"""The variance between the pictures that are shown, of which so much is taken to lie between them
and those of the training. With 0.1 or 1 as many networks are first, see ``TAILS``."""
FINE = 0.005
"""Standard deviations: what a running mean or the logarithm of one may be off by, whatever else.
With 0.01 one network fewer is first, with 0.002 two."""
TAILS = 4.0
"""Degrees of freedom of Student's t: what a single channel may say is limited. Of 141 random
networks with batch norms (58 of the seeds 230000 to 230149, and the seeds 231000 to 231045 and
242000 to 242059), 108 are first with 4, 107 with 2 or 8; 102 by the mean size of what is off, in
whatever direction."""
FARTHEST = 1e6
"""Standard deviations, for what came out as no number."""
FEW, MOST_WEIGHT = 8, 1.5
"""So many channels weigh once. More weigh more, but not for long: they are not independent."""


class Residual:
    """How far what comes to one norm is from what the file says of it.

    Parameters
    ----------
    off : ndarray
        ``(2, channels)``: the shift of the mean in standard deviations, and half the logarithm of
        the ratio of the variances.
    varied : ndarray
        ``(2, pictures, channels)``: by how much each picture alone shifts both.
    """

    def __init__(self, off: Values, varied: Values) -> None:
        self.off = off
        self._varied = varied

    @functools.cached_property
    def own(self) -> Values:
        """What is off by what tells of the network, see :meth:`across`."""
        return self.across(self.off)

    def across(self, off: Values) -> Values:
        """Return what is off ``(2, channels)``, less where it lies along what pictures differ in.

        As much is left of it as noise of one size in all channels has there.
        """
        directions, left = self._directions
        along = np.einsum("tpc,tc->tp", directions, off)
        found: Values = off + np.einsum("tpc,tp->tc", directions, (left - 1) * along)
        return found

    @functools.cached_property
    def _directions(self) -> Directions:
        """Directions ``(2, n, channels)`` of length one, and what is left along each ``(2, n)``."""
        noise = np.median(np.abs(self.off), axis=1) + FINE
        spread = self._varied * math.sqrt(FOREIGN / self._varied.shape[1])
        _, sizes, directions = np.linalg.svd(spread, full_matrices=False)
        return directions, 1 / np.sqrt(1 + (sizes / noise[:, None]) ** 2)


def residual(
    mean: torch.Tensor,
    variance: torch.Tensor,
    to_mean: torch.Tensor,
    to_variance: torch.Tensor,
    means: torch.Tensor,
    variances: torch.Tensor,
) -> Residual:
    """Return how far what comes to a norm is from what the file says of it.

    Parameters
    ----------
    mean, variance, to_mean, to_variance : Tensor
        ``(channels,)``: what came, and what the file says, of some channels at least.
    means, variances : Tensor
        ``(pictures, channels)``: what came with each picture.
    """
    counted = alive(to_variance)
    to, to_square = (one[counted].numpy() for one in (to_mean, to_variance))
    came = (mean, variance, means, variances)
    at, square, places, squares = (one[..., counted].numpy() for one in came)
    if not all(np.isfinite(one).all() for one in (at, square, places, squares)):
        return Residual(np.full((2, len(to)), FARTHEST), np.zeros((2, 1, len(to))))
    least = FLOOR * float(np.median(to_square))
    unit = np.sqrt(to_square + least)
    ratio = (square + least) / (to_square + least)
    beyond = (squares + (places - at) ** 2 + least) / (square + least)
    off = np.stack([(at - to) / unit, 0.5 * np.log(ratio)])
    return Residual(off, np.stack([(places - at) / unit, 0.5 * (beyond - 1)]))


def likelier(one: Residual, other: Residual) -> float:
    """Return by how much likelier a network is than another by one norm, as a logarithm.

    How far pictures are from those of the training is not known; so what is off is measured by what
    it is for the better one of the two. Directions are those of the other one.
    """
    off, beside = other.across(one.off), other.own
    weight = min(math.sqrt(off.shape[1] / FEW), MOST_WEIGHT)
    size = np.minimum(_usual(off), _usual(beside))[:, None] + FINE
    apart = np.log1p((beside / size) ** 2 / TAILS) - np.log1p((off / size) ** 2 / TAILS)
    return weight * (TAILS + 1) / 2 * float(apart.mean(axis=1).sum())


def _usual(values: Values) -> Values:
    """Return the mean sizes ``(2,)``; what is far beyond the median counts as three times that."""
    sizes = np.abs(values)
    most = 3 * np.median(sizes, axis=1, keepdims=True)
    found: Values = np.minimum(sizes, most).mean(axis=1)
    return found

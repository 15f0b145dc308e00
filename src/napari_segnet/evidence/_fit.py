"""How well a network fits what its file says of it, and how much better than another."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from napari_segnet.evidence._residual import Residual, likelier

__all__ = ["SAME", "Fit", "credit", "distinct", "gain", "least_gain", "margin", "trust"]

NOISE = 0.02
"""Nats. What comes to a norm of the true network is about so far from the stored numbers on
pictures that it never saw (medians over the layers of 30 small networks: 0.004 to 0.25, half of
them below 0.02; of seven real ones 0.006 to 0.04): a difference below it means nothing."""
SAME = 1e-9
"""Norms that differ by less have the same layers before them."""
WORST = 1e6
"""Nats, for what came out as no number."""
EARLY = 3
"""Norms at the beginning that show how unlike the pictures are to those of the training: true
networks misfit by up to 7 nats there, and by 0.03 behind them."""
HOPELESS = (6.0, 0.7)
"""Sum and mean of the logarithms of the ratios at which a network is told to be worse: a true one
is never behind by a third of either."""

TRUE = 0.05
"""Nats, of ``Fit.late``: the true one of 76 random networks was so far from the file at most."""
CREDIT = 7.0
"""Logarithms. Norms do not misfit one by one, since the same foreign pictures come to all of them:
the sum over the norms of a deep network says more than is known. Of 31 random networks (seeds 60008
to 80027 that had not been first, 110001 to 110025) 23 were in three without a limit of what is
shown beside the first, 26 with 6 to 8, 25 with 5 or 10. The first itself stays as the sum says: of
141 others (seeds 120000 to 120210), 107 were first with the limit, which strided and 3x3 poolings
need more than."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """How far what comes to each norm is from what the file says of it; equal to itself alone.

    Attributes
    ----------
    norms : mapping of str to float
        Name of the running mean -> divergence in nats; empty for a network without norms.
    residuals : mapping of str to Residual
        The same names -> how far each channel is from the file's numbers.
    """

    norms: Mapping[str, float]
    residuals: Mapping[str, Residual] = field(default_factory=dict)

    @property
    def misfit(self) -> float:
        """Mean over the norms of the logarithm of the divergence; less is better, 0 without any."""
        if not self.norms:
            return 0.0
        return sum(_logarithm(value) for value in self.norms.values()) / len(self.norms)

    @property
    def typical(self) -> float:
        """Median divergence in nats; NaN without norms."""
        return sorted(self.norms.values())[len(self.norms) // 2] if self.norms else math.nan

    @property
    def late(self) -> float:
        """Upper quartile of the divergence behind the first three norms, in nats.

        Where a network is wired otherwise than the file's, a quarter of its norms or more misfit,
        while the others are repaired by the norms before them; NaN without norms.
        """
        values = self._behind()
        return values[len(values) * 3 // 4] if values else math.nan

    @property
    def worst(self) -> float:
        """Largest divergence behind the first three norms, in nats; NaN without norms."""
        return max(self._behind(), default=math.nan)

    def beyond(self, most: float) -> tuple[str, ...]:
        """Return the layers behind the first three that misfit by more nats, the worst first."""
        names = [name for name in self._late_names() if self.norms[name] > most]
        names.sort(key=lambda name: -self.norms[name])
        return tuple(name.rpartition(".")[0] for name in names)

    def _behind(self) -> list[float]:
        return sorted(self.norms[name] for name in self._late_names())

    def _late_names(self) -> list[str]:
        names = list(self.norms)
        return names[min(EARLY, len(names) // 2) :]

    def mean_of(self, names: Collection[str]) -> float:
        """Return the geometric mean of the divergences at some norms in nats, as margins see it."""
        logarithms = [_logarithm(self.norms[name]) for name in names]
        return max(math.exp(sum(logarithms) / len(logarithms)) - NOISE, 0.0)


def margin(fit: Fit, other: Fit) -> float:
    """Return by how much a network fits better than another; less than 0: it fits worse.

    The mean of the logarithm of the ratio of their divergences, over those norms to which
    something else comes in the two: 0.7 means half as far from the file's numbers. Norms that
    only one of them has count in neither.
    """
    ratios = []
    for name, value in fit.norms.items():
        against = other.norms.get(name)
        if against is not None and not abs(value - against) < SAME:
            ratios.append(_logarithm(against) - _logarithm(value))
    return sum(ratios) / len(ratios) if ratios else 0.0


def gain(fit: Fit, other: Fit, most: float = math.inf) -> float:
    """Return by how much likelier a network is than another by all norms together, as a logarithm.

    Where only the first norms of one of them were measured, the others are taken to be like these.

    Parameters
    ----------
    fit, other : Fit
        Of the two.
    most : float
        So many of the norms that differ count at most: of more, the mean counts so many times.
    """
    shared = [name for name in fit.residuals if name in other.residuals]
    if not shared:
        return 0.0
    ratios = _ratios(fit, other)
    whole = max(len(fit.norms), len(other.norms)) / len(shared)
    count = whole * len(ratios)
    return sum(ratios) * whole * min(1.0, most / max(count, 1.0))


def least_gain(fit: Fit, other: Fit) -> float:
    """Return :func:`gain` by that norm alone which speaks least for a network; 0 without any."""
    return min(_ratios(fit, other), default=0.0)


def _ratios(fit: Fit, other: Fit) -> list[float]:
    """Return by how much likelier a network is by each norm to which something else comes."""
    return [
        likelier(own, other.residuals[name])
        for name, own in fit.residuals.items()
        if name in other.residuals and not abs(fit.norms[name] - other.norms[name]) < SAME
    ]


def credit(lead: float, late: float) -> float:
    """Return what a lead in fit counts beside the prior, as a logarithm.

    Parameters
    ----------
    lead : float
        Of one network over another, see :func:`gain`; below 0 where the other one leads.
    late : float
        That of the worse one, in nats, see :class:`Fit`. Where it fits as true networks do, the
        lead counts at most as ``CREDIT``.
    """
    if not late <= TRUE:
        return lead
    return math.copysign(CREDIT * -math.expm1(-abs(lead) / CREDIT), lead)


def trust(late: float, most: float) -> float:
    """Return what norms count beside the prior where even the best network misfits, 1 at most.

    Pictures unlike those of the training, or a layer that no candidate has, misfit alike whatever
    is chosen: what fits a little less badly is no likelier for that.

    Parameters
    ----------
    late, most : float
        Of the best network in nats, see :class:`Fit`, and up to which all counts.
    """
    return most / late if late > most else 1.0


def distinct(norms: Mapping[str, float], begun: Mapping[str, float], most: int = 0) -> bool:
    """Tell if the first norms of a network show enough of how it fits beside another.

    Parameters
    ----------
    norms, begun : mapping of str to float
        As of :class:`Fit`, of the other one and of so much as is known of the network.
    most : int
        So many norms that differ are enough, whatever they show; 0: no number is.
    """
    shared = [(norms[name], value) for name, value in begun.items() if name in norms]
    behind = [_logarithm(v) - _logarithm(n) for n, v in shared if not abs(v - n) < SAME]
    total, mean = HOPELESS
    if len(behind) > 1 and sum(behind) > total and sum(behind) > mean * len(behind):
        return True
    return 0 < most <= len(behind)


def _logarithm(value: float) -> float:
    return math.log(min(value, WORST) + NOISE)

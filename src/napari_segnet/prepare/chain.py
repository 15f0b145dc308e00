"""Several normalisations one after the other: ``"divide-255 then mean-std:0.5,0.25"``.

Each is measured on what the one before made of the image. All are affine maps that clip, so
the whole is one as well, and the image is read as for a single one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_segnet.prepare._affine import Affine, Normalizer, Statistics

__all__ = ["THEN", "Chain", "composed"]

THEN = " then "
"""What stands between two steps in the text of a setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The steps, in their order.

    Attributes
    ----------
    steps : tuple of Normalizer
        Two or more.
    name : str
        Their texts, with "then" between them.
    """

    steps: tuple[Normalizer, ...]
    name: str

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the map of a channel that does all the steps at once."""
        whole = Affine()
        for step in self.steps:
            whole = composed(whole, step.affine(_Seen(statistics, whole), channel))
        return whole


def composed(first: Affine, second: Affine) -> Affine:
    """Return the map that does ``second`` after ``first``, in the units of ``first``."""

    def back(value: float) -> float:
        return min(max(value * first.scale + first.offset, first.low), first.high)

    return Affine(
        offset=second.offset * first.scale + first.offset,
        scale=second.scale * first.scale,
        low=back(second.low),
        high=back(second.high),
    )


class _Seen:
    """The figures of an image after a map: what the next step would measure.

    Pooled figures are those of all channels after this map: it must be the same for each.
    """

    def __init__(self, statistics: Statistics, affine: Affine) -> None:
        self._statistics, self._affine = statistics, affine
        changed = affine != Affine()
        self.dtype: np.dtype[Any] = np.dtype(np.float32) if changed else statistics.dtype

    def _value(self, value: float) -> float:
        affine = self._affine
        return (min(max(value, affine.low), affine.high) - affine.offset) / affine.scale

    def _limits(self, low: float, high: float) -> tuple[float, float]:
        whole = composed(self._affine, Affine(low=low, high=high))
        return whole.low, whole.high

    def _spread(self, figures: tuple[float, float]) -> tuple[float, float]:
        mean, std = figures
        return (mean - self._affine.offset) / self._affine.scale, std / self._affine.scale

    def min_max(self) -> tuple[float, float]:
        low, high = self._statistics.min_max()
        return self._value(low), self._value(high)

    def percentiles(self, *q: float) -> tuple[float, ...]:
        return tuple(map(self._value, self._statistics.percentiles(*q)))

    def mean_std(
        self, low: float = float("-inf"), high: float = float("inf")
    ) -> tuple[float, float]:
        return self._spread(self._statistics.mean_std(*self._limits(low, high)))

    def pooled_min_max(self) -> tuple[float, float]:
        low, high = self._statistics.pooled_min_max()
        return self._value(low), self._value(high)

    def pooled_percentiles(self, *q: float) -> tuple[float, ...]:
        return tuple(map(self._value, self._statistics.pooled_percentiles(*q)))

    def pooled_mean_std(
        self, low: float = float("-inf"), high: float = float("inf")
    ) -> tuple[float, float]:
        return self._spread(self._statistics.pooled_mean_std(*self._limits(low, high)))

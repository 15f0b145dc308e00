"""Normalisations as model packages of bioimage.io define them: with an epsilon, not clipped.

https://github.com/bioimage-io/spec-bioimage-io/blob/main/src/bioimageio/spec/model/v0_5.py
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from napari_segnet.errors import SettingsError
from napari_segnet.prepare._affine import Affine, Statistics
from napari_segnet.prepare.measured import check_percentiles

__all__ = [
    "EPS",
    "Clip",
    "PooledScaleRange",
    "PooledZeroMeanUnitVariance",
    "ScaleRange",
    "ZeroMeanUnitVariance",
]

EPS = 1e-6
"""Default of the specification."""
MOST_EPS = 0.1
"""The specification allows no larger one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Values below ``low`` become ``low``, those above ``high`` become ``high``."""

    low: float = 0.0
    high: float = 0.0
    name: str = "clip"

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the same map for every channel."""
        return Affine(low=self.low, high=self.high)

    def with_numbers(self, numbers: tuple[float, ...]) -> Clip:
        """Take low and high."""
        if len(numbers) != 2 or numbers[0] >= numbers[1]:
            raise SettingsError(
                "normalize=clip needs two numbers, the lower one first: for example clip:0,1."
            )
        return Clip(low=numbers[0], high=numbers[1])

    def numbers(self) -> tuple[float, ...]:
        """Return low and high."""
        return self.low, self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroMeanUnitVariance:
    """``(x - mean) / (std + eps)`` per channel."""

    eps: float = EPS
    name: str = "zero-mean-unit-variance"

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the map of a channel."""
        mean, std = self._figures(statistics)
        return Affine(offset=mean, scale=(std + self.eps) or 1.0)

    def with_numbers(self, numbers: tuple[float, ...]) -> Self:
        """Take the epsilon; none means 1e-6."""
        if len(numbers) > 1 or not all(0 <= eps <= MOST_EPS for eps in numbers):
            raise SettingsError(
                f"normalize={self.name} takes one number from 0 to {MOST_EPS}, which is added to "
                f"the standard deviation: for example {self.name}:1e-6."
            )
        return replace(self, eps=numbers[0] if numbers else EPS)

    def numbers(self) -> tuple[float, ...]:
        """Return the epsilon, or nothing where it is the default."""
        return () if self.eps == EPS else (self.eps,)

    @staticmethod
    def _figures(statistics: Statistics) -> tuple[float, float]:
        return statistics.mean_std()


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledZeroMeanUnitVariance(ZeroMeanUnitVariance):
    """``(x - mean) / (std + eps)`` with the figures of all channels together."""

    name: str = "pooled-zero-mean-unit-variance"

    @staticmethod
    def _figures(statistics: Statistics) -> tuple[float, float]:
        return statistics.pooled_mean_std()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRange:
    """``(x - low) / (high - low + eps)`` between two percentiles of a channel; not clipped."""

    low: float = 0.0
    high: float = 100.0
    eps: float = EPS
    name: str = "scale-range"

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the map of a channel."""
        low, high = self._figures(statistics)
        return Affine(offset=low, scale=(high - low + self.eps) or 1.0)

    def with_numbers(self, numbers: tuple[float, ...]) -> Self:
        """Take the percentiles and the epsilon; none means 0, 100 and 1e-6."""
        if not numbers:
            return replace(self, low=0.0, high=100.0, eps=EPS)
        if len(numbers) == 3 and not 0 <= numbers[2] <= MOST_EPS:
            raise SettingsError(
                f"normalize={self.name} takes two percentiles and, as its third number, from 0 to "
                f"{MOST_EPS} what is added to their difference: for example {self.name}:1,99.8."
            )
        check_percentiles(self.name, numbers[:2] if len(numbers) == 3 else numbers)
        eps = numbers[2] if len(numbers) == 3 else EPS
        return replace(self, low=numbers[0], high=numbers[1], eps=eps)

    def numbers(self) -> tuple[float, ...]:
        """Return percentiles and epsilon, as far as they are not the defaults."""
        if self.eps != EPS:
            return self.low, self.high, self.eps
        return () if (self.low, self.high) == (0.0, 100.0) else (self.low, self.high)

    def _figures(self, statistics: Statistics) -> tuple[float, ...]:
        return statistics.percentiles(self.low, self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledScaleRange(ScaleRange):
    """``(x - low) / (high - low + eps)`` between two percentiles of all channels together."""

    name: str = "pooled-scale-range"

    def _figures(self, statistics: Statistics) -> tuple[float, ...]:
        return statistics.pooled_percentiles(self.low, self.high)

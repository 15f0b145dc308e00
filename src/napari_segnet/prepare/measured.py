"""Normalisations by figures of the image itself.

A channel that is the same everywhere becomes 0, never a division by 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_segnet.errors import SettingsError
from napari_segnet.prepare._affine import Affine, Statistics

__all__ = [
    "DivideIfOverOne",
    "MinMax",
    "Percentile",
    "PercentileZScore",
    "ZScore",
    "check_percentiles",
]


@dataclass(frozen=True, slots=True)
class DivideIfOverOne:
    """Divide by 255 if any pixel of any channel is over 1, as milesial/Pytorch-UNet does."""

    name: str = "divide-255-if-over-1"

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the same map for every channel."""
        return Affine(scale=255.0 if statistics.pooled_min_max()[1] > 1 else 1.0)


@dataclass(frozen=True, slots=True)
class MinMax:
    """The lowest value becomes 0, the highest 1."""

    name: str = "min-max"

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the map of a channel."""
        low, high = statistics.min_max()
        return Affine(offset=low, scale=_span(low, high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """Clip to two percentiles, then to 0..1; 1 and 99.8 as in CSBDeep and StarDist."""

    low: float = 1.0
    high: float = 99.8
    name: str = "percentile"

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the map of a channel."""
        low, high = statistics.percentiles(self.low, self.high)
        return Affine(offset=low, scale=_span(low, high), low=low, high=high)

    def with_numbers(self, numbers: tuple[float, ...]) -> Percentile:
        """Take the lower and the upper percentile; none means 1 and 99.8."""
        if not numbers:
            return Percentile()
        check_percentiles(self.name, numbers)
        return Percentile(low=numbers[0], high=numbers[1])

    def numbers(self) -> tuple[float, ...]:
        """Return the two percentiles, or nothing where they are the default."""
        return () if self == Percentile() else (self.low, self.high)


@dataclass(frozen=True, slots=True)
class ZScore:
    """Mean 0 and (population) standard deviation 1."""

    name: str = "z-score"

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the map of a channel."""
        mean, std = statistics.mean_std()
        return Affine(offset=mean, scale=std or 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PercentileZScore:
    """Clip to two percentiles of all channels together, then z-score each channel.

    The recipe of mateuszbuda/brain-segmentation-pytorch (``normalize_volume`` in utils.py):
    percentiles 10 and 99 of the whole volume with its channels, mean and population
    standard deviation per channel. Its rescaling in between cancels in the z-score.
    """

    low: float = 10.0
    high: float = 99.0
    name: str = "percentile-z-score"

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the map of a channel."""
        low, high = statistics.pooled_percentiles(self.low, self.high)
        mean, std = statistics.mean_std(low, high)
        return Affine(offset=mean, scale=std or 1.0, low=low, high=high)

    def with_numbers(self, numbers: tuple[float, ...]) -> PercentileZScore:
        """Take the lower and the upper percentile; none means 10 and 99."""
        if not numbers:
            return PercentileZScore()
        check_percentiles(self.name, numbers)
        return PercentileZScore(low=numbers[0], high=numbers[1])

    def numbers(self) -> tuple[float, ...]:
        """Return the two percentiles, or nothing where they are the default."""
        return () if self == PercentileZScore() else (self.low, self.high)


def _span(low: float, high: float) -> float:
    return high - low if high > low else 1.0


def check_percentiles(name: str, numbers: tuple[float, ...]) -> None:
    """Refuse what are no two percentiles, as ``SettingsError``."""
    if len(numbers) != 2 or not 0 <= numbers[0] < numbers[1] <= 100:
        raise SettingsError(
            f"normalize={name} takes two percentiles between 0 and 100, the lower one first: "
            f"for example {name}:1,99.8."
        )

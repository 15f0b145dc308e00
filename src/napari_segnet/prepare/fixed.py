"""Normalisations by numbers that are known beforehand; the image is not measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_segnet.errors import SettingsError
from napari_segnet.prepare._affine import Affine, Statistics

__all__ = ["Divide", "Half", "ImageNet", "MeanStd", "Unchanged", "Window"]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The image's own values."""

    name: str = "none"

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the map that changes nothing."""
        return Affine()


@dataclass(frozen=True, slots=True, kw_only=True)
class Divide:
    """``x / divisor``: the full range of an 8- or 16-bit image becomes 0 to 1."""

    divisor: int

    @property
    def name(self) -> str:
        """``divide-255`` or ``divide-65535``."""
        return f"divide-{self.divisor}"

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the same map for every channel."""
        return Affine(scale=float(self.divisor))


@dataclass(frozen=True, slots=True)
class ImageNet:
    """RGB to 0..1, then mean and standard deviation of ImageNet per channel.

    uint8 is divided by 255, uint16 by 65535; of other types values up to 1 are taken as
    they are and larger ones divided by 255.
    """

    name: str = "imagenet"

    # https://docs.pytorch.org/vision/stable/models.html, "normalized using mean=..."
    MEAN = (0.485, 0.456, 0.406)
    STD = (0.229, 0.224, 0.225)

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the map of channel 0 (red), 1 (green) or 2 (blue)."""
        if channel >= len(self.MEAN):
            raise SettingsError(
                "normalize=imagenet is for networks with three channels (red, green, blue), but "
                f"this one has a channel number {channel + 1}. Use for example "
                "normalize=percentile or mean-std:M,S."
            )
        full = _white(statistics)
        return Affine(offset=self.MEAN[channel] * full, scale=self.STD[channel] * full, unit=full)


@dataclass(frozen=True, slots=True)
class Half:
    """``(x - 0.5) / 0.5`` of values from 0 to 1: black becomes -1, white 1.

    uint8 is divided by 255 first, uint16 by 65535; of other types values up to 1 are taken as
    they are and larger ones divided by 255. ``Normalize((0.5,), (0.5,))`` of torchvision after its
    ``ToTensor``.
    """

    name: str = "half"

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the same map for every channel."""
        white = _white(statistics)
        return Affine(offset=white / 2, scale=white / 2, unit=white)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Clip to ``low``..``high`` (image units), then to 0..1."""

    low: float = 0.0
    high: float = 0.0
    name: str = "window"

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the same map for every channel."""
        return Affine(offset=self.low, scale=self.high - self.low, low=self.low, high=self.high)

    def with_numbers(self, numbers: tuple[float, ...]) -> Window:
        """Take low and high."""
        if len(numbers) != 2 or numbers[0] >= numbers[1]:
            raise SettingsError(
                "normalize=window needs two numbers in image units, the lower one first: "
                "for example window:-100,300."
            )
        return Window(low=numbers[0], high=numbers[1])

    def numbers(self) -> tuple[float, ...]:
        """Return low and high."""
        return self.low, self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanStd:
    """``(x - mean) / std`` in image units, per channel or the same for all."""

    means: tuple[float, ...] = ()
    stds: tuple[float, ...] = ()
    name: str = "mean-std"

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the map of a channel."""
        if len(self.means) == 1:
            channel = 0
        if channel >= len(self.means):
            raise SettingsError(
                f"normalize=mean-std has numbers for {len(self.means)} channels, but the network "
                f"has a channel number {channel + 1}. Give one mean and one standard deviation "
                "for each channel, first all means, or a single pair for all."
            )
        return Affine(offset=self.means[channel], scale=self.stds[channel])

    def with_numbers(self, numbers: tuple[float, ...]) -> MeanStd:
        """Take all means, then all standard deviations."""
        half = len(numbers) // 2
        if not half or len(numbers) % 2 or min(numbers[half:]) <= 0:
            raise SettingsError(
                "normalize=mean-std needs a mean and a standard deviation above 0 for each "
                "channel, first all means: for example mean-std:120,35 for one channel or "
                "mean-std:0.1,0.2,0.3,1,1,1 for three."
            )
        return MeanStd(means=numbers[:half], stds=numbers[half:])

    def numbers(self) -> tuple[float, ...]:
        """Return all means, then all standard deviations."""
        return (*self.means, *self.stds)


def _white(statistics: Statistics) -> float:
    """Return the value of white: of its type, or as the pixels let guess."""
    full = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}.get(statistics.dtype)
    if full is None:
        full = 255.0 if statistics.pooled_min_max()[1] > 1 else 1.0
    return full

"""From an image to a network's input, and back; every step is data.

A :class:`Normalizer` turns the statistics of one channel into an affine map; its name is
a value of the setting ``normalize``. To add one, write a file with such a class and name
it in ``NORMALIZERS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Affine", "Normalizer", "Statistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """What a normalisation does to one channel: clip to ``low``..``high``, then scale.

    ``y = (clip(x, low, high) - offset) / scale``; low and high in image units.
    """

    offset: float = 0.0
    scale: float = 1.0
    low: float = float("-inf")
    high: float = float("inf")

    def apply(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return normalised pixels as float32, same shape; a NaN becomes ``low`` or offset."""
        raise NotImplementedError  # replaced by prepare/_affine.py

    def invert(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return image units again; what was clipped stays clipped."""
        raise NotImplementedError


class Statistics(Protocol):
    """Figures of one channel over one scope (plane, volume or series)."""

    dtype: np.dtype[Any]

    def min_max(self) -> tuple[float, float]: ...
    def percentiles(self, *q: float) -> tuple[float, ...]: ...
    def mean_std(
        self, low: float = float("-inf"), high: float = float("inf")
    ) -> tuple[float, float]:
        """Mean and standard deviation of the values clipped to ``low``..``high``."""


class Normalizer(Protocol):
    """One way to normalise; made from the text after its name and a colon."""

    name: str

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the map for the network's channel number ``channel``."""

"""The affine map that every normalisation is, and the protocols around it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

__all__ = ["Adjustable", "Affine", "Normalizer", "Statistics"]

BLOCK = 2**16
"""Pixels worked on at once, so that all steps find them in the processor's cache."""

PEDESTAL = 1000.0
"""Offsets beyond so many scales are subtracted in float64: float32 has seven digits, and the
difference shall keep four of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """What a normalisation does to one channel: clip to ``low``..``high``, then scale.

    ``y = (clip(x, low, high) - offset) / scale``; all in image units.

    Attributes
    ----------
    unit : float
        What values are divided by first, as torchvision does it (255 for 8 bits): the same
        map, rounded alike, so that a network gets bit for bit what it got there.
    """

    offset: float = 0.0
    scale: float = 1.0
    low: float = float("-inf")
    high: float = float("inf")
    unit: float = 1.0

    def apply(
        self, pixels: npt.NDArray[Any], out: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return normalised pixels as float32, same shape.

        NaN becomes what ``low`` (where there is one, else ``offset``) becomes, an infinity
        that is not clipped what ``offset`` becomes: 0.

        Parameters
        ----------
        pixels : ndarray
            Any shape; integers or floats, in image units.
        out : ndarray, optional
            float32 of the same shape to write into; may be ``pixels`` itself.
        """
        if out is None:
            out = np.empty(pixels.shape, np.float32)
        if pixels.flags.c_contiguous and out.flags.c_contiguous:
            self._pieces(pixels.reshape(-1), out.reshape(-1))
        else:
            self._pieces(pixels, out)
        return out

    def invert(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return image units again; what was clipped stays clipped."""
        return (values.astype(np.float64) * self.scale + self.offset).astype(np.float32)

    def to_json(self) -> dict[str, float | None]:
        """Return plain JSON values; no limit is None."""
        return {
            "offset": self.offset,
            "scale": self.scale,
            "low": self.low if math.isfinite(self.low) else None,
            "high": self.high if math.isfinite(self.high) else None,
        }

    def _pieces(self, pixels: npt.NDArray[Any], out: npt.NDArray[np.float32]) -> None:
        if pixels.size <= BLOCK:
            self._block(pixels, out)
            return
        if len(pixels) == 1:
            self._pieces(pixels[0], out[0])
            return
        rows = max(1, BLOCK * len(pixels) // pixels.size)
        for start in range(0, len(pixels), rows):
            self._pieces(pixels[start : start + rows], out[start : start + rows])

    def _block(self, pixels: npt.NDArray[Any], out: npt.NDArray[np.float32]) -> None:
        exact_bytes = 4 if pixels.dtype.kind == "f" else 2  # float32 holds them without loss
        wide = pixels.dtype.itemsize > exact_bytes
        wide = wide or abs(self.offset) > PEDESTAL * abs(self.scale)
        y: npt.NDArray[Any] = np.empty(pixels.shape, np.float64) if wide else out
        np.copyto(y, pixels, casting="unsafe")
        if math.isfinite(self.low) or math.isfinite(self.high):
            np.clip(y, self.low, self.high, out=y)
        if pixels.dtype.kind == "f" and not np.isfinite(y).all():
            y[np.isnan(y)] = self.low if math.isfinite(self.low) else self.offset
            y[np.isinf(y)] = self.offset
        if self.unit != 1:
            np.divide(y, self.unit, out=y)
        np.subtract(y, self.offset / self.unit, out=y)
        np.divide(y, self.scale / self.unit, out=y)
        if wide:
            np.copyto(out, y, casting="unsafe")


class Statistics(Protocol):
    """Figures of one channel over one scope (plane, volume or series).

    Only finite values count. The *pooled* figures are over all channels that the network
    sees, for recipes that treat a picture as a whole.
    """

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the image."""

    def min_max(self) -> tuple[float, float]: ...
    def percentiles(self, *q: float) -> tuple[float, ...]: ...
    def mean_std(
        self, low: float = float("-inf"), high: float = float("inf")
    ) -> tuple[float, float]:
        """Mean and standard deviation of the values clipped to ``low``..``high``."""

    def pooled_min_max(self) -> tuple[float, float]: ...
    def pooled_percentiles(self, *q: float) -> tuple[float, ...]: ...
    def pooled_mean_std(
        self, low: float = float("-inf"), high: float = float("inf")
    ) -> tuple[float, float]: ...


class Normalizer(Protocol):
    """One way to normalise."""

    @property
    def name(self) -> str:
        """The value of the setting ``normalize``, without numbers."""

    def affine(self, statistics: Statistics, channel: int) -> Affine:
        """Return the map for the network's channel number ``channel``."""


@runtime_checkable
class Adjustable(Protocol):
    """A normalizer that takes numbers after its name and a colon."""

    def with_numbers(self, numbers: tuple[float, ...]) -> Normalizer:
        """Return one with these numbers (none: the defaults), or raise SettingsError."""

    def numbers(self) -> tuple[float, ...]:
        """Return the numbers that :meth:`with_numbers` takes back."""

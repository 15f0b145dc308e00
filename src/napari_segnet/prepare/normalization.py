"""A normalizer, fitted to an image: the affine map of each channel and plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_segnet.errors import ImageError, SettingsError
from napari_segnet.image import Image
from napari_segnet.prepare._affine import Affine, Normalizer
from napari_segnet.prepare.channels import ChannelMap
from napari_segnet.prepare.statistics import ImageStatistics, Scope, blocks, scope_figures

__all__ = ["OVER", "Normalization", "fit"]

OVER = ("volume", "plane", "series")
"""What the figures are taken over: all planes of a time point, each plane, or everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalization:
    """The affine maps of an image.

    Attributes
    ----------
    over : str
        One of ``OVER``.
    table : mapping of (int, int) to tuple of Affine
        By first time point and first plane of each scope: one map per network channel.
    """

    over: str
    table: Mapping[tuple[int, int], tuple[Affine, ...]]

    def affines(self, t: int = 0, z: int = 0) -> tuple[Affine, ...]:
        """Return the map of each network channel for a time point and plane."""
        place = {"volume": (t, 0), "plane": (t, z), "series": (0, 0)}[self.over]
        return self.table[place]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "over": self.over,
            "affines": [
                {"t": t, "z": z, "channels": [affine.to_json() for affine in affines]}
                for (t, z), affines in self.table.items()
            ],
        }


def fit(
    image: Image,
    channels: ChannelMap | tuple[int | str, ...],
    normalizer: Normalizer,
    over: str = "volume",
) -> Normalization:
    """Measure what a normalizer needs of an image; the image is read piece by piece.

    Only finite pixels count. A plane or volume that has none, in an image that has some,
    becomes 0 as a whole.

    Parameters
    ----------
    image : Image
        The image.
    channels : ChannelMap, or tuple of int or str
        One image channel for each network channel.
    normalizer : Normalizer
        What to do.
    over : str
        One of ``OVER``.

    Raises
    ------
    SettingsError
        If ``over`` is unknown.
    ImageError
        If a channel has no finite pixel at all.
    """
    if over not in OVER:
        raise SettingsError(f"normalize_over={over} is not known. Use one of: {', '.join(OVER)}.")
    if isinstance(channels, ChannelMap):
        channels = channels.channels
    for channel in dict.fromkeys(channels):
        _require_finite(image, channel)
    table = {}
    for place, scope in _scopes(image, over).items():
        blank = any(not _any_finite(image, c, scope) for c in dict.fromkeys(channels))
        table[place] = (
            (Affine(),) * len(channels) if blank else _fit_scope(image, channels, normalizer, scope)
        )
    return Normalization(over=over, table=table)


def _fit_scope(
    image: Image, channels: tuple[int | str, ...], normalizer: Normalizer, scope: Scope
) -> tuple[Affine, ...]:
    # As the network sees them: a channel used twice counts twice, unless it is the only one.
    seen = channels if len(set(channels)) > 1 else channels[:1]
    pooled = scope_figures(image, seen, scope) if len(seen) > 1 else None
    measured = {c: ImageStatistics(image, c, scope, pooled) for c in dict.fromkeys(channels)}
    return tuple(normalizer.affine(measured[c], i) for i, c in enumerate(channels))


def _scopes(image: Image, over: str) -> dict[tuple[int, int], Scope]:
    times, planes = range(image.sizes["t"]), range(image.sizes["z"])
    if over == "series":
        return {(0, 0): (times, slice(None))}
    if over == "volume":
        return {(t, 0): ((t,), slice(None)) for t in times}
    return {(t, z): ((t,), slice(z, z + 1)) for t in times for z in planes}


def _any_finite(image: Image, channel: int | str, scope: Scope) -> bool:
    """Look no further than the first finite pixel."""
    if image.dtype.kind != "f":
        return True
    return any(bool(np.isfinite(block).any()) for block in blocks(image, channel, scope))


def _require_finite(image: Image, channel: int | str) -> None:
    if _any_finite(image, channel, (range(image.sizes["t"]), slice(None))):
        return
    which = f"{image.name}, channel {channel}," if image.sizes["c"] > 1 else image.name
    raise ImageError(
        f"{which} has no finite pixel: all are NaN or infinite. Check how it was saved."
    )

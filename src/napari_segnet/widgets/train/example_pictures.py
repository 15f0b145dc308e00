"""Crops that a network learns from, as pictures: what it sees, and what it should answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Output

if TYPE_CHECKING:
    from napari_segnet.crops import Crop

__all__ = ["Panel", "panels"]

Panel = tuple[str, npt.NDArray[np.uint8]]
"""A title and a picture, uint8 ``(y, x, 3)``."""

STRETCH = (1.0, 99.8)
"""Percentiles that become black and white."""
GOLDEN = 0.618034
"""Steps of this share of the circle of hues keep neighbours in a list apart."""
STRIPE_PX = 4
UNSEEN = np.array((90, 70, 40), np.float32)
"""Stripes over what nobody has looked at."""


def panels(crop: Crop, outputs: tuple[Output, ...]) -> list[Panel]:
    """Return pictures of one crop; of a volume, of its middle plane.

    Parameters
    ----------
    crop : Crop
        As ``napari_segnet.train.preview`` returns it.
    outputs : tuple of Output
        What the channels of its targets are; none for a network that answers with boxes.
    """
    pixels, labels = crop.pixels, crop.labels
    edges = [(n - m) // 2 for n, m in zip(pixels.shape[1:], labels.shape, strict=True)]
    inner = tuple(slice(e, e + n) for e, n in zip(edges, labels.shape, strict=True))
    pixels, trusted, targets = pixels[(slice(None), *inner)], crop.trusted, crop.targets
    if labels.ndim == 3:
        z = labels.shape[0] // 2
        pixels, labels, trusted, targets = pixels[:, z], labels[z], trusted[:, z], targets[:, z]
    seen = trusted[0] > 0
    found = [("picture", _picture(pixels)), ("objects", _outlined(_picture(pixels), labels, seen))]
    first = 0
    for output in outputs if len(targets) else ():
        maps = targets[first : first + output.channels]
        first += output.channels
        found.append((output.role, _striped(_map(maps), seen)))
    return found


def _picture(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return three channels as colours, and any other number as their mean."""
    shown = pixels if len(pixels) == 3 else pixels.mean(0, keepdims=True)
    low, high = np.percentile(shown, STRETCH)
    grey = np.clip((shown - low) / max(float(high - low), 1e-9), 0, 1)
    return _bytes(np.broadcast_to(np.moveaxis(grey, 0, -1), (*pixels.shape[1:], 3)))


def _outlined(
    picture: npt.NDArray[np.uint8], labels: npt.NDArray[np.int32], seen: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    from skimage.segmentation import find_boundaries

    drawn = _striped(picture, seen)
    shown = np.where(seen, labels, 0)
    rim = find_boundaries(shown, mode="inner")  # type: ignore[no-untyped-call]
    drawn[rim] = _hues(shown[rim])
    return drawn


def _map(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return one channel as grey, several as one colour each (the first is background)."""
    if len(maps) == 1:
        return _bytes(np.repeat(maps[0][..., None], 3, axis=-1))
    kinds = maps.argmax(0) * (maps.max(0) > 0)
    return np.where(kinds[..., None] > 0, _hues(kinds), np.uint8(0)).astype(np.uint8)


def _striped(picture: npt.NDArray[np.uint8], seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    y, x = np.indices(seen.shape)
    stripe = ~seen & ((x + y) % (2 * STRIPE_PX) < STRIPE_PX)
    drawn = picture.copy()
    drawn[stripe] = _bytes((picture[stripe] / 255 + UNSEEN / 255) / 2)
    return drawn


def _hues(ids: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return a bright colour for each id."""
    turn = (ids[..., None] * GOLDEN + np.array((0, 1 / 3, 2 / 3))) % 1
    return _bytes(0.25 + 0.75 * np.clip(np.abs(6 * turn - 3) - 1, 0, 1))


def _bytes(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    whole: npt.NDArray[np.uint8] = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
    return whole

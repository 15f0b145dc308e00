"""Outlines over the image, to be looked at or shown: ``<stem>.outlines.png``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_segnet.overlay import overlay
from napari_segnet.writers._objects import planes_of
from napari_segnet.writers._result import Result

__all__ = ["OutlinesPictureWriter"]


class OutlinesPictureWriter:
    """A PNG twice as large as the image, of its middle plane; on black without the image."""

    name = "Outlines picture"
    ending = ".outlines.png"
    asked = "outlines"
    on_grid: bool | None = None

    def takes(self, result: Result) -> bool:
        """Only where it was asked for."""
        return self.asked in result.exports

    def write(self, path: Path, result: Result) -> None:
        """Write the picture."""
        from PIL import Image as Pillow

        planes = [*planes_of(result.segmentation)]
        t, z = planes[-1][0] // 2, planes[-1][1] // 2
        labels = next(plane for *place, plane in planes if place == [t, z])
        pixels = np.zeros(labels.shape, np.uint8)
        if result.image is not None:
            block = result.image.read(t=t, z=slice(z, z + 1))[0, :, 0]  # (c, y, x)
            colours = result.image.rgb and len(block) == 3 and block.dtype == np.uint8
            pixels = np.moveaxis(block, 0, -1) if colours else block[0]
        Pillow.fromarray(overlay(pixels, labels)).save(path, format="PNG")

"""Masks as Cellpose keeps them beside an image: ``<stem>_masks.tif``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_segnet.writers._result import Result
from napari_segnet.writers.ome_tiff import rows_last

__all__ = ["CellposeMasksWriter"]


class CellposeMasksWriter:
    """A plain TIFF of uint16, or uint32 beyond 65,535; Cellpose loads it with the image."""

    name = "Cellpose masks"
    ending = "_masks.tif"
    asked = "cellpose"
    on_grid: bool | None = None

    def takes(self, result: Result) -> bool:
        """Only where it was asked for."""
        return self.asked in result.exports

    def write(self, path: Path, result: Result) -> None:
        """Write the labels."""
        import tifffile

        made = result.segmentation
        labels, axes = rows_last(made.labels, made.axes)
        kind = np.uint16 if labels.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32
        tifffile.imwrite(
            path,
            labels.astype(kind),
            photometric="minisblack",  # three planes are no colours
            compression="zlib",
            metadata={"axes": axes.upper()},
        )

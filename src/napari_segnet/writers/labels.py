"""Labels of a run: ``<stem>.labels.tif``."""

from __future__ import annotations

from pathlib import Path

from napari_segnet.writers._result import Result
from napari_segnet.writers.ome_tiff import TILE, write_labels

__all__ = ["LabelsWriter"]


class LabelsWriter:
    """OME-TIFF of int32, with axes and pixel size."""

    name = "labels"
    ending = ".labels.tif"
    asked = ""
    on_grid: bool | None = False

    def takes(self, result: Result) -> bool:
        """Every result has labels; those on a medical grid are NIfTI, others may be OME-Zarr."""
        return result.grid is None and result.zarr is None

    def write(self, path: Path, result: Result) -> None:
        """Write them in tiles."""
        made = result.segmentation
        write_labels(
            path,
            made.labels,
            made.axes,
            made.pixel_size_um,
            tile=TILE,
            identity=f"labels of {result.identity}",
        )

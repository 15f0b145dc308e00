"""Labels of a run: ``<stem>.labels.tif``."""

from __future__ import annotations

from pathlib import Path

from napari_segnet.segmentation import Segmentation
from napari_segnet.writers._result import Result
from napari_segnet.writers.ome_tiff import TILE, write_labels

__all__ = ["LabelsWriter"]


def _tile(made: Segmentation) -> tuple[int, int]:
    """Return the edges of a file's tiles: a small picture is one, filled up to what TIFF takes."""
    height, width = (made.labels.shape[made.axes.index(axis)] for axis in "yx")
    return min(TILE[0], -(-height // 16) * 16), min(TILE[1], -(-width // 16) * 16)


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
            tile=_tile(made),
            identity=f"labels of {result.identity}",
        )

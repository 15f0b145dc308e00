"""The networks of Cellpose 1 to 3."""

from napari_segnet.families.cellpose.family import CellposeNet

__all__ = ["CellposeNet"]

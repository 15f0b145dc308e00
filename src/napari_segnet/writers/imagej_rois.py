"""Outlines for the ROI Manager of ImageJ and Fiji: ``<stem>.rois.zip``."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_segnet.outlines import Ring, rings
from napari_segnet.writers._objects import Planar, planar_objects
from napari_segnet.writers._result import Result

if TYPE_CHECKING:
    from roifile import ImagejRoi

__all__ = ["ImagejRoisWriter", "roi_of"]

MOST_CLASS = 255
"""Groups of ImageJ are one byte."""
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest time of a zip: the same labels make the same bytes."""
MOVE, LINE, CLOSE = 0.0, 1.0, 4.0
"""Segments of java.awt.geom.PathIterator, as a composite ROI holds them."""


class ImagejRoisWriter:
    """One ROI per object and plane, exact to the pixel, holes and several pieces included.

    Its name is the label, its group the class, its position the plane.
    """

    name = "ImageJ ROI set"
    ending = ".rois.zip"
    asked = "roi"
    on_grid: bool | None = None

    def takes(self, result: Result) -> bool:
        """Only where it was asked for."""
        return self.asked in result.exports

    def write(self, path: Path, result: Result) -> None:
        """Write a zip of ROIs."""
        made = result.segmentation
        front = [a for a in "tz" if a in made.axes]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for one in planar_objects(made):
                roi = roi_of(one)
                roi.group = min(MOST_CLASS, max(0, made.label_class.get(one.label, 0)))
                if front == ["t", "z"]:
                    roi.t_position, roi.z_position = one.t + 1, one.z + 1
                elif front:  # a stack of one kind has slices only
                    roi.position = 1 + (one.t if front == ["t"] else one.z)
                plane = "".join(f"-{a}{getattr(one, a) + 1:04}" for a in front)
                entry = zipfile.ZipInfo(f"{one.label}{plane}.roi", LONG_AGO)
                entry.compress_type = zipfile.ZIP_DEFLATED
                file.writestr(entry, roi.tobytes())


def roi_of(one: Planar) -> ImagejRoi:
    """Return the exact outline of an object, its box included."""
    from roifile import ROI_TYPE, ImagejRoi

    y0, x0 = one.box[0].start, one.box[1].start
    loops = [[(x + x0, y + y0) for x, y in ring] for part in rings(one.mask) for ring in part]
    if len(loops) == 1:
        roi = ImagejRoi.frompoints(np.array(loops[0], np.int32), name=str(one.label))
        roi.roitype = ROI_TYPE.TRACED  # what the wand makes: corners lie between pixels
    else:
        roi = ImagejRoi()
        roi.name = str(one.label)
        roi.roitype = ROI_TYPE.RECT
        roi.multi_coordinates = np.array(
            [number for loop in loops for number in _path(loop)], np.float32
        )
        roi.shape_roi_size = len(roi.multi_coordinates)
    roi.top, roi.left = y0, x0
    roi.bottom, roi.right = one.box[0].stop, one.box[1].stop
    return roi


def _path(loop: Ring) -> list[float]:
    first, *rest = loop
    path = [MOVE, *map(float, first)]
    for corner in rest:
        path += [LINE, *map(float, corner)]
    return [*path, CLOSE]

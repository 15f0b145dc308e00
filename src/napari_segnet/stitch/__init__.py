"""Tiles become one answer: maps pixel by pixel, detections object by object."""

from napari_segnet.stitch.instances import Part, merge_instances
from napari_segnet.stitch.maps import (
    BlendedSink,
    ScaledSink,
    Seams,
    UnitSink,
    blend_weight,
    stitch_maps,
)

__all__ = [
    "BlendedSink",
    "Part",
    "ScaledSink",
    "Seams",
    "UnitSink",
    "blend_weight",
    "merge_instances",
    "stitch_maps",
]

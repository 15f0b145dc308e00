"""Tiles become one answer: maps pixel by pixel, detections object by object."""

from napari_segnet.stitch.instances import Part, merge_instances

__all__ = ["Part", "merge_instances"]

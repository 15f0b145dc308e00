"""Result: a segmentation on its way to the disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from napari_segnet.grid import Grid
from napari_segnet.image import Image
from napari_segnet.measure import Table
from napari_segnet.segmentation import Instances, Maps, Segmentation
from napari_segnet.writers.ome_zarr import ZarrPlace

__all__ = ["Result"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What is to be written.

    Attributes
    ----------
    segmentation : Segmentation
        Labels and their origin.
    maps : Maps or None
        The network's answer, where it is to be written too and is maps.
    instances : Instances or None
        The same where it is detections.
    table : Table or None
        Measurements of the objects, where they are to be written too.
    image : Image or None
        What the labels are of, for a picture of both.
    zarr : ZarrPlace or None
        Where the labels go as OME-Zarr; then they are in no file besides.
    exports : frozenset of str
        What else is to be written: ``asked`` of writers for other programs.
    """

    segmentation: Segmentation
    maps: Maps | None = None
    instances: Instances | None = None
    table: Table | None = None
    image: Image | None = None
    zarr: ZarrPlace | None = None
    exports: frozenset[str] = frozenset()

    @cached_property
    def grid(self) -> Grid | None:
        """Where a medical image's voxels lie, as its origin keeps it; None for others."""
        kept = self.segmentation.origin.image.get("grid")
        return None if kept is None else Grid.from_json(kept)

    @cached_property
    def identity(self) -> str:
        """What is the same for a repeated run, and for no other."""
        labels, origin = self.segmentation.labels, self.segmentation.origin
        digest = hashlib.blake2b(np.ascontiguousarray(labels).data, digest_size=16)
        names = [origin.image.get("name"), origin.checkpoint.get("sha256")]
        digest.update(json.dumps([*names, self.segmentation.axes]).encode())
        return digest.hexdigest()

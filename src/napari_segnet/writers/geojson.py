"""Outlines for QuPath: ``<stem>.geojson``."""

from __future__ import annotations

import json
import math
import uuid
from pathlib import Path
from typing import Any

from napari_segnet.atomic import write_text
from napari_segnet.outlines import Ring, rings
from napari_segnet.segmentation import Segmentation
from napari_segnet.writers._objects import Planar, planar_objects
from napari_segnet.writers._result import Result

__all__ = ["GeoJsonWriter"]


class GeoJsonWriter:
    """A feature per object and plane, as QuPath imports and exports detections.

    Corners are those of pixels, in pixels from the upper left corner of the image. The name is the
    label, the classification the name of the class, and the score a measurement.
    https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html
    """

    name = "GeoJSON (QuPath)"
    ending = ".geojson"
    asked = "geojson"
    on_grid: bool | None = None

    def takes(self, result: Result) -> bool:
        """Only where it was asked for."""
        return self.asked in result.exports

    def write(self, path: Path, result: Result) -> None:
        """Write a collection of features."""
        made = result.segmentation
        features = [_feature(one, made, result.identity) for one in planar_objects(made)]
        collection = {"type": "FeatureCollection", "features": features}
        write_text(path, json.dumps(collection, allow_nan=False, ensure_ascii=False) + "\n")


def _feature(one: Planar, made: Segmentation, identity: str) -> dict[str, Any]:
    properties: dict[str, Any] = {"objectType": "detection", "name": str(one.label)}
    number = made.label_class.get(one.label, 0)
    if number > 0:
        names = made.class_names
        named = names[number] if number < len(names) else f"class {number}"
        properties["classification"] = {"name": named}
    score = made.label_score.get(one.label, math.nan)
    if math.isfinite(score):
        properties["measurements"] = {"score": float(score)}
    plane = f"{identity} {one.label} {one.t} {one.z}"
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, plane)),
        "geometry": _geometry(one, stack=made.labels.ndim > 2),
        "properties": properties,
    }


def _geometry(one: Planar, *, stack: bool) -> dict[str, Any]:
    y0, x0 = one.box[0].start, one.box[1].start
    parts = [[_closed(ring, x0, y0) for ring in part] for part in rings(one.mask)]
    several = len(parts) > 1
    geometry: dict[str, Any] = {
        "type": "MultiPolygon" if several else "Polygon",
        "coordinates": parts if several else parts[0],
    }
    if stack:
        geometry["plane"] = {"c": -1, "z": one.z, "t": one.t}  # of all channels
    return geometry


def _closed(ring: Ring, x0: int, y0: int) -> list[list[int]]:
    """Return a ring whose first corner is repeated, as GeoJSON has it."""
    return [[x + x0, y + y0] for x, y in (*ring, ring[0])]

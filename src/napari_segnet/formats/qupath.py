"""QuPath: a GeoJSON beside each picture, with annotations or detections.

https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html. Corners are in
pixels from the upper left corner; the classification's name is the class.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from napari_segnet.atomic import write_text, write_whole
from napari_segnet.budget import parsed_json
from napari_segnet.errors import DatasetError
from napari_segnet.formats._beside import beside, roots
from napari_segnet.formats._drawn import OBJECT, Drawing, class_name
from napari_segnet.formats._pair import Found, Pair
from napari_segnet.formats._pictures import save_image
from napari_segnet.outlines import rings
from napari_segnet.writers._objects import objects_in

__all__ = ["QuPath"]

ENDING = ".geojson"


class QuPath:
    """The format; see the module's docstring."""

    name = "geojson"
    title = "QuPath: a GeoJSON beside each image"
    ndim: tuple[int, ...] = (2,)
    trusted = False
    keeps_objects = True
    lossless = True
    reserved: tuple[str, ...] = ()

    def detect(self, path: Path) -> bool:
        """Tell by files that end so."""
        return any(_files(root) for root in roots(path))

    def find(self, path: Path) -> Found:
        """List the files, each with its picture."""
        return beside(path, _files, _drawings, "GeoJSON")

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write pictures with their features, each side of the split as a folder."""
        for pair in pairs:
            root = folder / (pair.split or "train")
            save_image(root / f"{pair.name}.tif", pair.image)
            content = {"type": "FeatureCollection", "features": _features(pair)}
            text = json.dumps(content, ensure_ascii=False)
            write_whole(root / f"{pair.name}{ENDING}", partial(write_text, text=text))
            yield pair.name


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if root.name.lower().endswith(ENDING) else []
    return sorted(p for p in root.iterdir() if p.name.lower().endswith(ENDING) and p.is_file())


def _features(pair: Pair) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for label, box, mask in objects_in(pair.labels[0, 0]):
        y0, x0 = box[0].start, box[1].start
        parts = [
            [[[x + x0, y + y0] for x, y in (*ring, ring[0])] for ring in part]
            for part in rings(mask)
        ]
        several = len(parts) > 1
        kind = class_name(label, pair.classes, pair.class_names)
        found.append(
            {
                "type": "Feature",
                "geometry": {
                    "type": "MultiPolygon" if several else "Polygon",
                    "coordinates": parts if several else parts[0],
                },
                "properties": {
                    "objectType": "annotation",
                    "name": str(label),
                    **({} if kind == OBJECT else {"classification": {"name": kind}}),
                },
            }
        )
    return found


def _drawings(file: Path) -> list[Drawing]:
    """Return what a file holds: a collection, a list of features, or one."""
    try:
        content = parsed_json(file.read_bytes(), nan=True)
        rows = content if isinstance(content, list) else content.get("features", [content])
        return [_drawing(file, number, row) for number, row in enumerate(rows, start=1)]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"{file} cannot be understood as a GeoJSON ({error!r}). Export it again."
        ) from error


def _drawing(file: Path, number: int, row: Mapping[str, Any]) -> Drawing:
    about = row.get("properties") or {}
    kind = about.get("classification") or {}
    # Old versions wrote the name alone.
    named = str(kind.get("name", OBJECT)) if isinstance(kind, Mapping) else str(kind)
    name = f"{about.get('name') or number} ({named}) in {file.name}"
    shape = row.get("geometry") or {}
    how = str(shape.get("type"))
    if how not in ("Polygon", "MultiPolygon"):
        return Drawing(name=name, kind=named, fault=f"is a {how}, which covers no area")
    try:
        parts = [shape["coordinates"]] if how == "Polygon" else shape["coordinates"]
        loops = [[float(n) for corner in ring for n in corner[:2]] for p in parts for ring in p[:1]]
        holes = [[float(n) for corner in ring for n in corner[:2]] for p in parts for ring in p[1:]]
    except (ValueError, KeyError, TypeError) as error:
        return Drawing(name=name, kind=named, fault=f"has no usable outline ({error})")
    return Drawing(name=name, kind=named, loops=tuple(loops), holes=tuple(holes))

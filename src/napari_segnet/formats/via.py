"""VGG Image Annotator: one JSON with the regions of all pictures of a folder.

https://www.robots.ox.ac.uk/~vgg/software/via: annotations as exported, or a whole project.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from napari_segnet.atomic import write_text, write_whole
from napari_segnet.budget import parsed_json
from napari_segnet.errors import DatasetError
from napari_segnet.formats._drawn import OBJECT, Drawing, circle, loops_of, pair_of, rectangle
from napari_segnet.formats._find_picture import PictureFinder
from napari_segnet.formats._pair import Entry, Found, Pair
from napari_segnet.formats._pictures import save_image, side_named

__all__ = ["Via"]

NAME = "via_region_data.json"
"""As VIA itself calls it."""
PROJECT = "_via_img_metadata"
ATTRIBUTE = "class"


class Via:
    """The format; see the module's docstring."""

    name = "via"
    title = "VGG Image Annotator JSON"
    ndim: tuple[int, ...] = (2,)
    trusted = False
    keeps_objects = True
    lossless = False
    reserved: tuple[str, ...] = ()

    def detect(self, path: Path) -> bool:
        """Tell by a JSON that gives files regions."""
        return any(_rows(file) for file in _jsons(path))

    def find(self, path: Path) -> Found:
        """List the pictures of every JSON."""
        entries: list[Entry] = []
        for file in _jsons(path):
            rows = _rows(file)
            attribute = _attribute(rows)
            finder = PictureFinder(file, path if path.is_dir() else file.parent)
            side = file.parent.name if path.is_dir() and file.parent != path else file.stem
            entries += [_entry(file, row, attribute, finder, side) for row in rows]
        return Found(entries=tuple(entries))

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write each side of the split as a folder of pictures with its JSON."""
        sides: dict[str, dict[str, Any]] = {}
        for pair in pairs:
            side: str = pair.split or "train"
            path = folder / side / f"{pair.name}.tif"
            save_image(path, pair.image)
            size = path.stat().st_size
            sides.setdefault(side, {})[f"{path.name}{size}"] = {
                "filename": path.name,
                "size": size,
                "regions": [
                    {
                        "shape_attributes": {
                            "name": "polygon",
                            "all_points_x": loop.corners[::2],
                            "all_points_y": loop.corners[1::2],
                        },
                        "region_attributes": {ATTRIBUTE: loop.kind},
                    }
                    for loop in loops_of(pair)
                ],
                "file_attributes": {},
            }
            yield pair.name
        for side, rows in sides.items():
            text = json.dumps(rows, ensure_ascii=False)
            write_whole(folder / side / NAME, partial(write_text, text=text))


def _jsons(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" else []
    if not path.is_dir():
        return []
    sides = sorted(p for p in path.iterdir() if p.is_dir() and side_named(p.name) is not None)
    found = (file for root in (path, *sides) for file in sorted(root.glob("*.json")))
    return [file for file in found if file.is_file() and not file.name.startswith(".")]


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the files of a JSON of VIA; empty if it is none."""
    data = path.read_bytes()
    if b'"regions"' not in data or b'"filename"' not in data:
        return []
    try:
        content = parsed_json(data, nan=True)
    except (ValueError, RecursionError):
        return []
    if isinstance(content, dict) and isinstance(content.get(PROJECT), dict):
        content = content[PROJECT]
    rows = list(content.values()) if isinstance(content, dict) else []
    return [r for r in rows if isinstance(r, dict) and {"filename", "regions"} <= set(r)]


def _regions(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the regions of a file; version 1 numbers them in an object."""
    regions = row["regions"]
    found = list(regions.values()) if isinstance(regions, dict) else list(regions or [])
    return [region for region in found if isinstance(region, dict)]


def _attribute(rows: list[dict[str, Any]]) -> str | None:
    """Return the attribute that says the class: the one that most regions have."""
    count = Counter(
        key
        for row in rows
        for region in _regions(row)
        for key, value in (region.get("region_attributes") or {}).items()
        if isinstance(value, str) and value
    )
    return count.most_common(1)[0][0] if count else None


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _entry(
    file: Path, row: dict[str, Any], attribute: str | None, finder: PictureFinder, side: str
) -> Entry:
    name = str(row["filename"])

    def read() -> Pair:
        try:
            drawings = [
                _drawing(f"{number} of {name} in {file.name}", region, attribute)
                for number, region in enumerate(_regions(row), start=1)
            ]
        except (AttributeError, TypeError) as error:
            raise DatasetError(
                f"The regions of {name} in {file} cannot be understood ({error}). Export the "
                "annotations again."
            ) from error
        return pair_of(finder.find(name), drawings, None, side_named(side))

    return Entry(name=name, read=read)


def _drawing(name: str, region: dict[str, Any], attribute: str | None) -> Drawing:
    given = (region.get("region_attributes") or {}).get(attribute) if attribute else None
    kind = str(given) if given else OBJECT
    shape = region.get("shape_attributes") or {}
    how = shape.get("name")
    try:
        numbers = {k: float(v) for k, v in shape.items() if k != "name" and not _is_list(v)}
        if how == "polygon":
            xs, ys = shape["all_points_x"], shape["all_points_y"]
            corners = [float(n) for point in zip(xs, ys, strict=True) for n in point]
        elif how == "rect":
            x, y = numbers["x"], numbers["y"]
            corners = rectangle(x, y, x + numbers["width"], y + numbers["height"])
        elif how == "circle":
            corners = circle(numbers["cx"], numbers["cy"], numbers["r"], numbers["r"])
        elif how == "ellipse":
            turn = math.radians(numbers.get("theta", 0.0))  # VIA 2 has degrees
            corners = circle(numbers["cx"], numbers["cy"], numbers["rx"], numbers["ry"], turn)
        else:
            return Drawing(name=name, kind=kind, fault=f"is a {how}, which covers no area")
    except (ValueError, KeyError, TypeError) as error:
        return Drawing(name=name, kind=kind, fault=f"has no usable outline ({error!r})")
    return Drawing(name=name, kind=kind, loops=(corners,))

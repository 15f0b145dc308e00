"""labelme: a JSON beside each picture, with polygons and boxes.

https://github.com/wkentaro/labelme; ``imagePath`` names the picture, ``shapes`` holds what was
drawn. Shapes of one label and ``group_id`` are one object.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_segnet.atomic import write_text, write_whole
from napari_segnet.budget import parsed_json
from napari_segnet.errors import DatasetError
from napari_segnet.formats._drawn import Drawing, circle, loops_of, pair_of, rectangle
from napari_segnet.formats._find_picture import PictureFinder
from napari_segnet.formats._pair import Entry, Found, Pair, Remark
from napari_segnet.formats._pictures import pictures, save_image, side_named
from napari_segnet.outlines import outlines

__all__ = ["LabelMe"]

VERSION = "5.5.0"
"""Of labelme, whose files ours are like."""
ENOUGH = 5
"""Files that are looked at to tell what kind they are of."""


class LabelMe:
    """The format; see the module's docstring."""

    name = "labelme"
    title = "labelme: a JSON beside each image"
    ndim: tuple[int, ...] = (2,)
    trusted = False
    keeps_objects = True
    lossless = False
    reserved: tuple[str, ...] = ()

    def detect(self, path: Path) -> bool:
        """Tell by a JSON that has shapes and the path of an image."""
        return any(_is_ours(file) for root in _roots(path) for file in _jsons(root)[:ENOUGH])

    def find(self, path: Path) -> Found:
        """List the JSONs; pictures beside them that have none are said."""
        entries: list[Entry] = []
        left_out: list[Remark] = []
        for root in _roots(path):
            files = [file for file in _jsons(root) if _is_ours(file)]
            entries += [_entry(file, path, root) for file in files]
            drawn = {file.stem for file in files}
            if files and root.is_dir():
                why = "has no JSON of labelme beside it"
                rest = (p for p in pictures(root) if p.stem not in drawn)
                left_out += [Remark(kind="image", what=p.name, why=why) for p in rest]
        return Found(entries=tuple(entries), left_out=tuple(left_out))

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write pictures with their JSONs, each side of the split as a folder."""
        for pair in pairs:
            root = folder / (pair.split or "train")
            save_image(root / f"{pair.name}.tif", pair.image)
            text = json.dumps(_content(pair), ensure_ascii=False, indent=1)
            write_whole(root / f"{pair.name}.json", partial(write_text, text=text))
            yield pair.name


def _content(pair: Pair) -> dict[str, Any]:
    height, width = pair.labels.shape[-2:]
    shapes: list[dict[str, Any]] = [
        {
            "label": loop.kind,
            "points": np.reshape(loop.corners, (-1, 2)).tolist(),
            "group_id": loop.label if loop.parts > 1 else None,
            "shape_type": "polygon",
            "flags": {},
        }
        for loop in loops_of(pair)
    ]
    return {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": f"{pair.name}.tif",
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def _roots(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        return []
    return [path, *sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))]


def _jsons(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if root.suffix.lower() == ".json" else []
    return sorted(p for p in root.glob("*.json") if p.is_file() and not p.name.startswith("."))


def _is_ours(path: Path) -> bool:
    head = path.read_bytes()
    return b'"shapes"' in head and b'"imagePath"' in head


def _entry(file: Path, path: Path, root: Path) -> Entry:
    top = path if path.is_dir() else file.parent
    split = side_named(root.name) if root not in (path, file) else None

    def read() -> Pair:
        try:
            content = parsed_json(file.read_bytes(), nan=True)
            shapes = content["shapes"]
            picture = PictureFinder(file, top).find(str(content["imagePath"]))
            drawings = _drawings(file, shapes)
            size = tuple(int(float(content.get(k) or 0)) for k in ("imageHeight", "imageWidth"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DatasetError(
                f"{file} cannot be understood as a JSON of labelme ({error!r}). Save it again."
            ) from error
        return pair_of(picture, drawings, (size[0], size[1]) if all(size) else None, split)

    return Entry(name=file.name, read=read)


def _drawings(file: Path, shapes: list[dict[str, Any]]) -> list[Drawing]:
    """Return what was drawn; shapes of one label and group are one object."""
    found: dict[tuple[str, object], Drawing] = {}
    for number, shape in enumerate(shapes, start=1):
        kind, group = str(shape.get("label")), shape.get("group_id")
        drawing = _drawing(f"{number} ({kind}) in {file.name}", kind, shape)
        key = (kind, ("alone", number) if group is None or drawing.fault else group)
        if key in found:
            drawing = Drawing(
                name=found[key].name, kind=kind, loops=(*found[key].loops, *drawing.loops)
            )
        found[key] = drawing
    return list(found.values())


def _drawing(name: str, kind: str, shape: dict[str, Any]) -> Drawing:
    how = shape.get("shape_type") or "polygon"
    try:
        points = np.asarray(shape["points"], float).reshape(-1, 2)
        if how == "polygon":
            loops: tuple[Any, ...] = (points.reshape(-1),)
        elif how == "rectangle" and len(points) >= 2:
            loops = (rectangle(*points.min(0), *points.max(0)),)
        elif how == "circle" and len(points) == 2:
            radius = float(np.hypot(*(points[1] - points[0])))
            loops = (circle(float(points[0, 0]), float(points[0, 1]), radius, radius),)
        elif how == "mask":
            loops = tuple(_mask_loops(shape, points))
        else:
            return Drawing(name=name, kind=kind, fault=f"is a {how}, which covers no area")
    except (ValueError, KeyError, TypeError, OSError, SyntaxError) as error:
        return Drawing(name=name, kind=kind, fault=f"has no usable outline ({error})")
    return Drawing(name=name, kind=kind, loops=loops)


def _mask_loops(shape: dict[str, Any], points: Any) -> list[list[float]]:
    """Return the outlines of a mask, which is a PNG in the box of its points."""
    from PIL.PngImagePlugin import PngImageFile

    with PngImageFile(io.BytesIO(base64.b64decode(shape["mask"]))) as picture:
        picture.load()
        mask = np.asarray(picture.convert("L")) > 0
    x, y = points.min(0)
    return [[n + (x, y)[i % 2] for i, n in enumerate(loop)] for loop in outlines(mask)]

"""Label Studio's own JSON: tasks with what was drawn on their pictures, in percent of their size.

https://labelstud.io/guide/task_format: a list of tasks (export "JSON"), the same without the
frame (export "JSON-MIN"), or one annotation a file, as its storages write.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from napari_segnet.atomic import write_text, write_whole
from napari_segnet.budget import parsed_json
from napari_segnet.errors import DatasetError
from napari_segnet.formats._drawn import OBJECT, Drawing, circle, loops_of, pair_of, rectangle
from napari_segnet.formats._find_picture import PictureFinder, plain_name
from napari_segnet.formats._label_studio_rle import alpha_of
from napari_segnet.formats._pair import Entry, Found, Pair, Remark
from napari_segnet.formats._pictures import save_image, side_named

__all__ = ["LabelStudio"]

NAME = "label_studio.json"
FULL = ("annotations", "completions")
"""What people drew; the second is the word of version 0.8."""
NO_AREA = ("keypoint", "vector")
NO_SHAPE = ("labels", "choices", "taxonomy", "textarea", "number", "rating", "relation", "pairwise")
"""Say something about a shape or the picture."""
SIZE = ("original_height", "original_width")

Row = dict[str, Any]


class LabelStudio:
    """The format; see the module's docstring."""

    name = "label-studio"
    title = "Label Studio JSON"
    ndim: tuple[int, ...] = (2,)
    trusted = False
    keeps_objects = True
    lossless = False
    reserved: tuple[str, ...] = ()

    def detect(self, path: Path) -> bool:
        """Tell by a JSON of tasks."""
        return any(_tasks(file) for file in _jsons(path))

    def find(self, path: Path) -> Found:
        """List the pictures of every task that somebody annotated; the others are said."""
        entries: list[Entry] = []
        left_out: list[Remark] = []
        remarks: list[Remark] = []
        for file in _jsons(path):
            finder = PictureFinder(file, path if path.is_dir() else file.parent)
            side = file.parent.name if path.is_dir() and file.parent != path else file.stem
            for number, task in enumerate(_tasks(file), start=1):
                name, results = _picture_of(task), _results(task, remarks)
                what = f"{name or task.get('id', number)} in {file.name}"
                if not name:
                    why = "names no image"
                    left_out.append(Remark(kind="task", what=what, why=why))
                elif results is None:
                    why = "has no annotation that was submitted"
                    left_out.append(Remark(kind="task", what=what, why=why))
                else:
                    entries.append(_entry(file, name, results, finder, side))
        return Found(entries=tuple(entries), left_out=tuple(left_out), remarks=tuple(remarks))

    def write(self, pairs: Iterator[Pair], folder: Path) -> Iterator[str]:
        """Write each side of the split as a folder of pictures with its JSON."""
        sides: dict[str, list[Row]] = {}
        for pair in pairs:
            side: str = pair.split or "train"
            save_image(folder / side / f"{pair.name}.tif", pair.image)
            tasks = sides.setdefault(side, [])
            tasks.append(_task(pair, len(tasks) + 1))
            yield pair.name
        for side, tasks in sides.items():
            text = json.dumps(tasks, ensure_ascii=False)
            write_whole(folder / side / NAME, partial(write_text, text=text))


def _task(pair: Pair, number: int) -> Row:
    height, width = pair.labels.shape[-2:]
    results = [
        {
            "id": f"{number}-{index}",
            "type": "polygonlabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "points": [
                    [100 * x / width, 100 * y / height]
                    for x, y in zip(loop.corners[::2], loop.corners[1::2], strict=True)
                ],
                "closed": True,
                "polygonlabels": [loop.kind],
            },
        }
        for index, loop in enumerate(loops_of(pair))
    ]
    image = f"/data/local-files/?d={pair.name}.tif"
    return {"id": number, "data": {"image": image}, "annotations": [{"result": results}]}


# ---- In ----


def _jsons(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".json" else []
    if not path.is_dir():
        return []
    sides = sorted(p for p in path.iterdir() if p.is_dir() and side_named(p.name) is not None)
    found = (file for root in (path, *sides) for file in sorted(root.glob("*.json")))
    return [file for file in found if file.is_file() and not file.name.startswith(".")]


def _tasks(path: Path) -> list[Row]:
    """Return the tasks of a JSON in the form of the full export; empty if it is none."""
    try:
        content = parsed_json(path.read_bytes(), nan=True)
    except (ValueError, RecursionError):
        return []
    rows = content if isinstance(content, list) else [content]
    found = [_full(row) for row in rows if isinstance(row, dict)]
    return [task for task in found if task is not None]


def _full(row: Row) -> Row | None:
    data = row.get("data")
    if isinstance(data, dict) and any(isinstance(row.get(key), list) for key in FULL):
        return row
    task = row.get("task")
    if isinstance(row.get("result"), list) and isinstance(task, dict):  # one annotation a file
        return {"id": task.get("id"), "data": task.get("data") or {}, "annotations": [row]}
    drawn = [
        (key, shape)
        for key, shapes in row.items()
        if isinstance(shapes, list)
        for shape in shapes
        if isinstance(shape, dict) and SIZE[1] in shape
    ]
    if not drawn:
        return None
    results = [{**shape, "value": shape, "type": _type_of(shape)} for _, shape in drawn]
    return {"id": row.get("id"), "data": row, "annotations": [{"result": results}]}


def _type_of(value: Mapping[str, Any]) -> str:
    """Return the type of a shape of JSON-MIN, which the key of its labels says."""
    return next((key for key in value if key.endswith("labels") and key != "labels"), "")


def _picture_of(task: Row) -> str:
    from napari_segnet.readers import ends_as_image

    data = {k: v for k, v in task["data"].items() if isinstance(v, str) and v.strip()}
    named = data.get("image") or data.get("img")
    pictures = (v for v in data.values() if ends_as_image(Path(str(plain_name(v)))))
    return named or next(pictures, "")


def _results(task: Row, remarks: list[Remark]) -> list[Row] | None:
    """Return what was drawn in the annotation that counts; None where nobody submitted one."""
    rows: list[Any] = next((task[key] for key in FULL if isinstance(task.get(key), list)), [])
    good = [
        row
        for row in rows
        if isinstance(row, dict)
        and isinstance(row.get("result"), list)
        and not row.get("was_cancelled")
        and not row.get("skipped")
    ]
    if not good:
        return None
    if len(good) > 1:
        why = (
            "was annotated several times, of which one is taken: the one marked as ground truth, "
            "else the latest"
        )
        remarks.append(Remark(kind="image", what=_picture_of(task), why=why))
    chosen = max(
        enumerate(good),
        key=lambda at: (
            at[1].get("ground_truth") is True,
            str(at[1].get("updated_at") or at[1].get("created_at") or ""),
            at[0],
        ),
    )[1]
    return [row for row in chosen["result"] if isinstance(row, dict)]


def _entry(file: Path, name: str, results: list[Row], finder: PictureFinder, side: str) -> Entry:
    def read() -> Pair:
        try:
            size = _size(results)
            drawings = _drawings(f"of {name} in {file.name}", results)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise DatasetError(
                f"What is drawn on {name} in {file} cannot be understood ({error!r}). Export the "
                "annotations again."
            ) from error
        return pair_of(finder.find(name), drawings, size, side_named(side))

    return Entry(name=name, read=read)


def _size(results: list[Row]) -> tuple[int, int] | None:
    stated = {tuple(int(float(row.get(key) or 0)) for key in SIZE) for row in results}
    good = [(height, width) for height, width in stated if height > 0 and width > 0]
    if len(good) > 1:
        raise ValueError(f"its shapes say several sizes of the image: {sorted(good)}")
    return good[0] if good else None


def _drawings(of: str, results: list[Row]) -> list[Drawing]:
    """Return what was drawn; a shape and its label may be two results of one id."""
    labels: dict[Any, str] = {}
    for row in results:
        kind = _label(row)
        if kind and row.get("id") is not None:
            labels.setdefault(row["id"], kind)
    found = []
    for number, row in enumerate(results, start=1):
        if row.get("type") in NO_SHAPE:
            continue
        kind = _label(row) or labels.get(row.get("id"), OBJECT)
        found.append(_drawing(f"{number} {of}", kind, row))
    return found


def _label(row: Row) -> str:
    value, how = row.get("value"), row.get("type")
    labels = value.get(how) if isinstance(value, dict) and isinstance(how, str) else None
    return str(labels[0]) if isinstance(labels, list) and labels and how != "choices" else ""


def _drawing(name: str, kind: str, row: Row) -> Drawing:
    how = str(row.get("type") or "").removesuffix("labels") or "shape without a type"
    if float(row.get("image_rotation") or 0) % 360:
        why = "was drawn on an image that was turned in Label Studio; turn the image itself"
        return Drawing(name=name, kind=kind, fault=why)
    if how in NO_AREA:
        return Drawing(name=name, kind=kind, fault=f"is a {how}, which covers no area")
    try:
        value = row["value"]
        height, width = (float(row[key]) for key in SIZE)
        if how == "brush":
            mask = alpha_of(value["rle"], (int(height), int(width)))
            return Drawing(name=name, kind=kind, mask=mask)
        return Drawing(name=name, kind=kind, loops=(_corners(how, value, width, height),))
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        return Drawing(name=name, kind=kind, fault=f"has no usable outline ({error})")


def _corners(how: str, value: Row, width: float, height: float) -> list[float]:
    """Return corners in pixels; all that is told is in percent of the width or the height."""
    if how not in ("polygon", "rectangle", "ellipse"):
        raise ValueError(f"a {how} is none of polygon, rectangle, ellipse and brush")
    if how == "polygon":
        return [
            float(n) * side / 100
            for point in value["points"]
            for n, side in zip(point, (width, height), strict=True)
        ]
    x, y = float(value["x"]) * width / 100, float(value["y"]) * height / 100
    turn = math.radians(float(value.get("rotation") or 0))
    if how == "rectangle":
        across, down = float(value["width"]) * width / 100, float(value["height"]) * height / 100
        corners = rectangle(0, 0, across, down)  # turned about its first corner
        cos, sin = math.cos(turn), math.sin(turn)
        return [
            n
            for a, b in zip(corners[::2], corners[1::2], strict=True)
            for n in (x + a * cos - b * sin, y + a * sin + b * cos)
        ]
    rx, ry = float(value["radiusX"]) * width / 100, float(value["radiusY"]) * height / 100
    return circle(x, y, rx, ry, turn)

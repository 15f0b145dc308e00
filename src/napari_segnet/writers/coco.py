"""One image in COCO's JSON, with run lengths: ``<stem>.coco.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.atomic import write_text
from napari_segnet.rle import counts_of, to_text
from napari_segnet.writers._objects import objects_in, planes_of
from napari_segnet.writers._result import Result

__all__ = ["OBJECT", "CocoWriter", "categories", "coco_annotations", "run_lengths"]

OBJECT = "object"
"""What the category is called where objects have no classes."""


class CocoWriter:
    """Annotations as https://cocodataset.org/#format-data has them; a plane is an image.

    Run lengths are exact, holes and several pieces included. An annotation holds its label, and its
    score where there is one.
    """

    name = "COCO"
    ending = ".coco.json"
    asked = "coco"
    on_grid: bool | None = None

    def takes(self, result: Result) -> bool:
        """Only where it was asked for."""
        return self.asked in result.exports

    def write(self, path: Path, result: Result) -> None:
        """Write the JSON; the picture is named, not copied."""
        made = result.segmentation
        source = made.origin.image.get("source") or f"{made.origin.image.get('name', 'image')}.tif"
        images: list[dict[str, Any]] = []
        found: list[dict[str, Any]] = []
        for number, (t, z, plane) in enumerate(planes_of(made), 1):
            height, width = plane.shape
            place = {a: n for a, n in (("t", t), ("z", z)) if a in made.axes}
            file = Path(str(source)).name
            images.append(
                {"id": number, "file_name": file, "height": height, "width": width, **place}
            )
            here = coco_annotations(plane, made.label_class, number, len(found), run_lengths)
            for label, one in here.items():
                one["label"] = label
                score = made.label_score.get(label, math.nan)
                if math.isfinite(score):
                    one["score"] = float(score)
            found += here.values()
        most = max([1, *made.label_class.values()])
        content = {
            "images": images,
            "annotations": found,
            "categories": categories(made.class_names, most),
        }
        write_text(path, json.dumps(content, allow_nan=False, ensure_ascii=False) + "\n")


def coco_annotations(
    labels: npt.NDArray[np.int32],
    classes: Mapping[int, int],
    image: int,
    first: int,
    shape_of: Any,
) -> dict[int, dict[str, Any]]:
    """Return the annotation of each object of a plane, by its label.

    Parameters
    ----------
    labels : ndarray
        ``(y, x)``; 0 is background.
    classes : mapping of int to int
        Category of each label; 1 where it is missing.
    image : int
        Id of the image.
    first : int
        How many annotations there are already.
    shape_of : callable
        Of a mask ``(y, x)``, the shape of the plane, and the box of the mask: its segmentation.
    """
    found: dict[int, dict[str, Any]] = {}
    for label, box, mask in objects_in(labels):
        y, x = box
        found[label] = {
            "id": first + len(found) + 1,
            "image_id": image,
            "category_id": int(classes.get(label, 1)),
            "iscrowd": 0,
            "area": int(mask.sum()),
            "bbox": [x.start, y.start, x.stop - x.start, y.stop - y.start],
            "segmentation": shape_of(mask, labels.shape, box),
        }
    return found


def categories(names: tuple[str, ...], most: int) -> list[dict[str, Any]]:
    """Return the categories of classes 1 to ``most``; ``names`` have the background first."""
    return [
        {"id": i, "name": names[i] if i < len(names) else OBJECT if most == 1 else f"class {i}"}
        for i in range(1, max(most, len(names) - 1) + 1)
    ]


def run_lengths(
    mask: npt.NDArray[np.bool_], shape: tuple[int, int], box: tuple[slice, slice]
) -> dict[str, Any]:
    """Return COCO's compressed run lengths of a mask ``(y, x)`` that lies in a box of a plane."""
    # Only the columns of the box: an image of 4096 pixels may hold thousands of objects.
    height, x = shape[0], box[1]
    strip = np.zeros((height, mask.shape[1]), bool)
    strip[box[0]] = mask
    counts = counts_of(strip)
    counts[0] += height * x.start
    rest = height * (shape[1] - x.stop)
    if len(counts) % 2:
        counts[-1] += rest
    elif rest:
        counts.append(rest)
    return {"size": list(shape), "counts": to_text(counts)}

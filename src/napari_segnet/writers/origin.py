"""Where a result comes from, and its table of labels: ``<stem>.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from napari_segnet.by_label import ByLabel
from napari_segnet.segmentation import Instances, Segmentation
from napari_segnet.writers._result import Result

__all__ = ["OriginWriter"]


class OriginWriter:
    """Strict JSON: the origin, what the labels are, one row per label, detections."""

    name = "origin"
    ending = ".json"
    asked = ""
    on_grid: bool | None = None

    def takes(self, result: Result) -> bool:
        """Every result has an origin."""
        return True

    def write(self, path: Path, result: Result) -> None:
        """Write the origin and what belongs to it; the rows of labels one part after the other."""
        made = result.segmentation
        content: dict[str, Any] = {**_content(made), "labels": []}
        if result.instances is not None:
            content["detections"] = _detections(result.instances)
        text = json.dumps(_plain(content), indent=1, allow_nan=False, ensure_ascii=False)
        head, _, tail = text.rpartition(_NO_ROWS)
        # A file name that is no UTF-8 has bytes that no text may hold: escaped, as JSON does.
        with path.open("w", encoding="utf8", errors="backslashreplace", newline="") as file:
            file.write(f'{head}\n "labels": [')
            some = False
            for rows in _rows(made):
                file.write("," * some + rows)
                some = True
            file.write(f"\n ]{tail}\n" if some else f"]{tail}\n")


_NO_ROWS = '\n "labels": []'
ROWS_AT_ONCE = 10_000


def _content(made: Segmentation) -> dict[str, Any]:
    return {
        **{one.name: getattr(made.origin, one.name) for one in fields(made.origin)},
        "kind": made.kind,
        "axes": made.axes,
        "shape": list(made.labels.shape),
        "pixel_size_um": dict(made.pixel_size_um),
        "class_names": list(made.class_names),
    }


def _rows(made: Segmentation) -> Iterator[str]:
    """Return label, class and score of each, as JSON writes a list of them; some at a time."""
    classes, scores = made.label_class, made.label_score
    if isinstance(classes, ByLabel) and isinstance(scores, ByLabel) and classes.alike(scores):
        every: Iterator[tuple[int, Any, Any]] = zip(
            classes, classes.values(), scores.values(), strict=True
        )
    else:
        labels = sorted({*classes, *scores})
        every = ((one, classes.get(one), scores.get(one)) for one in labels)
    while rows := list(islice(every, ROWS_AT_ONCE)):
        yield ",".join(
            f'\n  {{\n   "label": {int(label)},\n   "class": {_json(number)},\n   '
            f'"score": {_json(score)}\n  }}'
            for label, number, score in rows
        )


def _json(number: Any) -> str:
    """Return a number, or None, as JSON has it."""
    value = _plain(number)
    return "null" if value is None else repr(value)


def _detections(found: Instances) -> dict[str, Any]:
    return {
        "plane": found.plane.tolist(),
        "boxes": found.boxes.tolist(),
        "scores": found.scores.tolist(),
        "classes": found.classes.tolist(),
    }


def _plain(value: Any) -> Any:
    """Return strict JSON values; what is not a finite number becomes null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value

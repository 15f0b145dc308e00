"""Where a result comes from, and its table of labels: ``<stem>.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_segnet.atomic import write_text
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
        """Write the origin and what belongs to it."""
        content = _content(result.segmentation)
        if result.instances is not None:
            content["detections"] = _detections(result.instances)
        text = json.dumps(_plain(content), indent=1, allow_nan=False, ensure_ascii=False)
        write_text(path, text + "\n")


def _content(made: Segmentation) -> dict[str, Any]:
    return {
        **made.origin.to_json(),
        "kind": made.kind,
        "axes": made.axes,
        "shape": list(made.labels.shape),
        "pixel_size_um": dict(made.pixel_size_um),
        "class_names": list(made.class_names),
        "labels": [
            {
                "label": label,
                "class": made.label_class.get(label),
                "score": made.label_score.get(label),
            }
            for label in sorted({*made.label_class, *made.label_score})
        ],
    }


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

"""Members of open sets, registered for one test as if their line stood in the list."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_segnet import answers, families
from support.teaching import write


def register(monkeypatch: pytest.MonkeyPatch, family: Any = None, answer: Any = None) -> None:
    """Do what one more entry in ``FAMILIES`` and in ``ANSWERS`` does."""
    if family is not None:
        _swap(monkeypatch, families.FAMILIES, families.FAMILIES.also(family))
    if answer is not None:
        _swap(monkeypatch, answers.ANSWERS, (*answers.ANSWERS, answer))


def _swap(monkeypatch: pytest.MonkeyPatch, old: Any, new: Any) -> None:
    """Put a list in the place of another in every module that has imported it."""
    for module in [m for n, m in sys.modules.items() if n.startswith("napari_segnet")]:
        for name, value in list(vars(module).items()):
            if value is old:
                monkeypatch.setattr(module, name, new)


def write_split(root: Path, labels: Any) -> Path:
    """Write a dataset of which one image of three is held out; labels are bright."""
    rows = []
    for number, split in enumerate(("train", "train", "val")):
        moved = np.roll(labels, 5 * number, axis=1)
        pixels = 0.1 + 0.8 * (moved > 0).astype(np.float32)
        write(root / "images" / f"{number}.tif", pixels)
        write(root / "labels" / f"{number}.tif", moved)
        files = {"image": f"images/{number}.tif", "labels": f"labels/{number}.tif"}
        rows.append({**files, "split": split})
    (root / "dataset.json").write_text(json.dumps({"samples": rows}))
    return root

"""Our answers after reading a file of Detectron2 against those of Detectron2 itself.

Its answers are kept in ``tests/data``; see ``tests/detectron2_reference.py``.
"""

from __future__ import annotations

import functools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2_reference import CASES, Arrays, read, weights_of_case
from maskrcnns import normalised

from napari_segnet.families.detectron2_maskrcnn import Detectron2MaskRCNN
from napari_segnet.network import identify, load
from napari_segnet.segmentation import Instances

FAMILY = Detectron2MaskRCNN()
MOST = {"most_detections": 20, "most_proposals": 200}  # as in tests/detectron2_reference.py


@functools.cache
def stored() -> dict[str, Any]:
    return read()


@functools.cache
def tensors(name: str) -> Arrays:
    return weights_of_case(name, stored())


def write(name: str, folder: Path, config: bool = True, zoo: bool = False) -> Path:
    """Write a case as Detectron2 does: a checkpoint or a file of its zoo."""
    if zoo:
        path = folder / "model_final_f10217.pkl"
        content = {"model": tensors(name), "__author__": "Detectron2 Model Zoo"}
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        path = folder / "model_final.pth"
        state = {key: torch.from_numpy(np.array(value)) for key, value in tensors(name).items()}
        torch.save({"model": state, "iteration": 89_999, "scheduler": {"last_epoch": 9}}, path)
    if config:
        (folder / "config.yaml").write_text(str(stored()[f"{name}/config"]), encoding="utf-8")
    return path


def found_in(path: Path, told: dict[str, Any] | None = None) -> Instances:
    """Return our detections in the stored picture, through the whole engine."""
    network = load(identify(path, {**MOST, **(told or {})}), "cpu")
    rgb = torch.from_numpy(stored()["picture"]).permute(2, 0, 1)[None] / 255
    (found,) = network.detections(normalised(rgb).numpy())
    return found


def differing(found: Instances, name: str) -> int:
    """Number of detections that have no equal in the other answer; ties may change places."""
    expected = {key: stored()[f"{name}/{key}"] for key in ("boxes", "scores", "classes", "masks")}
    boxes = expected["boxes"][:, [1, 0, 3, 2]]
    same = np.abs(found.boxes[:, None] - boxes[None]).max(axis=2, initial=0) < 1e-2
    same &= np.abs(found.scores[:, None] - expected["scores"][None]) < 1e-3
    same &= found.classes[:, None] == expected["classes"][None].astype(int) + 1
    for i, j in np.argwhere(same):
        masks = found.masks[i], expected["masks"][j].astype(np.float32)
        same[i, j] = masks[0].shape == masks[1].shape and np.abs(masks[0] - masks[1]).max() < 1e-3
    return int((~same.any(axis=0)).sum() + (~same.any(axis=1)).sum())


@pytest.mark.parametrize("name", CASES)
def test_detections_are_those_of_detectron2(name: str, tmp_path: Path) -> None:
    assert differing(found_in(write(name, tmp_path)), name) == 0

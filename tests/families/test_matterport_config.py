"""The ``Config`` of matterport beside its ``.h5``: read, never run, and held against the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import matterport_reference as reference

from napari_segnet.errors import UnsupportedWeightsError
from napari_segnet.recognition import identify

CODE = """
import os
import numpy as np
from mrcnn.config import Config

open("trap", "w").write("run")
CLASSES = ["BG", "small", "large", "other"]
IDS = os.listdir(".")


class CellConfig(Config):
    NAME = "cell"
    NUM_CLASSES = 1 + 3  # background and three kinds
    STEPS_PER_EPOCH = (657 - len(IDS)) // 2
    BACKBONE = "resnet101"
    IMAGE_RESIZE_MODE = "crop"
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 8 * 64
    RPN_ANCHOR_SCALES = tuple(2 ** i for i in range(3, 8))
    MEAN_PIXEL = np.array([43.53, 39.56, 48.22])
    DETECTION_MIN_CONFIDENCE = 0
    DETECTION_MAX_INSTANCES = 400
    BBOX_STD_DEV = np.array([0.1, 0.2, 0.25, 0.5])
    RPN_NMS_THRESHOLD = float(os.environ["NMS"])


class CellInferenceConfig(CellConfig):
    IMAGE_RESIZE_MODE = "pad64"
    DETECTION_NMS_THRESHOLD = 0.4


class OtherConfig(Config):
    NUM_CLASSES = len(CLASSES) + 5
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    weights = reference.weights_of(7, (1, 1, 1, 1))
    return reference.write(tmp_path_factory.mktemp("net") / "mask_rcnn.h5", weights)


def beside(path: Path, folder: Path, code: str, name: str = "cell.py") -> Path:
    there = folder / path.name
    there.hardlink_to(path)
    (folder / name).write_text(code)
    return there


def test_what_the_class_says_is_read(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = identify(beside(path, tmp_path, CODE))
    assert not (tmp_path / "trap").exists()
    said = {
        "anchor_sizes_px": [[8.0], [16.0], [32.0], [64.0], [128.0]],
        "pixel_mean": [43.53, 39.56, 48.22],
        "least_score": 0.0,
        "box_nms": 0.4,
        "most_detections": 400,
        "box_weights": [5.0, 10.0, 2.0, 4.0],  # y, x, height, width there
        "resize": "none",
        "min_size": 512,
        "max_size": 512,
    }
    assert {name: found.hparams[name] for name in said} == said
    for name in said:
        assert found.known[name].source == "read", name
        assert "CellInferenceConfig (line 26 of cell.py)" in found.known[name].why
    assert found.known["anchor_ratios"].source == "assumed"
    assert found.hparams["anchor_ratios"] == [2.0, 1.0, 0.5]
    assert found.hparams["proposal_nms"] == 0.7
    assert found.known["proposal_nms"].source == "assumed"
    told = identify(found.path, {"box_nms": 0.2, "max_size": 1024})
    assert (told.hparams["box_nms"], told.hparams["max_size"]) == (0.2, 1024)
    assert told.known["max_size"].source == "told"


def test_what_contradicts_the_file_is_said(path, tmp_path):
    notes = " ".join(identify(beside(path, tmp_path, CODE)).notes)
    assert (
        "OtherConfig (line 31 of cell.py) was not used: it has 9 classes with background" in notes
    )
    assert "the tensors of mask_rcnn.h5 4" in notes
    assert "BACKBONE = resnet101 of CellInferenceConfig" in notes
    assert "the tensors say [1, 1, 1, 1]" in notes
    assert "not followed, so it is not used: RPN_NMS_THRESHOLD in line 23 of cell.py" in notes


def test_a_notebook_and_code_that_is_named(path, tmp_path):
    code = (
        "class A(Config):\n    NUM_CLASSES = 4\n    IMAGE_MAX_DIM = 1000\n    IMAGE_MIN_DIM = 256"
    )
    later = "config = A()\nconfig.MEAN_PIXEL = [0, 0, 0]"
    cells = [{"cell_type": "code", "source": [one]} for one in (code, later)]
    book = tmp_path / "code" / "train.ipynb"
    book.parent.mkdir()
    book.write_text(json.dumps({"cells": cells}))
    found = identify(path, source=book)
    assert found.hparams["min_size"] == 256
    assert found.known["min_size"].source == "read"
    assert found.hparams["max_size"] == 1024
    notes = " ".join(found.notes)
    assert "IMAGE_MAX_DIM = 1000 of A (cell 1, line 1 of train.ipynb) was not used" in notes
    assert "MEAN_PIXEL in cell 2, line 2 of train.ipynb" in notes


def test_a_step_that_is_not_there_is_refused(path, tmp_path):
    code = "class A(Config):\n    NUM_CLASSES = 4\n    RPN_ANCHOR_STRIDE = 2\n"
    with pytest.raises(UnsupportedWeightsError, match=r"A \(line 1 of a.py\) says RPN_ANCHOR_ST"):
        identify(beside(path, tmp_path, code, "a.py"))


def test_the_published_defaults_say_little(path, tmp_path):
    code = (
        "class Config(object):\n    NUM_CLASSES = 1\n    DETECTION_MAX_INSTANCES = 100\n"
        "    POST_NMS_ROIS_INFERENCE = 1000\n    IMAGE_MIN_DIM = 800\n"
    )
    found = identify(beside(path, tmp_path, code, "config.py"))
    assert found.hparams["most_detections"] == 10_000
    assert found.hparams["most_proposals"] is None
    assert found.known["min_size"].source == "read"
    assert not found.notes

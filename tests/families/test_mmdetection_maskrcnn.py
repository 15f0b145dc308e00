"""Networks in MMDetection's names; held against ``tests/support/mmdetections.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.detectron2_reference import read, weights_of_case
from support.maskrcnns import normalised
from support.mmdetections import CAFFE, renamed
from support.networks import weights_of

from napari_segnet.engines.torch import identify, load
from napari_segnet.errors import UnknownNetworkError, UnsupportedWeightsError
from napari_segnet.families.maskrcnn.mmdetection.config import parse_config
from napari_segnet.families.maskrcnn.mmdetection.family import CHECKED, MMDetectionMaskRCNN
from napari_segnet.segmentation import Instances

FAMILY = MMDetectionMaskRCNN()
MOST = {"most_detections": 20, "most_proposals": 200}  # as in tests/support/detectron2_reference.py


def state() -> dict[str, torch.Tensor]:
    tensors = renamed(weights_of_case("msra", read()))
    return {key: torch.from_numpy(np.array(value)) for key, value in tensors.items()}


def write(folder: Path, **meta: Any) -> Path:
    path = folder / "epoch_12.pth"
    content = {"mmdet_version": "2.25.0", "epoch": 12, **meta}
    torch.save({"meta": content, "state_dict": state(), "optimizer": {"state": {}}}, path)
    return path


def found_in(path: Path, **told: Any) -> Instances:
    network = load(identify(path, {**MOST, **told}), "cpu")
    rgb = torch.from_numpy(read()["picture"]).permute(2, 0, 1)[None] / 255
    (found,) = network.detect(normalised(rgb).numpy())
    return found.instances


def differing(found: Instances) -> int:
    stored = read()
    boxes = stored["msra/boxes"][:, [1, 0, 3, 2]]
    same = np.abs(found.boxes[:, None] - boxes[None]).max(axis=2, initial=0) < 1e-2
    same &= np.abs(found.scores[:, None] - stored["msra/scores"][None]) < 1e-3
    same &= found.classes[:, None] == stored["msra/classes"][None].astype(int) + 1
    for i, j in np.argwhere(same):
        mask = stored["msra/masks"][j].astype(np.float32)
        same[i, j] = np.abs(found.masks[i] - mask).max() < 1e-3
    return int((~same.any(axis=0)).sum() + (~same.any(axis=1)).sum())


def test_style_caffe_answers_as_the_same_network_in_detectron2(tmp_path: Path) -> None:
    assert differing(found_in(write(tmp_path, cfg=CAFFE))) == 0


WRONG = {
    "style": (("style='caffe'", "style='pytorch'"),),
    "colours": (("to_rgb=False", "to_rgb=True"),),
    "means": (("mean=[103.530", "mean=[60.0"),),
    "deviations": (("std=[1.0", "std=[1.3"),),
    "sampling": (("sampling_ratio=0", "sampling_ratio=1"),),
    "aligned": (("sampling_ratio=0)", "sampling_ratio=0, aligned=False)"),),
    "anchors": (("scales=[8]", "scales=[6]"),),
    "ratios": (("ratios=[0.5, 1.0, 2.0]", "ratios=[0.4, 1.0, 2.0]"),),
    "box weights": (("target_stds=[0.1", "target_stds=[0.15"),),
}


@pytest.mark.sample(3)
@pytest.mark.parametrize("what", WRONG)
def test_every_line_of_the_configuration_counts(what: str, tmp_path: Path) -> None:
    text = CAFFE
    for old, new in WRONG[what]:
        assert old in text
        text = text.replace(old, new)
    assert differing(found_in(write(tmp_path, cfg=text))) > 4


def test_version_3_keeps_the_normalisation_in_the_model(tmp_path: Path) -> None:
    text = CAFFE.replace("img_norm_cfg", "unused").replace(
        "type='MaskRCNN',",
        "type='MaskRCNN', data_preprocessor=dict(mean=[103.53, 116.28, 123.675], "
        "std=[1.0, 1.0, 1.0], bgr_to_rgb=False),",
    )
    names = {"classes": ("nucleus", "cell", "debris"), "palette": [(1, 2, 3)]}
    path = write(tmp_path, cfg=text, dataset_meta=names)
    assert identify(path).class_names == ("background", "nucleus", "cell", "debris")
    assert differing(found_in(path)) == 0


def test_the_card_says_how_it_was_checked_and_what_is_recorded(tmp_path: Path) -> None:
    checkpoint = identify(write(tmp_path, cfg=CAFFE, CLASSES=("a", "b", "c")))
    assert CHECKED in checkpoint.known["family"].why
    assert checkpoint.known["stride_in"].why == "recorded in the file's meta.cfg"
    assert checkpoint.class_names == ("background", "a", "b", "c")
    assert checkpoint.known["class_names"].source == "read"
    bare = FAMILY.describe(weights_of(state(), closed=True), {})
    assert bare.known["stride_in"].source == "assumed"
    assert bare.hparams["stride_in"] == "3x3"


def test_a_configuration_of_another_network_is_not_used(tmp_path: Path) -> None:
    text = CAFFE.replace("num_classes=3, reg", "num_classes=80, reg")
    checkpoint = identify(write(tmp_path, cfg=text))
    assert "meta.cfg was not used: it has 80 classes, the tensors 3" in (
        checkpoint.known["family"].why
    )
    assert checkpoint.known["stride_in"].source == "assumed"


def test_a_configuration_is_never_run(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    text = (
        f"import pathlib\nx = pathlib.Path({str(gone)!r}).touch()\n"
        "model = dict(type='MaskRCNN', a=[i for i in (1, 2)], b=open('x'), c=2**9, d=-1.5,\n"
        "             e={'f': (1, None, 'g')}, **{'h': 1})\n"
    )
    assert parse_config(text) == {
        "model": {
            "type": "MaskRCNN",
            "a": None,
            "b": None,
            "c": None,
            "d": -1.5,
            "e": {"f": [1, None, "g"]},
        }
    }
    assert not gone.exists()


@pytest.mark.parametrize(
    "text",
    ["model = dict(", "(" * 500, "x\0y", "model = " + "[" * 90 + "]" * 90, "é" * (2**20 + 1)],
)
def test_a_damaged_configuration_is_as_good_as_none(text: str, tmp_path: Path) -> None:
    assert parse_config(text).get("model", []) is not None
    checkpoint = identify(write(tmp_path, cfg=text))
    assert checkpoint.known["stride_in"].source == "assumed"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("type='StandardRoIHead'", "type='CascadeRoIHead'", "model.roi_head.type='CascadeRoIHead'"),
        ("strides=[4,", "center_offset=0.5, strides=[4,", "anchors are shifted"),
        ("use_sigmoid=False", "use_sigmoid=True", "classes that may overlap"),
        ("output_size=14, sampling_ratio=0", "output_size=14, sampling_ratio=2", "other pooling"),
    ],
)
def test_steps_that_the_graph_lacks_are_refused(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert old in CAFFE
    with pytest.raises(UnsupportedWeightsError, match=message):
        identify(write(tmp_path, cfg=CAFFE.replace(old, new)))


def without(start: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state().items() if not key.startswith(start)}


def first_version() -> dict[str, torch.Tensor]:
    return {key.removeprefix("roi_head."): value for key, value in state().items()}


TENSOR = torch.zeros(2, 2)
RELATIVES = {
    "is a Faster R-CNN of MMDetection.*draws no masks": lambda: without("roi_head.mask_"),
    "is a proposal network of MMDetection": lambda: without("roi_head."),
    "is a RetinaNet of MMDetection": lambda: {"bbox_head.retina_cls.weight": TENSOR},
    "is a network of MMDetection 1": first_version,
    "in a cascade": lambda: {**state(), "roi_head.bbox_head.0.fc_cls.weight": TENSOR},
    r"without a feature pyramid \(C4\)": lambda: {
        **state(),
        "roi_head.shared_head.layer4.0.conv1.weight": TENSOR,
    },
    "with mask scoring": lambda: {**state(), "roi_head.mask_iou_head.fcs.0.weight": TENSOR},
    "deep stem": lambda: {**state(), "backbone.stem.0.weight": TENSOR},
    "deformable": lambda: {**state(), "backbone.layer2.0.conv2_offset.weight": TENSOR},
}


@pytest.mark.parametrize("message", RELATIVES)
def test_relatives_are_refused_by_name(message: str) -> None:
    weights = weights_of(RELATIVES[message](), closed=True)
    assert FAMILY.detect(weights)
    with pytest.raises(UnsupportedWeightsError, match=message):
        FAMILY.describe(weights, {})


def test_heads_that_differ_in_classes_are_refused() -> None:
    wrong = {**state(), "roi_head.mask_head.conv_logits.weight": torch.zeros(7, 10, 1, 1)}
    with pytest.raises(UnknownNetworkError, match=r"4 classes .* 3 have boxes and 7 have masks"):
        FAMILY.describe(weights_of(wrong), {})


def test_what_is_written_back_is_the_same_network(tmp_path: Path) -> None:
    path = write(tmp_path, cfg=CAFFE)
    checkpoint = identify(path)
    module = load(checkpoint, "cpu").module
    written = FAMILY.save(module, checkpoint, tmp_path / "again.pth")
    again = torch.load(written.path, weights_only=True)["state_dict"]
    assert again.keys() == state().keys()
    assert all(torch.equal(again[key], value) for key, value in state().items())

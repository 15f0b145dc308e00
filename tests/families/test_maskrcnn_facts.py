"""What can be told of a Mask R-CNN, and the steps that its families share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.maskrcnns import calibrated, detect, normalised, small_maskrcnn
from support.networks import assemble, pictures, weights_of

from napari_segnet.families.maskrcnn import detectron2, mmdetection, torchvision
from napari_segnet.families.maskrcnn.facts import CHOICES, NUMBERS
from napari_segnet.families.maskrcnn.module import (
    detect as detect_ours,
)
from napari_segnet.families.maskrcnn.module import (
    features,
    masks_in,
    most_proposals,
    propose,
    scores_in,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mask-rcnn-files.md"
FAMILY = torchvision.TorchvisionMaskRCNN()


def test_the_page_names_all_that_can_be_told() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE.read_text(encoding="utf-8")))
    tellable = {fact.name for fact in (*CHOICES, *NUMBERS)}
    for module in (torchvision, detectron2):
        source = Path(module.__file__).with_name("family.py").read_text(encoding="utf-8")
        tellable |= set(re.findall(r'^ {4,8}"(\w+)": \(', source, re.M)) - {"cls_logits"}
    assert {"box_weights", "pixel_mean", "stride_in"} <= tellable
    assert tellable | {"class_names", "anchor_sizes_px", "anchor_ratios"} <= named


def test_the_page_names_every_family() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for family in (
        FAMILY,
        detectron2.Detectron2MaskRCNN(),
        mmdetection.MMDetectionMaskRCNN(),
    ):
        assert f"`{family.name}`" in text


# ---- Steps -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> Any:
    return calibrated(classes=3)


@pytest.fixture(scope="module")
def module(network: Any) -> Any:
    weights = weights_of(network)
    return assemble(FAMILY, FAMILY.describe(weights, {}), weights)


def test_masks_of_given_boxes_are_those_of_the_detections(module: Any) -> None:
    seen = features(module, normalised(pictures(1, 3, (96, 128), seed=3)))
    found = detect_ours(module, seen, propose(module, seen), most=20)
    assert len(found.boxes) == 20
    masks = masks_in(module, seen, found.boxes, found.classes)
    assert masks.dtype == np.float32
    assert np.abs(masks - found.masks).max() < 1e-6
    others = masks_in(module, seen, found.boxes, 3 - found.classes)
    assert np.abs(others - found.masks).max() > 0.5


def test_any_box_has_a_class(module: Any, network: Any) -> None:
    images = pictures(1, 3, (96, 128), seed=3)
    seen = features(module, normalised(images))
    box = np.array([[10, 20, 60, 70], [0, 0, 96, 128]], np.float32)
    scores = scores_in(module, seen, box)
    assert scores.shape == (2, 3)
    assert np.allclose(scores.sum(axis=1), 1)
    with torch.no_grad():
        levels = network.backbone(normalised(images))
        swapped = [torch.from_numpy(box[:, [1, 0, 3, 2]])]
        pooled = network.roi_heads.box_roi_pool(levels, swapped, [(96, 128)])
        expected, _ = network.roi_heads.box_predictor(network.roi_heads.box_head(pooled))
    assert np.abs(scores - expected.softmax(1).numpy()).max() < 1e-5


def test_features_of_one_picture_of_a_batch_are_its_own(module: Any) -> None:
    batch = normalised(pictures(2, 3, (70, 90), seed=3))
    both, second = features(module, batch), features(module, batch[1:])
    assert (len(both), both.shape, both.padded) == (2, (70, 90), (96, 96))
    own = both.picture(1)
    assert own.nbytes * 2 == both.nbytes
    for one, other in zip(own.levels.values(), second.levels.values(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)
    with pytest.raises(ValueError, match="of one image were expected, not of 2"):
        propose(module, both)


def test_limits_can_be_given_anew(module: Any) -> None:
    seen = features(module, normalised(pictures(1, 3, (96, 128), seed=3)))
    assert most_proposals(module, (96, 128)) == 1000
    assert most_proposals(module, (2048, 2048)) == 16384
    few, many = propose(module, seen, most=30), propose(module, seen)
    assert (len(few), len(many)) == (30, 1000) or len(few) == 30 < len(many) < 1000
    best = detect_ours(module, seen, many, most=5)
    every = detect_ours(module, seen, many)
    assert len(best.boxes) == 5 < len(every.boxes)
    assert np.array_equal(best.boxes, every.boxes[:5])


def test_no_boxes_have_no_masks(module: Any) -> None:
    seen = features(module, normalised(pictures(1, 3, (40, 40))))
    assert masks_in(module, seen, np.zeros((0, 4)), np.zeros(0, np.int64)).shape == (0, 28, 28)
    assert scores_in(module, seen, np.zeros((0, 4))).shape == (0, 3)


def test_a_network_for_one_class_that_was_small_enough_to_ship() -> None:
    """ResNet-18, 128 channels, two convolutions and one small linear layer: 26 MB in half."""
    how = {"layers": (2, 2, 2, 2), "fpn": 128, "box_convs": (64, 32), "box_fcs": (256,)}
    network = small_maskrcnn(classes=2, mask_layers=(128,) * 2, mask_hidden=128, **how)
    assert 2 * sum(p.numel() for p in network.parameters()) < 32e6
    checkpoint = FAMILY.describe(weights_of(network, closed=True), {})
    assert checkpoint.hparams["box_convs"] == [64, 32]
    assert detect(network.eval(), pictures(1, 3, (64, 64)))

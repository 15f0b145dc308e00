"""Mask R-CNN of Detectron2 with a feature pyramid: its ``.pth`` and its zoo's ``.pkl``.

Tensors stay as they are in the file; the shared graph does what Detectron2 does with them:
background is the last class, anchors have no whole corners and are counted size by size,
RoIAlign is aligned and as dense as the features, colours are blue, green, red. What no
tensor shows is taken from a ``config.yaml`` beside the file (or a ``cfg`` inside it), from
buffers that older files have, or assumed as in Detectron2's own networks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.containers import Weights
from napari_segnet.errors import UnsupportedWeightsError
from napari_segnet.families.kit.facts import complete
from napari_segnet.families.maskrcnn.detectron2.config import recorded_in
from napari_segnet.families.maskrcnn.facts import (
    class_names,
    fields_known,
    settle_maskrcnn,
)
from napari_segnet.families.maskrcnn.family import DetectionFamily
from napari_segnet.families.maskrcnn.shapes import Reading

__all__ = ["Detectron2MaskRCNN"]

_FIXED = {
    "arithmetic": "detectron2",
    "background": "last",
    "anchor_order": "size",
    "anchor_rounding": False,
}
_DEFAULT = "Detectron2's default"
_MSRA = "Detectron2's default, for bodies that started from the weights of MSRA"

_BUFFERS = re.compile(r"pixel_(mean|std)|proposal_generator\.anchor_generator\.cell_anchors\.\d+")
"""What older files hold beside the weights."""


class Detectron2MaskRCNN(DetectionFamily):
    """The family; see the module's docstring."""

    name = "detectron2-maskrcnn"
    title = "the Mask R-CNN of Detectron2"

    def detect(self, weights: Weights) -> bool:
        """Tell from key names; its relatives are refused by name."""
        keys = weights.tensors.keys()
        return (
            "proposal_generator.rpn_head.objectness_logits.weight" in keys
            or _is_retinanet(weights)
            or _is_caffe2(weights)
        )

    def describe(self, weights: Weights, overrides: Mapping[str, Any]) -> Checkpoint:
        """Read shapes and configuration, and assume the rest as Detectron2 has it."""
        _refuse_relatives(weights)
        names = _Names(weights)
        reading = Reading(weights, self.title, names.in_file, background="last")
        read, channels, classes = reading.hparams(), reading.channels(), reading.classes()
        recorded, notes = recorded_in(weights, classes - 1)
        hparams, known = settle_maskrcnn(
            read, reading, overrides, _defaults(read, channels), _FIXED, recorded
        )
        called, how = class_names(classes, overrides, recorded)
        facts = {**fields_known(channels, "Detectron2"), **known, **how}
        blank = self._blank(weights, hparams, channels, classes, called, facts)
        bare = {key: ref for key, ref in weights.tensors.items() if not _BUFFERS.fullmatch(key)}
        full = complete(
            self.build,
            blank,
            replace(weights, tensors=bare),
            self.title,
            names.in_file,
            tensors=self.tensors,
        )
        why = "; ".join([full.known["family"].why, *notes])
        return replace(full, known={**full.known, "family": Known(source="read", why=why)})


def _defaults(read: Mapping[str, Any], channels: int) -> dict[str, tuple[Any, str]]:
    """Return what Detectron2's own networks of this build have."""
    grouped, group_norm = read.get("groups", 1) > 1, read["norm"] == "group"
    # configs/COCO-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_3x.yaml and
    # configs/Misc/mask_rcnn_R_50_FPN_3x_gn.yaml: STRIDE_IN_1X1 is False.
    why = "as Detectron2's own networks with a body of this kind have it"
    in_3x3 = grouped or group_norm
    mean = [103.53, 116.28, 123.675] if channels == 3 else [114.5] * channels
    std = [57.375, 57.12, 58.395] if grouped and channels == 3 else [1.0] * channels
    return {
        "colours": ("bgr" if channels == 3 else "rgb", _DEFAULT),
        "pixel_mean": (mean, _DEFAULT),
        "pixel_std": (std, why if grouped else _MSRA),
        "stride_in": ("3x3", why) if in_3x3 else ("1x1", _MSRA),
        "roi_aligned": (True, _DEFAULT),
        "roi_sampling": (0, _DEFAULT),
        "box_weights": ([10.0, 10.0, 5.0, 5.0], _DEFAULT),
    }


# ---- Names -----------------------------------------------------------------------------

_STEM, _BODY = "backbone.bottom_up.stem.", "backbone.bottom_up.res"
_HEADS = "roi_heads."


class _Names:
    """Keys of the graph in the words of Detectron2."""

    def __init__(self, weights: Weights) -> None:
        keys = weights.tensors.keys()
        laterals = (re.fullmatch(r"backbone\.fpn_lateral(\d+)\.weight", key) for key in keys)
        self._levels = sorted(int(found[1]) for found in laterals if found)
        self._one_rpn_layer = "proposal_generator.rpn_head.conv.weight" in keys
        convs = 0
        while f"{_HEADS}box_head.conv{convs + 1}.weight" in keys:
            convs += 1
        self._box_convs = convs

    def in_file(self, key: str) -> str:
        """Return what the file calls a tensor of the graph."""
        for start, rename in (
            ("backbone.body.", _body_name),
            ("backbone.fpn.", self._pyramid_name),
            ("rpn.head.", self._proposal_name),
            ("roi_heads.box_head.", self._box_name),
            ("roi_heads.mask_", _mask_name),
        ):
            if key.startswith(start):
                return rename(key) or key
        return key

    def _pyramid_name(self, key: str) -> str:
        match = re.fullmatch(r"backbone\.fpn\.(inner|layer)_blocks\.(\d+)\.([01])\.(\w+)", key)
        if match is None or int(match[2]) >= len(self._levels):
            return ""
        kind = "lateral" if match[1] == "inner" else "output"
        return f"backbone.fpn_{kind}{self._levels[int(match[2])]}.{_norm(match[3])}{match[4]}"

    def _proposal_name(self, key: str) -> str:
        head = "proposal_generator.rpn_head."
        if match := re.fullmatch(r"rpn\.head\.conv\.(\d+)\.0\.(\w+)", key):
            if self._one_rpn_layer:
                return f"{head}conv.{match[2]}" if match[1] == "0" else ""
            return f"{head}conv.conv{match[1]}.{match[2]}"
        for ours, theirs in (("cls_logits", "objectness_logits"), ("bbox_pred", "anchor_deltas")):
            if key.startswith(f"rpn.head.{ours}."):
                return key.replace(f"rpn.head.{ours}", head + theirs)
        return ""

    def _box_name(self, key: str) -> str:
        if match := re.fullmatch(r"roi_heads\.box_head\.(\d+)\.([01])\.(\w+)", key):
            return f"{_HEADS}box_head.conv{int(match[1]) + 1}.{_norm(match[2])}{match[3]}"
        if match := re.fullmatch(r"roi_heads\.box_head\.(\d+)\.(weight|bias)", key):
            # After the convolutions comes the flattening, and a ReLU after each linear layer.
            place = int(match[1]) - self._box_convs - 1
            return f"{_HEADS}box_head.fc{place // 2 + 1}.{match[2]}" if place % 2 == 0 else ""
        return ""


def _norm(place: str) -> str:
    return "norm." if place == "1" else ""


def _body_name(key: str) -> str:
    if match := re.fullmatch(r"backbone\.body\.(conv1|bn1)\.(\w+)", key):
        return f"{_STEM}conv1.{'norm.' if match[1] == 'bn1' else ''}{match[2]}"
    block = r"backbone\.body\.layer(\d+)\.(\d+)\."
    if match := re.fullmatch(block + r"(conv|bn)(\d)\.(\w+)", key):
        norm = "norm." if match[3] == "bn" else ""
        return f"{_BODY}{int(match[1]) + 1}.{match[2]}.conv{match[4]}.{norm}{match[5]}"
    if match := re.fullmatch(block + r"downsample\.([01])\.(\w+)", key):
        return f"{_BODY}{int(match[1]) + 1}.{match[2]}.shortcut.{_norm(match[3])}{match[4]}"
    return ""


def _mask_name(key: str) -> str:
    if match := re.fullmatch(r"roi_heads\.mask_head\.(\d+)\.([01])\.(\w+)", key):
        return f"{_HEADS}mask_head.mask_fcn{int(match[1]) + 1}.{_norm(match[2])}{match[3]}"
    for ours, theirs in (("conv5_mask", "deconv"), ("mask_fcn_logits", "predictor")):
        if key.startswith(f"roi_heads.mask_predictor.{ours}."):
            return f"{_HEADS}mask_head.{theirs}.{key.rpartition('.')[2]}"
    return ""


# ---- Relatives -------------------------------------------------------------------------


def _is_retinanet(weights: Weights) -> bool:
    keys = weights.tensors.keys()
    return "head.cls_subnet.0.weight" in keys and "backbone.fpn_lateral3.weight" in keys


def _is_caffe2(weights: Weights) -> bool:
    """Tell the names of Detectron, the forerunner that ran on Caffe2."""
    keys = weights.tensors.keys()
    return "res2_0_branch2a_w" in keys and any(key.startswith("conv_rpn_") for key in keys)


def _refuse_relatives(weights: Weights) -> None:
    keys, name = weights.tensors.keys(), weights.path.name

    def has(pattern: str) -> bool:
        return any(re.match(pattern, key) for key in keys)

    if _is_caffe2(weights):
        raise UnsupportedWeightsError(
            f"{name} is a network of Detectron (Caffe2 blobs), which this version does not open. "
            "Load it with Detectron2, which converts it, and save its checkpoint (.pth)."
        )
    boxes_only = "it finds boxes but draws no masks, so it cannot make labels. Use a Mask R-CNN."
    if _is_retinanet(weights):
        raise UnsupportedWeightsError(f"{name} is a RetinaNet of Detectron2: {boxes_only}")
    if not has(r"roi_heads\.mask_"):
        what = "Keypoint R-CNN" if has(r"roi_heads\.keypoint_head\.") else "Faster R-CNN"
        what = what if has(r"roi_heads\.") else "proposal network"
        raise UnsupportedWeightsError(f"{name} is a {what} of Detectron2: {boxes_only}")
    kinds = (
        (r"roi_heads\.res5\.", "without a feature pyramid (C4)"),
        (r"backbone\.(simfp_|net\.)", "with a vision transformer (ViTDet)"),
        (r"roi_heads\.box_(head|predictor)\.0\.", "in a cascade"),
        (r"roi_heads\.mask_head\.(point|coarse)_head", "with PointRend"),
        (r"sem_seg_head\.", "joined with a semantic head (Panoptic FPN)"),
        (r".*conv2_offset\.", "with deformable convolutions"),
    )
    found = next((what for pattern, what in kinds if has(pattern)), None)
    if found is None and not has(r"backbone\.fpn_lateral\d"):
        found = "without a feature pyramid (C4 or DC5)"
    if found is not None:
        raise UnsupportedWeightsError(
            f"{name} is Detectron2's Mask R-CNN {found}, which this version of napari-segnet does "
            "not open. Use one with a ResNet body and a feature pyramid (FPN)."
        )

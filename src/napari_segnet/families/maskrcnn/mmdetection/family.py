"""Mask R-CNN of MMDetection 2 and 3 with a feature pyramid (``mask_rcnn`` in its zoo).

Made after the published definitions of MMDetection; no network of it has been run beside
ours. Its configuration stands in the file as Python text, which is read as data, never
run; what it does not say is assumed as in MMDetection's own networks. Networks of version
1 counted background first, rounded anchors and left RoIAlign unaligned; they are refused.
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
from napari_segnet.families.maskrcnn.facts import (
    class_names,
    fields_known,
    settle_maskrcnn,
)
from napari_segnet.families.maskrcnn.family import DetectionFamily
from napari_segnet.families.maskrcnn.mmdetection.config import recorded_in
from napari_segnet.families.maskrcnn.shapes import Reading

__all__ = ["MMDetectionMaskRCNN"]

_FIXED = {
    "arithmetic": "mmdetection",
    "background": "last",
    "anchor_rounding": False,
}
_DEFAULT = "the default of MMDetection 2 and 3"
CHECKED = "made after MMDetection's published definitions; not compared with MMDetection itself"
"""Stands in the card of every such network."""


class MMDetectionMaskRCNN(DetectionFamily):
    """The family; see the module's docstring."""

    name = "mmdetection-maskrcnn"
    title = "the Mask R-CNN of MMDetection"

    def detect(self, weights: Weights) -> bool:
        """Tell from key names; its relatives are refused by name."""
        keys = weights.tensors.keys()
        return (
            "rpn_head.rpn_cls.weight" in keys
            or "bbox_head.retina_cls.weight" in keys
            or {"bbox_head.cls_convs.0.conv.weight", "neck.fpn_convs.0.conv.weight"} <= keys
        )

    def describe(self, weights: Weights, overrides: Mapping[str, Any]) -> Checkpoint:
        """Read shapes and configuration, and assume the rest as MMDetection has it."""
        _refuse_relatives(weights)
        names = _Names(weights)
        reading = Reading(weights, self.title, names.in_file, background="last")
        read, channels, classes = reading.hparams(), reading.channels(), reading.classes()
        recorded, notes = recorded_in(weights, classes - 1)
        hparams, known = settle_maskrcnn(
            read, reading, overrides, _defaults(read, channels), _FIXED, recorded
        )
        called, how = class_names(classes, overrides, recorded)
        facts = {**fields_known(channels, "MMDetection"), **known, **how}
        blank = self._blank(weights, hparams, channels, classes, called, facts)
        full = complete(self.build, blank, weights, self.title, names.in_file, tensors=self.tensors)
        why = "; ".join([full.known["family"].why, CHECKED, *notes])
        return replace(full, known={**full.known, "family": Known(source="read", why=why)})


def _defaults(read: Mapping[str, Any], channels: int) -> dict[str, tuple[Any, str]]:
    """Return what MMDetection's networks of style ``pytorch`` have.

    ``configs/_base_/models/mask-rcnn_r50_fpn.py``.
    """
    rgb = channels == 3
    return {
        "colours": ("rgb", _DEFAULT),
        "pixel_mean": ([123.675, 116.28, 103.53] if rgb else [114.5] * channels, _DEFAULT),
        "pixel_std": ([58.395, 57.12, 57.375] if rgb else [57.6] * channels, _DEFAULT),
        "stride_in": ("3x3", "MMDetection's default, style 'pytorch'"),
        "roi_aligned": (True, _DEFAULT),
        "roi_sampling": (0, _DEFAULT),
        "anchor_order": ("ratio", _DEFAULT),
        "box_weights": ([10.0, 10.0, 5.0, 5.0], _DEFAULT),
    }


# ---- Names -----------------------------------------------------------------------------


class _Names:
    """Keys of the graph in the words of MMDetection."""

    def __init__(self, weights: Weights) -> None:
        self._keys = keys = weights.tensors.keys()
        head = "roi_head.bbox_head."
        self._convs = "shared_convs"
        count = 0
        while f"{head}shared_convs.{count}.conv.weight" in keys:
            count += 1
        self._box_convs = count
        self._one_rpn_layer = "rpn_head.rpn_conv.weight" in keys

    def in_file(self, key: str) -> str:
        """Return what the file calls a tensor of the graph."""
        for pattern, rename in self._table():
            if match := re.fullmatch(pattern, key):
                return rename(match) or key
        return key

    def _table(self) -> tuple[tuple[str, Any], ...]:
        return (
            # The body has torchvision's own names.
            (r"backbone\.body\.(.+)", lambda m: f"backbone.{m[1]}"),
            (r"backbone\.fpn\.(inner|layer)_blocks\.(\d+)\.([01])\.(\w+)", _pyramid_name),
            (r"rpn\.head\.conv\.(\d+)\.0\.(\w+)", self._proposal_name),
            (r"rpn\.head\.cls_logits\.(\w+)", lambda m: f"rpn_head.rpn_cls.{m[1]}"),
            (r"rpn\.head\.bbox_pred\.(\w+)", lambda m: f"rpn_head.rpn_reg.{m[1]}"),
            (r"roi_heads\.box_head\.(\d+)\.([01])\.(\w+)", self._conv_name),
            (r"roi_heads\.box_head\.(\d+)\.(weight|bias)", self._linear_name),
            (
                r"roi_heads\.box_predictor\.(cls_score|bbox_pred)\.(\w+)",
                lambda m: f"roi_head.bbox_head.fc_{_HEADS[m[1]]}.{m[2]}",
            ),
            (
                r"roi_heads\.mask_head\.(\d+)\.([01])\.(\w+)",
                lambda m: f"roi_head.mask_head.convs.{m[1]}.{_part(m[2])}.{m[3]}",
            ),
            (
                r"roi_heads\.mask_predictor\.(conv5_mask|mask_fcn_logits)\.(\w+)",
                lambda m: f"roi_head.mask_head.{_HEADS[m[1]]}.{m[2]}",
            ),
        )

    def _proposal_name(self, match: re.Match[str]) -> str:
        if self._one_rpn_layer:
            return f"rpn_head.rpn_conv.{match[2]}" if match[1] == "0" else ""
        return f"rpn_head.rpn_conv.{match[1]}.conv.{match[2]}"

    def _conv_name(self, match: re.Match[str]) -> str:
        return f"roi_head.bbox_head.shared_convs.{match[1]}.{_part(match[2])}.{match[3]}"

    def _linear_name(self, match: re.Match[str]) -> str:
        # After the convolutions comes the flattening, and a ReLU after each linear layer.
        place = int(match[1]) - self._box_convs - 1
        if place < 0 or place % 2:
            return ""
        return f"roi_head.bbox_head.shared_fcs.{place // 2}.{match[2]}"


_HEADS = {
    "cls_score": "cls",
    "bbox_pred": "reg",
    "conv5_mask": "upsample",
    "mask_fcn_logits": "conv_logits",
}


def _pyramid_name(match: re.Match[str]) -> str:
    kind = {"inner": "lateral", "layer": "fpn"}[match[1]]
    return f"neck.{kind}_convs.{match[2]}.{_part(match[3])}.{match[4]}"


def _part(place: str) -> str:
    """Return the part of a ``ConvModule``: the convolution, or the norm behind it."""
    return {"0": "conv", "1": "bn"}[place]


# ---- Relatives -------------------------------------------------------------------------


def _refuse_relatives(weights: Weights) -> None:
    keys, name = weights.tensors.keys(), weights.path.name

    def has(pattern: str) -> bool:
        return any(re.match(pattern, key) for key in keys)

    boxes_only = "it finds boxes but draws no masks, so it cannot make labels. Use a Mask R-CNN."
    if not has(r"rpn_head\."):
        what = "RetinaNet" if has(r"bbox_head\.retina_cls\.") else "one-stage detector"
        raise UnsupportedWeightsError(f"{name} is a {what} of MMDetection: {boxes_only}")
    if has(r"bbox_head\.fc_cls\.|mask_head\.convs\.|bbox_head\.shared_fcs\."):
        raise UnsupportedWeightsError(
            f"{name} is a network of MMDetection 1, which rounded anchors, counted background "
            "first and pooled otherwise; this version does not open it. Convert it with "
            "MMDetection's tools/model_converters/upgrade_model_version.py, or train it again "
            "with MMDetection 2 or 3."
        )
    if not has(r"roi_head\.mask_"):
        what = "Faster R-CNN" if has(r"roi_head\.") else "proposal network"
        raise UnsupportedWeightsError(f"{name} is a {what} of MMDetection: {boxes_only}")
    kinds = (
        (r"roi_head\.shared_head\.", "without a feature pyramid (C4)"),
        (r"roi_head\.(bbox|mask)_head\.0\.", "in a cascade"),
        (r"roi_head\.mask_iou_head\.", "with mask scoring"),
        (r"roi_head\.(point_head|semantic_head)\.", "with a further head"),
        (r"backbone\.(stages|patch_embed|downsample_layers)\b", "with a transformer or ConvNeXt"),
        (r"backbone\.stem\.", "with a deep stem (ResNetV1d, ResNeSt)"),
        (r".*conv2_offset\.|.*conv2\.conv_offset\.", "with deformable convolutions"),
        (r".*\.(conv_mask|context_block)", "with context blocks (GCNet)"),
    )
    found = next((what for pattern, what in kinds if has(pattern)), None)
    if found is None and not has(r"neck\.lateral_convs\."):
        found = "without a feature pyramid of the usual kind"
    if found is not None:
        raise UnsupportedWeightsError(
            f"{name} is MMDetection's Mask R-CNN {found}, which this version of napari-segnet does "
            "not open. Use one with a ResNet body and a feature pyramid (FPN)."
        )

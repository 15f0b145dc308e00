"""Mask R-CNN of torchvision: ``maskrcnn_resnet50_fpn``, its version 2, and their sisters.

The body may be any ResNet, ResNeXt, wide ResNet or MobileNetV3 under a feature pyramid,
heads may have been replaced, and names may be those before torchvision 0.13. What no
tensor shows (anchor sizes, the epsilon of the normalisation, thresholds) is assumed as
torchvision has it, and can be told; of a whole pickled network it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.containers import Weights
from napari_segnet.errors import UnsupportedWeightsError
from napari_segnet.families.kit.facts import complete
from napari_segnet.families.maskrcnn.facts import (
    class_names,
    fields_known,
    settle_maskrcnn,
)
from napari_segnet.families.maskrcnn.family import DetectionFamily
from napari_segnet.families.maskrcnn.shapes import Reading
from napari_segnet.families.maskrcnn.torchvision.pickled import recorded_in_layers

__all__ = ["TorchvisionMaskRCNN"]

_OLD_NAMES = (
    # Key of the module -> its name before torchvision 0.13.
    (re.compile(r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.0\.(weight|bias)"), r"\1.\2"),
    (re.compile(r"(rpn\.head\.conv)\.0\.0\.(weight|bias)"), r"\1.\2"),
)
_OLD_MASK_LAYER = re.compile(r"roi_heads\.mask_head\.(\d+)\.0\.(weight|bias)")

_DEFAULT = "torchvision's default"
_DEFAULTS = {
    "colours": ("rgb", "torchvision reads images as red, green, blue"),
    "stride_in": ("3x3", "torchvision's ResNet has the stride in the 3x3 convolution"),
    "roi_aligned": (False, _DEFAULT),
    "roi_sampling": (2, _DEFAULT),
    "anchor_order": ("ratio", "torchvision's AnchorGenerator counts them so"),
    "anchor_rounding": (True, "torchvision's AnchorGenerator rounds them"),
    "box_weights": ([10.0, 10.0, 5.0, 5.0], _DEFAULT),
    "norm_eps": (
        1e-5,
        "torchvision's default; but networks that started from its COCO weights (version 1) "
        "have 0, and no tensor shows which",
    ),
}
_FIXED = {"arithmetic": "torchvision", "background": "first"}


class TorchvisionMaskRCNN(DetectionFamily):
    """The family; see the module's docstring."""

    name = "torchvision-maskrcnn"
    title = "the Mask R-CNN of torchvision"

    def detect(self, weights: Weights) -> bool:
        """Tell from key names; its relatives without masks are refused by name."""
        keys = weights.tensors.keys()
        faster = {"rpn.head.cls_logits.weight", "roi_heads.box_predictor.cls_score.weight"}
        single = "head.classification_head.cls_logits.weight" in keys
        return faster <= keys or (single and any(key.startswith("backbone.fpn.") for key in keys))

    def describe(self, weights: Weights, overrides: Mapping[str, Any]) -> Checkpoint:
        """Read all that shapes say, and assume the rest as torchvision has it."""
        _refuse_relatives(weights)
        names = _Names(weights)
        reading = Reading(weights, self.title, names.in_file, background="first")
        read = reading.hparams()
        channels, classes = reading.channels(), reading.classes()
        recorded, defaults = recorded_in_layers(weights, self.title, channels), dict(_DEFAULTS)
        for name in ("pixel_mean", "pixel_std"):
            if name in recorded.values:
                defaults[name] = (recorded.values[name], recorded.where)
        hparams, known = settle_maskrcnn(read, reading, overrides, defaults, _FIXED, recorded)
        called, how = class_names(classes, overrides, recorded)
        facts = {**fields_known(channels, "torchvision"), **known, **how}
        blank = self._blank(weights, hparams, channels, classes, called, facts)
        return complete(self.build, blank, weights, self.title, names.in_file, tensors=self.tensors)


class _Names:
    """Keys of the module in the words of one file, which may be old ones."""

    def __init__(self, weights: Weights) -> None:
        self._there = weights.tensors.keys()

    def in_file(self, key: str) -> str:
        """Return what the file calls a tensor of the module."""
        old = _old_name(key)
        return old if old in self._there and key not in self._there else key


def _old_name(key: str) -> str:
    if match := _OLD_MASK_LAYER.fullmatch(key):
        return f"roi_heads.mask_head.mask_fcn{int(match[1]) + 1}.{match[2]}"
    for pattern, old in _OLD_NAMES:
        if pattern.fullmatch(key):
            return pattern.sub(old, key)
    return key


def _refuse_relatives(weights: Weights) -> None:
    """Say what it is instead, for networks of torchvision that share our tensor names."""
    keys = weights.tensors.keys()
    if any(key.startswith("roi_heads.mask_") for key in keys):
        return
    if "head.classification_head.cls_logits.weight" in keys:
        what = "FCOS" if "head.regression_head.bbox_ctrness.weight" in keys else "RetinaNet"
    elif any(key.startswith("roi_heads.keypoint_head.") for key in keys):
        what = "Keypoint R-CNN"
    else:
        what = "Faster R-CNN"
    raise UnsupportedWeightsError(
        f"{weights.path.name} is a {what} of torchvision: it finds boxes but draws no masks, "
        "so it cannot make labels. Use a Mask R-CNN."
    )

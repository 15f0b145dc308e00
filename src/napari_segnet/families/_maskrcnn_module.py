"""torchvision's Mask R-CNN, built from hyper-parameters and run without its detours.

The graph and every numeric step are torchvision's own; left out are its resizing to 800
pixels and its normalisation (both happen before, where the user decides on them), and the
pasting of masks to full size. Heads run on a few boxes at a time, so that memory does not
grow with the number of objects.
"""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead, concat_box_prediction_layers
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from napari_segnet.segmentation import Instances

__all__ = ["build_maskrcnn", "find_objects"]

_LEVELS = ("0", "1", "2", "3")
"""Pyramid levels that heads look at, of stride 4, 8, 16 and 32."""

_DIVISOR = 32
"""Pictures are padded with zeros to a multiple (``size_divisible`` of torchvision)."""

_LEAST_PROPOSALS = 1000
_PX_PER_PROPOSAL = 256
"""torchvision keeps 1000 proposals whatever the size, which also caps the objects; we keep
one per 16 x 16 pixels where that is more."""

_PROPOSALS_AT_ONCE = 512
"""26 MB of 7 x 7 x 256 float32 features."""
_MASKS_AT_ONCE = 64
"""51 MB of 28 x 28 x 256 float32 features."""


def build_maskrcnn(hparams: Mapping[str, Any], channels: int, classes: int) -> Any:
    """Return torchvision's ``MaskRCNN`` for hyper-parameters of ``torchvision_maskrcnn.py``.

    Parameters
    ----------
    hparams : mapping
        All of the family's hyper-parameters.
    channels : int
        Input channels.
    classes : int
        Classes, background included.
    """
    width, hidden = hparams["fpn_channels"], hparams["box_hidden"]
    box_px, layers = hparams["box_pool_px"], hparams["mask_layers"]
    module = MaskRCNN(
        _backbone(hparams, channels),
        rpn_anchor_generator=_anchors(hparams),
        rpn_head=RPNHead(width, hparams["anchors_per_pixel"]),
        rpn_nms_thresh=hparams["proposal_nms"],
        box_roi_pool=_pool(box_px),
        box_head=TwoMLPHead(width * box_px**2, hidden),
        box_predictor=FastRCNNPredictor(hidden, classes),
        box_score_thresh=hparams["least_score"],
        box_nms_thresh=hparams["box_nms"],
        box_detections_per_img=hparams["most_detections"],
        mask_roi_pool=_pool(hparams["mask_pool_px"]),
        mask_head=MaskRCNNHeads(width, layers, dilation=1),
        mask_predictor=MaskRCNNPredictor(layers[-1], hparams["mask_hidden"], classes),
    )
    module.most_proposals = hparams["most_proposals"]
    return module


def find_objects(module: Any, batch: torch.Tensor) -> list[Instances]:
    """Return the detections of each normalised picture of ``batch`` ``(n, c, y, x)``.

    Boxes and scores are computed in float32 also where weights are float16, whose steps
    are a whole pixel beyond 1024.
    """
    height, width = batch.shape[-2:]
    with torch.no_grad():
        padded = functional.pad(batch, (0, -width % _DIVISOR, 0, -height % _DIVISOR))
        features = module.backbone(padded)
        exact = OrderedDict((level, each.float()) for level, each in features.items())
        pictures = ImageList(padded, [(height, width)] * len(batch))
        proposals = _propose(module, pictures, list(features.values()), list(exact.values()))
        return [
            _detect(module, {level: each[i : i + 1] for level, each in exact.items()}, own, size)
            for i, (own, size) in enumerate(zip(proposals, pictures.image_sizes, strict=True))
        ]


def _propose(
    module: Any, pictures: ImageList, features: list[torch.Tensor], exact: list[torch.Tensor]
) -> list[torch.Tensor]:
    """Return boxes ``(n, 4)`` ``x0 y0 x1 y1`` float32 for each picture, best first."""
    rpn = copy.copy(module.rpn)  # its limits follow the picture's size: not in the shared one
    objectness, deltas = rpn.head(features)
    counts = [each[0].numel() for each in objectness]
    objectness, deltas = concat_box_prediction_layers(
        [each.float() for each in objectness], [each.float() for each in deltas]
    )
    anchors = rpn.anchor_generator(pictures, exact)
    boxes = rpn.box_coder.decode(deltas, anchors).view(len(anchors), -1, 4)
    height, width = pictures.image_sizes[0]
    most = module.most_proposals or max(_LEAST_PROPOSALS, height * width // _PX_PER_PROPOSAL)
    rpn._pre_nms_top_n = rpn._post_nms_top_n = {"training": most, "testing": most}
    kept: list[torch.Tensor] = rpn.filter_proposals(
        boxes, objectness, pictures.image_sizes, counts
    )[0]
    return kept


def _detect(
    module: Any,
    features: Mapping[str, torch.Tensor],
    proposals: torch.Tensor,
    size: tuple[int, int],
) -> Instances:
    """Return the detections of one picture."""
    heads = module.roi_heads
    dtype = next(heads.box_predictor.parameters()).dtype
    logits, deltas = [], []
    for some in torch.split(proposals, _PROPOSALS_AT_ONCE):
        pooled = heads.box_roi_pool(features, [some], [size]).to(dtype)
        own_logits, own_deltas = heads.box_predictor(heads.box_head(pooled))
        logits.append(own_logits.float())
        deltas.append(own_deltas.float())
    boxes, scores, classes = (
        each[0]
        for each in heads.postprocess_detections(
            torch.cat(logits), torch.cat(deltas), [proposals], [size]
        )
    )
    return Instances(
        boxes=boxes[:, [1, 0, 3, 2]].cpu().numpy(),
        plane=np.zeros(len(boxes), np.int64),
        scores=scores.cpu().numpy(),
        classes=classes.cpu().numpy(),
        masks=_masks(heads, features, boxes, classes, size).cpu().numpy(),
        shape=size,
        axes="yx",
    )


def _masks(
    heads: Any,
    features: Mapping[str, torch.Tensor],
    boxes: torch.Tensor,
    classes: torch.Tensor,
    size: tuple[int, int],
) -> torch.Tensor:
    """Return probabilities ``(n, M, M)`` float32 of each object's own class."""
    dtype = next(heads.mask_predictor.parameters()).dtype
    side = 2 * heads.mask_roi_pool.output_size[0]  # the predictor doubles it
    masks = torch.empty((len(boxes), side, side), device=boxes.device)
    for start in range(0, len(boxes), _MASKS_AT_ONCE):
        some = slice(start, start + _MASKS_AT_ONCE)
        pooled = heads.mask_roi_pool(features, [boxes[some]], [size]).to(dtype)
        logits = heads.mask_predictor(heads.mask_head(pooled))
        own = torch.arange(len(logits), device=logits.device)
        masks[some] = logits[own, classes[some]].float().sigmoid()
    return masks


def _backbone(hparams: Mapping[str, Any], channels: int) -> BackboneWithFPN:
    """Return any ResNet, ResNeXt or wide ResNet under a feature pyramid."""
    norm = {"batch": nn.BatchNorm2d, "frozen": FrozenBatchNorm2d}[hparams["norm"]]
    block = {"basic": BasicBlock, "bottleneck": Bottleneck}[hparams["block"]]
    body = ResNet(
        block,
        hparams["layers"],
        groups=hparams["groups"],
        width_per_group=hparams["width_per_group"],
        norm_layer=functools.partial(norm, eps=hparams["norm_eps"]),
    )
    if channels != 3:
        body.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return BackboneWithFPN(
        body,
        return_layers={f"layer{i + 1}": level for i, level in enumerate(_LEVELS)},
        in_channels_list=[width * block.expansion for width in (64, 128, 256, 512)],
        out_channels=hparams["fpn_channels"],
    )


def _anchors(hparams: Mapping[str, Any]) -> AnchorGenerator:
    ratios = tuple(hparams["anchor_ratios"])
    sizes = tuple(tuple(level) for level in hparams["anchor_sizes_px"])
    # They are no part of the file: real numbers, also while the rest is only shapes.
    with torch.device("cpu"):
        return AnchorGenerator(sizes, (ratios,) * len(sizes))


def _pool(output_px: int) -> MultiScaleRoIAlign:
    """Return RoIAlign over the pyramid with its strides given.

    Left alone it guesses them from the first picture that it sees and keeps them: wrong
    for all later ones if that one was small (65 pixels, padded to 96, make it take the
    stride 4 for 2).
    """
    pool = MultiScaleRoIAlign(list(_LEVELS), output_px, sampling_ratio=2)
    pool.scales = [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    # 224 pixels (ImageNet) on level 4: the defaults of the class.
    pool.map_levels = LevelMapper(2, 5, canonical_scale=224, canonical_level=4)
    return pool

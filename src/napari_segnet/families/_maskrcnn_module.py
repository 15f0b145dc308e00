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
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
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

__all__ = [
    "Features",
    "build_maskrcnn",
    "detect",
    "features",
    "find_objects",
    "masks_in",
    "most_proposals",
    "propose",
    "scores_in",
]

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
_SWAPPED = [1, 0, 3, 2]
"""``x0 y0 x1 y1`` <-> ``y0 x0 y1 x1``."""
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """What the backbone says of some pictures; heads look at nothing else.

    Attributes
    ----------
    levels : mapping of str to tensor
        ``(n, c, y, x)`` float32 of each pyramid level, finest first; the last (``pool``)
        is for proposals only.
    shape : tuple of int
        ``(y, x)`` of the pictures in network pixels, before they were padded.
    padded : tuple of int
        ``(y, x)`` after that.
    """

    levels: Mapping[str, torch.Tensor]
    shape: tuple[int, int]
    padded: tuple[int, int]

    def __len__(self) -> int:
        return len(next(iter(self.levels.values())))

    @property
    def nbytes(self) -> int:
        """Bytes of memory they take."""
        return sum(level.nbytes for level in self.levels.values())

    def picture(self, index: int) -> Features:
        """Return those of one picture; they share memory."""
        own = slice(index, index + 1)
        levels = OrderedDict((name, level[own]) for name, level in self.levels.items())
        return Features(levels=levels, shape=self.shape, padded=self.padded)


def find_objects(module: Any, batch: torch.Tensor) -> list[Instances]:
    """Return the detections of each normalised picture of ``batch`` ``(n, c, y, x)``.

    Boxes and scores are computed in float32 also where weights are float16, whose steps
    are a whole pixel beyond 1024.
    """
    seen = features(module, batch)
    found = []
    for index in range(len(seen)):
        own = seen.picture(index)
        found.append(detect(module, own, propose(module, own)))
    return found


def features(module: Any, batch: torch.Tensor) -> Features:
    """Return what the backbone says of each normalised picture of ``batch`` ``(n, c, y, x)``."""
    height, width = batch.shape[-2:]
    with torch.no_grad():
        padded = functional.pad(batch, (0, -width % _DIVISOR, 0, -height % _DIVISOR))
        levels = module.backbone(padded)
    return Features(
        levels=OrderedDict((name, level.float()) for name, level in levels.items()),
        shape=(height, width),
        padded=(padded.shape[-2], padded.shape[-1]),
    )


def propose(module: Any, features: Features, most: int | None = None) -> torch.Tensor:
    """Return where objects may be: boxes ``(n, 4)`` ``x0 y0 x1 y1`` float32, best first.

    Parameters
    ----------
    module : MaskRCNN
        What :func:`build_maskrcnn` returned.
    features : Features
        Of one picture.
    most : int, optional
        How many to return at most; by default what the network's hyper-parameters or the
        size of the picture say (:func:`most_proposals`).
    """
    _require_one(features)
    most = most_proposals(module, features.shape) if most is None else most
    rpn = copy.copy(module.rpn)  # its limits are of this call: not in the shared one
    rpn._pre_nms_top_n = rpn._post_nms_top_n = {"training": most, "testing": most}
    exact = list(features.levels.values())
    dtype = next(rpn.head.parameters()).dtype
    with torch.no_grad():
        objectness, deltas = rpn.head([level.to(dtype) for level in exact])
        counts = [each[0].numel() for each in objectness]
        objectness, deltas = concat_box_prediction_layers(
            [each.float() for each in objectness], [each.float() for each in deltas]
        )
        picture = ImageList(exact[0].new_empty((1, 1, *features.padded)), [features.shape])
        anchors = rpn.anchor_generator(picture, exact)
        boxes = rpn.box_coder.decode(deltas, anchors).view(1, -1, 4)
        kept: list[torch.Tensor] = rpn.filter_proposals(
            boxes, objectness, picture.image_sizes, counts
        )[0]
    return kept[0]


def most_proposals(module: Any, shape: tuple[int, int]) -> int:
    """Return how many proposals are kept in a picture of ``(y, x)`` pixels."""
    told: int | None = module.most_proposals
    return told or max(_LEAST_PROPOSALS, shape[0] * shape[1] // _PX_PER_PROPOSAL)


def detect(
    module: Any, features: Features, proposals: torch.Tensor, most: int | None = None
) -> Instances:
    """Return the objects at proposals.

    Parameters
    ----------
    module : MaskRCNN
        What :func:`build_maskrcnn` returned.
    features : Features
        Of one picture.
    proposals : tensor
        ``(n, 4)`` ``x0 y0 x1 y1``, what :func:`propose` returned.
    most : int, optional
        How many to return at most, best first; by default ``most_detections`` of the
        hyper-parameters.
    """
    _require_one(features)
    heads = copy.copy(module.roi_heads)
    heads.detections_per_img = heads.detections_per_img if most is None else most
    with torch.no_grad():
        logits, deltas = _judge(heads, features, proposals)
        boxes, scores, classes = (
            each[0]
            for each in heads.postprocess_detections(logits, deltas, [proposals], [features.shape])
        )
        masks = _masks(heads, features, boxes, classes)
    return Instances(
        boxes=boxes[:, _SWAPPED].cpu().numpy(),
        plane=np.zeros(len(boxes), np.int64),
        scores=scores.cpu().numpy(),
        classes=classes.cpu().numpy(),
        masks=masks.cpu().numpy(),
        shape=features.shape,
        axes="yx",
    )


def scores_in(
    module: Any, features: Features, boxes: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return what a box holds: probabilities ``(n, classes)`` float32, background first.

    Parameters
    ----------
    module : MaskRCNN
        What :func:`build_maskrcnn` returned.
    features : Features
        Of one picture.
    boxes : ndarray
        ``(n, 4)`` ``y0 x0 y1 x1`` in network pixels, such as a user draws.
    """
    _require_one(features)
    with torch.no_grad():
        logits, _ = _judge(module.roi_heads, features, _on_device(boxes, features))
        scores: npt.NDArray[np.float32] = logits.softmax(1).cpu().numpy()
    return scores


def masks_in(
    module: Any,
    features: Features,
    boxes: npt.NDArray[np.float32],
    classes: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Return the mask in each box: probabilities ``(n, M, M)`` float32 stretched over it.

    Parameters
    ----------
    module : MaskRCNN
        What :func:`build_maskrcnn` returned.
    features : Features
        Of one picture.
    boxes : ndarray
        ``(n, 4)`` ``y0 x0 y1 x1`` in network pixels, such as a user draws.
    classes : ndarray
        ``(n,)`` which class each is masked as; 1 is the first.
    """
    _require_one(features)
    where = _on_device(boxes, features)
    with torch.no_grad():
        own = torch.as_tensor(classes, dtype=torch.int64, device=where.device)
        masks: npt.NDArray[np.float32] = (
            _masks(module.roi_heads, features, where, own).cpu().numpy()
        )
    return masks


def _require_one(features: Features) -> None:
    if len(features) != 1:
        raise ValueError(f"features of one picture were expected, not of {len(features)}")


def _on_device(boxes: npt.NDArray[np.float32], features: Features) -> torch.Tensor:
    """Return boxes ``y0 x0 y1 x1`` as ``x0 y0 x1 y1`` beside the features."""
    device = next(iter(features.levels.values())).device
    swapped = np.asarray(boxes, np.float32).reshape(-1, 4)[:, _SWAPPED]
    return torch.as_tensor(swapped, device=device)


def _judge(
    heads: Any, features: Features, proposals: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return class logits ``(n, classes)`` and box deltas ``(n, 4 classes)``, float32."""
    dtype = next(heads.box_predictor.parameters()).dtype
    logits, deltas = [], []
    for some in torch.split(proposals, _PROPOSALS_AT_ONCE):
        pooled = heads.box_roi_pool(features.levels, [some], [features.shape]).to(dtype)
        own_logits, own_deltas = heads.box_predictor(heads.box_head(pooled))
        logits.append(own_logits.float())
        deltas.append(own_deltas.float())
    return torch.cat(logits), torch.cat(deltas)


def _masks(
    heads: Any, features: Features, boxes: torch.Tensor, classes: torch.Tensor
) -> torch.Tensor:
    """Return probabilities ``(n, M, M)`` float32 of each object's own class."""
    dtype = next(heads.mask_predictor.parameters()).dtype
    side = 2 * heads.mask_roi_pool.output_size[0]  # the predictor doubles it
    masks = torch.empty((len(boxes), side, side), device=boxes.device)
    for start in range(0, len(boxes), _MASKS_AT_ONCE):
        some = slice(start, start + _MASKS_AT_ONCE)
        pooled = heads.mask_roi_pool(features.levels, [boxes[some]], [features.shape]).to(dtype)
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

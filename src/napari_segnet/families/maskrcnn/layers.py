"""The layers of every Mask R-CNN with a feature pyramid, whichever program trained it.

Names of tensors are torchvision's; widths, normalisations and the place of strides are
read from the file or told. What happens between the layers stands in
``module.py``.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torchvision.models import mobilenet_v3_large, mobilenet_v3_small
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.misc import Conv2dNormActivation

from napari_segnet.families.maskrcnn.rows import GROUPS

__all__ = ["Layers"]

_Norm = Callable[[int], nn.Module] | None


class Layers(nn.Module):
    """Backbone, proposal head, box head and mask head.

    Parameters
    ----------
    hparams : mapping
        All hyper-parameters of a family, see ``facts.py``.
    channels : int
        Input channels.
    classes : int
        Classes, background included.
    """

    def __init__(self, hparams: Mapping[str, Any], channels: int, classes: int) -> None:
        super().__init__()
        width = hparams["fpn_channels"]
        eps = hparams["norm_eps"]
        norms = {part: _norm(hparams[f"{part}_norm"], eps) for part in ("fpn", "box", "mask")}
        self.backbone = _backbone(hparams, channels, norms["fpn"])
        order = ORDERS[_is_matterport(hparams)]
        logits = 2 if hparams.get("rpn_softmax") else 1
        self.rpn = nn.ModuleDict(
            {
                "head": _ProposalHead(
                    width, hparams["rpn_layers"], hparams["anchors_per_pixel"], logits, order
                )
            }
        )
        flat, box_head = _box_head(hparams, norms["box"])
        layers = hparams["mask_layers"]
        background = int(hparams["background"] == "first")
        boxes = 1 if hparams["box_agnostic"] else classes - 1 + background
        masks = 1 if hparams["mask_agnostic"] else classes - 1 + background
        self.roi_heads = nn.ModuleDict(
            {
                "box_head": box_head,
                "box_predictor": _BoxPredictor(flat, classes, boxes, order),
                "mask_head": _mask_head(hparams, norms["mask"]),
                "mask_predictor": MaskRCNNPredictor(
                    layers[-1] if layers else width, hparams["mask_hidden"], masks
                ),
            }
        )


ORDERS = ((0, 1, 2, 3), (1, 0, 3, 2))
"""Where the numbers of a box are for x, y, width and height: in that order, or y before x."""


# ---- Bodies ----------------------------------------------------------------------------

_MOBILENETS = {
    "mobilenet_v3_large": mobilenet_v3_large,
    "mobilenet_v3_small": mobilenet_v3_small,
}


def _norm(kind: str, eps: float) -> _Norm:
    if kind == "batch":
        return functools.partial(nn.BatchNorm2d, eps=eps)
    if kind == "frozen":
        return functools.partial(FrozenBatchNorm2d, eps=eps)
    return functools.partial(nn.GroupNorm, GROUPS) if kind == "group" else None


def _is_matterport(hparams: Mapping[str, Any]) -> bool:
    return bool(hparams.get("arithmetic") == "matterport")


def _backbone(hparams: Mapping[str, Any], channels: int, fpn_norm: _Norm) -> BackboneWithFPN:
    norm = _norm(hparams["norm"], hparams["norm_eps"])
    body, widths, names = (_resnet if hparams["body"] == "resnet" else _mobilenet)(
        hparams, channels, norm
    )
    return BackboneWithFPN(
        body,
        return_layers={name: str(i) for i, name in enumerate(names)},
        in_channels_list=widths,
        out_channels=hparams["fpn_channels"],
        norm_layer=fpn_norm,
    )


def _resnet(
    hparams: Mapping[str, Any], channels: int, norm: Any
) -> tuple[nn.Sequential, list[int], list[str]]:
    """Return the body, and widths and names of the layers that go into the pyramid."""
    stem, width = hparams["stem_channels"], hparams["body_channels"]
    bias = bool(hparams.get("conv_bias"))
    # TensorFlow pads an even side behind its end alone.
    same = _is_matterport(hparams)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(channels, stem, kernel_size=7, stride=2, padding=3, bias=bias),
        bn1=norm(stem),
        relu=nn.ReLU(inplace=True),
        maxpool=nn.MaxPool2d(kernel_size=3, stride=2, padding=int(not same), ceil_mode=same),
    )
    before = stem
    for i, count in enumerate(hparams["layers"]):
        after = width * 2**i
        blocks = []
        for number in range(count):
            stride = 2 if i and not number else 1
            blocks.append(_block(hparams, before, after, 2**i, stride, norm, bias))
            before = after
        layers[f"layer{i + 1}"] = nn.Sequential(*blocks)
    levels = hparams["levels"]
    return (
        nn.Sequential(layers),
        [width * 2 ** (level - 1) for level in levels],
        [f"layer{level}" for level in levels],
    )


def _block(
    hparams: Mapping[str, Any],
    before: int,
    after: int,
    wider: int,
    stride: int,
    norm: Any,
    bias: bool,
) -> nn.Module:
    if hparams["block"] == "basic":
        steps = [(3, after, stride, 1), (3, after, 1, 1)]
        return _Residual(before, after, stride, norm, steps, bias)
    groups = hparams["groups"]
    middle = hparams["width_per_group"] * groups * wider
    first, second = (stride, 1) if hparams["stride_in"] == "1x1" else (1, stride)
    steps = [(1, middle, first, 1), (3, middle, second, groups), (1, after, 1, 1)]
    return _Residual(before, after, stride, norm, steps, bias)


class _Residual(nn.Module):
    """Convolutions ``conv1``, ``bn1``, ``conv2``, ... whose answer is added to the input."""

    def __init__(
        self,
        before: int,
        after: int,
        stride: int,
        norm: Any,
        steps: Sequence[tuple[int, int, int, int]],
        bias: bool,
    ) -> None:
        super().__init__()
        self.count = len(steps)
        width = before
        for i, (kernel, wide, step, groups) in enumerate(steps, 1):
            conv = nn.Conv2d(
                width, wide, kernel, step, padding=kernel // 2, groups=groups, bias=bias
            )
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", norm(wide))
            width = wide
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, kernel_size=1, stride=stride, bias=bias), norm(after)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(n, after, y, x)``, smaller by the stride."""
        answer = x
        for i in range(1, self.count + 1):
            answer = self._modules[f"bn{i}"](self._modules[f"conv{i}"](answer))  # type: ignore[misc]
            if i < self.count:
                answer = functional.relu(answer, inplace=True)
        shortcut = x if self.downsample is None else self.downsample(x)
        return functional.relu(answer + shortcut, inplace=True)


def _mobilenet(
    hparams: Mapping[str, Any], channels: int, norm: Any
) -> tuple[nn.Sequential, list[int], list[str]]:
    features = _MOBILENETS[hparams["body"]](norm_layer=norm).features
    levels = hparams["levels"]
    if channels != 3:
        first = features[0][0]
        features[0][0] = nn.Conv2d(channels, first.out_channels, 3, 2, padding=1, bias=False)
    return features, [features[i].out_channels for i in levels], [str(i) for i in levels]


# ---- Heads -----------------------------------------------------------------------------


class _ProposalHead(nn.Module):
    """Convolutions, then for each anchor at each place: is it an object, and where exactly."""

    def __init__(
        self,
        width: int,
        widths: Sequence[int],
        anchors: int,
        logits: int,
        order: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.logits, self.order = logits, order
        layers = []
        for wide in widths:
            layers.append(Conv2dNormActivation(width, wide, kernel_size=3, norm_layer=None))
            width = wide
        self.conv = nn.Sequential(*layers)
        self.cls_logits = nn.Conv2d(width, logits * anchors, kernel_size=1)
        self.bbox_pred = nn.Conv2d(width, 4 * anchors, kernel_size=1)

    def forward(self, level: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits ``(n, anchor, y, x)`` and deltas ``(n, 4 anchors, y, x)``."""
        hidden = self.conv(level)
        logits, deltas = self.cls_logits(hidden), self.bbox_pred(hidden)
        if self.logits == 2:
            # The softmax of background and object is the sigmoid of their difference.
            logits = logits[:, 1::2] - logits[:, ::2]
        return logits, _ordered(deltas, self.order)


class _BoxPredictor(nn.Module):
    """Class logits ``(n, classes)`` and box deltas ``(n, 4 boxes)`` of each box."""

    def __init__(self, width: int, classes: int, boxes: int, order: tuple[int, ...]) -> None:
        super().__init__()
        self.order = order
        self.cls_score = nn.Linear(width, classes)
        self.bbox_pred = nn.Linear(width, 4 * boxes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both."""
        return self.cls_score(x), _ordered(self.bbox_pred(x), self.order)


def _ordered(deltas: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
    """Return deltas ``(n, 4 boxes, ...)`` in the order x, y, width, height."""
    if order == ORDERS[0]:
        return deltas
    boxes = deltas.view(len(deltas), deltas.shape[1] // 4, 4, *deltas.shape[2:])
    return boxes[:, :, list(order)].flatten(1, 2)


def _box_head(hparams: Mapping[str, Any], norm: _Norm) -> tuple[int, nn.Module]:
    """Return the width of its answer, and the head."""
    width, edge = hparams["fpn_channels"], hparams["box_pool_px"]
    convs, fcs = hparams["box_convs"], hparams["box_fcs"]
    if hparams["box_head"] == "mlp":
        return fcs[0], TwoMLPHead(width * edge**2, fcs[0])
    if hparams["box_head"] == "conv":
        return fcs[-1], _conv_box_head(width, edge, fcs, norm)
    flat = (convs[-1] if convs else width) * edge**2
    head = FastRCNNConvFCHead((width, edge, edge), convs, fcs, norm_layer=norm)
    return fcs[-1] if fcs else flat, head


def _conv_box_head(width: int, edge: int, fcs: Sequence[int], norm: _Norm) -> nn.Module:
    """Return linear layers written as convolutions, the first over all that is cut out."""
    layers, kernel = [], edge
    for wide in fcs:
        layers.append(
            Conv2dNormActivation(
                width, wide, kernel_size=kernel, padding=0, norm_layer=norm, bias=True
            )
        )
        width, kernel = wide, 1
    return nn.Sequential(*layers)


def _mask_head(hparams: Mapping[str, Any], norm: _Norm) -> nn.Module:
    width, layers = hparams["fpn_channels"], hparams["mask_layers"]
    if not hparams.get("conv_bias"):
        heads: nn.Module = MaskRCNNHeads(width, layers, dilation=1, norm_layer=norm)
        return heads
    convs = []
    for wide in layers:
        convs.append(Conv2dNormActivation(width, wide, kernel_size=3, norm_layer=norm, bias=True))
        width = wide
    return nn.Sequential(*convs)

"""The tensors of every Mask R-CNN with a feature pyramid: what ``layers.py`` builds.

Such a network is no chain of maps (boxes are cut out and compared in between), so its layers
are listed, not drawn as a graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_segnet.families.maskrcnn.mobilenets import mobilenet
from napari_segnet.families.maskrcnn.rows import Rows
from napari_segnet.graph import Tensor

__all__ = ["maskrcnn_tensors"]


def maskrcnn_tensors(
    hparams: Mapping[str, Any], channels: int, classes: int
) -> Mapping[str, Tensor]:
    """Return every tensor by its name in torchvision, in the order of its state dict.

    Parameters
    ----------
    hparams : mapping
        All of a family's hyper-parameters, see ``facts.py``.
    channels : int
        Input channels.
    classes : int
        Classes, background included.

    Raises
    ------
    ValueError
        For a group normalisation whose groups are not equal, and for a body without any
        normalisation.
    """
    rows = Rows()
    width = hparams["fpn_channels"]
    body = _resnet if hparams["body"] == "resnet" else mobilenet
    if hparams["norm"] == "none":
        raise ValueError("a body without normalisation is not known")
    widths = body(rows, hparams, channels)
    for i, own in enumerate(widths):
        rows.layer(f"backbone.fpn.inner_blocks.{i}", own, width, 1, hparams["fpn_norm"])
    for i in range(len(widths)):
        rows.layer(f"backbone.fpn.layer_blocks.{i}", width, width, 3, hparams["fpn_norm"])
    before = width
    for i, own in enumerate(hparams["rpn_layers"]):
        rows.layer(f"rpn.head.conv.{i}", before, own, 3, "none")
        before = own
    anchors = hparams["anchors_per_pixel"]
    logits = 2 * anchors if hparams.get("rpn_softmax") else anchors
    rows.convolution("rpn.head.cls_logits", before, logits, 1, bias=True)
    rows.convolution("rpn.head.bbox_pred", before, 4 * anchors, 1, bias=True)
    _heads(rows, hparams, classes)
    return rows.tensors


def _resnet(rows: Rows, hparams: Mapping[str, Any], channels: int) -> list[int]:
    """Add a ResNet as far as the pyramid needs it; return the widths that go into it."""
    body, norm, width = "backbone.body", hparams["norm"], hparams["body_channels"]
    before, bias = hparams["stem_channels"], bool(hparams.get("conv_bias"))
    rows.convolution(f"{body}.conv1", channels, before, 7, bias=bias)
    rows.norm(f"{body}.bn1", before, norm)
    deepest = max(hparams["levels"])
    for i, count in enumerate(hparams["layers"][:deepest]):
        after = width * 2**i
        for number in range(count):
            name = f"{body}.layer{i + 1}.{number}"
            _residual(rows, hparams, name, before, after, 2**i)
            if before != after or (i and not number):  # or its first block has a stride
                rows.convolution(f"{name}.downsample.0", before, after, 1, bias=bias)
                rows.norm(f"{name}.downsample.1", after, norm)
            before = after
    return [width * 2 ** (level - 1) for level in hparams["levels"]]


def _residual(
    rows: Rows, hparams: Mapping[str, Any], name: str, before: int, after: int, wider: int
) -> None:
    """Add the convolutions of a block: two of 3x3, or a 3x3 between two 1x1."""
    steps = [(3, after, 1), (3, after, 1)]
    if hparams["block"] != "basic":
        middle = hparams["width_per_group"] * hparams["groups"] * wider
        steps = [(1, middle, 1), (3, middle, hparams["groups"]), (1, after, 1)]
    for i, (kernel, width, groups) in enumerate(steps, 1):
        bias = bool(hparams.get("conv_bias"))
        rows.convolution(f"{name}.conv{i}", before, width, kernel, bias=bias, groups=groups)
        rows.norm(f"{name}.bn{i}", width, hparams["norm"])
        before = width


def _heads(rows: Rows, hparams: Mapping[str, Any], classes: int) -> None:
    """Add the box head and the mask head."""
    head, width = "roi_heads.box_head", hparams["fpn_channels"]
    flat = _box_head(rows, hparams, head)
    full = classes if hparams["background"] == "first" else classes - 1
    rows.linear("roi_heads.box_predictor.cls_score", flat, classes)
    boxes = 1 if hparams["box_agnostic"] else full
    rows.linear("roi_heads.box_predictor.bbox_pred", flat, 4 * boxes)
    before = width
    for i, own in enumerate(hparams["mask_layers"]):
        bias = bool(hparams.get("conv_bias"))
        rows.layer(f"roi_heads.mask_head.{i}", before, own, 3, hparams["mask_norm"], bias=bias)
        before = own
    hidden, name = hparams["mask_hidden"], "roi_heads.mask_predictor"
    rows.tensors[f"{name}.conv5_mask.weight"] = Tensor(shape=(before, hidden, 2, 2))
    rows.tensors[f"{name}.conv5_mask.bias"] = Tensor(shape=(hidden,))
    masks = 1 if hparams["mask_agnostic"] else full
    rows.convolution(f"{name}.mask_fcn_logits", hidden, masks, 1, bias=True)


def _box_head(rows: Rows, hparams: Mapping[str, Any], head: str) -> int:
    """Add the layers that all box answers share; return the width of theirs."""
    width: int = hparams["fpn_channels"]
    area: int = hparams["box_pool_px"] ** 2
    fcs: Sequence[int] = hparams["box_fcs"]
    if hparams["box_head"] == "mlp":
        rows.linear(f"{head}.fc6", width * area, fcs[0])
        rows.linear(f"{head}.fc7", fcs[0], fcs[0])
        return fcs[0]
    if hparams["box_head"] == "conv":
        kernel = hparams["box_pool_px"]
        for i, own in enumerate(fcs):
            rows.layer(f"{head}.{i}", width, own, kernel, hparams["box_norm"], bias=True)
            width, kernel = own, 1
        return width
    for i, own in enumerate(hparams["box_convs"]):
        rows.layer(f"{head}.{i}", width, own, 3, hparams["box_norm"])
        width = own
    # Then the flattening, and a ReLU behind each linear layer.
    number, before = len(hparams["box_convs"]) + 1, width * area
    for own in fcs:
        rows.linear(f"{head}.{number}", before, own)
        number, before = number + 2, own
    return before

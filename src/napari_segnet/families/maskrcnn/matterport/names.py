"""Names of tensors in files of matterport's Mask R-CNN, and how their numbers lie there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from napari_segnet.checkpoint import Layout
from napari_segnet.containers import TensorRef, Weights

__all__ = ["Names", "as_torch", "holds_matterport", "layouts_of"]

HEADS = ("mrcnn_mask_deconv", "mrcnn_class_logits", "mrcnn_bbox_fc")
"""Layers that no other program has."""
RPN = "rpn_model"
"""A model inside of the model: its layers stand one folder deeper."""
ANCHORS = "anchors"
"""Ports to TensorFlow 2 keep the boxes of all places as if they were weights."""

_KERNEL = (3, 2, 0, 1)
"""Keras has y, x, in, out (transposed: y, x, out, in); torch the last two first and turned."""
_DENSE = (1, 0)
_END = re.compile(r"(_\d+)?(:\d+)?$")
_OLD = {"running_mean": "moving_mean", "running_std": "moving_variance"}
_CONV = {"weight": "kernel", "bias": "bias"}
_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def holds_matterport(names: Iterable[str]) -> bool:
    """Tell by names of layers or tensors if a file holds such a network."""
    return any(name.partition("/")[0] in HEADS for name in names)


class Names:
    """Keys of the graph in the words of one file."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = {_place(key): key for key in keys}

    def in_file(self, key: str) -> str:
        """Return what the file calls a tensor of the graph."""
        for pattern, layer, words in _TABLE:
            if match := re.fullmatch(pattern, key):
                *parts, leaf = match.groups()
                if leaf not in words:
                    return key
                place = f"{layer(*parts)}/{words[leaf]}"
                return self._keys.get(place, place)
        return key


def _place(key: str) -> str:
    """Return layer and kind of a tensor, without what differs between versions of Keras.

    ``conv1/conv1/kernel:0`` and ``conv1/conv1_1/kernel:0`` are ``conv1/kernel``.
    """
    parts = key.split("/")
    layer = parts[0]
    if layer == RPN and len(parts) > 2:
        layer = _END.sub("", parts[-2])
    kind = _END.sub("", parts[-1])
    return f"{layer}/{_OLD.get(kind, kind)}"


def _block(start: str, stage: str, number: str, branch: str) -> str:
    return f"{start}{int(stage) + 1}{chr(ord('a') + int(number))}_branch{branch}"


def _step(number: str) -> str:
    return "2" + chr(ord("a") + int(number) - 1)


_BODY = r"backbone\.body\.layer(\d+)\.(\d+)\."
_LEAF = r"\.(\w+)"
_TABLE = (
    (r"backbone\.body\.conv1" + _LEAF, lambda: "conv1", _CONV),
    (r"backbone\.body\.bn1" + _LEAF, lambda: "bn_conv1", _NORM),
    (_BODY + r"conv(\d)" + _LEAF, lambda i, n, k: _block("res", i, n, _step(k)), _CONV),
    (_BODY + r"bn(\d)" + _LEAF, lambda i, n, k: _block("bn", i, n, _step(k)), _NORM),
    (_BODY + r"downsample\.0" + _LEAF, lambda i, n: _block("res", i, n, "1"), _CONV),
    (_BODY + r"downsample\.1" + _LEAF, lambda i, n: _block("bn", i, n, "1"), _NORM),
    (
        r"backbone\.fpn\.inner_blocks\.(\d+)\.0" + _LEAF,
        lambda i: f"fpn_c{int(i) + 2}p{int(i) + 2}",
        _CONV,
    ),
    (r"backbone\.fpn\.layer_blocks\.(\d+)\.0" + _LEAF, lambda i: f"fpn_p{int(i) + 2}", _CONV),
    (r"rpn\.head\.conv\.0\.0" + _LEAF, lambda: "rpn_conv_shared", _CONV),
    (r"rpn\.head\.cls_logits" + _LEAF, lambda: "rpn_class_raw", _CONV),
    (r"rpn\.head\.bbox_pred" + _LEAF, lambda: "rpn_bbox_pred", _CONV),
    (
        r"roi_heads\.box_head\.(\d+)\.0" + _LEAF,
        lambda i: f"mrcnn_class_conv{int(i) + 1}",
        _CONV,
    ),
    (r"roi_heads\.box_head\.(\d+)\.1" + _LEAF, lambda i: f"mrcnn_class_bn{int(i) + 1}", _NORM),
    (r"roi_heads\.box_predictor\.cls_score" + _LEAF, lambda: "mrcnn_class_logits", _CONV),
    (r"roi_heads\.box_predictor\.bbox_pred" + _LEAF, lambda: "mrcnn_bbox_fc", _CONV),
    (
        r"roi_heads\.mask_head\.(\d+)\.0" + _LEAF,
        lambda i: f"mrcnn_mask_conv{int(i) + 1}",
        _CONV,
    ),
    (r"roi_heads\.mask_head\.(\d+)\.1" + _LEAF, lambda i: f"mrcnn_mask_bn{int(i) + 1}", _NORM),
    (r"roi_heads\.mask_predictor\.conv5_mask" + _LEAF, lambda: "mrcnn_mask_deconv", _CONV),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits" + _LEAF, lambda: "mrcnn_mask", _CONV),
)


def as_torch(weights: Weights) -> Weights:
    """Return weights whose tensors have the shapes of torch; those of no layer are left out."""
    tensors = {
        key: replace(ref, shape=tuple(ref.shape[axis] for axis in _order(key, ref.shape)))
        for key, ref in weights.tensors.items()
        if not _is_anchors(key, ref)
    }
    return replace(weights, tensors=tensors)


def layouts_of(tensors: Mapping[str, TensorRef]) -> dict[str, Layout]:
    """Return how those tensors lie in a file that torch has otherwise."""
    return {
        key: Layout(order=_order(key, ref.shape))
        for key, ref in tensors.items()
        if _order(key, ref.shape) != tuple(range(len(ref.shape)))
    }


def _order(key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    plain = tuple(range(len(shape)))
    return {2: _DENSE, 4: _KERNEL}.get(len(shape), plain) if "/kernel" in key else plain


def _is_anchors(key: str, ref: TensorRef) -> bool:
    return key.partition("/")[0].startswith(ANCHORS) and ref.shape[-1:] == (4,)

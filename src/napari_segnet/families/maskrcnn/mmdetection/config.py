"""The configuration that MMDetection writes into its files, read as data.

It is Python text, ``model = dict(type='MaskRCNN', backbone=dict(...))``. Its syntax tree
is walked for assignments of ``dict(...)``, lists, numbers, texts and names of earlier
ones; everything else counts as unknown. Nothing is run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from napari_segnet.containers import Weights
from napari_segnet.errors import UnsupportedWeightsError
from napari_segnet.families.maskrcnn.facts import Recorded

__all__ = ["parse_config", "recorded_in"]

_MAX_CHARS = 2**20
_MAX_NODES = 100_000
_MAX_DEPTH = 60
_ANCHORS = "model.rpn_head.anchor_generator"


def recorded_in(weights: Weights, classes: int) -> tuple[Recorded, list[str]]:
    """Return what is recorded of a network of ``classes`` classes, and notes on what is not used.

    Raises
    ------
    UnsupportedWeightsError
        If a configuration asks for a step that the shared graph does not have.
    """
    meta = weights.metadata.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    names, notes = _names(meta, classes), []
    for where, config in _configs(meta, weights.metadata):
        if _at(config, "model") is None:
            notes.append(f"{where} was not used: it could not be read as plain values")
            continue
        own = _at(config, "model.roi_head.bbox_head.num_classes")
        if own is not None and own != classes:
            notes.append(f"{where} was not used: it has {own} classes, the tensors {classes}")
            continue
        _refuse_unsupported(weights.path.name, where, config)
        return Recorded(where=where, values=_values(config), class_names=names), notes
    return Recorded(where="the file's meta", class_names=names), notes


def parse_config(text: str) -> dict[str, Any]:
    """Return the plain values that a configuration's text assigns; nothing of it is run."""
    if len(text) > _MAX_CHARS:
        return {}
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    reader = _Reader()
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name):
                reader.known[target.id] = reader.value(statement.value, 0)
    return {name: value for name, value in reader.known.items() if value is not None}


class _Reader:
    """Turns syntax into plain values; what it does not know becomes None."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.left = _MAX_NODES

    def value(self, node: ast.expr | None, depth: int) -> Any:
        self.left -= 1
        if node is None or depth > _MAX_DEPTH or self.left < 0:
            return None
        if isinstance(node, ast.Constant):
            plain = isinstance(node.value, (str, int, float, bool))
            return node.value if plain else None
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            number = self.value(node.operand, depth + 1)
            return -number if isinstance(number, (int, float)) else None
        if isinstance(node, ast.List | ast.Tuple):
            return [self.value(item, depth + 1) for item in node.elts]
        if isinstance(node, ast.Dict):
            keys = [self.value(key, depth + 1) for key in node.keys]
            values = [self.value(item, depth + 1) for item in node.values]
            return {k: v for k, v in zip(keys, values, strict=True) if isinstance(k, str)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "dict" and not node.args:
                return {k.arg: self.value(k.value, depth + 1) for k in node.keywords if k.arg}
            return None
        return self.known.get(node.id) if isinstance(node, ast.Name) else None


def _configs(meta: Mapping[str, Any], beside: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for holder, name in ((meta, "cfg"), (meta, "config"), (beside, "cfg")):
        found = holder.get(name)
        where = f"the file's {'meta.' if holder is meta else ''}{name}"
        if isinstance(found, str):
            yield where, parse_config(found)
        elif isinstance(found, Mapping):
            inner = found.get("_cfg_dict")  # mmcv's Config object, as an inert record
            yield where, inner if isinstance(inner, Mapping) else found


def _names(meta: Mapping[str, Any], classes: int) -> tuple[str, ...]:
    """Return class names: ``CLASSES`` of version 2, ``dataset_meta`` of version 3."""
    dataset = meta.get("dataset_meta")
    dataset = dataset if isinstance(dataset, Mapping) else {}
    for found in (meta.get("CLASSES"), dataset.get("classes"), dataset.get("CLASSES")):
        if isinstance(found, str) and classes == 1:
            return (found,)
        if isinstance(found, (list, tuple)) and len(found) == classes:
            if all(isinstance(name, str) for name in found):
                return tuple(found)
    return ()


def _at(config: Any, path: str) -> Any:
    value = config
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def _refuse_unsupported(name: str, where: str, config: Any) -> None:
    """Refuse what the tensors alone would not show to be different."""
    plain: tuple[tuple[str, tuple[Any, ...], str], ...] = (
        ("model.type", ("MaskRCNN",), "another detector"),
        ("model.roi_head.type", ("StandardRoIHead",), "another head"),
        (f"{_ANCHORS}.type", ("AnchorGenerator",), "other anchors"),
        (f"{_ANCHORS}.center_offset", (0, 0.0), "anchors are shifted"),
        (f"{_ANCHORS}.octave_base_scale", (None,), "anchors in octaves"),
        ("model.roi_head.bbox_roi_extractor.type", ("SingleRoIExtractor",), "other pooling"),
        ("model.roi_head.bbox_roi_extractor.roi_layer.type", ("RoIAlign",), "other pooling"),
        ("model.roi_head.bbox_head.loss_cls.use_sigmoid", (False,), "classes that may overlap"),
        ("model.rpn_head.loss_cls.use_sigmoid", (True,), "proposals by softmax"),
        ("model.neck.type", ("FPN",), "another pyramid"),
    )
    faults = [
        f"{path}={value!r} ({what})"
        for path, wanted, what in plain
        if (value := _at(config, path)) is not None and value not in wanted
    ]
    boxes, masks = (
        _at(config, f"model.roi_head.{head}_roi_extractor.roi_layer") for head in ("bbox", "mask")
    )
    if isinstance(boxes, Mapping) and isinstance(masks, Mapping):
        if any(boxes.get(key) != masks.get(key) for key in ("sampling_ratio", "aligned")):
            faults.append("mask_roi_extractor (other pooling than for boxes)")
    if faults:
        raise UnsupportedWeightsError(
            f"{name} is a network of MMDetection with a step that this version does not have: "
            f"{where} says {'; '.join(faults)}. Use MMDetection's plain mask_rcnn with FPN."
        )


def _values(config: Any) -> dict[str, Any]:
    """Return hyper-parameters by name, as far as they are recorded and of the right kind."""
    style = _at(config, "model.backbone.style")
    pool = "model.roi_head.bbox_roi_extractor.roi_layer"
    aligned = _at(config, f"{pool}.aligned")
    stds = _numbers(_at(config, "model.roi_head.bbox_head.bbox_coder.target_stds"))
    mask_pool = _at(config, "model.roi_head.mask_roi_extractor.roi_layer.output_size")
    order = _at(config, f"{_ANCHORS}.scale_major")
    found = {
        "stride_in": {"pytorch": "3x3", "caffe": "1x1"}.get(style)
        if isinstance(style, str)
        else None,
        "roi_aligned": aligned if isinstance(aligned, bool) else None,
        "roi_sampling": _whole(_at(config, f"{pool}.sampling_ratio")),
        "mask_pool_px": _whole(mask_pool),
        "box_weights": [round(1 / s, 6) for s in stds] if stds and min(stds) > 0 else None,
        "anchor_order": {True: "ratio", False: "size"}.get(order)
        if isinstance(order, bool)
        else None,
        "box_nms": _share(_at(config, "model.test_cfg.rcnn.nms.iou_threshold")),
        "proposal_nms": _share(_at(config, "model.test_cfg.rpn.nms.iou_threshold")),
        **_colours(config),
        **_anchors(config),
    }
    return {name: value for name, value in found.items() if value is not None}


def _colours(config: Any) -> dict[str, Any]:
    """Return the normalisation: ``data_preprocessor`` of version 3, ``img_norm_cfg`` of 2."""
    preprocessor = _at(config, "model.data_preprocessor")
    if isinstance(preprocessor, Mapping):
        norm, to_rgb = preprocessor, preprocessor.get("bgr_to_rgb", False)
    else:
        found = _at(config, "img_norm_cfg")
        norm = found if isinstance(found, Mapping) else {}
        to_rgb = norm.get("to_rgb", True)
    means, stds = _numbers(norm.get("mean")), _numbers(norm.get("std"))
    if means is None or stds is None or len(means) != len(stds) or min(stds) <= 0:
        return {}
    # Pictures are read as blue, green, red (OpenCV) and turned if asked for.
    colours = "rgb" if to_rgb or len(means) != 3 else "bgr"
    return {"pixel_mean": means, "pixel_std": stds, "colours": colours}


def _anchors(config: Any) -> dict[str, Any]:
    scales = _numbers(_at(config, f"{_ANCHORS}.scales"))
    ratios = _numbers(_at(config, f"{_ANCHORS}.ratios"))
    strides = _numbers(_at(config, f"{_ANCHORS}.strides"))
    bases = _numbers(_at(config, f"{_ANCHORS}.base_sizes")) or strides
    if not scales or not ratios or not bases:
        return {}
    sizes = [[base * scale for scale in scales] for base in bases]
    return {"anchor_sizes_px": sizes, "anchor_ratios": ratios}


def _numbers(value: Any) -> list[float] | None:
    if not isinstance(value, (list, tuple)) or not value:
        return None
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value):
        return None
    return [float(v) for v in value]


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _share(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 1 else None

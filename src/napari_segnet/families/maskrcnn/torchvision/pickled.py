"""What a whole pickled Mask R-CNN of torchvision says of itself: anchors, sizes, thresholds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from napari_segnet.containers import Layer, Weights
from napari_segnet.errors import UnknownNetworkError
from napari_segnet.families.kit.facts import refusal
from napari_segnet.families.maskrcnn.facts import Recorded

__all__ = ["recorded_in_layers"]

WHERE = "the layers of the pickled network"
CLASSES: Mapping[str, str] = {
    "transform": "torchvision.models.detection.transform.GeneralizedRCNNTransform",
    "rpn": "torchvision.models.detection.rpn.RegionProposalNetwork",
    "rpn.anchor_generator": "torchvision.models.detection.anchor_utils.AnchorGenerator",
    "roi_heads": "torchvision.models.detection.roi_heads.RoIHeads",
    "roi_heads.box_roi_pool": "torchvision.ops.poolers.MultiScaleRoIAlign",
    "roi_heads.mask_roi_pool": "torchvision.ops.poolers.MultiScaleRoIAlign",
}
"""Parts whose arithmetic is ours; of any other class nothing is known."""
_FUNCTIONS = frozenset({"ReLU", "Hardswish", "Hardsigmoid", "Identity", "Flatten", "Dropout"})
_NORMS = re.compile(r"(?:torch\.nn\.modules\..*|torchvision\.ops\.misc\.Frozen)BatchNorm2d")
_HALVING = re.compile(
    r"backbone\.body\.(?:conv1|layer[234]\.0\.(?P<conv>conv[12])|layer[234]\.0\.downsample\.0)"
)
_IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
_CANONICAL = {"canonical_scale": 224, "canonical_level": 4}


def recorded_in_layers(weights: Weights, title: str, channels: int) -> Recorded:
    """Return what the layers record; of a state dict, nothing.

    Raises
    ------
    UnknownNetworkError
        Naming a layer, or a number of one, that the network cannot have.
    """
    layers = weights.layers
    if not layers:
        return Recorded()
    for place, kind in CLASSES.items():
        there = layers.get(place)
        if there is None or there.kind != kind:
            raise _odd(weights, title, place, there, f"where {kind} is expected")
    _check_layers(weights, title)
    anchors, heads = layers["rpn.anchor_generator"].values, layers["roi_heads"].values
    box, mask = (layers[f"roi_heads.{part}_roi_pool"] for part in ("box", "mask"))
    for pool in (box, mask):
        for name, value in {**_CANONICAL, "sampling_ratio": box.values["sampling_ratio"]}.items():
            if pool.values.get(name, value) != value:
                raise _odd(weights, title, "roi_heads.mask_roi_pool", pool, f"with another {name}")
    values = {
        "anchor_sizes_px": anchors["sizes"],
        "anchor_ratios": _one_of(weights, title, "rpn.anchor_generator", anchors["aspect_ratios"]),
        "anchor_order": "ratio",
        "anchor_rounding": True,
        "roi_aligned": False,
        "roi_sampling": max(0, box.values["sampling_ratio"]),
        "mask_pool_px": mask.values["output_size"][0],
        "least_score": heads["score_thresh"],
        "box_nms": heads["nms_thresh"],
        "box_weights": heads["box_coder"]["weights"],
        "proposal_nms": layers["rpn"].values["nms_thresh"],
        "proposal_score": layers["rpn"].values.get("score_thresh", 0.0),
        "norm_eps": _epsilon(weights, title),
        **_strides(weights, title),
        **_colours(layers["transform"], channels),
    }
    known = {name: value for name, value in values.items() if value is not None}
    return Recorded(where=WHERE, values=known, scale_why=_scale(layers["transform"]))


def _check_layers(weights: Weights, title: str) -> None:
    """See that convolutions and functions are those of torchvision."""
    for place, layer in weights.layers.items():
        values = layer.values
        if layer.torch == "Conv2d":
            edge, rim = values.get("kernel_size", [1, 1]), values.get("padding", [0, 0])
            if values.get("dilation", [1, 1]) != [1, 1] or values.get("padding_mode") == "circular":
                raise _odd(weights, title, place, layer, f"with dilation {values.get('dilation')}")
            if values.get("padding_mode", "zeros") != "zeros" or rim != [n // 2 for n in edge]:
                what = f"with padding {rim} ({values.get('padding_mode', 'zeros')})"
                raise _odd(weights, title, place, layer, what)
        elif layer.torch == "MaxPool2d":
            window = [values.get(name) for name in ("kernel_size", "stride", "padding")]
            if window != [3, 2, 1]:
                raise _odd(weights, title, place, layer, f"of {window}, where 3, 2, 1 are known")
        elif (
            layer.kind.startswith("torch.nn.modules.activation.") and layer.torch not in _FUNCTIONS
        ):
            raise _odd(weights, title, place, layer, "which has no place in it")


def _strides(weights: Weights, title: str) -> dict[str, Any]:
    """Tell where the bottlenecks of a ResNet halve their maps."""
    layers = {p: one for p, one in weights.layers.items() if p.startswith("backbone.body.")}
    if "backbone.body.layer1" not in layers:
        return {}
    halving = {p for p, one in layers.items() if one.values.get("stride") == [2, 2]}
    halving = {place for place in halving if layers[place].torch == "Conv2d"}
    for place in halving:
        if not _HALVING.fullmatch(place):
            raise _odd(weights, title, place, layers[place], "with stride 2")
    bottleneck = "backbone.body.layer1.0.conv3" in layers
    found = {match["conv"] for p in halving if (match := _HALVING.fullmatch(p)) and match["conv"]}
    wanted = {"conv1", "conv2"} if bottleneck else {"conv1"}
    if len(found) != 1 or not found <= wanted:
        place = "backbone.body.layer2.0.conv1"
        raise _odd(weights, title, place, layers.get(place), "whose block does not halve its maps")
    return {"stride_in": "1x1" if found == {"conv1"} else "3x3"} if bottleneck else {}


def _epsilon(weights: Weights, title: str) -> float | None:
    norms = {p: one for p, one in weights.layers.items() if _NORMS.fullmatch(one.kind)}
    found = {float(layer.values.get("eps", 1e-5)) for layer in norms.values()}
    if len(found) > 1:
        place, layer = next(iter(norms.items()))
        raise _odd(weights, title, place, layer, f"with one epsilon of {sorted(found)}")
    return found.pop() if found else None


def _one_of(weights: Weights, title: str, place: str, rows: Any) -> Any:
    if any(row != rows[0] for row in rows):
        raise _odd(weights, title, place, weights.layers[place], "with other ratios on each level")
    return rows[0]


def _colours(transform: Layer, channels: int) -> dict[str, Any]:
    """Return mean and deviation of 0 to 255, where they are not ImageNet's own."""
    mean, std = transform.values["image_mean"], transform.values["image_std"]
    if (mean, std) == _IMAGENET or len(mean) != channels:
        return {}
    return {"pixel_mean": [255.0 * m for m in mean], "pixel_std": [255.0 * s for s in std]}


def _scale(transform: Layer) -> str:
    least, most = transform.values.get("min_size"), transform.values.get("max_size")
    least = least[-1] if isinstance(least, list) and least else least
    return (
        f"the pickled network resizes images to a shorter side of {least} pixels and a longer "
        f"one of at most {most}; here the setting scale (image pixels per network pixel) decides"
    )


def _odd(
    weights: Weights, title: str, place: str, layer: Layer | None, why: str
) -> UnknownNetworkError:
    what = "is missing" if layer is None else f"is a {layer.torch or layer.kind}"
    return refusal(weights, title, f"its layer {place} {what}, {why}")

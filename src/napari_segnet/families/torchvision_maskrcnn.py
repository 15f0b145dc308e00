"""Mask R-CNN of torchvision, ``maskrcnn_resnet50_fpn`` (version 1), and its ResNet sisters.

The body may be any ResNet, ResNeXt or wide ResNet, heads may have been replaced, and names
may be those before torchvision 0.13. What no tensor shows (anchor sizes, the epsilon of
the normalisation, thresholds) is assumed as torchvision has it, and can be told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint, Known, PrepareStep, Size, Store, Task
from napari_segnet.containers import Weights
from napari_segnet.errors import SettingsError, UnknownNetworkError, UnsupportedWeightsError
from napari_segnet.families._facts import Shapes, complete, refusal
from napari_segnet.families._told import settle
from napari_segnet.families._told_numbers import Number, list_told, settle_numbers

if TYPE_CHECKING:
    import torch

    from napari_segnet.segmentation import Instances

__all__ = ["TorchvisionMaskRCNN"]

_STRIDE = 64
"""Of the coarsest pyramid level (``pool``), which only proposes; the others have 4 to 32."""

_SIZES_PX = (32, 64, 128, 256, 512)
"""Anchor sizes of the five levels in ``maskrcnn_resnet50_fpn``."""

_RATIOS = (0.5, 1.0, 2.0)
"""Height / width of its anchors."""

_OLD_NAMES = (
    # Key of the module -> its name before torchvision 0.13.
    (re.compile(r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.0\.(weight|bias)"), r"\1.\2"),
    (re.compile(r"(rpn\.head\.conv)\.0\.0\.(weight|bias)"), r"\1.\2"),
)
_OLD_MASK_LAYER = re.compile(r"roi_heads\.mask_head\.(\d+)\.0\.(weight|bias)")

_NUMBERS = (
    Number(
        name="norm_eps",
        low=0.0,
        high=0.1,
        default=1e-5,
        why="torchvision's default; but networks that started from its COCO weights have 0",
    ),
    Number(
        name="mask_pool_px",
        low=1,
        high=112,
        default=14,
        why="torchvision's default; masks have twice as many pixels along each side",
    ),
    Number(
        name="least_score",
        low=0.0,
        high=1.0,
        default=0.05,
        why="torchvision's default; weaker detections are not kept, so the setting score can "
        "not go below it",
    ),
    Number(
        name="box_nms",
        low=0.0,
        high=1.0,
        default=0.5,
        why="torchvision's default; the setting nms can only be stricter",
    ),
    Number(name="proposal_nms", low=0.0, high=1.0, default=0.7, why="torchvision's default"),
    Number(
        name="most_proposals",
        low=1,
        high=1_000_000,
        default=None,
        why="one per 256 pixels and at least 1000, since torchvision's 1000 would also limit "
        "the number of objects",
    ),
    Number(
        name="most_detections",
        low=1,
        high=1_000_000,
        default=10_000,
        why="torchvision's 100 per picture are too few for a field of cells",
    ),
)

_SCALE_WHY = (
    "the file does not record it; the picture is not resized by itself, the setting scale "
    "(image pixels per network pixel) decides"
)


class TorchvisionMaskRCNN:
    """The family; see the module's docstring."""

    name = "torchvision-maskrcnn"
    title = "the Mask R-CNN of torchvision"
    task: Task = "instance"

    def detect(self, weights: Weights) -> bool:
        """Tell from key names; its relatives without masks are refused by name."""
        return {
            "rpn.head.cls_logits.weight",
            "roi_heads.box_predictor.cls_score.weight",
        } <= weights.tensors.keys()

    def describe(self, weights: Weights, told: Mapping[str, Any]) -> Checkpoint:
        """Read all that shapes say, and assume the rest as torchvision has it."""
        _refuse_relatives(weights)
        shapes = Shapes(weights, self.title)
        names = _Names(weights)
        read = {**_read_body(shapes, names), **_read_heads(shapes, names)}
        hparams, known = _settle(read, weights, told, self.title)
        channels = shapes.of("backbone.body.conv1.weight", 4)[1]
        blank = Checkpoint(
            path=weights.path,
            family=self.name,
            task=self.task,
            hparams=hparams,
            ndim=2,
            channels=channels,
            classes=_classes(shapes),
            outputs=(),
            size=Size(minimum=(1, 1), multiple=(1, 1), stride=(_STRIDE, _STRIDE)),
            store=Store(container=weights.container),
            parameters=0,
            halo_px=None,
            exact=False,
            prepare=_prepare(channels),
            known={**_fields_known(channels), **known},
        )
        return complete(self.build, blank, weights, self.title, names.in_file)

    def build(self, checkpoint: Checkpoint) -> torch.nn.Module:
        """Build torchvision's own ``MaskRCNN``."""
        from napari_segnet.families._maskrcnn_module import build_maskrcnn

        module: torch.nn.Module = build_maskrcnn(
            checkpoint.hparams, checkpoint.channels, checkpoint.classes
        )
        return module

    def detections(self, module: torch.nn.Module, batch: torch.Tensor) -> list[Instances]:
        """Return the detections of each normalised picture ``(n, c, y, x)``, unpasted."""
        from napari_segnet.families._maskrcnn_module import find_objects

        return find_objects(module, batch)


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
    if not any(key.startswith("roi_heads.mask_") for key in keys):
        keypoints = any(key.startswith("roi_heads.keypoint_head.") for key in keys)
        what = "Keypoint R-CNN" if keypoints else "Faster R-CNN"
        raise UnsupportedWeightsError(
            f"{weights.path.name} is a {what} of torchvision: it finds boxes but draws no masks, "
            "so it cannot make labels. Use a Mask R-CNN."
        )
    kinds = {
        "rpn.head.conv.1.0.weight": "version 2 (maskrcnn_resnet50_fpn_v2)",
        "backbone.fpn.inner_blocks.0.1.weight": "version 2 (maskrcnn_resnet50_fpn_v2)",
        "backbone.body.0.0.weight": "with a MobileNet body",
    }
    for key, kind in kinds.items():
        if key in keys:
            raise UnsupportedWeightsError(
                f"{weights.path.name} is torchvision's Mask R-CNN {kind}, which this version of "
                "napari-segnet does not open. Use one with a ResNet body, version 1 "
                "(maskrcnn_resnet50_fpn)."
            )


def _read_body(shapes: Shapes, names: _Names) -> dict[str, Any]:
    """Read which ResNet it is: width and groups stand in the first block."""
    layer = "backbone.body.layer{}."
    bottleneck = "backbone.body.layer1.0.conv3.weight" in shapes
    width, per_group = shapes.of("backbone.body.layer1.0.conv2.weight", 4)[:2]
    groups = max(1, width // per_group) if bottleneck else 1
    return {
        "block": "bottleneck" if bottleneck else "basic",
        "layers": [shapes.count(layer.format(i) + "{}.") for i in (1, 2, 3, 4)],
        "groups": groups,
        "width_per_group": width // groups,
        "norm": "batch" if "backbone.body.bn1.num_batches_tracked" in shapes else "frozen",
        "fpn_channels": shapes.of(names.in_file("backbone.fpn.inner_blocks.0.0.weight"), 4)[0],
    }


def _read_heads(shapes: Shapes, names: _Names) -> dict[str, Any]:
    width = shapes.of(names.in_file("backbone.fpn.inner_blocks.0.0.weight"), 4)[0]
    hidden, flat = shapes.of("roi_heads.box_head.fc6.weight", 2)
    edge = round((flat / width) ** 0.5)
    anchors = shapes.of("rpn.head.cls_logits.weight", 4)[0]
    deltas = shapes.of("rpn.head.bbox_pred.weight", 4)[0]
    if deltas != 4 * anchors:
        reason = (
            f"it proposes {anchors} boxes per place but has {deltas} box numbers for them, "
            f"where {4 * anchors} were expected"
        )
        raise refusal(shapes.weights, shapes.title, reason)
    key = "roi_heads.mask_head.{}.0.weight"
    layers: list[int] = []
    while (name := names.in_file(key.format(len(layers)))) in shapes:
        layers.append(shapes.of(name, 4)[0])
    if not layers:
        raise refusal(shapes.weights, shapes.title, "its mask head has no layers that we know")
    return {
        "anchors_per_pixel": anchors,
        "box_pool_px": max(edge, 1),
        "box_hidden": hidden,
        "mask_layers": layers,
        "mask_hidden": shapes.of("roi_heads.mask_predictor.conv5_mask.weight", 4)[1],
    }


def _classes(shapes: Shapes) -> int:
    """Return the number of classes, background included, that all three heads agree on."""
    scores = shapes.of("roi_heads.box_predictor.cls_score.weight", 2)[0]
    boxes = shapes.of("roi_heads.box_predictor.bbox_pred.weight", 2)[0]
    masks = shapes.of("roi_heads.mask_predictor.mask_fcn_logits.weight", 4)[0]
    if boxes != 4 * scores or masks != scores or scores < 2:
        raise UnknownNetworkError(
            f"The heads of {shapes.weights.path.name} do not fit each other: {scores} classes with "
            f"background have scores, {boxes / 4:g} have boxes and {masks} have masks, but all "
            "three numbers must be the same and at least 2. Replace the box head and the mask "
            "head together, train again, and save."
        )
    return scores


def _settle(
    read: dict[str, Any], weights: Weights, told: Mapping[str, Any], title: str
) -> tuple[dict[str, Any], dict[str, Known]]:
    """Join what was read, told and assumed; refuse what cannot be told."""
    own = {number.name for number in _NUMBERS} | {"anchor_sizes_px", "anchor_ratios"}
    for name in ("min_size", "max_size"):
        if told.get(name) is not None:
            raise SettingsError(
                f"{title} is not resized by {name} here, since a tile of a large image must be "
                "resized like the whole. Use the setting scale: image pixels per network pixel."
            )
    if unknown := sorted(told.keys() - own - read.keys() - {"min_size", "max_size"}):
        raise SettingsError(
            f"{title} has no hyper-parameter {unknown[0]!r}. What can be told of it: "
            f"{', '.join(sorted(own))}; the rest is read from the file."
        )
    same = {name: value for name, value in told.items() if name in read}
    hparams, known = settle((), read, weights, same, title)
    for values, how in (
        settle_numbers(_NUMBERS, told),
        _anchors(int(read["anchors_per_pixel"]), told),
    ):
        hparams |= values
        known |= how
    for name in ("min_size", "max_size"):
        hparams[name] = None
        known[name] = Known(source="assumed", why=_SCALE_WHY)
    return hparams, known


def _anchors(per_place: int, told: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Known]]:
    """Return sizes of each level and ratios that make ``per_place`` anchors."""
    if "anchor_ratios" in told:
        ratios = list_told("anchor_ratios", told["anchor_ratios"])
        known = {"anchor_ratios": Known(source="told", why="by the user")}
    else:
        ratios = list(_RATIOS) if per_place % len(_RATIOS) == 0 else [1.0]
        known = {"anchor_ratios": Known(source="assumed", why="torchvision's default")}
    if per_place % len(ratios) or any(isinstance(ratio, list) for ratio in ratios):
        raise SettingsError(
            f"The network proposes {per_place} boxes per place, which {len(ratios)} anchor_ratios "
            "cannot make. Tell as many ratios as were used in training, such as "
            "anchor_ratios=0.5,1,2."
        )
    count = per_place // len(ratios)
    if "anchor_sizes_px" in told:
        sizes = _told_sizes(told["anchor_sizes_px"], count)
        known["anchor_sizes_px"] = Known(source="told", why="by the user")
    else:
        sizes, why = _assumed_sizes(count)
        known["anchor_sizes_px"] = Known(source="assumed", why=why)
    return {"anchor_ratios": ratios, "anchor_sizes_px": sizes}, known


def _assumed_sizes(count: int) -> tuple[list[list[float]], str]:
    """Return ``count`` sizes for each level, in pixels."""
    if count == len(_SIZES_PX):
        why = "all five default sizes of torchvision on every level, as its MobileNet has them"
        return [list(_SIZES_PX) for _ in _SIZES_PX], why
    sizes = [[size * 2 ** (i / count) for i in range(count)] for size in _SIZES_PX]
    if count == 1:
        why = "torchvision's default; networks for small cells were often trained with smaller"
        return [[int(size) for size in level] for level in sizes], why
    why = f"a guess: {count} sizes per level, evenly between one level and the next; better tell it"
    return sizes, why


def _told_sizes(told: Any, count: int) -> list[list[float]]:
    sizes = list_told("anchor_sizes_px", told)
    if not any(isinstance(size, list) for size in sizes):
        flat = sizes
        # One list for every level, or one size for each level.
        sizes = [flat] * len(_SIZES_PX) if count > 1 else [[size] for size in flat]
    if len(sizes) != len(_SIZES_PX) or any(
        not isinstance(level, list) or len(level) != count for level in sizes
    ):
        example = [[float(size)] * count for size in (8, 16, 32, 64, 128)]
        raise SettingsError(
            f"anchor_sizes_px must have {count} for each of the five levels, such as "
            f"{example if count > 1 else '8,16,32,64,128'}, not {told!r}. Correct the setting."
        )
    return sizes


def _prepare(channels: int) -> tuple[PrepareStep, ...]:
    how = "imagenet" if channels == 3 else "divide-255"
    return (PrepareStep(name="normalize", options={"how": how, "over": "volume"}),)


def _fields_known(channels: int) -> dict[str, Known]:
    shapes = Known(source="read", why="from the shapes of the tensors")
    prepare = (
        "torchvision normalises RGB from 0 to 1 by ImageNet's mean and deviation"
        if channels == 3
        else f"networks of torchvision with {channels} input channels take values from 0 to 1"
    )
    return {
        "task": Known(source="read", why="it has a mask head for each box"),
        "ndim": shapes,
        "channels": shapes,
        "classes": Known(source="read", why="from the shapes of the tensors, with background"),
        "outputs": Known(source="read", why="it answers with detections, not with maps"),
        "size": Known(source="read", why="it pads any picture to a multiple of 32 by itself"),
        "prepare": Known(source="assumed", why=prepare),
        "halo_px": Known(
            source="read",
            why="it has no bounded one: boxes compete over the whole picture, so detections of "
            "overlapping tiles are merged instead",
        ),
        "exact": Known(source="read", why="boxes compete over the whole picture"),
    }

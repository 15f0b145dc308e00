"""The arithmetic of matterport's Mask R-CNN, made again from its published source.

After ``mrcnn/model.py``, ``mrcnn/utils.py`` and ``mrcnn/config.py`` of matterport/Mask_RCNN (MIT
License, copyright 2017 Matterport, Inc., https://github.com/matterport/Mask_RCNN), function by
function under their names there, with numpy in float64; convolutions are torch's. It shares no
code with the package. Widths may be narrow; all else is as published. One thing is left out: where
a box ends at the edge, ``crop_and_resize`` of TensorFlow takes zeros or not by the last digit of
float32; here it never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import torch.nn.functional as F

Weights = dict[str, np.ndarray]
"""``layer/kind`` -> numbers as Keras has them."""
EPSILON = 1e-3  # of Keras' BatchNormalization


@dataclass(frozen=True)
class Config:
    """Values of ``mrcnn/config.py``, those of a small picture where ``small`` says so."""

    NUM_CLASSES: int = 4
    RPN_ANCHOR_SCALES: tuple[int, ...] = (16, 19, 23, 28, 64)  # small
    RPN_ANCHOR_RATIOS: tuple[float, ...] = (0.5, 1, 2)
    BACKBONE_STRIDES: tuple[int, ...] = (4, 8, 16, 32, 64)
    RPN_NMS_THRESHOLD: float = 0.7
    PRE_NMS_LIMIT: int = 6000
    POST_NMS_ROIS_INFERENCE: int = 200  # small
    MEAN_PIXEL: tuple[float, ...] = (123.7, 116.8, 103.9)
    POOL_SIZE: int = 7
    MASK_POOL_SIZE: int = 14
    STD_DEV: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)  # of both
    DETECTION_MAX_INSTANCES: int = 100
    DETECTION_MIN_CONFIDENCE: float = 0.7
    DETECTION_NMS_THRESHOLD: float = 0.3


@dataclass
class Network:
    """Weights, and whether statistics and spreads are set while it runs."""

    weights: Weights
    config: Config = field(default_factory=Config)
    settling: bool = False
    spread_out: set[str] = field(default_factory=set)

    # ---- Layers of Keras; maps are (1, c, y, x) float64 ----

    def conv(self, x: torch.Tensor, name: str, strides: int = 1, padding: str = "valid"):
        kernel = torch.from_numpy(self.weights[f"{name}/kernel"].astype(float))
        bias = torch.from_numpy(self.weights[f"{name}/bias"].astype(float))
        same = (kernel.shape[0] - 1) // 2 if padding == "same" else 0
        return F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, strides, same)

    def bn(self, x: torch.Tensor, name: str) -> torch.Tensor:
        if self.settling:
            self.weights[f"{name}/moving_mean"] = x.mean((0, 2, 3)).numpy().astype("f4")
            self.weights[f"{name}/moving_variance"] = x.var((0, 2, 3)).numpy().astype("f4")
        kinds = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, var = (
            torch.from_numpy(self.weights[f"{name}/{kind}"].astype(float))[:, None, None]
            for kind in kinds
        )
        return (x - mean) / torch.sqrt(var + EPSILON) * gamma + beta

    def spread(self, name: str, answer: torch.Tensor, std: float) -> torch.Tensor:
        """Let a last layer's answers have this deviation and no mean, once."""
        if not self.settling or name in self.spread_out:
            return answer  # proposals: as the finest level has it
        self.spread_out.add(name)
        axes = [axis for axis in range(answer.ndim) if axis != 1]
        mean = answer.mean(axes, keepdim=True)
        factor = std / float((answer - mean).std())
        self.weights[f"{name}/kernel"] *= np.float32(factor)
        self.weights[f"{name}/bias"] -= mean.flatten().numpy().astype("f4")
        self.weights[f"{name}/bias"] *= np.float32(factor)
        return (answer - mean) * factor

    # ---- The graph ----

    def block(self, x: torch.Tensor, stage: int, block: str, strides: int = 1) -> torch.Tensor:
        res, bn = f"res{stage}{block}_branch", f"bn{stage}{block}_branch"
        y = F.relu(self.bn(self.conv(x, res + "2a", strides), bn + "2a"))
        y = F.relu(self.bn(self.conv(y, res + "2b", padding="same"), bn + "2b"))
        y = self.bn(self.conv(y, res + "2c"), bn + "2c")
        if f"{res}1/kernel" in self.weights:
            x = self.bn(self.conv(x, res + "1", strides), bn + "1")
        return F.relu(y + x)

    def resnet_graph(self, image: torch.Tensor) -> list[torch.Tensor]:
        x = F.pad(image, (3, 3, 3, 3))
        x = F.relu(self.bn(self.conv(x, "conv1", 2), "bn_conv1"))
        # Padding "same" of TensorFlow: of a 3 x 3 window with stride 2 on an even side, 1 behind.
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
        found = []
        for stage in (2, 3, 4, 5):
            letters = [c for c in "abcdefghijklmnopqrstuvwxyz" if self.has(stage, c)]
            for letter in letters:
                x = self.block(x, stage, letter, 2 if letter == "a" and stage > 2 else 1)
            found.append(x)
        return found

    def has(self, stage: int, letter: str) -> bool:
        return f"res{stage}{letter}_branch2a/kernel" in self.weights

    def pyramid(self, image: torch.Tensor) -> list[torch.Tensor]:
        c2, c3, c4, c5 = self.resnet_graph(image)
        p5 = self.conv(c5, "fpn_c5p5")
        p4 = F.interpolate(p5, scale_factor=2) + self.conv(c4, "fpn_c4p4")
        p3 = F.interpolate(p4, scale_factor=2) + self.conv(c3, "fpn_c3p3")
        p2 = F.interpolate(p3, scale_factor=2) + self.conv(c2, "fpn_c2p2")
        levels = [
            self.conv(p, f"fpn_p{n}", padding="same") for n, p in enumerate((p2, p3, p4, p5), 2)
        ]
        return [*levels, levels[-1][:, :, ::2, ::2]]

    def rpn_graph(self, p: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        shared = F.relu(self.conv(p, "rpn_conv_shared", padding="same"))
        raw = self.spread("rpn_class_raw", self.conv(shared, "rpn_class_raw"), 2.0)
        box = self.spread("rpn_bbox_pred", self.conv(shared, "rpn_bbox_pred"), 1.0)
        logits = raw[0].permute(1, 2, 0).reshape(-1, 2).numpy()
        return softmax(logits), box[0].permute(1, 2, 0).reshape(-1, 4).numpy()

    def classifier_graph(self, rois: np.ndarray, maps: list[torch.Tensor], shape):
        size = self.config.POOL_SIZE
        x = torch.from_numpy(pyramid_roi_align(rois, maps[:4], shape, size))
        x = F.relu(self.bn(self.conv(x, "mrcnn_class_conv1"), "mrcnn_class_bn1"))
        x = F.relu(self.bn(self.conv(x, "mrcnn_class_conv2"), "mrcnn_class_bn2"))
        shared = x[:, :, 0, 0]
        logits = self.spread("mrcnn_class_logits", self.dense(shared, "mrcnn_class_logits"), 4.0)
        deltas = self.spread("mrcnn_bbox_fc", self.dense(shared, "mrcnn_bbox_fc"), 1.5)
        return softmax(logits.numpy()), deltas.numpy().reshape(len(rois), -1, 4)

    def dense(self, x: torch.Tensor, name: str) -> torch.Tensor:
        kernel = torch.from_numpy(self.weights[f"{name}/kernel"].astype(float))
        return x @ kernel + torch.from_numpy(self.weights[f"{name}/bias"].astype(float))

    def mask_graph(self, rois: np.ndarray, maps: list[torch.Tensor], shape) -> np.ndarray:
        size = self.config.MASK_POOL_SIZE
        x = torch.from_numpy(pyramid_roi_align(rois, maps[:4], shape, size))
        for n in (1, 2, 3, 4):
            x = self.conv(x, f"mrcnn_mask_conv{n}", padding="same")
            x = F.relu(self.bn(x, f"mrcnn_mask_bn{n}"))
        kernel = torch.from_numpy(self.weights["mrcnn_mask_deconv/kernel"].astype(float))
        bias = torch.from_numpy(self.weights["mrcnn_mask_deconv/bias"].astype(float))
        x = F.relu(F.conv_transpose2d(x, kernel.permute(3, 2, 0, 1), bias, stride=2))
        x = self.spread("mrcnn_mask", self.conv(x, "mrcnn_mask"), 3.0)
        return torch.sigmoid(x).numpy()  # (n, class, y, x)

    # ---- detect ----

    def detect(self, image: np.ndarray, square: int = 0) -> dict[str, np.ndarray]:
        """Return boxes (float, before they are rounded), classes, scores, masks of RGB uint8."""
        with torch.no_grad():
            return self._detect(image, square)

    def _detect(self, image: np.ndarray, square: int) -> dict[str, np.ndarray]:
        config = self.config
        padded, window = pad_image(image, square)
        molded = padded.astype(float) - np.array(config.MEAN_PIXEL)
        shape = molded.shape[:2]
        maps = self.pyramid(torch.from_numpy(molded).permute(2, 0, 1)[None])
        answers = [self.rpn_graph(p) for p in maps]
        probs, deltas = (np.concatenate(each) for each in zip(*answers, strict=True))
        anchors = norm_boxes(pyramid_anchors(config, shape), shape)
        rois = proposal_layer(config, probs, deltas, anchors)
        classes, boxes = self.classifier_graph(rois, maps, shape)
        found = refine_detections(config, rois, classes, boxes, norm_boxes(window, shape))
        masks = self.mask_graph(found[:, :4], maps, shape)
        ids = found[:, 4].astype(int)
        # unmold_detections: from the padded picture to the window, then to its pixels.
        wy1, wx1, wy2, wx2 = norm_boxes(window, shape)
        wh, ww = wy2 - wy1, wx2 - wx1
        boxes = (found[:, :4] - [wy1, wx1, wy1, wx1]) / [wh, ww, wh, ww]
        return {
            "boxes": denorm_boxes(boxes, image.shape[:2]),
            "classes": ids,
            "scores": found[:, 5],
            "masks": masks[np.arange(len(ids)), ids],
        }


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


# ---- mrcnn/utils.py ----


def pad_image(image: np.ndarray, square: int) -> tuple[np.ndarray, np.ndarray]:
    """``resize_image`` of a picture that keeps its size: mode ``square``, or ``pad64``."""
    h, w = image.shape[:2]
    height, width = (square, square) if square else (-(-h // 64) * 64, -(-w // 64) * 64)
    top, left = (height - h) // 2, (width - w) // 2
    padding = [(top, height - h - top), (left, width - w - left), (0, 0)]
    window = np.array([top, left, h + top, w + left], float)
    return np.pad(image, padding, mode="constant", constant_values=0), window


def norm_boxes(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    h, w = shape[:2]
    return (boxes - np.array([0, 0, 1, 1])) / np.array([h - 1, w - 1, h - 1, w - 1])


def denorm_boxes(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Without ``np.around(...).astype(np.int32)``, which comes after."""
    h, w = shape[:2]
    return boxes * np.array([h - 1, w - 1, h - 1, w - 1]) + np.array([0.0, 0, 1, 1])


def generate_anchors(scale, ratios, shape, stride) -> np.ndarray:
    ratios = np.array(ratios)
    heights, widths = scale / np.sqrt(ratios), scale * np.sqrt(ratios)
    shifts_x, shifts_y = np.meshgrid(np.arange(shape[1]) * stride, np.arange(shape[0]) * stride)
    box_widths, box_centers_x = np.meshgrid(widths, shifts_x)
    box_heights, box_centers_y = np.meshgrid(heights, shifts_y)
    centers = np.stack([box_centers_y, box_centers_x], axis=2).reshape([-1, 2])
    sizes = np.stack([box_heights, box_widths], axis=2).reshape([-1, 2])
    return np.concatenate([centers - 0.5 * sizes, centers + 0.5 * sizes], axis=1)


def pyramid_anchors(config: Config, shape: tuple[int, ...]) -> np.ndarray:
    return np.concatenate(
        [
            generate_anchors(
                scale,
                config.RPN_ANCHOR_RATIOS,
                [int(np.ceil(n / stride)) for n in shape],
                stride,
            )
            for scale, stride in zip(config.RPN_ANCHOR_SCALES, config.BACKBONE_STRIDES, strict=True)
        ]
    )


# ---- mrcnn/model.py ----


def apply_box_deltas(boxes: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    height, width = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    center_y = boxes[:, 0] + 0.5 * height + deltas[:, 0] * height
    center_x = boxes[:, 1] + 0.5 * width + deltas[:, 1] * width
    height, width = height * np.exp(deltas[:, 2]), width * np.exp(deltas[:, 3])
    y1, x1 = center_y - 0.5 * height, center_x - 0.5 * width
    return np.stack([y1, x1, y1 + height, x1 + width], axis=1)


def clip_boxes(boxes: np.ndarray, window: np.ndarray) -> np.ndarray:
    wy1, wx1, wy2, wx2 = window
    y1, x1, y2, x2 = boxes.T
    return np.stack(
        [
            np.maximum(np.minimum(y1, wy2), wy1),
            np.maximum(np.minimum(x1, wx2), wx1),
            np.maximum(np.minimum(y2, wy2), wy1),
            np.maximum(np.minimum(x2, wx2), wx1),
        ],
        axis=1,
    )


def non_max_suppression(boxes, scores, most: int, threshold: float) -> np.ndarray:
    """``tf.image.non_max_suppression``."""
    left = list(np.argsort(-scores, kind="stable"))
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while left and len(kept) < most:
        best = left.pop(0)
        kept.append(best)
        rest = np.array(left, int)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.maximum(high - low, 0).prod(axis=1)
        union = area[best] + area[rest] - shared
        iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        left = list(rest[iou <= threshold])
    return np.array(kept, int)


def proposal_layer(config: Config, probs, deltas, anchors) -> np.ndarray:
    scores, deltas = probs[:, 1], deltas * config.STD_DEV
    ix = np.argsort(-scores, kind="stable")[: min(config.PRE_NMS_LIMIT, len(anchors))]
    boxes = clip_boxes(apply_box_deltas(anchors[ix], deltas[ix]), np.array([0, 0, 1, 1]))
    count, threshold = config.POST_NMS_ROIS_INFERENCE, config.RPN_NMS_THRESHOLD
    return boxes[non_max_suppression(boxes, scores[ix], count, threshold)]


def pyramid_roi_align(boxes, maps, shape, pool: int) -> np.ndarray:
    h, w = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    image_area = float(shape[0] * shape[1])
    with np.errstate(divide="ignore"):
        level = np.log2(np.sqrt(h * w) / (224.0 / np.sqrt(image_area)))
    level = np.minimum(5, np.maximum(2, 4 + np.round(level)))
    out = np.zeros((len(boxes), maps[0].shape[1], pool, pool))
    for i, number in enumerate(range(2, 6)):
        ix = np.where(level == number)[0]
        out[ix] = crop_and_resize(maps[i][0].numpy(), boxes[ix], pool)
    return out


def crop_and_resize(image: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """``tf.image.crop_and_resize``, bilinear, of one map ``(c, y, x)``."""
    height, width = image.shape[1:]
    out = np.zeros((len(boxes), len(image), size, size))
    for n, (y1, x1, y2, x2) in enumerate(boxes):
        in_y = y1 * (height - 1) + np.arange(size) * ((y2 - y1) * (height - 1) / (size - 1))
        in_x = x1 * (width - 1) + np.arange(size) * ((x2 - x1) * (width - 1) / (size - 1))
        in_y, in_x = np.clip(in_y, 0, height - 1), np.clip(in_x, 0, width - 1)  # see above
        top, left = np.floor(in_y).astype(int), np.floor(in_x).astype(int)
        bottom, right = np.ceil(in_y).astype(int), np.ceil(in_x).astype(int)
        y, x = (in_y - top)[:, None], (in_x - left)[None]
        above = image[:, top][:, :, left] * (1 - x) + image[:, top][:, :, right] * x
        below = image[:, bottom][:, :, left] * (1 - x) + image[:, bottom][:, :, right] * x
        out[n] = above * (1 - y) + below * y
    return out


def refine_detections(config: Config, rois, probs, deltas, window) -> np.ndarray:
    ids = probs.argmax(1)
    scores = probs[np.arange(len(ids)), ids]
    own = deltas[np.arange(len(ids)), ids]
    refined = clip_boxes(apply_box_deltas(rois, own * config.STD_DEV), window)
    keep = np.where((ids > 0) & (scores >= config.DETECTION_MIN_CONFIDENCE))[0]
    most, threshold = config.DETECTION_MAX_INSTANCES, config.DETECTION_NMS_THRESHOLD
    kept: list[int] = []
    for one in np.unique(ids[keep]):
        ixs = keep[ids[keep] == one]
        kept += list(ixs[non_max_suppression(refined[ixs], scores[ixs], most, threshold)])
    best = np.array(sorted(kept, key=lambda i: -scores[i]), int)[:most]
    return np.column_stack([refined[best], ids[best], scores[best]])


# ---- Networks and files ----


def weights_of(
    seed: int, blocks: tuple[int, ...] = (3, 4, 6, 3), width: int = 8, classes: int = 4
) -> Weights:
    """Random weights in the names and shapes of matterport; ``width`` is 64 there."""
    source = np.random.default_rng(seed)
    found: Weights = {}
    fpn, fc = 4 * width, 8 * width

    def layer(name: str, *shape: int, fan: int = 0) -> None:
        scale = (2 / (fan or int(np.prod(shape[:-1])))) ** 0.5
        found[f"{name}/kernel"] = (source.normal(size=shape) * scale).astype("f4")
        out = shape[2] if fan else shape[-1]
        found[f"{name}/bias"] = (source.normal(size=out) * 0.1).astype("f4")

    def norm(name: str, count: int) -> None:
        found[f"{name}/gamma"] = (1 + 0.2 * source.normal(size=count)).astype("f4")
        found[f"{name}/beta"] = (0.2 * source.normal(size=count)).astype("f4")
        found[f"{name}/moving_mean"] = np.zeros(count, "f4")
        found[f"{name}/moving_variance"] = np.ones(count, "f4")

    layer("conv1", 7, 7, 3, width)
    found["conv1/kernel"] /= 300  # so that variances are small beside epsilon's
    norm("bn_conv1", width)
    before = width
    for stage, count in enumerate(blocks, 2):
        middle, after = width * 2 ** (stage - 2), width * 2**stage
        for number in range(count):
            own = f"{stage}{chr(97 + number)}_branch"
            steps = [("2a", 1, before, middle), ("2b", 3, middle, middle), ("2c", 1, middle, after)]
            if not number:
                steps.append(("1", 1, before, after))
            for branch, kernel, one, two in steps:
                layer(f"res{own}{branch}", kernel, kernel, one, two)
                found[f"res{own}{branch}/kernel"] *= np.float32(0.15)
                norm(f"bn{own}{branch}", two)
            # Blocks change little, or small differences grow from one to the next.
            found[f"bn{own}2c/gamma"] *= np.float32(0.25)
            before = after
        layer(f"fpn_c{stage}p{stage}", 1, 1, after, fpn)
        layer(f"fpn_p{stage}", 3, 3, fpn, fpn)
    layer("rpn_conv_shared", 3, 3, fpn, fc)
    layer("rpn_class_raw", 1, 1, fc, 6)
    layer("rpn_bbox_pred", 1, 1, fc, 12)
    layer("mrcnn_class_conv1", 7, 7, fpn, fc)
    layer("mrcnn_class_conv2", 1, 1, fc, fc)
    norm("mrcnn_class_bn1", fc)
    norm("mrcnn_class_bn2", fc)
    layer("mrcnn_class_logits", fc, classes)
    layer("mrcnn_bbox_fc", fc, 4 * classes)
    for n in (1, 2, 3, 4):
        layer(f"mrcnn_mask_conv{n}", 3, 3, fpn, fpn)
        norm(f"mrcnn_mask_bn{n}", fpn)
    layer("mrcnn_mask_deconv", 2, 2, fpn, fpn, fan=fpn)
    layer("mrcnn_mask", 1, 1, fpn, classes)
    return found


def settled(weights: Weights, image: np.ndarray, **config: Any) -> Network:
    """A network that answers like a trained one: statistics and spreads are those of a picture."""
    Network(weights, Config(**config), settling=True).detect(image)
    return Network(weights, Config(**config))


def write(path: Path, weights: Mapping[str, np.ndarray], whole: bool = False) -> Path:
    """Write them as ``save_weights`` does, or as ``save`` where ``whole``."""
    inside: dict[str, list[str]] = {}
    for key in weights:
        name = key.partition("/")[0]
        inside.setdefault("rpn_model" if name.startswith("rpn_") else name, []).append(key)
    layers = ["input_image", "zero_padding2d_1", *inside, "input_anchors", "ROI"]
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if whole else file
        group.attrs["layer_names"] = [name.encode() for name in layers]
        group.attrs["backend"], group.attrs["keras_version"] = b"tensorflow", b"2.0.8"
        for name in layers:
            own = group.create_group(name)
            keys = inside.get(name, [])
            own.attrs["weight_names"] = [f"{key}:0".encode() for key in keys]
            for key in keys:
                own.create_dataset(f"{key}:0", data=weights[key])
    return path

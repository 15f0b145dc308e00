"""The arithmetic between the layers of a Mask R-CNN, which each program does its own way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torchvision.ops import clip_boxes_to_image, roi_align

from napari_segnet.families.maskrcnn.padding import Padding

__all__ = ["Pool", "Rules", "cell_anchors", "decode", "grid"]

_LARGEST = math.log(1000 / 16)
"""Boxes grow by no more than this factor (its logarithm); torchvision, Detectron2 and
MMDetection all have it."""

_ANY = torch.finfo(torch.float32).tiny
"""A length in pixels that all but empty boxes have."""

_LEVEL_EPS = {
    "torchvision": (0.0, 1e-6),
    "detectron2": (1e-8, 0.0),
    "mmdetection": (2.5e-7, 0.0),
}
"""Before and after the logarithm, for edges in units of 224 pixels: ``poolers.py`` of
torchvision and Detectron2, ``single_level_roi_extractor.py`` (1e-6 of 56) of MMDetection."""

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of red, green and blue, as the step ``imagenet`` of ``prepare`` has applied them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a network's numbers become boxes.

    Attributes
    ----------
    scale, shift : tuple of float
        From a prepared channel to the network's own: ``scale * x + shift``.
    reverse : bool
        True if the network takes blue, green, red.
    anchor_sizes_px : tuple of tuple of float
        For each level, edges of square anchors.
    anchor_ratios : tuple of float
        Height / width.
    size_major : bool
        True if anchors are counted ratio by ratio within each size.
    rounded : bool
        True if anchors have whole corners (in pixels, for even sizes).
    fixed_stride : bool
        False if the distance of anchors is the picture's size divided by the level's,
        rounded down, which is not the stride where the size is not a multiple of it.
    proposals_by_probability : bool
        True if proposals are ranked by their probability, where very sure ones are equal.
    least_proposal_px, least_box_px : float
        Boxes with a shorter side are dropped.
    padding : Padding
        Of pictures.
    inclusive : bool
        True if a box ends with its last pixel, not behind it; it is moved and compared so.
    clip_proposals : bool
        True if proposals end where the picture does; else where its padding does.
    together : int
        How many proposals of all levels together compete, where 1000 are kept at most; 0: those of
        each level compete by themselves.
    one_class : bool
        True if a box can be of its likeliest class alone.
    largest : float
        Boxes grow by no more than this factor (its logarithm).
    """

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    reverse: bool
    anchor_sizes_px: tuple[tuple[float, ...], ...]
    anchor_ratios: tuple[float, ...]
    size_major: bool
    rounded: bool
    fixed_stride: bool
    proposals_by_probability: bool
    least_proposal_px: float
    least_box_px: float
    proposal_nms: float
    proposal_score: float
    most_proposals: int | None
    box_weights: tuple[float, ...]
    box_nms: float
    least_score: float
    most_detections: int
    background_first: bool
    mask_agnostic: bool
    proposal_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    padding: Padding = field(default_factory=Padding)
    inclusive: bool = False
    clip_proposals: bool = True
    together: int = 0
    one_class: bool = False
    largest: float = _LARGEST

    @classmethod
    def of(cls, hparams: Mapping[str, Any]) -> Rules:
        """Return those that hyper-parameters say."""
        code = hparams["arithmetic"]
        scale, shift = _colours(hparams)
        return cls(
            scale=scale,
            shift=shift,
            reverse=hparams["colours"] == "bgr",
            anchor_sizes_px=tuple(tuple(level) for level in hparams["anchor_sizes_px"]),
            anchor_ratios=tuple(hparams["anchor_ratios"]),
            size_major=hparams["anchor_order"] == "size",
            rounded=hparams["anchor_rounding"],
            fixed_stride=code != "torchvision",
            proposals_by_probability=code not in ("detectron2", "matterport"),
            **_least_px(code),
            proposal_nms=hparams["proposal_nms"],
            proposal_score=hparams["proposal_score"],
            most_proposals=hparams["most_proposals"],
            box_weights=tuple(hparams["box_weights"]),
            box_nms=hparams["box_nms"],
            least_score=hparams["least_score"],
            most_detections=hparams["most_detections"],
            background_first=hparams["background"] == "first",
            mask_agnostic=hparams["mask_agnostic"],
            padding=Padding.of(hparams),
            **(_of_matterport(hparams) if code == "matterport" else {}),
        )

    def colours(self, batch: torch.Tensor) -> torch.Tensor:
        """Return prepared pictures ``(n, c, y, x)`` as the network saw them in its training."""
        if self.scale:
            shape = (1, -1, 1, 1)
            batch = batch * batch.new_tensor(self.scale).view(shape) + batch.new_tensor(
                self.shift
            ).view(shape)
        return batch.flip(1) if self.reverse else batch

    def inner(self, boxes: torch.Tensor, corner: tuple[int, int] = (0, 0)) -> torch.Tensor:
        """Return boxes ``(n, 4)`` ``x0 y0 x1 y1`` as they are moved and compared.

        ``corner`` ``(y, x)`` is where the picture is in its padding; boxes get counted from there.
        """
        shift = self._shift(corner)
        return boxes + boxes.new_tensor(shift) if any(shift) else boxes

    def outer(self, boxes: torch.Tensor, corner: tuple[int, int] = (0, 0)) -> torch.Tensor:
        """Return boxes with edges, counted from the picture: undo :meth:`inner`."""
        shift = self._shift(corner)
        return boxes - boxes.new_tensor(shift) if any(shift) else boxes

    def _shift(self, corner: tuple[int, int]) -> tuple[int, int, int, int]:
        last = int(self.inclusive)
        return corner[1], corner[0], corner[1] - last, corner[0] - last

    def clip(
        self, boxes: torch.Tensor, shape: tuple[int, int], corner: tuple[int, int] = (0, 0)
    ) -> torch.Tensor:
        """Return inner boxes that end where a picture of ``shape`` ``(y, x)`` does."""
        if not any(corner) and not self.inclusive:
            clipped: torch.Tensor = clip_boxes_to_image(boxes, shape)
            return clipped
        last = int(self.inclusive)
        low = boxes.new_tensor([corner[1], corner[0]] * 2)
        high = boxes.new_tensor([corner[1] + shape[1] - last, corner[0] + shape[0] - last] * 2)
        return boxes.maximum(low).minimum(high)

    def stride(
        self, stride: int, padded: tuple[int, int], level: tuple[int, ...]
    ) -> tuple[int, int]:
        """Return the distance of anchors ``(y, x)`` in pixels."""
        if self.fixed_stride:
            return stride, stride
        return padded[0] // level[0], padded[1] // level[1]

    def mask_channel(self, classes: torch.Tensor) -> torch.Tensor:
        """Return which channel of the mask head is for each class; 1 is the first."""
        if self.mask_agnostic:
            return torch.zeros_like(classes)
        return classes if self.background_first else classes - 1


def _of_matterport(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``mrcnn/model.py`` of matterport/Mask_RCNN does its own way."""
    return {
        "proposal_weights": tuple(hparams["proposal_weights"]),  # RPN_BBOX_STD_DEV
        "inclusive": True,  # utils.norm_boxes takes one off the far edges
        "clip_proposals": False,  # ProposalLayer: to 0..1 of the padded picture
        "together": hparams["proposals_compared"],  # PRE_NMS_LIMIT
        "one_class": True,  # refine_detections_graph: tf.argmax
        "largest": math.inf,  # apply_box_deltas_graph has no limit
    }


def _least_px(code: str) -> dict[str, Any]:
    """Return the shortest sides of proposals and boxes in pixels."""
    if code == "torchvision":  # remove_small_boxes(min_size=...) in rpn.py and roi_heads.py
        return {"least_proposal_px": 1e-3, "least_box_px": 1e-2}
    if code == "matterport":  # ProposalLayer: "Filter out small boxes [...] we're skipping it"
        return {"least_proposal_px": 0.0, "least_box_px": 0.0}
    return {"least_proposal_px": _ANY, "least_box_px": 0.0}  # empty proposals alone


def _colours(hparams: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return scale and shift for each prepared channel; nothing if they stay as they are.

    Pictures arrive as the step ``imagenet`` leaves them (with three channels) or from 0 to
    1; ``pixel_mean`` and ``pixel_std`` are those of 0 to 255 in the network's order.
    """
    if hparams["pixel_mean"] is None:
        return (), ()
    means, stds = hparams["pixel_mean"], hparams["pixel_std"]
    if hparams["colours"] == "bgr":
        means, stds = means[::-1], stds[::-1]
    plain = len(means) != 3
    own_means = (0.0,) * len(means) if plain else _IMAGENET_MEAN
    own_stds = (1.0,) * len(means) if plain else _IMAGENET_STD
    scale = tuple(255 * own / std for own, std in zip(own_stds, stds, strict=True))
    shift = tuple(
        (255 * own - mean) / std for own, mean, std in zip(own_means, means, stds, strict=True)
    )
    return scale, shift


def cell_anchors(rules: Rules, level: int) -> torch.Tensor:
    """Return the anchors of one place: ``(n, 4)`` ``x0 y0 x1 y1`` float32 around 0."""
    sizes = torch.tensor(rules.anchor_sizes_px[level], dtype=torch.float32, device="cpu")
    tall = torch.tensor(rules.anchor_ratios, dtype=torch.float32, device="cpu").sqrt()
    width, height = (1 / tall)[:, None] * sizes, tall[:, None] * sizes  # (ratio, size)
    if rules.size_major:
        width, height = width.T, height.T
    width, height = width.flatten(), height.flatten()
    cells = torch.stack([-width, -height, width, height], dim=1) / 2
    return cells.round() if rules.rounded else cells


def grid(
    cells: torch.Tensor, stride: tuple[int, int], shape: tuple[int, ...], chosen: torch.Tensor
) -> torch.Tensor:
    """Return some of the anchors ``(n, 4)`` of a level of ``(y, x)`` places.

    ``chosen`` counts them place by place, row by row, all anchors of a place together.
    """
    place = chosen.div(len(cells), rounding_mode="floor")
    y = place.div(shape[1], rounding_mode="floor") * stride[0]
    x = place.remainder(shape[1]) * stride[1]
    return cells[chosen.remainder(len(cells))] + torch.stack([x, y, x, y], dim=1)


def decode(
    deltas: torch.Tensor,
    boxes: torch.Tensor,
    weights: tuple[float, ...],
    largest: float = _LARGEST,
) -> torch.Tensor:
    """Return boxes ``(..., 4)`` ``x0 y0 x1 y1`` moved by deltas ``(..., 4)`` ``x y w h``."""
    size = boxes[..., 2:] - boxes[..., :2]
    centre = boxes[..., :2] + 0.5 * size
    moved = deltas / deltas.new_tensor(weights)
    centre = moved[..., :2] * size + centre
    half = 0.5 * moved[..., 2:].clamp(max=largest).exp() * size
    return torch.cat([centre - half, centre + half], dim=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """RoIAlign over the pyramid: each box from the level that fits its size.

    Attributes
    ----------
    output_px : int
        Edge of what is cut out.
    strides : tuple of int
        Of the levels that are looked at.
    sampling : int
        Points along each side of an output pixel; 0: one for each feature pixel.
    aligned : bool
        True if half a feature pixel is taken off first.
    eps : tuple of float
        What is added before and after the logarithm of a box's edge.
    """

    output_px: int
    strides: tuple[int, ...]
    sampling: int
    aligned: bool
    eps: tuple[float, float]

    @classmethod
    def of(cls, hparams: Mapping[str, Any], output_px: int, strides: tuple[int, ...]) -> Pool:
        """Return the one that hyper-parameters say."""
        return cls(
            output_px=output_px,
            strides=strides,
            sampling=hparams["roi_sampling"],
            aligned=hparams["roi_aligned"],
            eps=_LEVEL_EPS[hparams["arithmetic"]],
        )

    def __call__(self, levels: Mapping[str, torch.Tensor], boxes: torch.Tensor) -> torch.Tensor:
        """Return ``(n, c, output_px, output_px)`` of boxes ``(n, 4)`` in one picture."""
        maps = list(levels.values())[: len(self.strides)]
        out = maps[0].new_empty((len(boxes), maps[0].shape[1], self.output_px, self.output_px))
        own = self._levels(boxes)
        for number, (level, stride) in enumerate(zip(maps, self.strides, strict=True)):
            here = torch.where(own == number)[0]
            if len(here):
                out[here] = roi_align(
                    level,
                    [boxes[here]],
                    self.output_px,
                    spatial_scale=1 / stride,
                    sampling_ratio=self.sampling,
                    aligned=self.aligned,
                )
        return out

    def _levels(self, boxes: torch.Tensor) -> torch.Tensor:
        """Return the level of each box: 224 pixels, as ImageNet's pictures, on stride 16.

        Equation 1 of Lin et al. 2017, https://arxiv.org/abs/1612.03144.
        """
        edge = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt() / 224
        before, after = self.eps
        exact = torch.log2(edge + before) + after
        lowest, highest = math.log2(self.strides[0]), math.log2(self.strides[-1])
        return (4 + exact).floor().clamp(lowest, highest).to(torch.int64) - int(lowest)

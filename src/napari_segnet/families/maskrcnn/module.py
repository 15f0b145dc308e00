"""Mask R-CNN, built from hyper-parameters and run without its detours.

One graph serves every program that trains such networks; what they do differently is a
hyper-parameter, so that each answers with its own numbers. Left out are their resizing
(to 800 pixels, as a rule), which is done before, where the user decides on it, and the
pasting of masks to full size. Heads run on a few boxes at a time, so that memory does not
grow with the number of objects.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torchvision.ops import batched_nms, remove_small_boxes

from napari_segnet.boxes import suppress
from napari_segnet.families.maskrcnn.crop import pool_of
from napari_segnet.families.maskrcnn.layers import Layers
from napari_segnet.families.maskrcnn.rules import Rules, cell_anchors, decode, grid
from napari_segnet.families.maskrcnn.shapes import level_strides
from napari_segnet.segmentation import Instances

__all__ = [
    "Features",
    "MaskRCNN",
    "build_maskrcnn",
    "detect",
    "features",
    "masks_in",
    "most_proposals",
    "pooled",
    "propose",
    "scores_in",
    "seen",
]

_LEAST_PROPOSALS = 1000
_PX_PER_PROPOSAL = 256
"""torchvision keeps 1000 proposals whatever the size, which also caps the objects; we keep
one per 16 x 16 pixels where that is more."""

_PROPOSALS_AT_ONCE = 512
"""26 MB of 7 x 7 x 256 float32 features."""
_MASKS_AT_ONCE = 64
"""51 MB of 28 x 28 x 256 float32 features."""
_SWEPT_FROM = 1000
"""Boxes; up to here torchvision itself is fast, and treats all groups at once."""
_SWAPPED = [1, 0, 3, 2]
"""``x0 y0 x1 y1`` <-> ``y0 x0 y1 x1``."""


class MaskRCNN(Layers):
    """The layers, and what happens between them.

    Attributes
    ----------
    rules : Rules
        The arithmetic of the program that trained it.
    strides : tuple of int
        Of each pyramid level, the pooled last one included, in pixels.
    box_pool, mask_pool : Pool or CropPool
        What cuts boxes out for either head.
    """

    def __init__(self, hparams: Mapping[str, Any], channels: int, classes: int) -> None:
        super().__init__(hparams, channels, classes)
        strides = level_strides(hparams)
        self.strides = (*strides, 2 * strides[-1])
        self.rules = Rules.of(hparams)
        self.box_pool = pool_of(hparams, hparams["box_pool_px"], strides)
        self.mask_pool = pool_of(hparams, hparams["mask_pool_px"], strides)


def build_maskrcnn(hparams: Mapping[str, Any], channels: int, classes: int) -> MaskRCNN:
    """Build a network.

    Parameters
    ----------
    hparams : mapping
        All of a family's hyper-parameters, see ``facts.py``.
    channels : int
        Input channels.
    classes : int
        Classes, background included.
    """
    return MaskRCNN(hparams, channels, classes)


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
    corner : tuple of int
        ``(y, x)`` of the picture's first pixel in that.
    """

    levels: Mapping[str, torch.Tensor]
    shape: tuple[int, int]
    padded: tuple[int, int]
    corner: tuple[int, int] = (0, 0)

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
        return replace(self, levels=levels)


def features(module: Any, batch: torch.Tensor) -> Features:
    """Return what the backbone says of each normalised picture of ``batch`` ``(n, c, y, x)``."""
    with torch.no_grad():
        return seen(module, batch)


def seen(module: Any, batch: torch.Tensor, *, whole: bool = True) -> Features:
    """Return :func:`features` through which gradients flow, of ``whole`` pictures or of crops."""
    padded, corner = module.rules.padding.fill(module.rules.colours(batch), whole=whole)
    levels = module.backbone(padded)
    return Features(
        levels=OrderedDict((name, level.float()) for name, level in levels.items()),
        shape=(batch.shape[-2], batch.shape[-1]),
        padded=(padded.shape[-2], padded.shape[-1]),
        corner=corner,
    )


def pooled(module: Any, pool: Any, features: Features, boxes: torch.Tensor) -> torch.Tensor:
    """Return what a pool cuts out: ``(n, c, y, x)`` of boxes ``(n, 4)`` of one picture."""
    cut: torch.Tensor = pool(features.levels, module.rules.inner(boxes, features.corner))
    return cut


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
    rules, head = module.rules, module.rpn["head"]
    dtype = next(head.parameters()).dtype
    boxes, scores, levels = [], [], []
    with torch.no_grad():
        for number, level in enumerate(features.levels.values()):
            logits, deltas = (each[0].float() for each in head(level.to(dtype)))
            logits = logits.permute(1, 2, 0).flatten()
            best, chosen = logits.topk(min(_compared(rules, most), len(logits)))
            # As many as anchors, place by place: (y, x, anchor, 4) in one row.
            deltas = deltas.view(-1, 4, *deltas.shape[1:]).permute(2, 3, 0, 1).reshape(-1, 4)
            cells = cell_anchors(rules, number).to(deltas)
            stride = rules.stride(module.strides[number], features.padded, level.shape[-2:])
            anchors = rules.inner(grid(cells, stride, level.shape[-2:], chosen))
            moved = decode(deltas[chosen], anchors, rules.proposal_weights, rules.largest)
            boxes.append(moved)
            scores.append(best.sigmoid() if rules.proposals_by_probability else best)
            levels.append(torch.full_like(chosen, number))
        return _proposals(
            rules, torch.cat(boxes), torch.cat(scores), torch.cat(levels), features, most
        )


def _proposals(
    rules: Rules,
    boxes: torch.Tensor,
    scores: torch.Tensor,
    levels: torch.Tensor,
    features: Features,
    most: int,
) -> torch.Tensor:
    """Return the boxes that are neither empty, nor unlikely, nor nearly the same as a better."""
    if rules.together:
        best = scores.topk(min(_compared(rules, most), len(scores)))[1]
        boxes, scores, levels = boxes[best], scores[best], torch.zeros_like(best)
    if rules.clip_proposals:
        boxes = rules.clip(boxes, features.shape, features.corner)
    else:
        boxes = rules.clip(boxes, features.padded)
    keep = remove_small_boxes(boxes, rules.least_proposal_px)
    if rules.proposal_score > 0:
        likely = scores if rules.proposals_by_probability else scores.sigmoid()
        keep = keep[likely[keep] >= rules.proposal_score]
    boxes, scores, levels = boxes[keep], scores[keep], levels[keep]
    kept = boxes[suppressed(boxes, scores, levels, rules.proposal_nms)[:most]]
    return rules.outer(kept, features.corner)


def _compared(rules: Rules, most: int) -> int:
    """Return how many proposals compete so that ``most`` are kept."""
    return rules.together * math.ceil(most / _LEAST_PROPOSALS) if rules.together else most


def suppressed(
    boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, iou: float
) -> torch.Tensor:
    """Return which boxes non-maximum suppression leaves in each group, best first.

    torchvision compares all boxes of a group with all, which for the tens of thousands of a
    crowded picture takes longer than the network. On a CPU, many boxes are swept instead: the
    same boxes stay, since torchvision, too, treats them group by group from 1,000 on.
    """
    if boxes.device.type != "cpu" or len(boxes) <= _SWEPT_FROM:
        return cast("torch.Tensor", batched_nms(boxes, scores, groups, iou))
    kept = suppress(boxes[:, _SWAPPED].numpy(), scores.numpy(), groups.numpy(), iou)
    return torch.from_numpy(kept)


def most_proposals(module: Any, shape: tuple[int, int]) -> int:
    """Return how many proposals are kept in a picture of ``(y, x)`` pixels."""
    fixed: int | None = module.rules.most_proposals
    return fixed or max(_LEAST_PROPOSALS, shape[0] * shape[1] // _PX_PER_PROPOSAL)


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
    most = module.rules.most_detections if most is None else most
    with torch.no_grad():
        scores, deltas = _judge(module, features, proposals)
        boxes, chosen, classes = _select(module.rules, scores, deltas, proposals, features)
        best = suppressed(boxes, chosen, classes, module.rules.box_nms)[:most]
        boxes, chosen, classes = boxes[best], chosen[best], classes[best] + 1
        boxes = module.rules.outer(boxes, features.corner)
        masks = _masks(module, features, boxes, classes)
    return Instances(
        boxes=boxes[:, _SWAPPED].cpu().numpy(),
        plane=np.zeros(len(boxes), np.int64),
        scores=chosen.cpu().numpy(),
        classes=classes.cpu().numpy(),
        masks=masks.cpu().numpy(),
        shape=features.shape,
        axes="yx",
    )


def _select(
    rules: Rules,
    scores: torch.Tensor,
    deltas: torch.Tensor,
    proposals: torch.Tensor,
    features: Features,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return inner box, score and class (0 is the first) of all that is likely enough."""
    objects = scores[:, 1:]
    places = rules.inner(proposals, features.corner)
    # (n, boxes, 4): one box for each class, background with them or not, or one for all.
    deltas = deltas.view(len(deltas), deltas.shape[1] // 4, 4)
    moved = decode(deltas, places[:, None], rules.box_weights, rules.largest)
    moved = moved[:, -objects.shape[1] :].expand(-1, objects.shape[1], -1)
    moved = rules.clip(moved, features.shape, features.corner)
    likely = objects > rules.least_score
    if rules.one_class:
        ours = torch.arange(1, scores.shape[1], device=scores.device)
        likely = (objects >= rules.least_score) & (scores.argmax(1)[:, None] == ours)
    rows, classes = torch.where(likely)
    boxes, chosen = moved[rows, classes], objects[rows, classes]
    keep = remove_small_boxes(boxes, rules.least_box_px)
    return boxes[keep], chosen[keep], classes[keep]


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
        scores, _ = _judge(module, features, _on_device(boxes, features))
        found: npt.NDArray[np.float32] = scores.cpu().numpy()
    return found


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
        masks: npt.NDArray[np.float32] = _masks(module, features, where, own).cpu().numpy()
    return masks


def _require_one(features: Features) -> None:
    if len(features) != 1:
        raise ValueError(f"features of one image were expected, not of {len(features)}")


def _on_device(boxes: npt.NDArray[np.float32], features: Features) -> torch.Tensor:
    """Return boxes ``y0 x0 y1 x1`` as ``x0 y0 x1 y1`` beside the features."""
    device = next(iter(features.levels.values())).device
    swapped = np.asarray(boxes, np.float32).reshape(-1, 4)[:, _SWAPPED]
    return torch.as_tensor(swapped, device=device)


def _judge(
    module: Any, features: Features, proposals: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return probabilities ``(n, classes)``, background first, and box deltas, float32."""
    heads = module.roi_heads
    dtype = next(heads["box_predictor"].parameters()).dtype
    logits, deltas = [], []
    for some in torch.split(proposals, _PROPOSALS_AT_ONCE):
        cut = pooled(module, module.box_pool, features, some).to(dtype)
        own_logits, own_deltas = heads["box_predictor"](heads["box_head"](cut).flatten(1))
        logits.append(own_logits.float())
        deltas.append(own_deltas.float())
    scores = torch.cat(logits).softmax(1)
    return (scores if module.rules.background_first else scores.roll(1, dims=1)), torch.cat(deltas)


def _masks(
    module: Any, features: Features, boxes: torch.Tensor, classes: torch.Tensor
) -> torch.Tensor:
    """Return probabilities ``(n, M, M)`` float32 of each object's own class."""
    predictor = module.roi_heads["mask_predictor"]
    dtype = next(predictor.parameters()).dtype
    side = 2 * module.mask_pool.output_px  # the predictor doubles it
    masks = torch.empty((len(boxes), side, side), device=boxes.device)
    channel = module.rules.mask_channel(classes)
    for start in range(0, len(boxes), _MASKS_AT_ONCE):
        some = slice(start, start + _MASKS_AT_ONCE)
        cut = pooled(module, module.mask_pool, features, boxes[some]).to(dtype)
        logits = predictor(module.roi_heads["mask_head"](cut))
        own = torch.arange(len(logits), device=logits.device)
        masks[some] = logits[own, channel[some]].float().sigmoid()
    return masks

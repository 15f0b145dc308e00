"""How far a Mask R-CNN is from the labels: the five losses of He et al. 2017.

Numbers that no file holds are torchvision's (``faster_rcnn.py``, ``rpn.py``, ``roi_heads.py``).
Nothing is learned where labels are not trusted: objects with an untrusted pixel are no
objects, boxes that reach into what is not trusted are no background, and masks are not
compared there. Which boxes are compared is drawn by a generator of the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from torchvision.ops import box_iou, clip_boxes_to_image, roi_align

from napari_segnet.families.maskrcnn.module import Features, pooled, propose, seen
from napari_segnet.families.maskrcnn.rules import cell_anchors, grid

__all__ = ["Objects", "detection_loss", "objects_of"]

SURE, NOT_AT_ALL = 0.7, 0.3
"""An anchor is an object from this IoU on, and background below the second."""
SAME = 0.5
"""A proposal is an object from this IoU on, else background."""
ANCHORS, ANCHOR_SHARE = 256, 0.5
PROPOSALS, PROPOSAL_SHARE = 512, 0.25
"""How many are compared in a picture, and at most which share of them are objects."""
PX_PER_PROPOSAL, LEAST_PROPOSALS = 256, 64
"""In a small crop fewer proposals are compared: 512 of them take longer than its backbone."""
MOST_PROPOSALS = 1000
SMOOTH = 1 / 9
"""Where the smooth L1 loss of boxes becomes linear."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Objects:
    """What there is to find in one picture.

    Attributes
    ----------
    boxes : tensor
        ``(n, 4)`` float32 ``x0 y0 x1 y1`` in pixels, edges.
    classes : tensor
        ``(n,)`` int64; 1 is the first.
    masks : tensor
        ``(n, y, x)`` float32, 1 inside.
    trusted : tensor
        ``(y, x)`` float32: 1 where the labels may be learned from; 0 also on objects that
        are not trusted as a whole.
    """

    boxes: torch.Tensor
    classes: torch.Tensor
    masks: torch.Tensor
    trusted: torch.Tensor

    def __len__(self) -> int:
        return len(self.boxes)


def objects_of(
    labels: npt.NDArray[np.int32],
    trusted: npt.NDArray[np.float32],
    kinds: Mapping[int, int],
    device: torch.device,
) -> Objects:
    """Return the objects in labels ``(y, x)``.

    Parameters
    ----------
    labels, trusted : ndarray
        ``(y, x)``.
    kinds : mapping of int to int
        Class of each label; 1 where it is not in it.
    device : torch.device
        Where to.
    """
    seen = trusted > 0
    whole = np.setdiff1d(np.unique(labels[labels > 0]), np.unique(labels[~seen]))
    boxes = np.empty((len(whole), 4), np.float32)
    masks = labels[None] == whole[:, None, None]
    for i, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes[i] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    known = seen & ((labels == 0) | np.isin(labels, whole))
    classes = np.array([kinds.get(int(label), 1) for label in whole], np.int64)
    return Objects(
        boxes=torch.from_numpy(boxes).to(device),
        classes=torch.from_numpy(classes).to(device),
        masks=torch.from_numpy(masks.astype(np.float32)).to(device),
        trusted=torch.from_numpy(known.astype(np.float32)).to(device),
    )


def detection_loss(
    module: Any, batch: torch.Tensor, objects: list[Objects], generator: torch.Generator
) -> torch.Tensor:
    """Return the sum of the five losses, averaged over the pictures.

    Parameters
    ----------
    module : MaskRCNN
        What ``build_maskrcnn`` returned.
    batch : tensor
        ``(n, c, y, x)``, normalised.
    objects : list of Objects
        One for each picture.
    generator : torch.Generator
        Of the CPU; draws the boxes that are compared.
    """
    every = seen(module, batch, whole=False)
    total = batch.new_zeros((), dtype=torch.float32)
    for index, there in enumerate(objects):
        picture = every.picture(index)
        total = total + _proposal_loss(module, picture, there, generator)
        total = total + _head_loss(module, picture, there, generator)
    return total / len(objects)


# ---- Proposals ----


def _proposal_loss(
    module: Any, features: Features, there: Objects, generator: torch.Generator
) -> torch.Tensor:
    logits, deltas, anchors = _answers(module, features)
    match, positive, negative = _anchor_matches(anchors, there, features.shape)
    chosen_positive = _some(positive, int(ANCHORS * ANCHOR_SHARE), generator)
    chosen_negative = _some(negative, ANCHORS - len(chosen_positive), generator)
    chosen = torch.cat([chosen_positive, chosen_negative])
    if not len(chosen):
        return logits.sum() * 0
    want = torch.zeros(len(chosen), device=logits.device)
    want[: len(chosen_positive)] = 1
    loss = functional.binary_cross_entropy_with_logits(logits[chosen], want)
    if len(chosen_positive):
        rules = module.rules
        wanted = _encode(
            rules.inner(there.boxes[match[chosen_positive]]),
            rules.inner(anchors[chosen_positive]),
            rules.proposal_weights,
        )
        away = functional.smooth_l1_loss(
            deltas[chosen_positive], wanted, beta=SMOOTH, reduction="sum"
        )
        loss = loss + away / len(chosen)
    return loss


def _answers(module: Any, features: Features) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits ``(n,)``, deltas and anchors ``(n, 4)`` of all levels of one picture."""
    top, left = features.corner
    rules, head = module.rules, module.rpn["head"]
    dtype = next(head.parameters()).dtype
    logits, deltas, anchors = [], [], []
    for number, level in enumerate(features.levels.values()):
        own_logits, own_deltas = (each[0].float() for each in head(level.to(dtype)))
        own_logits = own_logits.permute(1, 2, 0).flatten()
        own_deltas = own_deltas.view(-1, 4, *own_deltas.shape[1:]).permute(2, 3, 0, 1)
        cells = cell_anchors(rules, number).to(own_deltas.device)
        stride = rules.stride(module.strides[number], features.padded, level.shape[-2:])
        every = torch.arange(len(own_logits), device=own_logits.device)
        logits.append(own_logits)
        deltas.append(own_deltas.reshape(-1, 4))
        own = grid(cells, stride, level.shape[-2:], every)
        anchors.append(own - own.new_tensor([left, top, left, top]))
    return torch.cat(logits), torch.cat(deltas), torch.cat(anchors)


def _anchor_matches(
    anchors: torch.Tensor, there: Objects, shape: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the object of each anchor, and which anchors are objects and background."""
    known = _all_trusted(anchors, there.trusted)
    if not len(there):
        zero = torch.zeros(len(anchors), dtype=torch.int64, device=anchors.device)
        return zero, torch.zeros_like(known), known
    overlap = box_iou(there.boxes, anchors)  # (object, anchor)
    best, match = overlap.max(0)
    positive = best >= SURE
    # Each object has its anchors, even if none is near: those that are nearest.
    nearest = overlap.amax(1, keepdim=True)
    positive |= ((overlap == nearest) & (nearest > 0)).any(0)
    negative = (best < NOT_AT_ALL) & ~positive & known
    return match, positive, negative


def _all_trusted(boxes: torch.Tensor, trusted: torch.Tensor) -> torch.Tensor:
    """Return which boxes reach into nothing that is not trusted (nor lie outside)."""
    height, width = trusted.shape
    # Sums of all above and to the left: any box is four looks.
    sums = functional.pad((1 - trusted).double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    inside = clip_boxes_to_image(boxes, (height, width))
    x0, y0 = inside[:, 0].floor().long(), inside[:, 1].floor().long()
    x1, y1 = inside[:, 2].ceil().long(), inside[:, 3].ceil().long()
    unknown = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
    known: torch.Tensor = (unknown < 0.5) & (x1 > x0) & (y1 > y0)
    return known


# ---- Classes, boxes and masks ----


def _head_loss(
    module: Any, features: Features, there: Objects, generator: torch.Generator
) -> torch.Tensor:
    heads, rules = module.roi_heads, module.rules
    with torch.no_grad():
        found = propose(module, features, MOST_PROPOSALS)
        boxes = torch.cat([found, there.boxes])
        boxes, match, count = _sampled(boxes, there, generator)
    if not len(boxes):
        return next(iter(features.levels.values())).sum() * 0
    dtype = next(heads["box_predictor"].parameters()).dtype
    cut = pooled(module, module.box_pool, features, boxes).to(dtype)
    logits, deltas = (
        each.float() for each in heads["box_predictor"](heads["box_head"](cut).flatten(1))
    )
    classes = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    classes[:count] = there.classes[match]
    # Where the background is the last of the classes, they count from 0.
    shown = classes if rules.background_first else (classes - 1) % logits.shape[1]
    total: torch.Tensor = functional.cross_entropy(logits, shown)
    if count:
        away = _box_loss(rules, deltas[:count], boxes[:count], there, match)
        total = total + away / len(boxes)
        total = total + _mask_loss(module, features, boxes[:count], there, match)
    return total


def _sampled(
    boxes: torch.Tensor, there: Objects, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return some boxes, objects first; the object of each of those, and how many they are."""
    known = _all_trusted(boxes, there.trusted)
    if len(there):
        best, match = box_iou(there.boxes, boxes).max(0)
    else:
        best, match = torch.zeros_like(boxes[:, 0]), torch.zeros_like(known, dtype=torch.int64)
    most = _most_compared(there.trusted.numel())
    positive = _some(best >= SAME, int(most * PROPOSAL_SHARE), generator)
    negative = _some((best < SAME) & known, most - len(positive), generator)
    return boxes[torch.cat([positive, negative])], match[positive], len(positive)


def _most_compared(pixels: int) -> int:
    return min(PROPOSALS, max(LEAST_PROPOSALS, pixels // PX_PER_PROPOSAL))


def _box_loss(
    rules: Any,
    deltas: torch.Tensor,
    boxes: torch.Tensor,
    there: Objects,
    match: torch.Tensor,
) -> torch.Tensor:
    deltas = deltas.view(len(deltas), deltas.shape[1] // 4, 4)
    row = torch.arange(len(deltas), device=deltas.device)
    column = there.classes[match] - (0 if rules.background_first else 1)
    if deltas.shape[1] == 1:
        column = torch.zeros_like(column)
    wanted = _encode(rules.inner(there.boxes[match]), rules.inner(boxes), rules.box_weights)
    loss: torch.Tensor = functional.smooth_l1_loss(
        deltas[row, column], wanted, beta=SMOOTH, reduction="sum"
    )
    return loss


def _mask_loss(
    module: Any, features: Features, boxes: torch.Tensor, there: Objects, match: torch.Tensor
) -> torch.Tensor:
    predictor = module.roi_heads["mask_predictor"]
    cut = pooled(module, module.mask_pool, features, boxes).to(next(predictor.parameters()).dtype)
    logits = predictor(module.roi_heads["mask_head"](cut)).float()
    row = torch.arange(len(logits), device=logits.device)
    own = logits[row, module.rules.mask_channel(there.classes[match])]
    side = own.shape[-1]
    where = torch.cat([match[:, None].to(boxes), boxes], dim=1)
    wanted = roi_align(there.masks[:, None], where, side, 1.0, -1)[:, 0]
    where[:, 0] = 0
    known = roi_align(there.trusted[None, None], where, side, 1.0, -1)[:, 0] > 0.999
    error = functional.binary_cross_entropy_with_logits(own, wanted, reduction="none")
    mean: torch.Tensor = (error * known).sum() / known.sum().clamp(min=1)
    return mean


def _encode(wanted: torch.Tensor, boxes: torch.Tensor, weights: tuple[float, ...]) -> torch.Tensor:
    """Return the deltas that move boxes to others: the inverse of ``decode``."""
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    goal = (wanted[:, 2:] - wanted[:, :2]).clamp(min=1e-3)
    away = (wanted[:, :2] + 0.5 * goal) - (boxes[:, :2] + 0.5 * size)
    return torch.cat([away / size, (goal / size).log()], dim=1) * boxes.new_tensor(weights)


def _some(chosen: torch.Tensor, most: int, generator: torch.Generator) -> torch.Tensor:
    """Return the places of at most so many of the true values, drawn at random."""
    places = torch.where(chosen)[0]
    order = torch.randperm(len(places), generator=generator)[:most]
    return places[order.to(places.device)]

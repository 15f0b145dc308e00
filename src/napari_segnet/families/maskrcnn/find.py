"""All objects of whole pictures: the number of proposals grows with what is found."""

from __future__ import annotations

from typing import Any

import torch

from napari_segnet.families.maskrcnn.module import (
    Features,
    detect,
    features,
    most_proposals,
    propose,
)
from napari_segnet.segmentation import Detected

__all__ = ["find_all"]

PROPOSALS_PER_OBJECT = 8
"""Non-maximum suppression at 0.7 leaves several proposals for each object; where fewer than so
many are there for each one found, some objects may have had none."""
MOST_DOUBLINGS = 3
"""1000 proposals become 8000 at most: one per 8 x 8 pixels of a tile of 700 x 700."""


def find_all(module: Any, batch: torch.Tensor) -> list[Detected]:
    """Return the objects of each normalised picture of ``batch`` ``(n, c, y, x)``.

    As many proposals as the network's own ``most_proposals``, if it was told; otherwise
    they are doubled while there are few for the number of objects that they lead to. Boxes
    and scores are computed in float32 also where weights are float16, whose steps are a whole
    pixel beyond 1024.
    """
    seen = features(module, batch)
    return [_find(module, seen.picture(index)) for index in range(len(seen))]


def _find(module: Any, own: Features) -> Detected:
    most = most_proposals(module, own.shape)
    is_fixed = module.rules.most_proposals is not None
    for doubling in range(MOST_DOUBLINGS + 1):
        proposals = propose(module, own, most)
        found = detect(module, own, proposals)
        crowded = len(proposals) >= most and PROPOSALS_PER_OBJECT * len(found.scores) > most
        if not crowded or is_fixed or doubling == MOST_DOUBLINGS:
            break
        most *= 2
    full = len(found.scores) >= module.rules.most_detections
    limits = (("proposals",) if crowded else ()) + (("detections",) if full else ())
    return Detected(instances=found, limits=limits)

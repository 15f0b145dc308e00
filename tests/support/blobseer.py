"""A network that sees bright blobs, each whole and sharp, as a perfect Mask R-CNN would.

It stands in for the module of an instance network where a test is about places and seams:
what it answers is known to the pixel, wherever the borders of a tile fall.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import find_objects
from scipy.ndimage import label as connected

from napari_segnet.segmentation import Instances

SIDE = 28
"""Pixels of a mask along each side."""


def blobs_in(picture: Any, least_px: int = 4) -> Instances:
    """Return every connected blob above a half of ``(c, y, x)``; brighter ones score higher.

    The second channel, if there is one, holds each blob's class.
    """
    pieces, _ = connected(picture[0] > 0.5)
    boxes, masks, scores, classes = [], [], [], []
    for number, where in enumerate(find_objects(pieces), start=1):
        own = pieces[where] == number
        if own.sum() < least_px:
            continue
        boxes.append([where[0].start, where[1].start, where[0].stop, where[1].stop])
        masks.append(_small(own))
        scores.append(float(picture[0][where][own].max()))
        classes.append(round(float(picture[1][where][own].max())) if len(picture) > 1 else 1)
    n = len(boxes)
    return Instances(
        boxes=np.asarray(boxes, np.float32).reshape(n, 4),
        plane=np.zeros(n, np.int64),
        scores=np.clip(np.asarray(scores, np.float32), 0, 1),
        classes=np.asarray(classes, np.int64),
        masks=np.asarray(masks, np.float32).reshape(n, SIDE, SIDE),
        shape=picture.shape[-2:],
        axes="yx",
    )


def _small(own: Any) -> Any:
    """Resample a mask to ``(SIDE, SIDE)``: bilinear, centres on centres."""
    for axis in (0, 1):
        length = own.shape[axis]
        at = (np.arange(SIDE) + 0.5) / SIDE * length - 0.5
        low = np.clip(np.floor(at).astype(int), 0, length - 1)
        high = np.clip(low + 1, 0, length - 1)
        part = np.clip(at - low, 0, 1)
        part = part.reshape((-1, 1) if axis == 0 else (1, -1))
        own = np.take(own, low, axis) * (1 - part) + np.take(own, high, axis) * part
    return own.astype(np.float32)


class BlobLook:
    """What ``Network.look`` returns, of a network that sees blobs."""

    def __init__(self, picture: Any) -> None:
        self._picture = np.array(picture)
        self._there = blobs_in(self._picture)
        self.shape = picture.shape[-2:]
        self.nbytes = 50 * picture[0].nbytes
        self.proposals = self._there.boxes

    def detect(self, boxes: Any) -> Instances:
        """Return every blob of which one of the boxes shows a half."""
        there = self._there
        low = np.maximum(boxes[:, None, :2], there.boxes[None, :, :2])
        high = np.minimum(boxes[:, None, 2:], there.boxes[None, :, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=-1)
        areas = np.prod(there.boxes[:, 2:] - there.boxes[:, :2], axis=-1)
        keep = (shared > 0.5 * areas).any(axis=0) if len(boxes) else np.zeros(len(areas), bool)
        return Instances(
            boxes=there.boxes[keep],
            plane=there.plane[keep],
            scores=there.scores[keep],
            classes=there.classes[keep],
            masks=there.masks[keep],
            shape=self.shape,
            axes="yx",
        )

    def scores_in(self, boxes: Any) -> Any:
        scores = np.full((len(boxes), 4), 0.05, np.float32)
        for row, (y0, x0, y1, x1) in zip(scores, np.rint(boxes).astype(int), strict=True):
            part = self._picture[:, y0:y1, x0:x1]
            bright = part[0] > 0.5
            row[0] = 1 - bright.mean()
            kind = round(float(part[1][bright].max())) if len(part) > 1 and bright.any() else 1
            row[kind] = bright.mean()
        return scores

    def masks_in(self, boxes: Any, classes: Any) -> Any:
        parts = [
            self._picture[0, y0:y1, x0:x1] > 0.5 for y0, x0, y1, x1 in np.rint(boxes).astype(int)
        ]
        return np.stack([_small(part) for part in parts])


def field(
    shape: tuple[int, int], centres: Any, radius: float = 12.0, brightness: Any = None
) -> Any:
    """Return discs ``(y, x)`` float32 on black."""
    grid = np.indices(shape, dtype=np.float32)
    image = np.zeros(shape, np.float32)
    for k, (y, x) in enumerate(centres):
        disc = (grid[0] - y) ** 2 + (grid[1] - x) ** 2 <= radius**2
        image[disc] = 0.9 if brightness is None else brightness[k]
    return image

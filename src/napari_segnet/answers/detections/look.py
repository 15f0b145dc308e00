"""What was detected in one picture, asked as if it were what a network sees of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_segnet.boxes import pairwise_iou
from napari_segnet.segmentation import Instances

__all__ = ["DetectedLook"]

LEAST_FIT = 0.1
"""A box that shares less (IoU) with a detection does not mean it."""
SIDE = 28
"""Of a mask in a box that holds nothing: as that of a Mask R-CNN."""


class DetectedLook:
    """A :class:`~napari_segnet.families.Look` at the objects that a network has detected.

    For networks that cannot be asked about a box of the user's: such a box means the
    detection that fits it best.

    Parameters
    ----------
    instances : Instances
        Of one picture ``(y, x)``.
    classes : int
        That the network knows, background included.
    """

    def __init__(self, instances: Instances, classes: int) -> None:
        self._classes = classes
        best_first = np.argsort(-instances.scores, kind="stable")
        self._there = instances.chosen(best_first)
        self.shape = (int(instances.shape[-2]), int(instances.shape[-1]))
        self.proposals: npt.NDArray[np.float32] = self._there.boxes

    @property
    def nbytes(self) -> int:
        """Bytes of memory it takes."""
        return self._there.kept_nbytes

    def detect(self, boxes: npt.NDArray[np.float32]) -> Instances:
        """Return the detections that one of the boxes means."""
        fits = _fits(boxes, self._there.boxes)
        return self._there.chosen(np.flatnonzero((fits >= LEAST_FIT).any(axis=0)))

    def scores_in(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what each box holds: ``(n, classes)``, background first.

        Of a class: the best product of score and fit among its detections.
        """
        worth = _fits(boxes, self._there.boxes) * self._there.scores
        scores = np.zeros((len(boxes), self._classes), np.float32)
        for kind in range(1, self._classes):
            own = worth[:, self._there.classes == kind]
            scores[:, kind] = own.max(axis=1, initial=0)
        scores[:, 0] = 1 - scores.max(axis=1)
        return scores

    def masks_in(
        self, boxes: npt.NDArray[np.float32], classes: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return the part in each box of the detection of its class that fits it best."""
        there = self._there
        side = there.masks.shape[-1] if len(there.masks) else SIDE
        masks = np.zeros((len(boxes), side, side), np.float32)
        worth = _fits(boxes, there.boxes) * there.scores
        for mask, box, kind, own in zip(masks, boxes, classes.tolist(), worth, strict=True):
            own = np.where(there.classes == kind, own, 0)
            if own.max(initial=0) > 0:
                best = int(own.argmax())
                mask[...] = _cut_out(there.masks[best], there.boxes[best], box)
        return masks


def _fits(
    boxes: npt.NDArray[np.float32], others: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the IoU of each of ``n`` boxes with each of ``m`` others ``(n, m)``."""
    rows, columns = np.indices((len(boxes), len(others)))
    pairs = np.stack((rows.reshape(-1), len(boxes) + columns.reshape(-1)), axis=1)
    fits = pairwise_iou(np.concatenate((boxes, others)), pairs)
    return fits.reshape(rows.shape).astype(np.float32)


def _cut_out(
    mask: npt.NDArray[np.float32], has: npt.NDArray[np.float32], box: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return a mask ``(M, M)`` that is stretched over one box, stretched over another."""
    side = len(mask)
    part = mask
    for axis in (0, 1):
        length = max(float(has[axis + 2] - has[axis]), 1e-6)
        pixels = box[axis] + (np.arange(side) + 0.5) / side * (box[axis + 2] - box[axis])
        at = (pixels - has[axis]) / length * side - 0.5
        low = np.floor(at).astype(int)
        share = (at - low).astype(np.float32)
        rows = [np.take(part, np.clip(low + k, 0, side - 1), axis) for k in (0, 1)]
        outside = (pixels < has[axis]) | (pixels > has[axis + 2])
        shape = (-1, 1) if axis == 0 else (1, -1)
        weight, kept = share.reshape(shape), ~outside.reshape(shape)
        part = (rows[0] * (1 - weight) + rows[1] * weight) * kept
    return part

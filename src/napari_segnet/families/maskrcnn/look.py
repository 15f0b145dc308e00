"""Feature maps of one picture, kept so that the heads can be asked about any box.

The backbone is nearly all of the work. Its feature maps are computed once; the heads then
answer about a box in milliseconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_segnet.families.maskrcnn.module import (
    detect,
    features,
    masks_in,
    propose,
    scores_in,
)
from napari_segnet.segmentation import Instances

__all__ = ["FeatureLook"]

_SWAPPED = [1, 0, 3, 2]
"""``y0 x0 y1 x1`` <-> ``x0 y0 x1 y1``, as torchvision has boxes."""


class FeatureLook:
    """What a Mask R-CNN sees in one picture, see ``napari_segnet.families.Look``.

    Parameters
    ----------
    module : MaskRCNN
        What ``build_maskrcnn`` returned.
    picture : tensor
        ``(1, c, y, x)`` float32, normalised.
    """

    def __init__(self, module: Any, picture: torch.Tensor) -> None:
        self._module = module
        self._features = features(module, picture)
        self._device = picture.device
        boxes = propose(module, self._features).cpu().numpy()
        self.shape = self._features.shape
        self.proposals: npt.NDArray[np.float32] = boxes[:, _SWAPPED]

    @property
    def nbytes(self) -> int:
        """Bytes of memory they take."""
        return self._features.nbytes + self.proposals.nbytes

    def detect(self, boxes: npt.NDArray[np.float32]) -> Instances:
        """Return the objects at these boxes, which the box head moves to fit."""
        swapped = np.asarray(boxes, np.float32).reshape(-1, 4)[:, _SWAPPED]
        tensor = torch.from_numpy(np.ascontiguousarray(swapped)).to(self._device)
        return detect(self._module, self._features, tensor)

    def scores_in(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what each box holds: ``(n, classes)`` probabilities, background first."""
        return scores_in(self._module, self._features, boxes)

    def masks_in(
        self, boxes: npt.NDArray[np.float32], classes: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return the mask in each box as it is: ``(n, M, M)`` probabilities."""
        return masks_in(self._module, self._features, boxes, classes)

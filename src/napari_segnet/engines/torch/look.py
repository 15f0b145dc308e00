"""What an instance network sees in one picture, kept so that more can be asked of it.

The backbone is nearly all of the work. Its feature maps are computed once; the heads then
answer about any box in milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from napari_segnet.segmentation import Instances

if TYPE_CHECKING:
    from napari_segnet.engines.torch import Network

__all__ = ["Look"]

_SWAPPED = [1, 0, 3, 2]
"""``y0 x0 y1 x1`` <-> ``x0 y0 x1 y1``, as torchvision has boxes."""


class Look:
    """The feature maps of one picture, and the heads that look at them.

    Boxes are ``(n, 4)`` float32 ``y0 x0 y1 x1`` in pixels of that picture.

    Parameters
    ----------
    network : Network
        Of task ``instance``.
    picture : ndarray
        ``(c, y, x)`` float32, prepared.
    precision : str
        As in ``Network.detections``.

    Attributes
    ----------
    shape : tuple of int
        ``(y, x)`` of the picture.
    proposals : ndarray
        Boxes in which the network suspects objects, most likely first.
    """

    def __init__(self, network: Network, picture: npt.NDArray[np.float32], precision: str) -> None:
        from napari_segnet.families._maskrcnn_module import features, propose

        self._network, self._precision = network, precision
        self.shape = (int(picture.shape[-2]), int(picture.shape[-1]))
        with network.at_work(precision) as module:
            tensor = torch.from_numpy(np.ascontiguousarray(picture[None])).to(network.device)
            self._features = features(module, tensor)
            boxes = propose(module, self._features).cpu().numpy()
        self.proposals: npt.NDArray[np.float32] = boxes[:, _SWAPPED]

    @property
    def nbytes(self) -> int:
        """Bytes of memory they take."""
        return self._features.nbytes + self.proposals.nbytes

    def detect(self, boxes: npt.NDArray[np.float32]) -> Instances:
        """Return the objects at these boxes, which the box head moves to fit."""
        from napari_segnet.families._maskrcnn_module import detect

        with self._network.at_work(self._precision) as module:
            return detect(module, self._features, self._tensor(boxes))

    def scores_in(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what each box holds: ``(n, classes)`` probabilities, background first."""
        from napari_segnet.families._maskrcnn_module import scores_in

        with self._network.at_work(self._precision) as module:
            return scores_in(module, self._features, boxes)

    def masks_in(
        self, boxes: npt.NDArray[np.float32], classes: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return the mask in each box as it is: ``(n, M, M)`` probabilities."""
        from napari_segnet.families._maskrcnn_module import masks_in

        with self._network.at_work(self._precision) as module:
            return masks_in(module, self._features, boxes, classes)

    def _tensor(self, boxes: npt.NDArray[np.float32]) -> torch.Tensor:
        swapped = np.asarray(boxes, np.float32).reshape(-1, 4)[:, _SWAPPED]
        return torch.from_numpy(np.ascontiguousarray(swapped)).to(self._network.device)

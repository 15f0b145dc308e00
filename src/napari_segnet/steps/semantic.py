"""Labels that are classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.segmentation import Kind
from napari_segnet.steps._channels import class_map
from napari_segnet.steps._types import filled_in

if TYPE_CHECKING:
    from napari_segnet.steps._types import LabelSettings, Unit

__all__ = ["Semantic"]


class Semantic:
    """The label of a pixel is its class; objects are not told apart.

    Several exclusive classes (softmax): the most probable; ``threshold`` plays no part.
    Several independent classes (sigmoid): the most probable of those above ``threshold``.
    One class: 1 where its probability is above ``threshold``.
    """

    name = "none"
    kind: Kind = "semantic"

    def label(self, unit: Unit, settings: LabelSettings) -> npt.NDArray[np.int32]:
        """Return int32 class indices ``([z,] y, x)``; 0 is background."""
        return class_map(unit, filled_in(settings.threshold, "threshold"), np.int32)

"""Objects that the image's edge cuts are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.steps.ids import look_up

if TYPE_CHECKING:
    from napari_segnet.steps._types import LabelSettings

__all__ = ["ClearBorder"]


class ClearBorder:
    """Objects with a pixel in the first or last row or column become background.

    In a volume the first and last plane do not count: stacks rarely hold whole cells in z.
    """

    name = "clear_border"

    def refine(
        self, labels: npt.NDArray[np.int32], settings: LabelSettings
    ) -> npt.NDArray[np.int32]:
        """Return labels without objects at the edge in y and x; works in place."""
        edges = (labels[..., 0, :], labels[..., -1, :], labels[..., :, 0], labels[..., :, -1])
        cut = np.unique(np.concatenate([np.unique(edge) for edge in edges]))
        if not cut.any():
            return labels
        table = np.arange(int(labels.max()) + 1, dtype=np.int32)
        table[cut] = 0
        return look_up(labels, table)

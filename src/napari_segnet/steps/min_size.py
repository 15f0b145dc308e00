"""Small objects are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.steps._types import filled_in
from napari_segnet.steps.ids import count_pixels, look_up

if TYPE_CHECKING:
    from napari_segnet.steps._types import LabelSettings

__all__ = ["MinSize"]


class MinSize:
    """Objects with fewer than ``min_size_px`` pixels become background."""

    name = "min_size"

    def refine(
        self, labels: npt.NDArray[np.int32], settings: LabelSettings
    ) -> npt.NDArray[np.int32]:
        """Return labels without small objects; works in place."""
        counts = count_pixels(labels)
        small = (counts > 0) & (counts < filled_in(settings.min_size_px, "min_size_px"))
        if not small[1:].any():
            return labels
        table = np.arange(counts.size, dtype=np.int32)
        table[small] = 0
        return look_up(labels, table)

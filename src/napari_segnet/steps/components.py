"""Objects are connected pieces of foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.segmentation import Kind
from napari_segnet.steps._bands import bands, join_bands
from napari_segnet.steps._channels import object_map
from napari_segnet.steps._types import filled_in

if TYPE_CHECKING:
    from napari_segnet.steps._types import LabelSettings, Unit

__all__ = ["Components", "connected"]


class Components:
    """Each connected piece of foreground above ``threshold`` is an object.

    With several classes, each connected piece of one class is. Pieces that meet only at a
    corner (or, in 3D, an edge) are two objects: see :func:`connected`.
    """

    name = "components"
    kind: Kind = "instance"

    def label(self, unit: Unit, settings: LabelSettings) -> npt.NDArray[np.int32]:
        """Return int32 labels ``([z,] y, x)``; ids 1..n in raster order."""
        return connected(object_map(unit, filled_in(settings.threshold, "threshold")))


def connected(classes: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Label the connected pieces of equal values; 0 is background.

    Neighbours are pixels that share an edge (4 in 2D) or a face (6 in 3D). Two objects
    whose corners touch have no border in common along which a network could have seen
    them as one, and the background, whose holes are filled by the same rule, would
    otherwise cross between them.

    Parameters
    ----------
    classes : ndarray
        bool or integer, 2D or 3D.

    Returns
    -------
    ndarray
        int32, the same shape; ids 1..n in raster order of first pixels.
    """
    parts = bands(classes.shape)
    return _pieces(classes) if len(parts) < 2 else join_bands(classes, parts, _pieces)


def _pieces(classes: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    import cc3d

    pieces: npt.NDArray[Any] = cc3d.connected_components(
        classes, connectivity=4 if classes.ndim == 2 else 6
    )
    # Fewer than 2**31 pieces fit any memory: the same bits are right as int32.
    return pieces.view(np.int32) if pieces.dtype == np.uint32 else pieces.astype(np.int32)

"""Where a box of a layer is seen on the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer
    from qtpy.QtWidgets import QWidget

__all__ = ["box_on_canvas"]


def box_on_canvas(
    viewer: napari.viewer.Viewer,
    canvas: QWidget,
    layer: napari.layers.Layer,
    box: tuple[slice, ...],
) -> npt.NDArray[np.float64] | None:
    """Return where a box of a layer lies on the canvas.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Not a stand-in.
    canvas : QWidget
        Its canvas.
    layer : Layer
        A layer of it.
    box : tuple of slice
        One per dimension of the layer, in its pixels.

    Returns
    -------
    ndarray or None
        Two rows ``(y, x)`` in pixels of the canvas, top left and bottom right; beyond its edges
        cut off. None if the box is not on the plane that is shown, or not shown flat.
    """
    if viewer.dims.ndisplay != 2 or viewer.canvas.grid.enabled or layer not in viewer.layers:
        return None
    ends = np.array([[p.start - 0.5 for p in box], [p.stop - 0.5 for p in box]])
    world = np.array([layer.data_to_world(end) for end in ends], float)
    first = viewer.dims.ndim - layer.ndim  # a layer of fewer dimensions has the last of them
    shown = [axis - first for axis in viewer.dims.displayed]
    for axis in range(layer.ndim):
        slider = viewer.dims.point[axis + first]
        if axis not in shown and not world[:, axis].min() <= slider <= world[:, axis].max():
            return None
    camera = viewer.scene.camera
    ways = [-1.0 if str(w) in ("up", "left") else 1.0 for w in camera.orientation2d]
    middle = np.array(camera.center[-2:])
    half = np.array([canvas.height(), canvas.width()]) / 2
    at = half + (world[:, shown] - middle) * camera.zoom * np.array(ways)
    # A widget has a greatest size; what lies beyond the canvas is not seen anyway.
    at = at.clip(-100, 2 * half + 100)
    return np.array([at.min(axis=0), at.max(axis=0)])

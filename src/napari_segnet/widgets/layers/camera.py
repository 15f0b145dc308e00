"""Leading the eye: the camera goes to a place in a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["look_at", "look_there"]

AROUND = 3.0
"""The view is so many times as wide as what is looked at: enough to see its neighbours."""
LEAST_PX = 60
"""Pixels of the layer that the view shows at least: a speck does not fill the window."""
PATIENCE = 4.0
"""The zoom stays while the view is not so many times too wide or too narrow: an eye that goes
from object to object wants the same scale."""

LEAST, MOST, USUAL = 1 / 25, 1 / 2.5, 1 / 8
"""Part of the canvas that an object should fill: between these the zoom stays as it is."""


def look_at(
    viewer: napari.viewer.Viewer, layer: napari.layers.Layer, box: tuple[slice, ...]
) -> None:
    """Show the plane of a box, and put the box into the middle of the canvas.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its sliders and camera are moved.
    layer : napari.layers.Layer
        In whose data pixels the box is.
    box : tuple of slice
        One for each dimension of the layer, with start and stop.
    """
    middle = [(part.start + part.stop - 1) / 2 for part in box]
    world = np.asarray(layer.data_to_world(middle), float)
    # A layer with fewer dimensions than the viewer has the last of them.
    first = viewer.dims.ndim - len(world)
    for axis in viewer.dims.not_displayed:
        if axis >= first:
            viewer.dims.set_point(axis, float(world[axis - first]))
    shown = [axis - first for axis in viewer.dims.displayed if axis >= first]
    camera = viewer.scene.camera
    center = np.array(camera.center, float)
    center[-len(shown) :] = world[shown]
    camera.center = tuple(center)
    camera.zoom = _zoom(viewer, np.asarray(layer.scale, float)[shown], [box[a] for a in shown])


def _zoom(viewer: Any, scale: npt.NDArray[np.float64], sides: list[slice]) -> float:
    """Return canvas pixels per unit of the world that show the box with its surroundings."""
    wide = [AROUND * max(LEAST_PX / AROUND, side.stop - side.start) for side in sides]
    canvas = np.asarray(viewer.canvas.viewbox_size(viewer.layers), float)
    good = float(np.min(canvas[-2:] / (np.asarray(wide) * scale)[-2:]))
    now = float(viewer.scene.camera.zoom)
    # Nearer than `good` by much would cut it off.
    return now if good / PATIENCE <= now <= good * AROUND / 1.5 else good


def look_there(
    viewer: napari.viewer.Viewer, layer: napari.layers.Labels, box: tuple[slice, ...]
) -> None:
    """Bring a box of a layer to the middle of the canvas, on its plane, large enough to see."""
    low = np.array([part.start for part in box], float) - 0.5
    high = np.array([part.stop for part in box], float) - 0.5
    ends = np.array([layer.data_to_world(p) for p in (low, high, (low + high) / 2)])
    first = viewer.dims.ndim - layer.ndim
    shown = [axis - first for axis in viewer.dims.displayed if axis >= first]
    for axis in range(layer.ndim):
        if axis not in shown:
            viewer.dims.set_point(axis + first, float(ends[2, axis]))
    camera = viewer.scene.camera
    center = list(camera.center)
    center[-len(shown) :] = [float(ends[2, axis]) for axis in shown]
    camera.center = tuple(center)
    extent = np.abs(ends[1] - ends[0])[shown[-2:]]
    fills = float((extent * camera.zoom / np.array(viewer.canvas.size, float)).max())
    if fills > 0 and not LEAST <= fills <= MOST:
        camera.zoom *= USUAL / fills

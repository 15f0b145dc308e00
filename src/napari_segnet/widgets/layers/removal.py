"""Several layers leave a viewer at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari_segnet.widgets.layers.private import canvas_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["take_out"]


def take_out(viewer: napari.viewer.Viewer, layers: Iterable[napari.layers.Layer]) -> None:
    """Remove layers from a viewer, those that are still in it; the selection stays.

    The canvas is drawn after each: where an image and labels leave napari 0.9 (vispy 0.17) between
    two drawings, the next layers that are added end the program on the OpenGL of Mesa.
    """
    active, canvas = viewer.layers.selection.active, canvas_of(viewer)
    for layer in layers:
        if layer in viewer.layers:
            viewer.layers.remove(layer)
            if canvas is not None:
                canvas.repaint()
    if active in viewer.layers:
        viewer.layers.selection.active = active

"""Keys that change what is seen: labels on and off, outlines, next and previous image."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_segnet.errors import SegnetError
from napari_segnet.widgets.layers.neighbours import show_neighbour
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.subject import labels_in

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

__all__ = ["VIEW_KEYS", "ViewActs", "view_acts"]

VIEW_KEYS = {
    "Shift-V": ("labels_on_off", "labels on and off"),
    "Shift-L": ("outlines", "outlines or filled labels"),
    "PageDown": ("next_image", "next image of the folder"),
    "PageUp": ("previous_image", "previous image of the folder"),
}
"""Key -> method, and what it does in words. napari, the edits and the review use none of them."""
OUTLINE_PX = 2

_all: weakref.WeakKeyDictionary[Any, ViewActs] = weakref.WeakKeyDictionary()


def view_acts(viewer: napari.viewer.Viewer) -> ViewActs:
    """Return what the keys of a viewer do; the same at each call."""
    real = unwrapped(viewer)
    if real not in _all:
        _all[real] = ViewActs(real)
    return _all[real]


class ViewActs:
    """What the keys do to one viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Not a stand-in.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer: weakref.ref[Any] = weakref.ref(viewer)

    def keys(self) -> dict[str, Callable[[], None]]:
        """Return what each key does."""
        return {key: getattr(self, method) for key, (method, _) in VIEW_KEYS.items()}

    def labels_on_off(self) -> None:
        """Hide the labels that are in front, or show them."""
        layer = self._labels()
        if layer is not None:
            layer.visible = not layer.visible

    def outlines(self) -> None:
        """Show outlines in place of filled labels, or the other way round."""
        layer = self._labels()
        if layer is not None:
            layer.contour = 0 if layer.contour else OUTLINE_PX

    def next_image(self) -> None:
        """Show the next image of the folder."""
        self._step(1)

    def previous_image(self) -> None:
        """Show the previous image of the folder."""
        self._step(-1)

    def _labels(self) -> napari.layers.Labels | None:
        """Return the selected Labels layer, else the topmost one."""
        from napari.layers import Labels

        viewer = self._viewer()
        if viewer is None:
            return None
        active = viewer.layers.selection.active
        if isinstance(active, Labels):
            return active
        there = labels_in(viewer.layers)
        return there[-1] if there else None

    def _step(self, step: int) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        try:
            show_neighbour(viewer, step)
        except SegnetError as error:
            viewer.status = str(error)

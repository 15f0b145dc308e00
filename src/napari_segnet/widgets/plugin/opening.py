"""Docks of this package in a viewer: found, or opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from qtpy.QtWidgets import QWidget

from napari_segnet.widgets.qt.dock_placement import dock_around
from napari_segnet.widgets.qt.preferences import TITLE

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["open_dock"]

D = TypeVar("D", bound=QWidget)


def open_dock(viewer: napari.viewer.Viewer, name: str, kind: type[D]) -> D:
    """Return a dock of a viewer, visible and in front of docks beside it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose window it stands in.
    name : str
        As the manifest calls it.
    kind : type
        Of its widget.
    """
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, kind):
            dock = widget
            break
    else:
        # As napari's menus name it: they would open a second one beside a dock of another name.
        make: Callable[[napari.viewer.Viewer], D] = kind
        dock = make(viewer)
        viewer.window.add_dock_widget(dock, name=f"{name} ({TITLE})")
    around = dock_around(dock)
    if around is not None:
        around.show()
        around.raise_()
    return dock

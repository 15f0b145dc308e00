"""The window of ``napari-segnet demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_segnet.widgets.plugin.drop_reader import find_or_open_dock
from napari_segnet.widgets.qt.preferences import PLUGIN

if TYPE_CHECKING:
    import napari.viewer

    from napari_segnet.widgets.plugin.docks import SegmentDock

__all__ = ["fill_demo", "show_demo"]

SAMPLE = "nuclei"
NETWORK = "nuclei"
LOOK_MS = 50
WINDOW_PX = (1360, 900)
"""Width and height."""


def show_demo() -> None:
    """Open napari with the sample, let the dock segment it, and stay until it is closed."""
    import napari

    viewer = napari.Viewer(show_welcome_screen=False)
    _enlarge(viewer)
    fill_demo(viewer)
    napari.run()


def fill_demo(viewer: napari.viewer.Viewer) -> SegmentDock:
    """Open the dock and the sample in a viewer, and do there what a user would do first.

    The dock makes the labels, so that every slider of it follows at once.
    """
    dock = find_or_open_dock(viewer)
    viewer.open_sample(PLUGIN, SAMPLE)
    dock.choose_weights(NETWORK)
    _fit_when_laid_out(dock)
    _run_when_recognised(dock)
    return dock


def _enlarge(viewer: napari.viewer.Viewer) -> None:
    """Give the window room for image and dock, as far as the screen has it."""
    from qtpy.QtGui import QGuiApplication

    screen = QGuiApplication.primaryScreen()
    if screen is not None:
        room = screen.availableGeometry()
        width, height = WINDOW_PX
        viewer.window.resize(min(width, room.width()), min(height, room.height()))


def _run_when_recognised(dock: SegmentDock) -> None:
    """Press Run as soon as the dock knows its network; a closed dock is not waited for."""
    from qtpy.QtCore import QTimer

    timer = QTimer(dock)

    def look() -> None:
        if dock.checkpoint is not None:
            timer.stop()
            timer.deleteLater()
            dock.run()

    timer.timeout.connect(look)
    timer.start(LOOK_MS)


def _fit_when_laid_out(dock: SegmentDock) -> None:
    """Show the whole image once Qt has laid out the window around the dock."""
    from qtpy.QtCore import QTimer

    timer = QTimer(dock)
    timer.setSingleShot(True)
    timer.timeout.connect(dock.viewer.reset_view)
    timer.start(LOOK_MS)

"""Where our docks stand: one behind the other, each as high as the window."""

from __future__ import annotations

from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

__all__ = ["dock_around", "share_place"]

OURS = (
    *("segnet_segment_dock", "segnet_correct_dock", "segnet_train_dock"),
    "segnet_evaluate_dock",
    "segnet_measure_dock",
)
"""Object names of the widgets in our docks."""


def share_place(widget: QWidget) -> None:
    """Put a dock that was just opened in front of another one of ours, as tabs.

    napari would put it below, and half the height is too little for either. A dock that stands
    elsewhere, or floats, was moved by the user and stays there.
    """
    dock, window = dock_around(widget), widget.window()
    if dock is None or not isinstance(window, QMainWindow):
        return
    dock.setWindowTitle(dock.windowTitle().split(" (")[0])  # of its tab, which is narrow
    if dock.isFloating():
        return
    for name in OURS:
        other: QWidget | None = window.findChild(QWidget, name)
        beside = None if other is widget else dock_around(other)
        if beside is None or beside.isFloating() or beside.isHidden():
            continue
        if window.dockWidgetArea(beside) == window.dockWidgetArea(dock):
            window.tabifyDockWidget(beside, dock)
            dock.show()
            dock.raise_()
            return


def dock_around(widget: QWidget | None) -> QDockWidget | None:
    """Return the dock that a widget stands in, if any."""
    around = widget.parentWidget() if widget is not None else None
    while around is not None and not isinstance(around, QDockWidget):
        around = around.parentWidget()
    return around

"""Where our docks stand: one behind the other, each as high as the window."""

from __future__ import annotations

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow, QWidget

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
    elsewhere, or floats, was moved by the user and stays there. From then on it comes to the
    front when its entry of napari's menus is chosen while it stands behind another one.
    """
    dock, window = dock_around(widget), widget.window()
    if dock is None or not isinstance(window, QMainWindow):
        return
    dock.setWindowTitle(dock.windowTitle().split(" (")[0])  # of its tab, which is narrow
    _shorten_title(dock)
    dock.topLevelChanged.connect(lambda _: _shorten_title(dock))  # napari makes the bar anew
    _Front(dock)
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


def _shorten_title(dock: QDockWidget) -> None:
    """Say on the bar above a dock what its tab says, without the name of the plugin."""
    bar = dock.titleBarWidget()
    for label in [] if bar is None else bar.findChildren(QLabel):
        label.setText(label.text().split(" (")[0])


class _Front(QObject):
    """Brings a dock to the front where it would be hidden, or shown again, behind another tab.

    napari's menus hide what is open: a dock that stands behind a tab is open and not seen, and
    who chooses its entry wants to see it.
    """

    def __init__(self, dock: QDockWidget) -> None:
        super().__init__(dock)
        self._dock, self._seen, self._hidden = dock, True, dock.isHidden()
        dock.visibilityChanged.connect(self._changed)

    def _changed(self, seen: bool) -> None:
        hidden = self._dock.isHidden()  # by itself: not because the window is
        hidden_behind = hidden and not self._hidden and not self._seen
        shown_behind = not seen and not hidden and self._hidden
        self._seen, self._hidden = seen, hidden
        if hidden_behind or shown_behind:
            QTimer.singleShot(0, self._bring)  # not now: Qt is still hiding it

    def _bring(self) -> None:
        window = self._dock.window()
        # One that is closed has lost its widget.
        if self._dock.widget() is not None and window is not None and window.isVisible():
            self._dock.show()
            self._dock.raise_()


def dock_around(widget: QWidget | None) -> QDockWidget | None:
    """Return the dock that a widget stands in, if any."""
    around = widget.parentWidget() if widget is not None else None
    while around is not None and not isinstance(around, QDockWidget):
        around = around.parentWidget()
    return around

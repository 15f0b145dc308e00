"""The Correct dock: edit, review and collect what a network has made, in tabs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from napari_segnet.widgets.correct.edit_panel import EditPanel
from napari_segnet.widgets.dataset.panel import DatasetPanel
from napari_segnet.widgets.qt.dock_placement import dock_around, share_place
from napari_segnet.widgets.review.panel import ReviewPanel

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["TABS", "CorrectDock"]

TABS: tuple[tuple[str, Callable[[napari.viewer.Viewer], QWidget]], ...] = (
    ("Edit", EditPanel),
    ("Review", ReviewPanel),
    ("Training set", DatasetPanel),
)
"""Title and widget of each tab, in order."""


class CorrectDock(QWidget):
    """All that is done to labels by hand.

    Its keys work while it can be seen, whichever tab is in front.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its layers are the only state.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segnet_correct_dock")
        self._new = True
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        for title, make in TABS:
            self.tabs.addTab(make(viewer), title)
        # One tab needs no bar.
        bar = self.tabs.tabBar()
        if bar is not None:
            bar.setVisible(self.tabs.count() > 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tabs)

    @property
    def edit(self) -> EditPanel:
        """The tab with the edits."""
        panel = self.findChild(EditPanel)
        assert isinstance(panel, EditPanel)
        return panel

    def showEvent(self, event: QShowEvent | None) -> None:
        """Let the keys act, and take the place of our docks when it opens."""
        super().showEvent(event)
        if event is None or event.spontaneous():
            return
        self.edit.bind_keys()
        dock = dock_around(self)
        if self._new and dock is not None:
            self._new = False
            # Behind another tab it is not hidden, only not visible: that comes by this signal.
            dock.visibilityChanged.connect(self._seen)
            QTimer.singleShot(0, self._share_place)  # not now: napari is still placing it

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Give the keys back while the dock is closed."""
        super().hideEvent(event)
        if event is not None and not event.spontaneous():
            self.edit.unbind_keys()

    def _seen(self, visible: bool) -> None:
        if visible:
            self.edit.bind_keys()
        else:
            self.edit.unbind_keys()

    def _share_place(self) -> None:
        share_place(self)

    def changeEvent(self, event: QEvent | None) -> None:
        """Stop when the dock is closed: napari then takes this widget out of it."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and not self.parent():
            self.edit.unbind_keys()

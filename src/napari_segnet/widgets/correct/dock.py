"""The Correct dock: edit, review and collect what a network has made, in tabs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QTabWidget, QWidget

from napari_segnet.widgets.correct.edit_panel import EditPanel
from napari_segnet.widgets.layers.private import unwrapped
from napari_segnet.widgets.layers.view_acts import view_acts
from napari_segnet.widgets.qt.dock import Dock
from napari_segnet.widgets.qt.dock_placement import dock_around
from napari_segnet.widgets.qt.keys import shared_keys
from napari_segnet.widgets.qt.scroll_column import Column

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["CorrectDock", "Tab"]

Tab = tuple[str, "Callable[[napari.viewer.Viewer], QWidget]"]
"""Title of a tab, and what makes its widget."""


class CorrectDock(Dock):
    """All that is done to labels by hand.

    Its keys work while it can be seen, whichever tab is in front.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Its layers are the only state.
    """

    TABS: ClassVar[tuple[Tab, ...]] = (("Edit", EditPanel),)
    """The tabs, in order; one of them is the :class:`EditPanel`."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__("segnet_correct_dock", parent)
        self._view_acts, self._view_keys = view_acts(viewer), shared_keys(unwrapped(viewer))
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        for title, make in self.TABS:
            page = make(viewer)
            # Else the tallest page would make a small window higher than its screen.
            scrolls = page.findChild(Column) is not None
            self.tabs.addTab(page if scrolls else Column(page, filled=True), title)
        # One tab needs no bar.
        bar = self.tabs.tabBar()
        if bar is not None:
            bar.setVisible(self.tabs.count() > 1)
        self.hold(self.tabs)

    @property
    def edit(self) -> EditPanel:
        """The tab with the edits."""
        panel = self.findChild(EditPanel)
        assert isinstance(panel, EditPanel)
        return panel

    def bring_forward(self, page: QWidget) -> None:
        """Show the tab that holds a widget."""
        for index in range(self.tabs.count()):
            there = self.tabs.widget(index)
            if there is not None and (there is page or there.isAncestorOf(page)):
                self.tabs.setCurrentIndex(index)

    def opened(self) -> None:
        """Hear whether the dock is seen."""
        dock = dock_around(self)
        if dock is not None:
            # Behind another tab it is not hidden, only not visible: that comes by this signal.
            dock.visibilityChanged.connect(self._seen)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Let the keys act."""
        super().showEvent(event)
        if event is not None and not event.spontaneous():
            self._bind_keys()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Give the keys back while the dock is closed."""
        super().hideEvent(event)
        if event is not None and not event.spontaneous():
            self._unbind_keys()

    def _seen(self, visible: bool) -> None:
        if visible:
            self._bind_keys()
        else:
            self._unbind_keys()

    def closed(self) -> None:
        """Give the keys back."""
        self._unbind_keys()

    def _bind_keys(self) -> None:
        self.edit.bind_keys()
        self._view_keys.hold(self.objectName(), self._view_acts.keys())

    def _unbind_keys(self) -> None:
        self.edit.unbind_keys()
        self._view_keys.release(self.objectName())

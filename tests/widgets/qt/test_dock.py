"""What all our docks do."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow

from napari_segnet.widgets.qt.dock import Dock, titled
from napari_segnet.widgets.qt.scroll_column import Column, scroll_into_view


class Told(Dock):
    """A dock that remembers what it has heard."""

    def __init__(self, name: str = "segnet_segment_dock") -> None:
        super().__init__(name)
        self.heard: list[object] = []
        self.accept_files()
        self.fill(QLabel("one"), titled("Two", QLabel("two"), margin_px=6))

    def opened(self) -> None:
        self.heard.append("opened")

    def seen_again(self) -> None:
        self.heard.append("seen again")

    def closed(self) -> None:
        self.heard.append("closed")

    def take_files(self, paths):
        self.heard.append(list(paths))


def in_a_window(qtbot, *widgets):
    window = QMainWindow()
    qtbot.addWidget(window)
    docks = []
    for widget in widgets:
        docks.append(QDockWidget(window))
        docks[-1].setWidget(widget)
        window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, docks[-1])
    with qtbot.waitExposed(window):
        window.show()
    return window, docks


def test_a_dock_hears_when_it_is_opened_seen_and_closed(qtbot):
    told = Told()
    qtbot.addWidget(told)
    told.show()
    assert told.heard == ["opened"]
    told.hide()
    told.show()
    assert told.heard == ["opened", "seen again"]
    window, _ = in_a_window(qtbot, told)
    told.heard.clear()
    told.setParent(None)
    assert told.heard == ["closed"]
    window.close()


def test_docks_share_their_place_as_tabs(qtbot):
    first, second = Told("segnet_segment_dock"), Told("segnet_train_dock")
    window, docks = in_a_window(qtbot, first, second)
    qtbot.waitUntil(lambda: window.tabifiedDockWidgets(docks[0]) == [docks[1]])


def test_a_dock_behind_another_comes_to_the_front_when_a_menu_toggles_it(qtbot):
    first, second = Told("segnet_segment_dock"), Told("segnet_train_dock")
    window, docks = in_a_window(qtbot, first, second)
    qtbot.waitUntil(lambda: window.tabifiedDockWidgets(docks[0]) == [docks[1]])
    seen = {}
    for dock in docks:
        dock.visibilityChanged.connect(partial(seen.__setitem__, dock))
    for dock in docks:
        dock.raise_()
        qtbot.waitUntil(partial(seen.get, dock))

    def toggle(dock):  # as napari's menus do
        dock.setVisible(not dock.isVisible())

    toggle(docks[0])
    qtbot.waitUntil(lambda: seen.get(docks[0], False))
    assert not docks[0].isHidden()
    assert not seen[docks[1]]
    toggle(docks[0])  # it is seen: now it goes
    qtbot.wait(20)
    assert docks[0].isHidden()
    toggle(docks[0])  # and comes back in front of the other
    qtbot.waitUntil(lambda: seen[docks[0]])
    assert not seen[docks[1]]
    toggle(docks[1])
    docks[1].setWidget(None)  # closed meanwhile
    qtbot.wait(20)
    window.close()


def test_files_that_are_dropped_are_taken(qtbot, tmp_path):
    told = Told()
    qtbot.addWidget(told)
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(tmp_path / "a.tif")), QUrl("https://example.org/b.tif")])
    copy, left, none = (
        Qt.DropAction.CopyAction,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    entered = QDragEnterEvent(QPoint(5, 5), copy, mime, left, none)
    told.dragEnterEvent(entered)
    assert entered.isAccepted()
    told.dropEvent(QDropEvent(QPointF(5, 5), copy, mime, left, none))
    assert told.heard == [[Path(tmp_path / "a.tif")]]


def test_what_is_new_in_a_column_is_scrolled_into_view(qtbot):
    rows = [QLabel(f"row {number}") for number in range(60)]
    column = Column(*rows)
    qtbot.addWidget(column)
    column.resize(200, 150)
    column.show()
    bar = column.verticalScrollBar()

    def seen(row):
        top = row.mapTo(column.viewport(), QPoint(0, 0)).y()
        return top >= 0 and top + row.height() <= column.viewport().height()

    assert not seen(rows[40])
    scroll_into_view(rows[40])
    qtbot.waitUntil(lambda: seen(rows[40]))
    rows[2].setMinimumHeight(400)  # higher than the column: its top is what is read first
    scroll_into_view(rows[2])
    qtbot.waitUntil(lambda: 0 <= rows[2].mapTo(column.viewport(), QPoint(0, 0)).y() < 20)
    before = bar.value()
    rows[50].hide()
    scroll_into_view(rows[50])
    qtbot.wait(20)
    assert bar.value() == before

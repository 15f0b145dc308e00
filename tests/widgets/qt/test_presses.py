"""Two quick clicks on a canvas are two presses, and the second one is marked."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEvent, QPoint, Qt
from qtpy.QtWidgets import QWidget

from napari_segnet.widgets.prompt.tool import PromptTool
from napari_segnet.widgets.qt.presses import Presses

LEFT, HERE = Qt.MouseButton.LeftButton, QPoint(20, 30)


class Canvas(QWidget):
    """Notes what it is told of the mouse."""

    def __init__(self):
        super().__init__()
        self.told = []

    def mousePressEvent(self, event):
        self.told.append(("press", event.position().toPoint(), event.button()))

    def mouseDoubleClickEvent(self, event):
        self.told.append(("double", event.position().toPoint(), event.button()))


@pytest.fixture
def canvas(qtbot):
    canvas = Canvas()
    qtbot.addWidget(canvas)
    return canvas


def test_a_double_click_is_a_press_that_is_marked(canvas, qtbot):
    presses = Presses(canvas)
    qtbot.mousePress(canvas, LEFT, pos=HERE)
    assert not presses.repeated
    qtbot.mouseDClick(canvas, LEFT, pos=HERE)
    assert presses.repeated
    qtbot.mousePress(canvas, LEFT, pos=HERE)
    assert not presses.repeated
    assert canvas.told == [("press", HERE, LEFT)] * 3


def test_a_double_click_whose_first_half_was_not_seen_is_not_marked(canvas, qtbot):
    presses = Presses(canvas)
    qtbot.mouseDClick(canvas, LEFT, pos=HERE)
    assert canvas.told == [("press", HERE, LEFT)]
    assert not presses.repeated


def test_it_leaves_the_canvas_as_it_was(canvas, qtbot):
    presses = Presses(canvas)
    presses.leave()
    qtbot.mouseDClick(canvas, LEFT, pos=HERE)
    assert canvas.told == [("double", HERE, LEFT)]


def test_it_leaves_a_canvas_that_is_deleted(qtbot):
    canvas = Canvas()
    presses = Presses(canvas)
    canvas.deleteLater()
    QCoreApplication.sendPostedEvents(canvas, QEvent.Type.DeferredDelete)
    assert not isalive(canvas)
    presses.leave()


def test_a_double_click_asks_once(viewer, qtbot):
    """Formerly napari zoomed in."""
    layer = viewer.add_labels(np.zeros((60, 80), np.int32))
    tool, canvas, asked = PromptTool(viewer), viewer.window._qt_viewer.canvas.native, []
    tool.clicked.connect(asked.append)
    tool.begin(layer)
    zoom, middle = viewer.scene.camera.zoom, canvas.rect().center()
    qtbot.mouseClick(canvas, LEFT, pos=middle)
    qtbot.mouseDClick(canvas, LEFT, pos=middle)
    qtbot.mouseRelease(canvas, LEFT, pos=middle)
    assert len(asked) == 1
    assert viewer.scene.camera.zoom == zoom
    qtbot.mouseClick(canvas, LEFT, pos=middle)
    assert len(asked) == 2
    tool.end()
    qtbot.mouseDClick(canvas, LEFT, pos=middle)
    assert len(asked) == 2
    assert viewer.scene.camera.zoom > zoom

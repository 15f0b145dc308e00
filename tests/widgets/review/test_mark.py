"""The object that is looked at has a mark on the canvas, where it is seen."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent, QPoint
from support import hand
from support.hand import until

from napari_segnet.widgets.layers.private import canvas_of
from napari_segnet.widgets.review.mark import AWAY_PX, ObjectMark
from napari_segnet.widgets.review.panel import ReviewPanel

SOON_S = 30


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path / "data"))


def squares():
    """Return a stack of four planes with nine squares on plane 1, one of them twice as large."""
    labels = np.zeros((4, 120, 120), np.int32)
    for k in range(9):
        y, x = 10 + 40 * (k // 3), 10 + 40 * (k % 3)
        labels[1, y : y + 12, x : x + (12 if k != 4 else 26)] = k + 1
    return labels


@pytest.fixture
def viewer(make_viewer):
    return make_viewer(show=True)


@pytest.fixture
def panel(viewer):
    viewer.add_labels(squares(), scale=(1, 0.5, 0.5), translate=(0, 7, 3))
    panel = ReviewPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Review")
    panel.network.setCurrentIndex(panel.network.findData("none"))
    panel.run()
    until(lambda: not panel._runner.busy and panel.current() is not None, SOON_S)
    until(lambda: canvas_of(viewer).width() > 100, SOON_S)
    return panel


def corners(viewer, layer, box):
    """Return where napari itself draws the ends of a box, in pixels of the canvas."""
    canvas = viewer.window._qt_viewer.canvas
    low, high = ([getattr(part, end) - 0.5 for part in box] for end in ("start", "stop"))
    found = []
    for end in (low, high):
        y, x = layer.data_to_world(end)[-2:]
        transform = canvas.view.scene.transform
        at = transform.map([x, y, 0, 1])
        found.append((at[:2] / at[3]).tolist())
    return found


def is_around(viewer, panel):
    """Tell if the mark lies around the current object, as napari draws it."""
    layer, box = panel.marked()
    (left, top), (right, bottom) = corners(viewer, layer, box)
    place = panel.mark.geometry()
    wanted = (left - AWAY_PX, top - AWAY_PX, right + AWAY_PX, bottom + AWAY_PX)
    ends = (place.left(), place.top(), place.right(), place.bottom())
    return panel.mark.isVisible() and np.allclose(ends, wanted, atol=2.5)


def test_the_mark_lies_around_the_object(viewer, panel):
    assert 5 == panel.model.label(panel.current())
    until(lambda: is_around(viewer, panel), SOON_S)
    viewer.scene.camera.zoom *= 1.7
    viewer.scene.camera.center = (0, 20.0, 24.0)
    until(lambda: is_around(viewer, panel), SOON_S)
    panel.next()
    assert 5 != panel.model.label(panel.current())
    until(lambda: is_around(viewer, panel), SOON_S)


def test_the_mark_is_seen_only_with_its_object(viewer, panel):
    until(panel.mark.isVisible, SOON_S)
    viewer.dims.set_point(0, 3)
    assert panel.mark.isHidden()
    viewer.dims.set_point(0, 1)
    assert panel.mark.isVisible()
    viewer.dims.ndisplay = 3
    assert panel.mark.isHidden()
    viewer.dims.ndisplay = 2
    panel.hide()
    assert panel.mark.isHidden()
    panel.show()
    assert panel.mark.isVisible()
    viewer.layers.clear()
    assert panel.mark.isHidden()


def test_the_mark_grows_with_its_object(viewer, panel):
    until(lambda: is_around(viewer, panel), SOON_S)
    before = panel.mark.height()
    layer = panel.layer
    layer.data[1, 62:70, 50:60] = 5
    changed = slice(1, 2), slice(62, 70), slice(50, 60)
    panel.reviews.touched.emit(layer, np.array([0, 5]), changed)
    until(lambda: panel.mark.height() > before, SOON_S)
    until(lambda: is_around(viewer, panel), SOON_S)


def test_the_mark_ends_with_the_panel(viewer, qtbot):
    from qtpy.QtWidgets import QWidget

    viewer.add_labels(squares())
    panel = ReviewPanel(viewer)
    canvas = canvas_of(viewer)
    assert canvas.findChild(QWidget, "segnet_review_mark") is not None
    panel.deleteLater()
    for _ in range(2):  # the panel, then what ends with it
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    assert canvas.findChild(QWidget, "segnet_review_mark") is None
    viewer.scene.camera.zoom *= 2


@pytest.mark.skipif(bool(hand.missing()), reason=hand.missing())
def test_the_mouse_goes_through_the_mark(viewer, panel):
    user = hand.Hand()
    until(lambda: is_around(viewer, panel), SOON_S)
    layer = panel.layer
    layer.mode = "pick"
    layer.selected_label = 1
    middle = panel.mark.geometry().center()
    user.click(canvas_of(viewer), QPoint(middle))
    until(lambda: layer.selected_label == 5, SOON_S)
    user.key("n")
    until(lambda: panel.model.label(panel.current()) != 5, SOON_S)
    until(lambda: is_around(viewer, panel), SOON_S)


def test_a_panel_that_qt_has_deleted_is_no_error(viewer, panel):
    """Formerly a canvas that changed its size just then ended the program."""
    (mark,) = canvas_of(viewer).findChildren(ObjectMark)
    viewer.window.remove_dock_widget(panel)
    panel.deleteLater()
    QCoreApplication.sendPostedEvents(panel, QEvent.Type.DeferredDelete)
    mark.follow()
    assert not mark.isVisible()

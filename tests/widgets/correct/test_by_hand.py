"""Corrections with a real mouse and keyboard: merge, split, undo, redo, lasso, and the way out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QApplication
from support import hand
from support.hand import Hand, until

from napari_segnet.widgets.plugin.docks import CorrectDock

pytestmark = pytest.mark.skipif(bool(hand.missing()), reason=hand.missing())
SOON_S = 6
SIZE = 120


def cells():
    """Four squares: 3 and 5 touch, 7 and 9 lie apart."""
    labels = np.zeros((SIZE, SIZE), np.int32)
    labels[10:50, 10:40], labels[10:50, 40:70] = 3, 5
    labels[70:100, 20:50], labels[75:95, 80:110] = 7, 9
    return labels


@pytest.fixture
def desk(make_viewer):
    """A viewer with labels and the Correct dock, as large as a small laptop's screen."""
    viewer = make_viewer(show=True)
    viewer.window._qt_window.setGeometry(0, 0, 1280, 720)
    layer = viewer.add_labels(cells(), name="cells")
    dock = CorrectDock(viewer)
    viewer.window.add_dock_widget(dock, name="Correct")
    QApplication.processEvents()
    viewer.reset_view()
    user = Hand()
    user.rest(0.3)
    return Desk(viewer, layer, dock, user)


class Desk:
    def __init__(self, viewer, layer, dock, user):
        self.viewer, self.layer, self.dock, self.user = viewer, layer, dock, user
        self.canvas = viewer.window._qt_viewer.canvas.native

    def at(self, y: float, x: float) -> QPoint:
        """Return where a pixel of the labels is on the canvas."""
        camera = self.viewer.scene.camera
        *_, cy, cx = camera.center
        middle = self.canvas.rect().center()
        return middle + QPoint(round((x - cx) * camera.zoom), round((y - cy) * camera.zoom))

    def point(self, y: float, x: float) -> None:
        self.user._do(*hand._move(self.canvas.mapToGlobal(self.at(y, x))))
        self.user.rest(0.1)

    def press(self, act: str) -> None:
        self.user.click(self.dock.edit.buttons[act])

    def drag(self, *places: tuple[float, float]) -> None:
        spots = [self.canvas.mapToGlobal(self.at(*place)) for place in places]
        self.user._do(*hand._move(spots[0]), "mousedown", "1")
        for start, end in itertools.pairwise(spots):
            for step in range(1, 6):
                self.user._do(*hand._move(start + (end - start) * (step / 5)))
        self.user._do("mouseup", "1")

    def soon(self, ids: set[int]) -> None:
        until(lambda: set(np.unique(self.layer.data)) - {0} == ids, SOON_S)


def test_keys_act_on_what_is_pointed_at(desk):
    before = desk.layer.data.copy()
    desk.point(85, 35)
    desk.user.key("d")
    desk.soon({3, 5, 9})
    assert desk.dock.edit.said.text() == "Done: delete object 7"
    desk.user.key("ctrl+z")
    desk.soon({3, 5, 7, 9})
    np.testing.assert_array_equal(before, desk.layer.data)
    desk.user.key("ctrl+shift+z")
    desk.soon({3, 5, 9})
    desk.point(60, 5)
    desk.user.key("d")
    until(desk.dock.edit.message.isVisible, SOON_S)
    assert "only background" in desk.dock.edit.message.text.text()
    desk.point(85, 95)
    small = (desk.layer.data == 9).sum()
    desk.user.key("g")
    until(lambda: (desk.layer.data == 9).sum() > small, SOON_S)
    assert desk.dock.edit.message.isHidden()
    desk.user.key("shift+g")
    until(lambda: (desk.layer.data == 9).sum() <= small, SOON_S)


def test_merge_split_undo_redo_and_lasso(desk):
    user, layer, center = desk.user, desk.layer, desk.viewer.scene.camera.center
    desk.press("merge")
    assert desk.dock.edit.buttons["merge"].isChecked()
    desk.drag((30, 20), (30, 60))
    desk.soon({3, 7, 9})
    merged = layer.data.copy()

    user.key("s")  # from one tool to the next
    until(desk.dock.edit.buttons["split"].isChecked, SOON_S)
    assert not desk.dock.edit.buttons["merge"].isChecked()
    desk.drag((5, 30), (55, 30))
    desk.soon({3, 7, 9, 10})
    parts = layer.data.copy()
    assert (parts == 3).sum() > (parts == 10).sum() > 500

    user.click(desk.dock.edit.undo)
    desk.soon({3, 7, 9})
    np.testing.assert_array_equal(merged, layer.data)
    user.click(desk.dock.edit.redo)
    desk.soon({3, 7, 9, 10})
    np.testing.assert_array_equal(parts, layer.data)

    desk.press("lasso")
    desk.drag((65, 15), (65, 115), (110, 115), (110, 15), (66, 15))
    desk.soon({3, 10})
    assert desk.viewer.scene.camera.center == center, "the image has not moved"
    user.key("ctrl+z")
    desk.soon({3, 7, 9, 10})

    user.key("Escape")
    until(lambda: desk.dock.edit.tool.act is None, SOON_S)
    assert not desk.dock.edit.buttons["lasso"].isChecked()
    desk.drag((60, 60), (70, 60))
    assert desk.viewer.scene.camera.center != center, "the mouse moves the image again"


@pytest.fixture
def slow_double_click():
    """Any two presses at one place are a double click."""
    before = QApplication.doubleClickInterval()
    QApplication.setDoubleClickInterval(20_000)
    yield
    QApplication.setDoubleClickInterval(before)


def test_two_clicks_merge_and_clicks_split(desk, slow_double_click):
    """Formerly the second click at a place was lost if it was quick, and napari zoomed in."""
    user, zoom = desk.user, desk.viewer.scene.camera.zoom
    desk.press("merge")
    user.click(desk.canvas, desk.at(30, 60))
    until(lambda: "object 5" in desk.dock.edit.hint.text(), SOON_S)
    user.click(desk.canvas, desk.at(30, 20))
    desk.soon({5, 7, 9})
    user.key("t")
    user.click(desk.canvas, desk.at(30, 20))
    user.click(desk.canvas, desk.at(30, 60))
    user.key("Return")
    desk.soon({5, 7, 9, 10})
    assert desk.viewer.scene.camera.zoom == zoom
    user.key("ctrl+z", "ctrl+z")
    desk.soon({3, 5, 7, 9})


def test_a_double_click_is_one_click_unless_the_mouse_moves_on(desk, slow_double_click):
    user, zoom = desk.user, desk.viewer.scene.camera.zoom
    desk.press("parts")
    user.click(desk.canvas, desk.at(30, 20))
    user.click(desk.canvas, desk.at(30, 20))
    assert len(desk.dock.edit.tool._clicks) == 1
    user.key("Escape")
    desk.press("merge")
    user.click(desk.canvas, desk.at(30, 20))
    desk.drag((30, 20), (30, 60))
    desk.soon({3, 7, 9})
    assert desk.viewer.scene.camera.zoom == zoom
    user.key("Escape")
    until(lambda: desk.dock.edit.tool.act is None, SOON_S)
    user.click(desk.canvas, desk.at(60, 60))
    user.click(desk.canvas, desk.at(60, 60))
    until(lambda: desk.viewer.scene.camera.zoom > zoom, SOON_S)


def test_a_new_object_is_drawn_and_redrawn(desk):
    desk.press("new")
    desk.drag((55, 85), (55, 110), (70, 110), (70, 85), (56, 85))
    desk.soon({3, 5, 7, 9, 10})
    size = (desk.layer.data == 10).sum()
    assert 300 < size < 450
    assert desk.layer.selected_label == 10
    desk.press("redraw")
    desk.drag((55, 85), (55, 100), (70, 100), (70, 85), (56, 85))
    until(lambda: (desk.layer.data == 10).sum() < size, SOON_S)


def test_napari_keeps_its_own_keys(desk):
    desk.press("split")
    desk.user.key("2")
    until(lambda: desk.layer.mode == "paint", SOON_S)
    assert desk.dock.edit.tool.act is None, "painting ends the tool"
    desk.layer.selected_label = 9
    before = (desk.layer.data == 9).sum()
    desk.drag((60, 90), (60, 100))
    until(lambda: (desk.layer.data == 9).sum() > before, SOON_S)


def test_what_the_review_deletes_is_no_obstacle_to_delete_many(make_viewer, tmp_path, monkeypatch):
    """Formerly a row of the deleted object stayed, and “Delete many” refused everything."""
    from napari_segnet.widgets.review.panel import ReviewPanel

    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path))
    viewer = make_viewer(show=True)
    viewer.window._qt_window.setGeometry(0, 0, 1280, 720)
    features = {"index": [3, 5, 7, 9], "score": [0.9, 0.9, 0.2, 0.3]}
    layer = viewer.add_labels(cells(), name="cells", features=features)
    dock, review = CorrectDock(viewer), ReviewPanel(viewer)
    viewer.window.add_dock_widget(dock, name="Correct")
    viewer.window.add_dock_widget(review, name="Review")
    review.network.setCurrentIndex(review.network.findData("none"))
    user = Hand()
    user.rest(0.3)
    user.click(review.run_box.button)
    until(lambda: review.model.rowCount() == 4 and not review._runner.busy, SOON_S)
    review.select(review.model.row_of(7))
    user.click(review.buttons["delete"])
    until(lambda: not (layer.data == 7).any(), SOON_S)
    assert layer.features["index"].tolist() == [3, 5, 9]
    dock.edit.many.least_score.setValue(0.5)
    dock.edit.many.delete_scored.click()
    assert dock.edit.said.text() == "Done: deleted 1 object"
    assert set(np.unique(layer.data)) - {0} == {3, 5}
    canvas = viewer.window._qt_viewer.canvas.native
    user._do(*hand._move(canvas.mapToGlobal(canvas.rect().center())))
    user.key("ctrl+z")
    until(lambda: (layer.data == 9).any(), SOON_S)
    user.key("ctrl+z")
    until(lambda: (layer.data == 7).any(), SOON_S)
    assert layer.features["index"].tolist() == [3, 5, 7, 9]


def test_strokes_of_the_mouse_are_offered_for_their_own_image(make_viewer, tmp_path, monkeypatch):
    """Its layer was renamed before, and another image of the same size got its name."""
    from napari_segnet.widgets.layers.subject import subject_of
    from napari_segnet.widgets.recovery.dialogs import RecoveryBar
    from napari_segnet.widgets.recovery.recorder import keep_journal

    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path))
    viewer = make_viewer(show=True)
    keeper = keep_journal(viewer)
    mine, other = (np.full((SIZE, SIZE), value, np.uint8) for value in (40, 80))
    image = viewer.add_image(mine, name="cells")
    own = {"image_layer": "cells", "offset_px": [0, 0]}
    layer = viewer.add_labels(np.zeros_like(cells()), name="labels", metadata={"segnet": own})
    image.name = "cells, DAPI"
    viewer.layers.insert(1, type(image)(other, name="cells"))
    viewer.layers.selection.active = layer
    layer.mode, layer.selected_label = "paint", 6
    user, canvas = Hand(), viewer.window._qt_viewer.canvas.native
    middle = canvas.rect().center()
    user.drag(canvas, middle - QPoint(60, 0), middle + QPoint(60, 20))
    until(lambda: keeper.acts(layer) == 1, SOON_S)
    keeper.flush()
    painted = layer.data.copy()
    keeper.close()
    viewer.window._qt_window.hide()

    viewer = make_viewer(show=True)
    keep_journal(viewer)

    def bars():
        return viewer.window._qt_window.findChildren(RecoveryBar)

    viewer.add_image(other, name="cells, DAPI")
    user.rest(1)
    assert not bars()
    again = viewer.add_image(mine, name="anything")
    until(lambda: len(bars()) == 1, SOON_S)
    user.rest(0.3)
    user.click(bars()[0].recover)
    until(lambda: "labels" in viewer.layers, SOON_S)
    recovered = viewer.layers["labels"]
    np.testing.assert_array_equal(painted, recovered.data)
    assert subject_of(recovered, viewer.layers) is again
    until(lambda: not bars(), SOON_S)

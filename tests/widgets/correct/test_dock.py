"""The Correct dock: what its acts reach, its keys, and the layers that it follows."""

from __future__ import annotations

import re

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers.labels._labels_key_bindings import new_label
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts
from support.hand import until

from napari_segnet import cache
from napari_segnet.checkpoint import Output
from napari_segnet.segmentation import Maps, Origin, Prediction
from napari_segnet.widgets.correct.edit_tools import ACTS
from napari_segnet.widgets.layers.editing import editing_of, locked_ids
from napari_segnet.widgets.plugin.docks import CorrectDock, SegmentDock
from napari_segnet.widgets.recovery.reviews import reviews
from napari_segnet.widgets.review.panel import ReviewPanel

SOON_S = 20


def cells():
    labels = np.zeros((60, 80), np.int32)
    labels[5:15, 5:15], labels[5:15, 15:30], labels[30:50, 40:60] = 3, 7, 9
    labels[0, 70:72] = 5
    return labels


def stack():
    volume = np.zeros((5, 60, 80), np.int32)
    volume[1:4] = cells()
    return volume


@pytest.fixture
def viewer():
    """A viewer without a window: all that is tested here but where the dock stands."""
    return ViewerModel()


@pytest.fixture
def open_dock(viewer, qtbot):
    docks = []

    def open_on(data=None, **kwargs):
        layer = viewer.add_labels(cells() if data is None else data, name="cells", **kwargs)
        docks.append(CorrectDock(viewer))
        qtbot.addWidget(docks[-1])
        return viewer, layer, docks[-1].edit

    yield open_on


def point(viewer, layer, *where):
    """Lay the pointer on a pixel of a layer."""
    viewer.mouse_over_canvas = True
    world = np.asarray(layer.data_to_world(where))
    viewer.cursor.position = tuple(np.r_[np.zeros(viewer.dims.ndim - layer.ndim), world])


def button(panel, name):
    panel.buttons[name].click()
    return panel.tool


def ids(layer):
    return set(np.unique(layer.data).tolist()) - {0}


def test_no_key_is_one_of_naparis():
    """Of those that are there while labels or the viewer have the keyboard."""
    others = ("points", "shapes", "vectors", "tracks", "surface", "image", "orient", "vertex")
    own = {
        str(key)
        for name, keys in default_shortcuts.items()
        if not any(word in name for word in (*others, "add_", "select_", "direct_mode", "contrast"))
        for key in keys
    }
    assert {"E", "F", "V"} <= own
    assert not own & {str(coerce_keybinding(act.key)) for act in ACTS}
    assert len({act.key for act in ACTS}) == len({act.name for act in ACTS}) == len(ACTS)


def test_keys_are_there_while_the_dock_is_seen(make_viewer):
    viewer = make_viewer(show=True)
    dock = CorrectDock(viewer)

    def bound():
        return coerce_keybinding("D") in viewer.keymap

    docked = viewer.window.add_dock_widget(dock, name="Correct")
    until(bound, SOON_S)
    docked.hide()
    until(lambda: not bound(), SOON_S)
    docked.show()
    until(bound, SOON_S)


def test_our_docks_share_one_place(make_viewer):
    viewer = make_viewer(show=True)
    window = viewer.window
    segment = window.add_dock_widget(SegmentDock(viewer), name="Segment")
    correct = window.add_dock_widget(CorrectDock(viewer), name="Correct")
    until(lambda: correct in window._qt_window.tabifiedDockWidgets(segment), SOON_S)
    until(lambda: not correct.visibleRegion().isEmpty(), SOON_S)
    assert segment.visibleRegion().isEmpty()
    segment.raise_()
    until(lambda: coerce_keybinding("D") not in viewer.keymap, SOON_S)


def test_keys_of_another_plugin_stay_with_it(open_dock, viewer):
    pressed = []

    def other(viewer):
        pressed.append("other")

    viewer.bind_key("D", other)
    viewer, _, panel = open_dock()
    panel.bind_keys()
    assert viewer.keymap[coerce_keybinding("D")] is other
    panel.unbind_keys()
    assert viewer.keymap == {coerce_keybinding("D"): other}


def test_without_labels_nothing_can_be_pressed(viewer, qtbot):
    dock = CorrectDock(viewer)
    qtbot.addWidget(dock)
    assert "no labels to correct" in dock.edit.subject.text()
    assert not dock.edit.buttons["delete"].isEnabled()
    dock.edit.key("delete")
    viewer.add_labels(cells(), name="late")
    assert dock.edit.subject.text() == "Correcting “late”"
    assert dock.edit.buttons["delete"].isEnabled()
    viewer.layers[0].name = "renamed"
    assert dock.edit.subject.text() == "Correcting “renamed”"
    viewer.layers.clear()
    assert not dock.edit.buttons["delete"].isEnabled()


def test_the_selected_labels_are_corrected(open_dock):
    viewer, first, panel = open_dock()
    second = viewer.add_labels(cells(), name="second")
    assert panel.layer is second
    viewer.layers.selection.active = first
    point(viewer, first, 10, 10)
    panel.key("delete")
    assert ids(first) == {5, 7, 9}
    assert ids(second) == {3, 5, 7, 9}


def test_places_are_looked_for_meanwhile(open_dock):
    _, layer, _ = open_dock()
    until(lambda: editing_of(layer).places is not None, SOON_S)


def test_a_layer_that_goes_takes_the_tool_with_it(open_dock):
    viewer, layer, panel = open_dock()
    tool = button(panel, "split")
    assert layer.mouse_drag_callbacks
    assert not layer.mouse_pan
    viewer.layers.remove(layer)
    assert tool.act is None
    assert not panel.buttons["split"].isChecked()


def test_a_tool_ends_with_another_layer_mode_or_view(open_dock):
    viewer, layer, panel = open_dock()
    other = viewer.add_image(np.zeros((60, 80)))
    for leave in (
        lambda: setattr(viewer.layers.selection, "active", other),
        lambda: setattr(layer, "mode", "fill"),
        lambda: setattr(viewer.dims, "ndisplay", 3),
        lambda: panel.buttons["merge"].click(),
    ):
        viewer.dims.ndisplay = 2
        tool = button(panel, "merge")
        assert tool.act is not None
        leave()
        assert tool.act is None
        assert tool._drag not in layer.mouse_drag_callbacks


def test_corrections_are_made_in_the_2d_view(open_dock):
    viewer, layer, panel = open_dock(stack())
    viewer.dims.ndisplay = 3
    panel.key("delete")
    assert "2D view" in panel.message.text.text()
    assert not panel.message.isHidden()
    viewer.dims.ndisplay = 2
    viewer.dims.set_current_step(0, 2)
    point(viewer, layer, 2, 10, 10)
    panel.key("delete")
    assert panel.message.isHidden()


def test_classes_are_no_objects(open_dock):
    viewer, layer, panel = open_dock(metadata={"segnet": {"kind": "semantic"}})
    point(viewer, layer, 10, 10)
    panel.key("delete")
    assert "holds classes, not objects" in panel.message.text.text()
    assert ids(layer) == {3, 5, 7, 9}


def test_all_slices_or_only_the_one_shown(open_dock):
    viewer, layer, panel = open_dock(stack())
    before = layer.data.copy()
    viewer.dims.set_current_step(0, 2)
    point(viewer, layer, 2, 10, 10)
    panel.key("delete")
    assert not (layer.data == 3).any()
    layer.undo()
    panel.one_plane.setChecked(True)
    panel.key("delete")
    assert [(plane == 3).any() for plane in layer.data] == [False, True, False, True, False]
    layer.undo()
    panel.tool.take(next(a for a in ACTS if a.name == "merge"), layer)
    panel.tool.drawn.emit(np.array([[2.0, 10, 10], [2, 10, 20]]))
    assert (layer.data[2] == 7).sum() == 0
    assert (layer.data[1] == 7).any()
    layer.undo()
    np.testing.assert_array_equal(before, layer.data)


def test_growing_reaches_through_slices_or_stays(open_dock):
    viewer, layer, panel = open_dock(stack(), scale=(1, 1, 1))
    viewer.dims.set_current_step(0, 2)
    point(viewer, layer, 2, 40, 50)
    panel.key("grow")
    assert (layer.data[4] == 9).any()
    layer.undo()
    panel.one_plane.setChecked(True)
    panel.key("grow")
    assert not (layer.data[4] == 9).any()
    assert (layer.data[2] == 9).sum() > 400
    assert (layer.data[1] == 9).sum() == 400


def test_an_object_is_copied_from_slice_to_slice(open_dock):
    viewer, layer, panel = open_dock(stack(), scale=(3, 1, 1), translate=(30, 0, 0))
    viewer.dims.set_current_step(0, 3)
    point(viewer, layer, 3, 40, 50)
    panel.key("copy")
    assert viewer.dims.current_step[0] == 4
    np.testing.assert_array_equal(layer.data[4] == 9, layer.data[3] == 9)
    assert not (layer.data[4] == 3).any()
    point(viewer, layer, 4, 40, 50)
    panel.key("copy")
    assert "no slice behind" in panel.message.text.text()
    viewer.dims.set_current_step(0, 1)
    point(viewer, layer, 1, 40, 50)
    panel.key("copy back")
    assert (layer.data[0] == 9).any()


def test_slices_in_between_are_interpolated(open_dock):
    volume = stack()
    volume[2] = 0
    viewer, layer, panel = open_dock(volume)
    viewer.dims.set_current_step(0, 1)
    point(viewer, layer, 1, 40, 50)
    panel.key("interpolate")
    np.testing.assert_array_equal(layer.data[2] == 9, layer.data[1] == 9)


def test_groups_for_slices_are_there_for_slices(open_dock, viewer):
    viewer, _, panel = open_dock()
    assert panel.groups["Slices"].isHidden()
    viewer.add_labels(stack())
    assert not panel.groups["Slices"].isHidden()


def test_a_class_is_chosen_or_named(open_dock):
    features = {"index": [3, 5, 7, 9], "class": [1, 1, 1, 1], "class name": ["cell"] * 4}
    names = {"segnet": {"class_names": ["background", "cell", "debris"]}}
    viewer, layer, panel = open_dock(features=features, metadata=names)
    assert [panel.classes.itemText(n) for n in range(2)] == ["cell", "debris"]
    panel.classes.setCurrentText("debris")
    point(viewer, layer, 10, 20)
    panel.key("class")
    assert dict(zip(layer.features["index"], layer.features["class name"], strict=True)) == {
        3: "cell",
        5: "cell",
        7: "debris",
        9: "cell",
    }
    panel.classes.setEditText("mitosis")
    point(viewer, layer, 10, 10)
    panel.key("class")
    assert layer.metadata["segnet"]["class_names"] == ["background", "cell", "debris", "mitosis"]
    assert layer.features["class"].tolist() == [3, 1, 2, 1]
    layer.undo()
    layer.undo()
    assert layer.features["class"].tolist() == [1, 1, 1, 1]


def test_locked_objects_stay(open_dock):
    viewer, layer, panel = open_dock()
    point(viewer, layer, 10, 10)
    panel.key("lock")
    assert panel.said.text() == "Done: locked 3"
    assert locked_ids(layer) == {3}
    panel.key("delete")
    assert "Object 3 is locked" in panel.message.text.text()
    panel.key("lock")
    assert locked_ids(layer) == set()
    kept = reviews(panel.viewer)
    assert kept.undo(layer)  # a lock is a word on the object, as accepting it is
    assert kept.of(layer).locked == {3}
    assert kept.redo(layer)
    panel.key("delete")
    assert ids(layer) == {5, 7, 9}


def test_many_are_deleted_by_a_rule(open_dock):
    features = {"index": [3, 5, 7, 9], "score": [0.9, 0.9, 0.2, 0.9]}
    _, layer, panel = open_dock(features=features)
    panel.many.least_px.setValue(3)
    panel.many.delete_small.click()
    assert ids(layer) == {3, 7, 9}
    assert panel.said.text() == "Done: deleted 1 object"
    panel.many.delete_scored.click()
    assert ids(layer) == {3, 9}
    layer.undo()
    layer.undo()
    panel.many.delete_border.click()
    assert ids(layer) == {3, 7, 9}
    panel.many.delete_border.click()
    assert "No object is meant" in panel.message.text.text()


def test_clicks_split_along_what_the_network_said(open_dock):
    data = np.ones((1, 60, 80), np.float32)
    data[0, :, 44] = 0.1
    outputs = (Output(role="foreground", channels=1, activation="sigmoid"),)
    prediction = Prediction(
        answer=Maps(data=data, axes="cyx", outputs=outputs),
        pixel_size_um={},
        class_names=(),
        origin=Origin(checkpoint={}, image={"name": "cells"}, predict={}),
    )
    key = cache.predictions.remember(prediction)
    _, layer, panel = open_dock(metadata={"segnet": {"key": key, "axes": "yx"}})
    panel.key("parts")
    panel.tool._clicks = [np.array([[40.0, 42]]), np.array([[40.0, 50]])]
    panel.key("parts")
    cache.predictions.forget(key)
    assert set(layer.data[40, 45:60]) == {9}
    assert set(layer.data[40, 40:44]) == {10}


def test_one_click_is_not_enough(open_dock):
    _, layer, panel = open_dock()
    panel.key("parts")
    panel.key("parts")
    assert "Click once in each part" in panel.message.text.text()
    assert ids(layer) == {3, 5, 7, 9}


def test_a_key_off_the_canvas_deletes_nothing(open_dock):
    viewer, layer, panel = open_dock()
    point(viewer, layer, 10, 10)
    viewer.mouse_over_canvas = False
    panel.key("delete")
    assert ids(layer) == {3, 5, 7, 9}
    assert panel.buttons["delete"].isChecked(), "as if its button were pressed"
    panel.tool.drawn.emit(np.array([[10.0, 10]]))
    assert ids(layer) == {5, 7, 9}


def test_a_new_label_of_napari_is_one_that_never_was(open_dock):
    viewer, layer, panel = open_dock()
    point(viewer, layer, 40, 50)
    panel.key("delete")
    layer.paint((55, 5), 8)
    new_label(layer)
    assert layer.selected_label == 10, "9 was deleted"
    layer.paint((55, 9), 10)
    layer.undo()
    layer.selected_label = 1
    new_label(layer)
    assert layer.selected_label == 11, "10 was there and was undone"
    layer.selected_label = 7
    assert layer.selected_label == 7


def test_undo_and_redo_have_buttons(open_dock):
    viewer, layer, panel = open_dock()
    point(viewer, layer, 10, 10)
    panel.key("delete")
    panel.undo.click()
    assert ids(layer) == {3, 5, 7, 9}
    panel.redo.click()
    assert ids(layer) == {5, 7, 9}


def test_labels_beside_a_time_axis_that_they_lack(open_dock):
    viewer, layer, panel = open_dock()
    viewer.add_image(np.zeros((4, 60, 80)))
    viewer.layers.selection.active = layer
    point(viewer, layer, 10, 10)
    panel.key("delete")
    assert ids(layer) == {5, 7, 9}


def test_every_button_says_what_it_does_and_its_key(open_dock):
    _, _, panel = open_dock()
    for act in ACTS:
        shown = panel.buttons[act.name]
        assert act.shown_key in shown.text()
        assert act.tip in shown.toolTip()


def test_the_page_lists_every_key(root):
    page = (root / "docs" / "correct.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(.+?)` \| \*\*(.+?)\*\*: (.+) \|$", page, re.M)
    shown = [(act.shown_key, act.title, act.tip[0].lower() + act.tip[1:]) for act in ACTS]
    assert rows == shown


def test_no_page_makes_the_window_higher_than_a_small_screen(viewer, qtbot):
    """1280×720, of which menus, the title and the tabs of docks leave some 600."""
    dock = CorrectDock(viewer)
    qtbot.addWidget(dock)
    pages = [dock.tabs.widget(index) for index in range(dock.tabs.count())]
    assert len(pages) == 3
    assert max(page.minimumSizeHint().height() for page in pages) < 300
    review = dock.findChild(ReviewPanel)
    dock.bring_forward(review)
    assert dock.tabs.currentWidget().isAncestorOf(review)

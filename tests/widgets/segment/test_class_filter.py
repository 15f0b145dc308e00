"""Classes of an instance network in the Segment dock: ticks, colours, counts, scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import Qt
from support.blobseer import blobs_in, field
from support.engines import put_first
from support.maskrcnns import small_maskrcnn

from napari_segnet import cache
from napari_segnet.segmentation import Detected
from napari_segnet.widgets.layers.convert import class_colour
from napari_segnet.widgets.plugin.docks import SegmentDock
from napari_segnet.widgets.segment.class_filter import ClassesBox

WAIT_MS = 60_000
CENTRES = [(40, 30), (40, 80), (100, 30), (100, 80)]
KINDS = [1, 1, 2, 3]


@pytest.fixture(autouse=True)
def sees_blobs(monkeypatch):
    """The network sees blobs; their class is where they lie."""

    def kinds(picture):
        found = np.zeros_like(picture[0])
        for (y, x), kind in zip(CENTRES, KINDS, strict=True):
            found[y - 12 : y + 13, x - 12 : x + 13] = kind
        return found

    def objects(batch, **_):
        return [
            Detected(instances=blobs_in(np.stack([each[0], kinds(each)]), least_px=9))
            for each in batch
        ]

    cache.predictions.clear()
    put_first(monkeypatch, detect=objects)
    yield
    cache.predictions.clear()


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    module = small_maskrcnn(classes=4)
    module.backbone.body.conv1 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    torch.save(module.state_dict(), tmp_path / "cells.pth")
    return tmp_path / "cells.pth"


@pytest.fixture
def dock(viewer, qtbot, weights):
    """The dock with a result of four objects of three classes."""
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    picture = field((140, 110), CENTRES, 9.0, [0.95, 0.9, 0.85, 0.8])
    viewer.add_image((255 * picture).astype(np.uint8), name="cells")
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights(str(weights))
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.network.tell({"class_names": "nucleus,spindle,debris"})
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)
    return dock


def tick(dock, qtbot, row):
    """Click the tick of a class, and wait for the labels."""
    box = dock.classes.list
    place = box.visualItemRect(box.item(row)).center()
    place.setX(10)
    with qtbot.waitSignal(dock.shown.live.runner.finished, timeout=WAIT_MS):
        qtbot.mouseClick(box.viewport(), Qt.MouseButton.LeftButton, pos=place)


def shown(dock):
    return [dock.classes.list.item(i).text() for i in range(dock.classes.list.count())]


def test_scores_and_classes_are_in_the_table(dock):
    table = dock.result.features
    assert list(table.columns) == ["index", "score", "class", "class name"]
    assert sorted(table["class name"]) == ["debris", "nucleus", "nucleus", "spindle"]
    assert table["index"].tolist() == np.unique(dock.result.data)[1:].tolist()
    np.testing.assert_allclose(sorted(table["score"]), [0.8, 0.85, 0.9, 0.95], atol=0.01)


def test_a_class_without_its_tick_is_left_out(dock, qtbot):
    assert shown(dock) == ["nucleus (2)", "spindle (1)", "debris (1)"]
    tick(dock, qtbot, 0)
    assert dock.labels.value().classes == ("spindle", "debris")
    assert set(dock.result.features["class name"]) == {"spindle", "debris"}
    assert shown(dock) == ["nucleus", "spindle (1)", "debris (1)"]
    tick(dock, qtbot, 0)
    assert dock.labels.value().classes == ()
    assert len(dock.result.features) == 4


def test_what_is_typed_moves_the_ticks(dock, qtbot):
    row = dock.labels.row("classes")
    row.line.setText("2, NUCLEUS")
    with qtbot.waitSignal(dock.shown.live.runner.finished, timeout=WAIT_MS):
        row.line.editingFinished.emit()
    assert dock.classes.wanted() == ("nucleus", "spindle")
    assert len(dock.result.features) == 3


def test_objects_have_the_colour_of_their_class_where_that_is_wished(dock, qtbot):
    before = dock.result.colormap
    dock.classes.by_class.click()
    table = dock.result.features
    colours = dock.result.colormap.color_dict
    for one, kind in zip(table["index"], table["class"], strict=True):
        expected = DirectLabelColormap(color_dict={None: "black", 1: class_colour(kind)})
        np.testing.assert_array_equal(colours[one], expected.color_dict[1])
    # Also after other labels, and of an object that is made by hand.
    tick(dock, qtbot, 0)
    assert set(dock.result.colormap.color_dict) == {None, 0, 1, 2}
    more = dock.result.features.copy()
    more.loc[len(more)] = [7, 0.5, 1, "nucleus"]
    dock.result.features = more
    assert 7 in dock.result.colormap.color_dict
    dock.classes.by_class.click()
    assert type(dock.result.colormap) is type(before)
    dock.result.features = more.iloc[:1]
    assert type(dock.result.colormap) is type(before)


def test_there_are_no_maps_to_show(dock):
    assert not dock.maps.isEnabled()
    assert "objects" in dock.maps.toolTip()


def test_a_correction_that_was_undone_is_no_reason_for_another_layer(viewer, dock, qtbot):
    layer = dock.result
    layer.data_setitem((np.array([40]), np.array([30])), 0)
    layer.undo()
    tick(dock, qtbot, 0)
    assert [one for one in viewer.layers if isinstance(one, Labels)] == [layer]
    assert dock.result is layer
    layer.data_setitem((layer.data == 1).nonzero(), 0)
    tick(dock, qtbot, 0)
    assert len([one for one in viewer.layers if isinstance(one, Labels)]) == 2


def test_one_tick_stays(qtbot):
    box = ClassesBox()
    qtbot.addWidget(box)
    box.offer(2)
    box.list.item(0).setCheckState(Qt.CheckState.Unchecked)
    assert box.wanted() == ("2",)
    with qtbot.assertNotEmitted(box.chosen):
        box.list.item(1).setCheckState(Qt.CheckState.Unchecked)
    assert box.wanted() == ("2",)


def test_names_that_would_not_find_their_class_again_are_numbers(qtbot):
    box = ClassesBox()
    qtbot.addWidget(box)
    box.offer(4, ("background", "cell, round", "cell", "3", "cell"))
    box.list.item(3).setCheckState(Qt.CheckState.Unchecked)
    assert box.wanted() == ("1", "2", "3")


def test_one_class_is_no_choice(qtbot):
    box = ClassesBox()
    qtbot.addWidget(box)
    box.offer(1, ("background", "nucleus"))
    assert box.isHidden()

"""Light and dark are tried on what is visible, and a click takes a way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_segnet import cache
from napari_segnet.detective import Tried, TriedInput
from napari_segnet.samples import nuclei_2d
from napari_segnet.widgets.plugin.docks import SegmentDock
from napari_segnet.widgets.segment.channel_picker import STAINS, ChannelBox
from napari_segnet.widgets.segment.inputs_finder import InputsBox, input_name

WAIT_MS = 60_000


@pytest.fixture(autouse=True)
def no_answers_of_before():
    cache.predictions.clear()
    yield
    cache.predictions.clear()


def way(channels, invert, count, fit, score=0.8):
    found = Tried(scale=1.0, count=count, score=score, size_px=10.0, seconds=0.1)
    picture = np.zeros((64, 64, 3), np.uint8)
    return TriedInput(
        channels=channels, invert=invert, found=found, covered=0.25, fit=fit, picture=picture
    )


def click_row(box, qtbot, row):
    cell = box.table.visualItemRect(box.table.item(row, 1)).center()
    qtbot.mouseClick(box.table.viewport(), Qt.MouseButton.LeftButton, pos=cell)


def test_the_best_way_is_named_and_a_click_takes_any(qtbot):
    box = InputsBox()
    qtbot.addWidget(box)
    box.resize(340, 400)
    box.show()
    ways = [way("auto", "no", 0, 0.0, math.nan), way("auto", "yes", 41, 3.0)]
    box.show_tried([*ways, way("hematoxylin", "no", 1, 2.0)])
    texts = [box.table.item(row, 1).text().split("\n") for row in range(3)]
    assert texts[0] == ["bright objects (as it is)", "0 objects, 25% of the image"]
    assert texts[1][0] == "dark objects (inverted)"
    assert texts[1][-2:] == ["mean score 0.80", "fits best"]
    assert texts[2][:2] == ["hematoxylin (stain)", "1 object, 25% of the image"]
    assert not box.table.item(1, 0).icon().isNull()
    with qtbot.waitSignal(box.taken) as taken:
        click_row(box, qtbot, 0)
    assert taken.args == [ways[0]]


def test_nothing_is_called_best_where_nothing_is_found(qtbot):
    box = InputsBox()
    qtbot.addWidget(box)
    box.show_tried([way("auto", "no", 0, 0.0), way("auto", "yes", 0, 0.0)])
    assert not any("best" in box.table.item(row, 1).text() for row in range(2))


def test_a_channel_by_its_number_is_no_stain():
    assert input_name("2", "yes") == input_name("auto", "yes")


def test_stains_are_channels_of_a_colour_picture(qtbot):
    box = ChannelBox()
    qtbot.addWidget(box)
    box.offer(("red", "green", "blue"), 1, rgb=True)
    for wanted in (*STAINS, "1", "auto"):
        box.take(wanted)
        assert box.value() == wanted
    box.offer(("red", "green", "blue"), 3, rgb=True)
    assert box._combos[0].findData("eosin") == -1


def test_dark_nuclei_are_found_at_two_clicks_after_a_run(viewer, qtbot):
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    pixels = np.asarray(nuclei_2d().data)[:160, :160].astype(np.float32)
    low, high = float(pixels.min()), float(pixels.max())
    viewer.add_image(np.uint8(255 - 255 * (pixels - low) / (high - low)), name="dark")
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights("nuclei")
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)
    assert "dark where the network looks for bright ones" in dock.message.text.text()
    assert not dock.message.action.isHidden()
    inputs = dock.run_settings.inputs
    with qtbot.waitSignal(dock.run_settings.inputs_trier.finished, timeout=WAIT_MS):
        qtbot.mouseClick(dock.message.action, Qt.MouseButton.LeftButton)
    assert dock.message.isHidden()
    assert dock.more.isExpanded()
    assert "fits best" in inputs.table.item(1, 1).text()
    click_row(inputs, qtbot, 1)
    assert (dock.settings().invert, dock.settings().channels) == ("yes", "auto")
    assert "looks for dark objects (inverted). Press Run" in inputs.words.text()
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)
    assert dock.message.isHidden(), dock.message.text.text()
    assert dock.result.data.max() > 5
    dock.choose_weights("nuclei")
    assert inputs.table.isHidden()
    qtbot.waitUntil(lambda: not dock._looker.busy, timeout=WAIT_MS)

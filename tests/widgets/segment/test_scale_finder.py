"""Scales are tried on what is visible, and a click takes one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_segnet import detective
from napari_segnet.detective import Tried
from napari_segnet.samples import nuclei_2d
from napari_segnet.widgets.checkpoint.chosen import chosen_network
from napari_segnet.widgets.plugin.docks import SegmentDock
from napari_segnet.widgets.segment.scale_finder import ScalesBox

WAIT_MS = 60_000


def click_row(box, qtbot, row):
    cell = box.table.visualItemRect(box.table.item(row, 0)).center()
    qtbot.mouseClick(box.table.viewport(), Qt.MouseButton.LeftButton, pos=cell)


def test_a_click_on_a_row_takes_its_scale(qtbot):
    box = ScalesBox()
    qtbot.addWidget(box)
    box.show()
    assert box.table.isHidden()
    nothing = {"score": math.nan, "size_px": math.nan, "seconds": 0.1}
    some = {"score": 0.876, "size_px": 31.4, "seconds": 0.1}
    box.show_tried([Tried(scale=0.5, count=0, **nothing), Tried(scale=2.0, count=41, **some)])
    texts = [[box.table.item(r, c).text() for c in range(4)] for r in range(2)]
    assert texts == [["0.5", "0", "", ""], ["2", "41", "0.88", "31"]]
    with qtbot.waitSignal(box.taken) as taken:
        click_row(box, qtbot, 1)
    assert taken.args == [2.0]
    box.clear()
    assert box.table.isHidden()


def test_the_dock_tries_what_is_visible_and_runs_at_what_was_taken(viewer, qtbot, monkeypatch):
    monkeypatch.setattr(detective, "FACTORS", (1.0, 2.0))
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    qtbot.mouseClick(dock.scales.button, Qt.MouseButton.LeftButton)
    assert "Choose a network first" in dock.message.text.text()
    viewer.add_image(np.asarray(nuclei_2d().data)[:128, :128], name="cells")
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights("nuclei")
    with qtbot.waitSignal(dock.run_settings.trier.finished, timeout=WAIT_MS):
        qtbot.mouseClick(dock.scales.button, Qt.MouseButton.LeftButton)
    assert dock.message.isHidden(), dock.message.text.text()
    assert dock.scales.button.isEnabled()
    counts = [int(dock.scales.table.item(row, 1).text()) for row in range(2)]
    assert counts[0] > 5
    dock.scales.taken.emit(2.0)
    assert dock.settings().scale == pytest.approx(2.0)
    assert "next run is at scale 2" in dock.scales.words.text()
    dock.choose_weights("nuclei")
    assert dock.scales.table.isHidden()
    qtbot.waitUntil(lambda: not dock._looker.busy, timeout=WAIT_MS)


def test_settings_that_another_dock_hands_over_are_used(viewer, qtbot):
    dock = SegmentDock(viewer)
    viewer.add_image(np.zeros((8, 8, 3), np.uint8), rgb=True)
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights("nuclei")
    other = dock.settings().tile_px
    given = {"invert": "yes", "channels": "hematoxylin", "scale": 0.5, "mirror": "yes"}
    chosen_network(viewer).hand_over_settings(given)
    now = dock.settings()
    assert {name: getattr(now, name) for name in given} == given
    assert now.tile_px == other
    usual = {"invert": "auto", "channels": "auto", "scale": None}
    chosen_network(viewer).hand_over_settings(usual)  # what was set before is undone
    now = dock.settings()
    assert {name: getattr(now, name) for name in usual} == usual

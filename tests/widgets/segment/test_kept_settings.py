"""Settings entered for one network are named when another is chosen, and reset at one click."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from qtpy.QtCore import Qt
from support.networks import Milesial

from napari_segnet.inference import LabelSettings
from napari_segnet.widgets.plugin.docks import SegmentDock
from napari_segnet.widgets.qt.recent import last_settings, store

WAIT_MS = 60_000


@pytest.fixture
def dock(viewer):
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    return dock


def choose(dock, qtbot, choice):
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights(str(choice))


def test_settings_of_another_network_are_named_and_reset(dock, qtbot, tmp_path):
    path = tmp_path / "tiny.pth"
    torch.manual_seed(0)
    torch.save(Milesial(channels=1, classes=1, width=4, depth=2).state_dict(), path)
    choose(dock, qtbot, path)
    settings, labels = dock.run_settings, dock.shown.box.form
    choose(dock, qtbot, "nuclei")
    assert dock.message.isHidden()  # nothing was set
    settings.set_value(replace(settings.value("auto"), normalize="z-score", device="cpu"))
    labels.set_value(replace(labels.value(), threshold=0.07))
    choose(dock, qtbot, "nuclei")
    assert dock.message.isHidden()  # it is the same network
    choose(dock, qtbot, path)
    assert not dock.message.isHidden()
    said = dock.message.text.text()
    assert said == "Settings from before are still in use: normalise z-score, threshold 0.07."
    assert settings.value("auto").normalize == "z-score"
    qtbot.mouseClick(dock.message.action, Qt.MouseButton.LeftButton)
    assert settings.value("auto").normalize == "auto"
    assert settings.value("auto").device == "cpu"  # of the machine
    assert labels.value() == LabelSettings()
    assert dock.message.isHidden()


def test_the_normalisation_of_the_last_run_is_offered_in_the_next_session(dock, qtbot, tmp_path):
    path = tmp_path / "tiny.pth"
    torch.manual_seed(0)
    torch.save(Milesial(channels=1, classes=1, width=4, depth=2).state_dict(), path)
    choose(dock, qtbot, path)
    dock.viewer.add_image(np.zeros((32, 32), np.int16))
    told = replace(dock.run_settings.value("auto"), normalize="window:-200,300", tile_px=(32,))
    dock.run_settings.set_value(told)
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        dock.run()
    viewer = dock.viewer
    store().sync()
    tomorrow = SegmentDock(viewer)
    viewer.window.add_dock_widget(tomorrow, name="Tomorrow")
    choose(tomorrow, qtbot, path)
    said = tomorrow.message.text.text()
    assert said == "This network last ran with normalise window:-200,300."
    viewer.add_image(np.ones((32, 32), np.int16))
    assert not tomorrow.message.isHidden()  # it holds for every image
    assert tomorrow.settings().normalize == "auto"
    qtbot.mouseClick(tomorrow.message.action, Qt.MouseButton.LeftButton)
    assert tomorrow.settings().normalize == "window:-200,300"
    assert tomorrow.settings().tile_px == ()  # of the machine
    assert tomorrow.message.isHidden()
    choose(tomorrow, qtbot, "nuclei")
    assert "still in use: normalise window:-200,300" in tomorrow.message.text.text()
    store().setValue("settings of networks", "{damaged")
    assert last_settings(path) == {}

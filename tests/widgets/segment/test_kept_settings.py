"""Settings entered for one network are named when another is chosen, and reset at one click."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from qtpy.QtCore import Qt
from support.networks import Milesial

from napari_segnet.inference import LabelSettings
from napari_segnet.widgets.plugin.docks import SegmentDock

WAIT_MS = 60_000


@pytest.fixture
def dock(make_napari_viewer):
    viewer = make_napari_viewer()
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

"""The window with networks in a process of their own: its end costs one run, and nothing else."""

import os
import signal

import numpy as np
import pytest
import torch
from qtpy.QtCore import Qt, QTimer
from support.networks import Milesial, calibrate

from napari_segnet import cache
from napari_segnet.engines.apart import keep_apart, worker
from napari_segnet.samples import nuclei_2d
from napari_segnet.widgets.plugin.docks import SegmentDock

WAIT_MS = 120_000

pytestmark = [
    pytest.mark.long,  # each kill has torch loaded again
    pytest.mark.subprocess,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.name == "nt", reason="Windows knows no signals"),
]


@pytest.fixture
def dock(make_napari_viewer, preferences_file, qtbot, tmp_path):
    preferences_file.engine.own_process = True
    torch.save(calibrate(Milesial(channels=1, width=8, depth=3)).state_dict(), tmp_path / "u.pth")
    viewer = make_napari_viewer()
    viewer.add_image(np.tile(np.asarray(nuclei_2d().data)[:256, :256], (3, 3)), name="cells")
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights(str(tmp_path / "u.pth"))
    yield dock
    keep_apart(False)
    cache.predictions.clear()


@pytest.fixture
def apart(dock):
    return worker()


def click_run(dock, qtbot, apart, kill=False):
    """Press Run; ``kill``: end the process as soon as there is one."""

    def end():
        if apart.pid is not None:
            os.kill(apart.pid, signal.SIGKILL)

    timer = QTimer()
    timer.timeout.connect(end)
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)
        if kill:
            timer.start(5)
    timer.stop()


def ended_in_the_window(dock, qtbot, apart, kills):
    click_run(dock, qtbot, apart)
    assert "process" not in dock.message.text.text()
    (labels,) = [layer for layer in dock.viewer.layers if layer._type_string == "labels"]
    labels.data_setitem((np.arange(40), np.arange(40)), 7)  # a correction
    corrected = np.array(labels.data)
    for _ in range(kills):
        click_run(dock, qtbot, apart, kill=True)
        assert "The system ended the process that runs the network" in dock.message.text.text()
        assert dock.run_box.button.isEnabled()
        np.testing.assert_array_equal(labels.data, corrected)
    before = len(dock.viewer.layers)
    click_run(dock, qtbot, apart)
    assert "process" not in dock.message.text.text()
    assert len(dock.viewer.layers) >= before
    np.testing.assert_array_equal(labels.data, corrected)


def test_a_process_that_is_killed_costs_one_run(dock, qtbot, apart):
    ended_in_the_window(dock, qtbot, apart, 1)


def test_twenty_kills_leave_window_and_corrections_whole(dock, qtbot, apart):
    ended_in_the_window(dock, qtbot, apart, 20)

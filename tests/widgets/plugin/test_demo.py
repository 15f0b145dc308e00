"""The window of ``napari-segnet demo``."""

from __future__ import annotations

import subprocess
import sys

import pytest

import napari_segnet as sn
from napari_segnet.samples import nuclei_2d, true_nuclei_2d
from napari_segnet.widgets.plugin.demo import fill_demo

UNTIL_LABELS = """
import sys
from qtpy.QtCore import QTimer
from napari_segnet.__main__ import main
from napari_segnet.widgets.plugin import demo as _demo

fill = _demo.fill_demo

def watch(viewer):
    dock = fill(viewer)
    timer = QTimer(dock)
    timer.timeout.connect(lambda: len(viewer.layers) == 2 and (timer.stop(), viewer.close()))
    timer.start(100)

_demo.fill_demo = watch
sys.exit(main(["demo"]))
"""


def test_the_sample_is_segmented_in_the_dock(make_viewer, qtbot):
    viewer = make_viewer(show=True)
    dock = fill_demo(viewer)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=60_000)
    image, labels = viewer.layers
    assert (image.data == nuclei_2d().data).all()
    assert sn.evaluate(labels.data, true_nuclei_2d()).ap50 > 0.9
    assert dock.isVisible()


def test_a_demo_that_is_closed_at_once_leaves_nothing_behind(make_viewer):
    """`make_viewer` fails the test for a widget or a timer that outlives its window."""
    viewer = make_viewer(show=False)
    fill_demo(viewer)
    assert [layer.name for layer in viewer.layers] == ["nuclei"]


@pytest.mark.timeout(300)  # a whole napari starts, and imports all that it can
@pytest.mark.subprocess
def test_the_command_opens_the_window_without_a_word_on_the_console():
    done = subprocess.run([sys.executable, "-c", UNTIL_LABELS], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

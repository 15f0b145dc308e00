"""The whole loop with a real mouse and keyboard: drop, run, slide, switch, cancel, paint, undo."""

from __future__ import annotations

import time

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QApplication, QComboBox, QSlider
from support import hand
from support.hand import Hand, bring_into_view, until

from napari_segnet import cache
from napari_segnet.builtin import weights_path
from napari_segnet.samples import nuclei_2d
from napari_segnet.widgets.plugin.docks import SegmentDock

pytestmark = [
    pytest.mark.skipif(bool(hand.missing()), reason=hand.missing()),
    pytest.mark.usefixtures("preferences_file"),  # so that napari knows our reader
]
SOON_S = 60


@pytest.fixture(autouse=True)
def no_answers_of_before():
    cache.predictions.clear()
    yield
    cache.predictions.clear()


@pytest.fixture
def shown(make_viewer):
    """A viewer on the screen, as large as a small laptop's."""
    viewer = make_viewer(show=True)
    viewer.window._qt_window.setGeometry(0, 0, 1280, 720)
    QApplication.processEvents()
    return viewer


@pytest.fixture
def picture(tmp_path):
    import tifffile

    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, np.asarray(nuclei_2d().data)[:192, :192])
    return path


def canvas(viewer):
    return viewer.window._qt_viewer.canvas.native


def dock_of(viewer):
    docks = viewer.window._qt_window.findChildren(SegmentDock)
    return docks[0] if docks else None


def labels_of(viewer):
    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


def child(dock, kind, name):
    found = dock.findChild(kind, name) if name else dock.findChild(kind)
    assert found is not None, name
    return found


def settle(dock):
    """Wait until the labels show what the settings say."""
    until(lambda: not dock.shown.live.busy, SOON_S)


def drop_network_and_picture(user, viewer, picture):
    """Weights onto the canvas, the picture onto the dock that this opens."""
    user.drop([weights_path("nuclei")], canvas(viewer))
    until(lambda: dock_of(viewer) is not None, SOON_S)
    dock = dock_of(viewer)
    until(lambda: dock.checkpoint is not None, SOON_S)
    user.rest(0.3)
    assert not viewer.layers, "weights are no picture"
    user.drop([picture], dock)
    until(lambda: labels_of(viewer) and not dock.batch.busy, SOON_S)
    return dock


@pytest.mark.subprocess
def test_from_two_dropped_files_to_corrected_labels(shown, picture):
    viewer, user = shown, Hand()
    dock = drop_network_and_picture(user, viewer, picture)
    assert "1.9 million parameters" in dock.card.title.text()
    (layer,) = labels_of(viewer)
    assert [x.name for x in viewer.layers] == ["cells", layer.name]
    assert layer.data.max() > 5

    # Run: the same picture again, which nobody has touched, is updated in its place.
    user.click(dock.run_box.button)
    until(lambda: dock.run_box.words.text().startswith("done"), SOON_S)
    assert labels_of(viewer) == [layer]

    # The threshold, with the mouse.
    covered = np.count_nonzero(layer.data)
    threshold = dock.labels.row("threshold")
    user.slide(child(threshold, QSlider, ""), 16)
    until(lambda: 0 < np.count_nonzero(layer.data) < covered, SOON_S)
    assert dock.labels.value().threshold > 0.55

    # From watershed to components, with the keyboard.
    kind = child(dock.labels.row("instances"), QComboBox, "")
    for _ in range(6):
        if QApplication.focusWidget() is kind:
            break
        user.key("Tab")
    assert QApplication.focusWidget() is kind
    apart = layer.data.max()
    while dock.labels.value().instances != "components":
        user.key("Down")
    settle(dock)
    assert 1 < layer.data.max() < apart
    assert dock.message.isHidden(), dock.message.text.text()

    # A stroke on the result, and undo.
    before = layer.data.copy()
    assert viewer.layers.selection.active is layer
    glass = canvas(viewer)
    middle = glass.rect().center()
    user.click(glass)
    user.key("2")
    until(lambda: layer.mode == "paint", SOON_S)
    layer.selected_label = 777
    user.drag(glass, middle - QPoint(60, 0), middle + QPoint(60, 0))
    until(lambda: (layer.data == 777).any(), SOON_S)
    user.key("ctrl+z")
    until(lambda: not (layer.data == 777).any(), SOON_S)
    np.testing.assert_array_equal(layer.data, before)


@pytest.mark.subprocess
def test_a_second_run_is_cancelled_soon(shown, picture):
    viewer, user = shown, Hand()
    dock = drop_network_and_picture(user, viewer, picture)
    (layer,) = labels_of(viewer)
    before = layer.data.copy()

    # Twenty pixels of the network for one of the image: this takes a while.
    bring_into_view(dock.more)
    user.click(dock.more.button)
    scale = dock.advanced.row("scale").box
    user.click(scale, QPoint(scale.width() // 2, scale.height() // 2))
    user.key("ctrl+a")
    user.type("0.05")
    user.key("Return")
    until(lambda: dock.advanced.value().scale == 0.05, SOON_S)
    user.click(dock.run_box.button)
    until(lambda: dock._runner.busy, SOON_S)
    user.rest(1.5)
    assert dock._runner.busy
    asked, ended = [], []
    dock.run_box.stop.pressed.connect(lambda: asked.append(time.monotonic()))
    dock._runner.cancelled.connect(lambda: ended.append(time.monotonic()))
    user.click(dock.run_box.stop)
    until(lambda: ended, SOON_S)
    assert ended[0] - asked[0] < 3, "a second where the machine is idle"
    assert "Stopped" in dock.run_box.words.text()
    assert dock.run_box.button.isEnabled()
    assert labels_of(viewer) == [layer]
    np.testing.assert_array_equal(layer.data, before)

"""A Mask R-CNN with a real mouse: drop, run, drag a box, undo, move the score."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch
from napari.layers import Labels
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QApplication, QSlider
from support import hand
from support.blobseer import BlobLook, blobs_in, field
from support.engines import put_first
from support.hand import Hand, bring_into_view, until
from support.maskrcnns import small_maskrcnn

from napari_segnet import cache
from napari_segnet.segmentation import Detected
from napari_segnet.widgets.plugin.docks import SegmentDock

pytestmark = [
    pytest.mark.skipif(bool(hand.missing()), reason=hand.missing()),
    pytest.mark.usefixtures("preferences_file"),  # so that napari knows our reader
]
SOON_S = 60
CENTRES = [(60, 50), (150, 60), (40, 150), (100, 100), (160, 160)]
BRIGHT = [0.95, 0.9, 0.85, 0.8, 0.55]


@pytest.fixture(autouse=True)
def sees_blobs(monkeypatch):
    """The network sees blobs, which need no training; everything around it is real."""

    def objects(batch, **_):
        return [
            Detected(instances=blobs_in(np.stack([each[0], each[0] * 0 + 1]))) for each in batch
        ]

    def look(picture, **_):
        return BlobLook(np.stack([picture[0], picture[0] * 0 + 1]))

    cache.predictions.clear()
    put_first(monkeypatch, detect=objects, look=look)
    yield
    cache.predictions.clear()


@pytest.fixture
def files(tmp_path):
    """Weights for one grey channel, and a picture of discs in 8 bits."""
    module = small_maskrcnn(classes=2)
    module.backbone.body.conv1 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    torch.save(module.state_dict(), tmp_path / "cells.pth")
    picture = field((200, 200), CENTRES, 14.0, BRIGHT)
    tifffile.imwrite(tmp_path / "discs.tif", (255 * picture).astype(np.uint8))
    return tmp_path / "cells.pth", tmp_path / "discs.tif"


def canvas(viewer):
    return viewer.window._qt_viewer.canvas.native


def labels_of(viewer):
    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


def on_canvas(viewer, y, x):
    """Return where a point of the world is on the canvas."""
    camera = viewer.scene.camera
    middle = canvas(viewer).rect().center()
    return middle + QPoint(
        round((x - camera.center[-1]) * camera.zoom), round((y - camera.center[-2]) * camera.zoom)
    )


@pytest.mark.subprocess
def test_drop_run_drag_a_box_undo_and_move_the_score(make_viewer, files):
    viewer, user = make_viewer(show=True), Hand()
    viewer.window._qt_window.setGeometry(0, 0, 1280, 900)
    QApplication.processEvents()
    weights, picture = files

    user.drop([weights], canvas(viewer))
    found = viewer.window._qt_window.findChildren
    until(lambda: found(SegmentDock) and found(SegmentDock)[0].checkpoint is not None, SOON_S)
    (dock,) = found(SegmentDock)
    user.drop([picture], dock)
    until(lambda: labels_of(viewer) and not dock.batch.busy, SOON_S)
    user.click(dock.run_box.button)
    until(lambda: dock.run_box.words.text().startswith("done"), SOON_S)
    (layer,) = labels_of(viewer)
    assert layer.data.max() == 5

    # One is missing; a box brings it back.
    bring_into_view(dock.asking)
    user.click(dock.asking.button)
    user.click(dock.ask.switch)
    until(lambda: dock.ask.tool.layer is layer and not dock.ask.runner.busy, SOON_S)
    one = int(layer.data[100, 100])
    disc = layer.data == one
    layer.data_setitem(disc.nonzero(), 0)
    centre = tuple(viewer.scene.camera.center)
    user.drag(canvas(viewer), on_canvas(viewer, 83, 83), on_canvas(viewer, 117, 117))
    until(lambda: layer.data.max() == 6, SOON_S)
    made = layer.data == 6
    assert (made & disc).sum() / (made | disc).sum() > 0.85
    assert tuple(viewer.scene.camera.center) == centre, "the view stays where it is"

    # Undone with the keyboard, over the canvas.
    user.key("ctrl+z")
    until(lambda: layer.data.max() < 6, SOON_S)
    assert not layer.data[100, 100]
    user.key("ctrl+z")
    until(lambda: layer.data[100, 100] == one, SOON_S)

    # The score: the faintest goes; all that was corrected is undone, so nothing is lost.
    user.click(dock.ask.switch)
    score = dock.labels.row("score").findChild(QSlider)
    user.slide(score, 24)
    until(lambda: 0 < layer.data.max() < 5, SOON_S)
    assert labels_of(viewer) == [layer]

    # What is corrected and not undone is left as it is.
    layer.data_setitem((layer.data == 1).nonzero(), 0)
    before = layer.data.copy()
    user.slide(score, -24)
    until(lambda: len(labels_of(viewer)) == 2, SOON_S)
    np.testing.assert_array_equal(layer.data, before)
    until(lambda: dock.result.data.max() == 5, SOON_S)
    assert "does not change" in dock.message.text.text()

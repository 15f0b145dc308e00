"""A model of Cellpose in the Segment dock: dropped, run, its sliders and its flows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from skimage.measure import label
from superqt import QLabeledDoubleSlider
from support.cellposes import Cellpose
from support.engines import put_first

from napari_segnet import cache
from napari_segnet.flows import heat_flows
from napari_segnet.widgets.plugin.docks import SegmentDock

WAIT_MS = 60_000


def discs():
    """Return an image of three discs that do not touch; the last one is small."""
    rows, columns = np.ogrid[:96, :96]
    return np.sum(
        [(rows - y) ** 2 + (columns - x) ** 2 <= r * r for y, x, r in
         [(25, 25, 12), (60, 60, 14), (20, 75, 4)]],
        axis=0,
    ).astype(np.float32)  # fmt: skip


def seen(batch, **_):
    """Answer with the flows of bright objects; the small one is hardly a cell."""
    objects = [label(pixels[0] > 0.5).astype(np.int32) for pixels in batch]
    sure = [np.bincount(one.ravel())[one] for one in objects]
    cells = [
        np.where(o == 0, 0.0, np.where(s > 100, 0.9, 0.6))
        for o, s in zip(objects, sure, strict=True)
    ]
    return np.stack(
        [np.concatenate([heat_flows(o), c[None]]) for o, c in zip(objects, cells, strict=True)]
    ).astype(np.float32)


@pytest.fixture
def dock(make_napari_viewer, qtbot):
    cache.predictions.clear()
    dock = SegmentDock(make_napari_viewer())
    dock.viewer.window.add_dock_widget(dock, name="Segment")
    yield dock
    cache.predictions.clear()


def dropped(path):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    drop = QDropEvent(
        QPointF(20, 20),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    drop.kept = data  # Qt does not own it
    return drop


def test_a_model_is_dropped_and_run(dock, qtbot, tmp_path, monkeypatch):
    torch.save(Cellpose(diameters=(30.0, 30.0)).state_dict(), tmp_path / "my_model")
    viewer = dock.viewer
    viewer.add_image(discs(), name="cells")
    kind = put_first(monkeypatch, maps=seen)
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.dropEvent(dropped(tmp_path / "my_model"))
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)
    (layer,) = [x for x in viewer.layers if type(x).__name__ == "Labels"]
    assert len(np.unique(layer.data)) == 4, dock.message.text.text()

    ran = len(kind.tried)
    with qtbot.waitSignal(dock.shown.live.runner.finished, timeout=WAIT_MS):
        dock.labels.row("threshold").findChild(QLabeledDoubleSlider).setValue(0.8)
    assert len(np.unique(layer.data)) == 3
    assert dock.labels.row("flow_threshold").isVisibleTo(dock)
    assert len(kind.tried) == ran, "sliders do not run the network"

    dock.shown.box.maps.click()
    images = [x for x in viewer.layers if type(x).__name__ == "Image"]
    shown = {x.name: tuple(x.contrast_limits) for x in images}
    limits = {"flow y": (-1, 1), "flow x": (-1, 1), "foreground": (0, 1)}
    for name, pair in limits.items():
        assert shown[f"cells · {name}"] == pair

"""The whole way in one window: segment, correct, add, train, and segment again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from qtpy.QtCore import Qt
from support.teaching import FOREGROUND, QUICK, fresh, objects, photograph

from napari_segnet.correct import box_of, delete
from napari_segnet.dataset import Dataset
from napari_segnet.engines.torch import identify
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.widgets.dataset.panel import DatasetPanel
from napari_segnet.widgets.layers.editing import apply_edit
from napari_segnet.widgets.plugin.drop_reader import find_or_open_dock

pytestmark = pytest.mark.trains

WAIT_MS = 90_000
SHAPE = (96, 96)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(1)
    network = fresh(tmp_path / "collaborator.safetensors", FOREGROUND)
    SegnetUNet().save(SegnetUNet().build(network).eval(), network, network.path)
    return network.path


def click(qtbot, button):
    assert button.isEnabled(), button.text()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def run(dock, qtbot):
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        click(qtbot, dock.run_box.button)
    said = dock.message.text.text() if dock.message.isVisible() else ""
    assert not said or said.startswith(("Nothing was found.", "Objects cover ")), (
        said
    )  # it is hardly trained


def labels_of(viewer):
    from napari.layers import Labels

    return [x for x in viewer.layers if isinstance(x, Labels) and "key" in x.metadata["segnet"]]


def test_a_network_learns_from_corrections_without_leaving_the_window(
    make_viewer, qtbot, weights, tmp_path
):
    viewer = make_viewer(show=True)
    truth = objects(SHAPE, count=7, seed=4)
    viewer.add_image(photograph(truth, seed=4), name="cells")

    segment = find_or_open_dock(viewer)
    segment.choose_weights(str(weights))
    qtbot.waitUntil(lambda: segment.checkpoint is not None, timeout=WAIT_MS)
    run(segment, qtbot)
    (layer,) = labels_of(viewer)

    # The answer of a network that knows nothing is replaced by what is right.
    _, correct = viewer.window.add_plugin_dock_widget("napari-segnet", "Correct")
    wrong = truth.copy()
    wrong[:3, :3] = victim = int(truth.max()) + 1
    layer.data = wrong.copy()
    apply_edit(layer, delete(layer.data, [victim], box=box_of(layer.data, victim)))
    assert victim not in layer.data
    layer.undo()
    assert np.array_equal(layer.data, wrong)
    layer.redo()
    assert np.array_equal(layer.data, np.where(wrong == victim, 0, truth))

    panel = correct.findChild(DatasetPanel)
    correct.bring_forward(panel)
    panel.choose_folder(tmp_path / "set")
    qtbot.waitUntil(lambda: not panel._runner.busy, timeout=WAIT_MS)
    viewer.layers.selection.active = layer
    panel.whole.setChecked(True)  # all of it is right, not only where something was deleted
    click(qtbot, panel.add_button)
    qtbot.waitUntil(lambda: not panel._runner.busy, timeout=WAIT_MS)
    assert not panel.message.isVisible(), panel.message.text.text()
    assert len(panel._rows) == 1
    assert len(Dataset.open(tmp_path / "set").samples) == 1

    _, train = viewer.window.add_plugin_dock_widget("napari-segnet", "Train")
    assert train.folder == tmp_path / "set"
    qtbot.waitUntil(lambda: train.run_box.button.isEnabled(), timeout=WAIT_MS)
    assert train.checkpoint.path == weights  # what the Segment dock runs
    how = replace(QUICK, epochs=6, steps_per_epoch=12, crop_px=48, learning_rate=0.01)
    train.main.set_value(how)
    train.more.set_value(how)
    run(train, qtbot)
    assert train.trained.after.images == 1  # a region of the one image was held out
    if not train.trained.promoted:
        click(qtbot, train.outcome.use)

    new = train.trained.checkpoint
    qtbot.waitUntil(
        lambda: segment.checkpoint is not None and segment.checkpoint.path == new.path,
        timeout=WAIT_MS,
    )
    assert identify(new.path).card["parent"]["name"] == weights.name
    run(segment, qtbot)
    assert np.array_equal(layer.data, truth), "corrections survive a second run"
    others = [x for x in labels_of(viewer) if x is not layer]
    made_by = [x.metadata["segnet"]["origin"]["checkpoint"]["path"] for x in others]
    assert any(path.endswith(new.path.name) for path in made_by)

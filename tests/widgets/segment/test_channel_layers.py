"""A network's channels come from several Image layers of one shape."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import torch
from napari.components import ViewerModel
from qtpy.QtWidgets import QComboBox
from support.networks import Milesial, calibrate

import napari_segnet as sn
from napari_segnet import cache
from napari_segnet.joined import join_channels
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.plugin.docks import SegmentDock

WAIT_MS = 60_000


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    module = calibrate(Milesial(channels=2, classes=1, width=4, depth=1))
    path = tmp_path_factory.mktemp("networks") / "two.pth"
    torch.save(module.state_dict(), path)
    return path


@pytest.fixture
def viewer():
    cache.predictions.clear()
    yield ViewerModel()
    cache.predictions.clear()


@pytest.fixture
def dock(viewer, qtbot, network):
    dock = SegmentDock(viewer)
    qtbot.addWidget(dock)
    dock.choose_weights(str(network))
    qtbot.waitUntil(lambda: dock.checkpoint is not None and not dock.network.busy, timeout=WAIT_MS)
    return dock


def pixels(seed, shape=(32, 28)):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(np.uint8)


def choose(dock, *numbers):
    for combo, number in zip(dock.channels.findChildren(QComboBox), numbers, strict=True):
        combo.setCurrentIndex(combo.findData(number))


def test_each_channel_is_chosen_among_the_layers(viewer, dock, qtbot, network):
    viewer.add_image(pixels(1), name="actin")
    viewer.add_image(pixels(2), name="other size")
    viewer.layers["other size"].data = pixels(2, (9, 9))
    viewer.add_image(pixels(3), name="nuclei")
    combos = dock.channels.findChildren(QComboBox)
    assert [combos[0].itemText(n) for n in range(combos[0].count())] == ["nuclei", "actin"]
    choose(dock, 1, 0)
    dock.run()
    qtbot.waitUntil(lambda: not dock._runner.busy, timeout=WAIT_MS)
    assert dock.result is not None, dock.message.text.text()
    one, two = (
        sn.Image(data=viewer.layers[name].data, axes="yx", name=name)
        for name in ("actin", "nuclei")
    )
    settings = sn.PredictSettings(channels="0,1")
    expected = sn.run(sn.segment(sn.identify(network), join_channels([one, two]), settings))
    np.testing.assert_array_equal(dock.result.data, expected.labels)
    record = record_of(dock.result)
    assert record.origin["image"]["channels_from"] == ["actin", "nuclei"]
    assert "# The channels are several layers: save them as NAME_0000.tif" in record.command


def test_a_layer_that_lies_elsewhere_is_refused(viewer, dock):
    viewer.add_image(pixels(1), name="actin", scale=(2, 2))
    viewer.add_image(pixels(3), name="nuclei")
    choose(dock, 1, 0)
    dock.run()
    assert "“actin” does not lie where “nuclei” does" in dock.message.text.text()


def test_layers_of_a_network_of_one_channel_are_not_offered(viewer, dock, qtbot):
    viewer.add_image(pixels(1), name="actin")
    viewer.add_image(pixels(3), name="nuclei")
    dock.choose_weights("nuclei")
    qtbot.waitUntil(lambda: dock.checkpoint is not None and not dock.network.busy, timeout=WAIT_MS)
    assert dock.channels.layers() == ()
    assert dock.channels.isHidden()


def test_the_files_of_one_case_are_one_image_of_a_folder(dock, qtbot, tmp_path):
    """As nnU-Net names them; a file without a partner fails in a sentence of its own."""
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for case, number in (("a", 0), ("a", 1), ("b", 0)):
        tifffile.imwrite(images / f"{case}_{number:04}.tif", pixels(number))
    with qtbot.waitSignal(dock.whole_folder.runner.finished, timeout=WAIT_MS):
        dock.segment_folder(images, out)
    said = dock.whole_folder.said.text()
    assert said.startswith("1 of 2 images are segmented")
    assert "b_0000.tif: " in said
    assert {path.name for path in out.iterdir()} == {"a.labels.tif", "a.json"}
    origin = json.loads((out / "a.json").read_text())
    assert [name.rpartition("/")[2] for name in origin["image"]["channels_from"]] == [
        "a_0000.tif",
        "a_0001.tif",
    ]

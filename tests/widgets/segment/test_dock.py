"""The Segment dock, with a viewer and real clicks on its widgets."""

import sys

import numpy as np
import pytest
import torch
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from support.engines import put_first
from support.networks import Milesial, calibrate

from napari_segnet import cache
from napari_segnet.engines.fake import everywhere
from napari_segnet.samples import nuclei_2d
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.plugin.docks import SegmentDock
from napari_segnet.widgets.qt.message_bar import MessageBar

WAIT_MS = 60_000


@pytest.fixture(autouse=True)
def no_answers_of_before():
    cache.predictions.clear()
    yield
    cache.predictions.clear()


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A small network that was never trained."""
    path = tmp_path_factory.mktemp("weights") / "tiny.pth"
    torch.manual_seed(0)
    torch.save(Milesial(channels=1, classes=1, width=4, depth=2).state_dict(), path)
    return path


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def dock(viewer, qtbot):
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    return dock


def choose(dock, qtbot, choice):
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights(str(choice))


def run(dock, qtbot):
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)


def nothing_failed(dock):
    """Tell if there is no message but an offer: a network that knows nothing is suspected."""
    return dock.message.isHidden() or not dock.message.action.isHidden()


def labels_of(viewer):
    from napari.layers import Labels

    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


def cells(edge=96):
    pixels = np.asarray(nuclei_2d().data)
    return pixels[:edge, :edge]


def test_nuclei_become_labels(viewer, dock, qtbot):
    image = nuclei_2d()
    viewer.add_image(np.asarray(image.data)[:256, :256], scale=(0.5, 0.5), units="um", name="cells")
    choose(dock, qtbot, "nuclei")
    run(dock, qtbot)
    assert nothing_failed(dock), dock.message.text.text()
    (layer,) = labels_of(viewer)
    assert layer.data.dtype == np.int32
    assert layer.data.max() > 5
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    assert layer.units == viewer.layers["cells"].units
    assert 1 in set(layer.features["index"])
    origin = layer.metadata["segnet"]["origin"]
    assert origin["checkpoint"]["family"] == "segnet-unet"
    assert f"{layer.data.max()} objects" in dock.summary.text()


def test_the_threshold_is_followed_without_the_network(viewer, dock, qtbot, monkeypatch):
    viewer.add_image(cells(192), name="cells")
    choose(dock, qtbot, "nuclei")
    run(dock, qtbot)
    (layer,) = labels_of(viewer)
    before = int((layer.data > 0).sum())

    def never(*args, **kwargs):
        raise AssertionError("the network was run")

    put_first(monkeypatch, maps=never)
    row = dock.labels.row("threshold")
    from superqt import QLabeledDoubleSlider

    with qtbot.waitSignal(dock.shown.live.runner.finished, timeout=WAIT_MS):
        row.findChild(QLabeledDoubleSlider).setValue(0.95)
    assert nothing_failed(dock), dock.message.text.text()
    assert labels_of(viewer) == [layer]
    assert 0 < int((layer.data > 0).sum()) < before


def test_an_edited_result_is_kept_beside_the_new_one(viewer, dock, qtbot):
    viewer.add_image(cells(), name="cells")
    choose(dock, qtbot, "nuclei")
    run(dock, qtbot)
    (layer,) = labels_of(viewer)
    layer.paint((3, 3), 99)
    mine = layer.data.copy()
    run(dock, qtbot)
    first, second = labels_of(viewer)
    assert first is layer
    np.testing.assert_array_equal(first.data, mine)
    assert 99 not in second.data
    said = dock.shown.box.result_name
    assert f"change “{second.name}” at once" in said.text()
    viewer.layers.selection.active = layer
    assert f"“{layer.name}” has your corrections and does not change" in said.text()


def test_a_refused_file_says_why(viewer, dock, qtbot, tmp_path):
    (tmp_path / "notes.pth").write_text("this is a text")
    choose(dock, qtbot, tmp_path / "notes.pth")
    assert not dock.message.isHidden()
    assert "notes.pth" in dock.message.text.text()
    assert dock.checkpoint is None
    qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)
    assert "Choose a network first" in dock.message.text.text()


def test_without_an_image_it_says_what_to_do(viewer, dock, qtbot):
    choose(dock, qtbot, "nuclei")
    qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)
    assert "Open an image first" in dock.message.text.text()


def test_out_of_memory_leaves_the_button_alive(viewer, dock, qtbot, monkeypatch):
    viewer.add_image(cells(), name="cells")
    choose(dock, qtbot, "nuclei")
    put_first(monkeypatch, maps=np.zeros_like, fits=everywhere(0))
    run(dock, qtbot)
    assert "memory" in dock.message.text.text()
    monkeypatch.undo()
    cache.rungs.clear()
    assert dock.run_box.button.isEnabled()
    run(dock, qtbot)
    assert len(labels_of(viewer)) == 1


def test_cancel_within_a_second(viewer, dock, qtbot):
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (3000, 3000), np.uint8))
    choose(dock, qtbot, "nuclei")
    qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "tile" in dock.run_box.words.text(), timeout=WAIT_MS)
    with qtbot.waitSignal(dock._runner.cancelled, timeout=WAIT_MS):
        qtbot.mouseClick(dock.run_box.stop, Qt.MouseButton.LeftButton)
    assert labels_of(viewer) == []
    assert "Stopped" in dock.run_box.words.text()
    assert dock.run_box.button.isEnabled()


def test_labels_are_shown_over_the_image_that_they_are_of(viewer, dock, qtbot, weights):
    first, second = (viewer.add_image(cells(), name=name) for name in ("first", "second"))
    choose(dock, qtbot, weights)
    viewer.layers.selection.active = first
    run(dock, qtbot)
    assert [first.visible, second.visible, dock.result.visible] == [True, False, True]

    viewer.layers.selection.active = second
    run(dock, qtbot)
    (before, now) = labels_of(viewer)
    assert [first.visible, before.visible, second.visible, now.visible] == [
        False,
        False,
        True,
        True,
    ]

    # She goes on to the first image while the network is at work on the second one.
    viewer.layers.remove(now)
    viewer.layers.selection.active = second
    with qtbot.waitSignal(dock._runner.finished, timeout=60_000):
        dock.run()
        second.visible, first.visible, before.visible = False, True, True
        viewer.layers.selection.active = before
    assert [layer.visible for layer in labels_of(viewer)] == [True, False]
    assert viewer.layers.selection.active is before


def test_a_layer_removed_during_the_run(viewer, dock, qtbot):
    layer = viewer.add_image(cells(), name="cells")
    choose(dock, qtbot, "nuclei")
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        dock.run()
        viewer.layers.remove(layer)
    assert nothing_failed(dock), dock.message.text.text()
    assert len(labels_of(viewer)) == 1


def test_the_current_plane_lies_where_it_was_cut(viewer, dock, qtbot, weights):
    stack = np.stack([cells(64)] * 4)
    viewer.add_image(stack, name="stack", scale=(2, 0.5, 0.5))
    choose(dock, qtbot, weights)
    viewer.dims.set_current_step(0, 2)
    dock.region.setCurrentIndex(dock.region.findData("plane"))
    run(dock, qtbot)
    assert nothing_failed(dock), dock.message.text.text()
    (layer,) = labels_of(viewer)
    assert layer.data.shape == (1, 64, 64)
    np.testing.assert_allclose(layer.translate, (4, 0, 0))


def test_many_channels_ask_which(viewer, dock, qtbot, weights):
    viewer.add_image(np.stack([cells(64)] * 3), name="three", axis_labels=("c", "y", "x"))
    assert viewer.dims.current_step[0] == 1
    choose(dock, qtbot, weights)
    assert dock.image_box.letters() == "cyx"
    assert not dock.channels.isHidden()
    run(dock, qtbot)
    assert nothing_failed(dock), dock.message.text.text()
    (layer,) = labels_of(viewer)
    assert layer.data.shape == (64, 64)
    assert layer.metadata["segnet"]["origin"]["predict"]["channels"] == "1"  # is in view


def test_maps_can_be_looked_at(viewer, dock, qtbot):
    viewer.add_image(cells(), name="cells", scale=(3, 3))
    choose(dock, qtbot, "nuclei")
    run(dock, qtbot)
    dock.maps.click()
    maps = [layer for layer in viewer.layers if record_of(layer).maps]
    assert [layer.name for layer in maps] == [
        "cells · foreground",
        "cells · boundary",
        "cells · distance",
    ]
    np.testing.assert_allclose(maps[0].scale, (3, 3))
    assert dock.layer.count() == 1, "maps are no images to segment"


def test_an_answer_that_is_gone_asks_to_run_again(viewer, dock, qtbot):
    viewer.add_image(cells(), name="cells")
    choose(dock, qtbot, "nuclei")
    run(dock, qtbot)
    cache.predictions.clear()
    with qtbot.waitSignal(dock.shown.live.runner.finished, timeout=WAIT_MS):
        dock.labels.changed.emit()
    assert "Press Run" in dock.message.text.text()


def test_the_command_repeats_the_result(viewer, dock, qtbot, tmp_path):
    import tifffile

    from napari_segnet.__main__ import main

    tifffile.imwrite(tmp_path / "cells.tif", cells())
    viewer.open(tmp_path / "cells.tif", plugin="napari")
    choose(dock, qtbot, "nuclei")
    run(dock, qtbot)
    dock.copy.click()
    line = QApplication.clipboard().text()
    import shlex

    words = shlex.split(line)
    assert words[:2] == ["napari-segnet", "segment"]
    assert main([*words[1:], "-o", str(tmp_path / "out")]) == 0
    (layer,) = labels_of(viewer)
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "out" / "cells.labels.tif"), layer.data
    )


def test_pictures_dropped_on_the_dock_end_in_a_table(viewer, dock, qtbot, tmp_path, weights):
    import tifffile

    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a", "b"):
        tifffile.imwrite(folder / f"{name}.tif", cells(64))
    (folder / "c.tif").write_bytes(b"no picture")
    for name in ("d.vsi", "notes.txt", "a.labels.tif"):
        (folder / name).write_bytes(b"of another program")
    choose(dock, qtbot, weights)
    dock.take_files([folder])  # they wait for the proof of the network
    qtbot.waitUntil(lambda: not dock.network.busy and not dock.batch.busy, timeout=WAIT_MS)
    table = dock.batch.table
    results = {table.item(r, 0).text(): table.item(r, 1).text() for r in range(table.rowCount())}
    assert results["a.tif"].endswith("objects")
    assert results["b.tif"].endswith("objects")
    assert results["c.tif"].startswith("failed: ")
    assert results["d.vsi"] == "skipped: of a kind that does not open here; save it as TIFF"
    assert sorted(results) == ["a.tif", "b.tif", "c.tif", "d.vsi"]
    assert dock.batch.said.text() == (
        "2 of 3 images are segmented. 1 further file was skipped. The table gives "
        "the reason for the others."
    )
    last = list(results).index("c.tif")
    assert table.rowHeight(last) > table.rowHeight(0), "the reason is cut off"
    assert len(labels_of(viewer)) == 2
    dock.batch.save_all(tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").glob("*.tif")) == [
        "a.labels.tif",
        "b.labels.tif",
    ]


@pytest.mark.subprocess
def test_opening_it_imports_no_torch():
    import subprocess

    code = (
        "import sys, napari_segnet.widgets.plugin.docks;"
        "print('torch' in sys.modules, 'skimage' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_messages_are_findable(dock):
    assert dock.findChild(MessageBar, "segnet_message") is dock.message


def test_a_calibrated_network_agrees_with_the_command(viewer, dock, qtbot, tmp_path):
    """What the window shows is what the core says."""
    import napari_segnet as sn

    module = calibrate(Milesial(channels=1, classes=1, width=4, depth=2))
    torch.save(module.state_dict(), tmp_path / "cal.pth")
    viewer.add_image(cells(80), name="cells")
    choose(dock, qtbot, tmp_path / "cal.pth")
    run(dock, qtbot)
    (layer,) = labels_of(viewer)
    made = sn.run(
        sn.segment(sn.identify(tmp_path / "cal.pth"), sn.Image(data=cells(80), axes="yx"))
    )
    np.testing.assert_array_equal(layer.data, made.labels)

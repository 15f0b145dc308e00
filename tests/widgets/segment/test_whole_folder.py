"""A whole folder is segmented into another one, without a layer."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from qtpy.QtWidgets import QFileDialog

from napari_segnet.errors import DiskFullError
from napari_segnet.readers import open_numbers
from napari_segnet.samples import nuclei_2d
from napari_segnet.widgets.plugin.docks import SegmentDock
from napari_segnet.widgets.segment import folder_jobs

WAIT_MS = 60_000


@pytest.fixture
def dock(qtbot):
    dock = SegmentDock(ViewerModel())
    qtbot.addWidget(dock)
    return dock


def ready(dock, qtbot):
    dock.choose_weights("nuclei")
    qtbot.waitUntil(lambda: dock.checkpoint is not None and not dock.network.busy, timeout=WAIT_MS)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    images, out = tmp_path / "plate", tmp_path / "results"
    images.mkdir()
    pixels = np.asarray(nuclei_2d().data)
    tifffile.imwrite(images / "well_1.tif", pixels[:96, :96])
    tifffile.imwrite(images / "well_2.tif", pixels[:64, :64])
    whole = (images / "well_2.tif").read_bytes()
    (images / "well_2.tif").write_bytes(whole[: len(whole) // 2])
    (images / "well_3.vsi").write_bytes(b"another kind")
    chosen = iter([str(images), str(out)])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: next(chosen))
    return images, out


def test_each_image_has_its_results_and_each_failure_its_sentence(dock, qtbot, folders):
    _, out = folders
    ready(dock, qtbot)
    dock.whole_folder.table.setChecked(True)
    with qtbot.waitSignal(dock.whole_folder.runner.finished, timeout=WAIT_MS):
        dock.whole_folder.open.click()
    said = dock.whole_folder.said.text()
    assert said.startswith(f"1 of 2 images are segmented, in {out}.")
    assert "well_2.tif: " in said
    assert "is not complete" in said
    assert "Unsupported files: well_3.vsi." in said
    assert open_numbers(out / "well_1.labels.tif").data[:].max() > 3
    assert (out / "well_1.table.csv").exists()
    assert not dock.viewer.layers
    assert dock.whole_folder.open.isEnabled()


def test_a_folder_that_is_offered_during_a_run_leaves_its_progress(dock, folders, monkeypatch):
    images, _ = folders
    box = dock.whole_folder
    box.box.show()
    box.box.begin()
    monkeypatch.setattr(type(box.runner), "busy", True)
    box.offer(images)
    assert (box.box.isHidden(), box.box.stop.isEnabled()) == (False, True)
    assert images.name in box.open.text()
    monkeypatch.undo()
    box.offer(images)
    assert box.box.isHidden()
    assert str(images) in box.said.text()


def test_a_folder_needs_a_network(dock, folders):
    dock.segment_folder(*folders)
    assert "Choose a network first" in dock.message.text.text()


def test_results_that_are_there_stay_unless_they_may_be_replaced(dock, qtbot, folders):
    images, out = folders
    ready(dock, qtbot)
    out.mkdir()
    (out / "well_1.labels.tif").write_bytes(b"mine")
    for overwrite, begins in ((False, "0 of 2"), (True, "1 of 2")):
        dock.whole_folder.overwrite.setChecked(overwrite)
        with qtbot.waitSignal(dock.whole_folder.runner.finished, timeout=WAIT_MS):
            dock.segment_folder(images, out)
        assert dock.whole_folder.said.text().startswith(begins)
        assert ((out / "well_1.labels.tif").read_bytes() == b"mine") is not overwrite


def test_no_network_runs_for_a_result_that_may_not_be_written(dock, qtbot, folders, monkeypatch):
    images, out = folders
    ready(dock, qtbot)
    out.mkdir()
    (out / "well_1.labels.tif").write_bytes(b"mine")
    monkeypatch.setattr(folder_jobs, "predict", None)
    with qtbot.waitSignal(dock.whole_folder.runner.finished, timeout=WAIT_MS):
        dock.segment_folder(images, out)
    assert "well_1.labels.tif in" in dock.whole_folder.said.text()


def test_a_full_disk_ends_the_run_after_two_images_in_succession(dock, qtbot, folders, monkeypatch):
    images, out = folders
    for number in range(4, 8):
        shutil.copy(images / "well_1.tif", images / f"well_{number}.tif")
    ready(dock, qtbot)
    written, write = [], folder_jobs.write_segmentation

    def until_full(made, folder, stem, **more):
        written.append(stem)
        if stem != "well_4":
            raise DiskFullError("The disk is full.")
        return write(made, folder, stem, **more)

    monkeypatch.setattr(folder_jobs, "write_segmentation", until_full)
    with qtbot.waitSignal(dock.whole_folder.runner.finished, timeout=WAIT_MS):
        dock.segment_folder(images, out)
    said = dock.whole_folder.said.text()
    assert written == ["well_1", "well_4", "well_5", "well_6"]
    assert said.startswith("1 of 6 images are segmented")
    assert "1 more image was not tried, since the disk is full." in said


def test_it_stops_on_request(dock, qtbot, folders):
    images, out = folders
    ready(dock, qtbot)
    with qtbot.waitSignal(dock.whole_folder.runner.finished, timeout=WAIT_MS):
        dock.segment_folder(images, out)
        dock.whole_folder.cancel()
    assert "Stopped on request" in dock.whole_folder.said.text()

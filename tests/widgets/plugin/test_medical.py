"""Medical images open in napari, and their labels are saved on the same grid."""

from __future__ import annotations

import sys

import nibabel
import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from npe2 import PluginManifest
from pydicom.uid import generate_uid
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QFileDialog
from support.dicoms import save_series

from napari_segnet.errors import ImageError, MismatchError, MissingExtraError, OutputError
from napari_segnet.readers import open_image
from napari_segnet.widgets.layers.convert import guess_axes, region_of, source_of
from napari_segnet.widgets.measure.dock import MeasureDock
from napari_segnet.widgets.plugin.drop_reader import find_or_open_dock
from napari_segnet.widgets.plugin.medical import medical_reader, write_nifti
from napari_segnet.widgets.qt.preferences import PLUGIN

WAIT_MS = 60_000
CT = np.random.default_rng(0).integers(-1000, 1000, (7, 24, 20)).astype(np.int16)
AFFINE = np.array([[-0.7, 0, 0.1, 80], [0, 0.7, 0, -90], [0, 0.05, 3, 12], [0, 0, 0, 1]])


@pytest.fixture
def nifti(tmp_path):
    path = tmp_path / "head.nii.gz"
    image = nibabel.Nifti1Image(CT.T, AFFINE)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def saved(viewer, layer, path):
    """Save as File > Save Selected Layers does: napari finds the writer by the ending."""
    assert viewer.layers.save(str(path), selected=False) if layer is None else layer.save(str(path))
    return nibabel.load(path)


def test_a_nifti_file_opens_with_size_and_axes(viewer, nifti):
    (layer,) = viewer.open(nifti, plugin=PLUGIN)
    assert layer.name == "head"
    assert np.array_equal(np.asarray(layer.data), CT)
    assert tuple(layer.axis_labels) == ("z", "y", "x")
    assert {str(unit) for unit in layer.units} == {"micrometer"}
    assert layer.scale == pytest.approx(np.linalg.norm(AFFINE[:3, :3], axis=0)[::-1] * 1000)


@pytest.mark.sample(1)
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_labels_made_by_hand_are_saved_on_the_grid_of_their_image(viewer, nifti, tmp_path, ending):
    viewer.open(nifti, plugin=PLUGIN)
    labels = viewer.add_labels(np.zeros(CT.shape, np.int32), name="mine")
    labels.data[3, 4:9, 5:7] = 70_000
    back = saved(viewer, labels, tmp_path / f"mine{ending}")
    original = nibabel.load(nifti)
    assert np.array_equal(back.affine, original.affine)
    assert back.header["sform_code"] == original.header["sform_code"]
    assert back.header["xyzt_units"] == original.header["xyzt_units"]
    assert np.array_equal(np.asarray(back.dataobj).T, labels.data)


def test_saved_labels_open_as_labels_and_are_saved_again(viewer, nifti, tmp_path):
    viewer.open(nifti, plugin=PLUGIN)
    labels = viewer.add_labels(np.ones(CT.shape, np.int32))
    saved(viewer, labels, tmp_path / "anything.nii.gz")
    viewer.layers.clear()
    (layer,) = viewer.open(tmp_path / "anything.nii.gz", plugin=PLUGIN)
    assert type(layer).__name__ == "Labels"
    layer.data[0, 0, 0] = 5
    back = saved(viewer, layer, tmp_path / "again.nii")
    assert np.array_equal(back.affine, nibabel.load(nifti).affine)
    assert back.dataobj[0, 0, 0] == 5


def test_labels_of_one_plane_lie_where_the_plane_is(viewer, nifti):
    (layer,) = viewer.open(nifti, plugin=PLUGIN)
    viewer.dims.set_point(0, 4 * layer.scale[0])
    source = source_of(layer, guess_axes(layer), region_of("plane", layer, viewer))
    assert source.image.grid is not None
    assert source.image.grid.offset_px == (4, 0, 0)
    whole = source_of(layer, guess_axes(layer), region_of("layer", layer, viewer))
    assert whole.image.grid == open_image(nifti).grid


@pytest.mark.long
def test_axes_that_the_user_knows_better_keep_the_grid(viewer, tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((6, 5, 4, 2), np.int16), AFFINE), tmp_path / "a.nii")
    (layer,) = viewer.open(tmp_path / "a.nii", plugin=PLUGIN)
    region = region_of("layer", layer, viewer)
    assert source_of(layer, None, region).image.grid.label_dims == {"t": 2, "z": 4, "y": 5, "x": 6}
    told = source_of(layer, "czyx", region).image.grid
    assert told.label_dims == {"z": 4, "y": 5, "x": 6}
    layer.data = np.zeros((2, 4, 5, 9), np.int16)  # no longer what was read
    region = region_of("layer", layer, viewer)
    assert source_of(layer, None, region).image.grid is None


def test_a_folder_of_dicom_slices_opens_in_order_with_its_gap_named(viewer, tmp_path):
    folder = save_series(tmp_path / "scan", CT, missing=(2,))
    (layer,) = viewer.open(folder, plugin=PLUGIN)
    assert layer.name == "scan"
    assert np.array_equal(np.asarray(layer.data), np.delete(CT, 2, axis=0))
    source = source_of(layer, guess_axes(layer), region_of("layer", layer, viewer))
    assert any("1 slice is missing" in note for note in source.image.notes)


def test_every_series_of_a_folder_opens_as_a_layer(viewer, tmp_path):
    save_series(tmp_path / "study", CT, SeriesDescription="thin")
    save_series(tmp_path / "other", CT[:3], SeriesInstanceUID=generate_uid())
    for path in (tmp_path / "other").iterdir():
        path.rename(tmp_path / "study" / f"b{path.name}")
    layers = viewer.open(tmp_path / "study", plugin=PLUGIN)
    assert sorted(layer.data.shape[0] for layer in layers) == [3, 7]
    assert "study CT thin" in [layer.name for layer in layers]


def test_a_dropped_folder_goes_to_the_reader_that_is_chosen(viewer, tmp_path, monkeypatch):
    from napari._qt.dialogs.qt_reader_dialog import QtReaderDialog

    folder = save_series(tmp_path / "scan", CT)
    ours = PluginManifest.from_distribution(PLUGIN).display_name

    def choose(dialog):
        offered = [button.text() for button in dialog.reader_btn_group.buttons()]
        assert ours in offered
        return ours, False

    monkeypatch.setattr(QtReaderDialog, "get_user_choices", choose)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(folder))])
    drop = QDropEvent(
        QPointF(QPoint(20, 20)),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    viewer.window._qt_viewer.dropEvent(drop)
    (layer,) = viewer.layers
    assert np.array_equal(np.asarray(layer.data), CT)


def test_labels_that_fit_two_images_are_not_guessed(viewer, nifti, tmp_path):
    viewer.open(nifti, plugin=PLUGIN)
    nibabel.save(nibabel.Nifti1Image(CT.T, np.eye(4)), tmp_path / "other.nii")
    (second,) = viewer.open(tmp_path / "other.nii", plugin=PLUGIN)
    labels = viewer.add_labels(np.ones(CT.shape, np.int32))
    with pytest.raises(
        MismatchError, match="fit “head” and “other”, which have different positions"
    ):
        write_nifti(str(tmp_path / "a.nii"), labels.data, labels.as_layer_data_tuple()[1])
    second.visible = False
    back = saved(viewer, labels, tmp_path / "a.nii")
    assert np.array_equal(back.affine, nibabel.load(nifti).affine)


def test_labels_of_a_plain_image_keep_its_pixel_size(viewer, tmp_path):
    labels = viewer.add_labels(
        np.ones((5, 6), np.int32), scale=(0.5, 0.25), units=("micrometer", "micrometer")
    )
    back = saved(viewer, labels, tmp_path / "plain.nii.gz")
    assert back.shape == (6, 5, 1)
    assert back.header.get_zooms()[:2] == pytest.approx((0.00025, 0.0005))
    assert (back.header["sform_code"], back.header["qform_code"]) == (0, 0)


def test_a_disk_that_refuses_is_a_sentence(viewer, tmp_path):
    labels = viewer.add_labels(np.ones((5, 6), np.int32))
    with pytest.raises(OutputError, match="cannot be written: the folder is not there"):
        write_nifti(str(tmp_path / "no" / "a.nii"), labels.data, labels.as_layer_data_tuple()[1])


def test_a_ct_dropped_on_the_dock_is_segmented_corrected_and_saved(
    viewer, nifti, tmp_path, qtbot, monkeypatch
):
    dock = find_or_open_dock(viewer)
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights("nuclei")
    folder = save_series(tmp_path / "scan", CT, missing=(2,))
    dock.take_files([nifti, folder])
    qtbot.waitUntil(lambda: not dock.batch.busy, timeout=WAIT_MS)
    labels = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    assert len(labels) == 2
    labels[0].data[3, 4:9, 5:7] = 77
    out = tmp_path / "out"
    dock.batch.save_all(out)
    names = ["head.json", "head.labels.nii.gz", "scan.json", "scan.labels.nii.gz"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert "1 slice is missing" in (out / "scan.json").read_text()
    by_menu = saved(viewer, labels[0], tmp_path / "by menu.nii.gz")
    for back in (by_menu, nibabel.load(out / "head.labels.nii.gz")):
        assert np.array_equal(back.affine, nibabel.load(nifti).affine)
        assert np.array_equal(np.asarray(back.dataobj).T, labels[0].data)


def test_the_measure_dock_exports_on_the_grid_of_the_image(
    viewer, nifti, tmp_path, qtbot, monkeypatch
):
    (image,) = viewer.open(nifti, plugin=PLUGIN)
    pixels = np.zeros(CT.shape, np.int32)
    pixels[3, 4:9, 5:7] = 7
    viewer.add_labels(pixels, name="mine", scale=image.scale, units="um")
    dock = MeasureDock(viewer)
    viewer.window.add_dock_widget(dock, name="Measure")
    dock.format.setCurrentIndex(dock.format.findText("Labels as NIfTI"))

    def export(name):
        chosen = str(tmp_path / name)
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (chosen, ""))
        with qtbot.waitSignal(dock._writer.finished, timeout=WAIT_MS):
            qtbot.mouseClick(dock.export, Qt.MouseButton.LeftButton)

    export("mine.nii")  # is packed, and is called so
    back = nibabel.load(tmp_path / "mine.nii.gz")
    assert np.array_equal(back.affine, nibabel.load(nifti).affine)
    assert np.array_equal(np.asarray(back.dataobj).T, pixels)
    dock.image.setCurrentIndex(0)  # no image: no more is known than its pixel size
    export("plain")
    plain = nibabel.load(tmp_path / "plain.labels.nii.gz")
    assert plain.header.get_zooms() == pytest.approx(back.header.get_zooms(), rel=1e-5)
    assert np.array_equal(np.asarray(plain.dataobj).T, pixels)
    export("visit 2.1")
    assert (tmp_path / "visit 2.1.labels.nii.gz").exists()


def test_a_file_that_the_dialog_did_not_ask_of_is_not_replaced(
    viewer, tmp_path, qtbot, monkeypatch
):
    viewer.add_labels(np.ones((8, 8), np.int32), name="mine")
    dock = MeasureDock(viewer)
    viewer.window.add_dock_widget(dock, name="Measure")
    dock.format.setCurrentIndex(dock.format.findText("Labels as NIfTI"))
    there = tmp_path / "mine.nii.gz"
    there.write_bytes(b"precious")
    chosen = str(tmp_path / "mine.nii")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (chosen, ""))
    qtbot.mouseClick(dock.export, Qt.MouseButton.LeftButton)
    assert not dock._writer.busy
    assert dock.message.text.text() == (
        f"{there} exists already. Choose its whole name to replace it."
    )
    assert there.read_bytes() == b"precious"


def test_a_folder_that_is_no_image_is_a_sentence(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ImageError, match="is a folder, not an image: it holds no images"):
        medical_reader(str(tmp_path))(str(tmp_path))


def test_a_folder_of_pictures_is_offered_to_be_segmented(viewer, tmp_path, monkeypatch):
    folder = tmp_path / "plate"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", np.zeros((9, 8), np.uint8))
    asked = []
    monkeypatch.setattr(
        QFileDialog, "getExistingDirectory", lambda *given: asked.append(given[1:]) or ""
    )
    assert viewer.open(folder, plugin=PLUGIN) == []
    dock = find_or_open_dock(viewer)
    box = dock.whole_folder
    assert dock.several.isExpanded() and box.open.text() == "Segment the folder “plate”…"
    assert str(folder) in box.said.text()
    box.open.click()
    assert asked == [("Folder for the results", str(folder))]
    box.open.click()  # that was cancelled, so it begins anew
    assert asked[1:] == [("Folder of the images",)]


def test_without_the_packages_the_window_says_what_to_install(nifti, monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingExtraError, match=r"napari-segnet\[medical\]"):
        medical_reader(str(nifti))(str(nifti))

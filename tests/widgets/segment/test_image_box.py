"""A picture that napari shows as it is stored is opened again as its file means it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_segnet.readers import open_image
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of
from napari_segnet.widgets.segment.image_box import ImageBox


def test_white_is_zero_is_opened_again(viewer, qtbot, tmp_path):
    stored = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)
    tifffile.imwrite(tmp_path / "white.tif", stored, photometric="miniswhite")
    box = ImageBox(viewer)
    viewer.window.add_dock_widget(box, name="Image")
    (shown,) = viewer.open(tmp_path / "white.tif", plugin="napari")
    box.list_layers()
    np.testing.assert_array_equal(shown.data, stored)
    assert "shows the stored numbers" in box.file_note.words.text()
    assert not box.file_note.as_filed.isHidden()
    qtbot.mouseClick(box.file_note.as_filed, Qt.MouseButton.LeftButton)
    box.list_layers()
    assert not shown.visible
    new = viewer.layers.selection.active
    assert new is not shown
    np.testing.assert_array_equal(new.data, np.asarray(open_image(tmp_path / "white.tif").data))
    np.testing.assert_array_equal(new.data, 255 - stored)
    assert box.choose(new)
    assert box.file_note.as_filed.isHidden() and box.file_note.isHidden()


def test_a_pixel_size_that_napari_leaves_out_is_offered(viewer, qtbot, tmp_path):
    tifffile.imwrite(
        tmp_path / "sized.tif",
        np.zeros((3, 2, 20, 30), np.uint16),
        imagej=True,
        resolution=(1 / 0.325, 1 / 0.325),
        metadata={"axes": "TCYX", "unit": "um"},
    )
    box = ImageBox(viewer)
    viewer.window.add_dock_widget(box, name="Image")
    (shown,) = viewer.open(tmp_path / "sized.tif", plugin="napari")
    box.list_layers()
    assert box.file_note.words.text() == (
        "The file states a pixel size of 0.325 µm; napari's layer has none."
    )
    assert not box.has_pixel_size() and box.file_note.as_filed.isHidden()
    record = metadata_of(LayerRecord(image_id=str(shown.unique_id)))
    frame = {"scale": (1, 2, 1, 1), "translate": (0, 0.5, 4, 0)}
    mine = viewer.add_labels(np.zeros((3, 1, 16, 30), int), metadata=record, **frame)
    other = viewer.add_labels(np.zeros((3, 1, 20, 30), int))
    qtbot.mouseClick(box.file_note.as_sized, Qt.MouseButton.LeftButton)
    assert box.has_pixel_size()
    assert box.file_note.as_sized.isHidden() and box.file_note.isHidden()
    assert tuple(shown.scale) == pytest.approx((1, 1, 0.325, 0.325))
    assert [str(unit) for unit in shown.units] == ["pixel", "pixel", "micrometer", "micrometer"]
    assert tuple(mine.scale) == pytest.approx((1, 2, 0.325, 0.325))
    assert tuple(mine.translate) == pytest.approx((0, 0.5, 1.3, 0))
    assert tuple(other.scale) == (1, 1, 1, 1)


@pytest.mark.parametrize("alone", [True, False])
def test_shapes_keep_their_place_on_the_only_image(viewer, qtbot, tmp_path, alone):
    tifffile.imwrite(
        tmp_path / "sized.tif",
        np.zeros((3, 20, 30), np.uint16),
        imagej=True,
        resolution=(4, 4),
        metadata={"axes": "TYX", "unit": "um"},
    )
    box = ImageBox(viewer)
    viewer.window.add_dock_widget(box, name="Image")
    (shown,) = viewer.open(tmp_path / "sized.tif", plugin="napari")
    if not alone:
        viewer.add_image(np.zeros((3, 20, 30)))
    corners = np.array([[2, 4], [2, 12], [10, 12], [10, 4]])
    region = viewer.add_shapes([corners], shape_type="rectangle")
    cells = viewer.add_points([[1, 8, 12]], scale=(1, 2, 2))
    box.list_layers()
    assert box.choose(shown)
    qtbot.mouseClick(box.file_note.as_sized, Qt.MouseButton.LeftButton)
    assert tuple(shown.scale) == pytest.approx((1, 0.25, 0.25))
    np.testing.assert_allclose(region.data_to_world((10, 12)), (2.5, 3) if alone else (10, 12))
    assert tuple(cells.scale) == (1, 2, 2)  # somebody has given it a size


def test_the_channel_in_view_is_proposed(viewer):
    box = ImageBox(viewer)
    viewer.window.add_dock_widget(box, name="Image")
    viewer.add_image(np.zeros((2, 5, 20, 30)), axis_labels=("t", "c", "y", "x"))
    viewer.dims.set_current_step(1, 3)
    box.list_layers()
    box.offer_channels(SimpleNamespace(channels=1))
    assert box.channels.value() == "3"
    box.channels.take("0")
    viewer.dims.set_current_step(1, 4)
    box.list_layers()
    assert box.channels.value() == "0"  # what the user chose stays
    box.offer_channels(SimpleNamespace(channels=2))
    assert box.channels.value() == "0,1"


def test_an_ordinary_file_and_a_layer_of_none_say_nothing(viewer, tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((8, 9), np.uint8))
    box = ImageBox(viewer)
    viewer.window.add_dock_widget(box, name="Image")
    viewer.open(tmp_path / "plain.tif", plugin="napari")
    box.list_layers()
    assert box.file_note.as_filed.isHidden()
    box.choose(viewer.add_image(np.zeros((8, 9))))
    assert box.file_note.as_filed.isHidden()


def test_a_file_that_is_gone_is_told(viewer, qtbot, tmp_path):
    path = tmp_path / "white.tif"
    tifffile.imwrite(path, np.zeros((8, 9), np.uint8), photometric="miniswhite")
    box = ImageBox(viewer)
    viewer.window.add_dock_widget(box, name="Image")
    (shown,) = viewer.open(path, plugin="napari")
    box.list_layers()
    path.unlink()
    qtbot.mouseClick(box.file_note.as_filed, Qt.MouseButton.LeftButton)
    assert "white.tif" in box.file_note.words.text()
    assert list(viewer.layers) == [shown] and shown.visible

"""The Measure dock: a table of objects, a click that finds them, and files."""

from __future__ import annotations

import csv
import time

import numpy as np
import pytest
import roifile
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_segnet.measure import Table
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of
from napari_segnet.widgets.measure.dock import STALE, MeasureDock
from napari_segnet.widgets.measure.subject import box_of, subject_of_measure
from napari_segnet.widgets.measure.table import MeasuresModel, MeasureTable, heading

WAIT_MS = 60_000


def two_objects():
    labels = np.zeros((40, 60), np.int32)
    labels[2:6, 3:9] = 5
    labels[30:38, 50:52] = 2
    return labels


@pytest.fixture
def dock(viewer, qtbot):
    dock = MeasureDock(viewer)
    viewer.window.add_dock_widget(dock, name="Measure")
    return dock


def measure(dock, qtbot):
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)
    assert dock.message.isHidden(), dock.message.text.text()


def column(dock, name):
    model = dock.table.measures
    titles = [model.headerData(i, Qt.Orientation.Horizontal) for i in range(model.columnCount())]
    place = titles.index(name)
    return [model.data(model.index(row, place)) for row in range(model.rowCount())]


def test_objects_are_measured_in_pixels_micrometres_and_brightness(viewer, dock, qtbot):
    assert not dock.run_box.button.isEnabled()
    pixels = np.arange(2400, dtype=np.uint16).reshape(40, 60)
    viewer.add_image(pixels, name="cells", scale=(0.5, 0.5), units="um")
    labels = viewer.add_labels(two_objects(), name="mine", scale=(0.5, 0.5), units="um")
    assert dock.image.currentText() == "cells"
    measure(dock, qtbot)
    assert dock.words.text() == "2 objects of “mine”"
    assert column(dock, "label") == ["2", "5"]
    assert column(dock, "area (px)") == ["16", "24"]
    assert column(dock, "area (µm²)") == ["4", "6"]
    mean = float(pixels[labels.data == 5].mean())
    assert float(column(dock, "intensity mean")[1]) == pytest.approx(mean, rel=1e-3)


def test_a_click_selects_and_centres_and_the_layer_is_followed(viewer, dock, qtbot):
    viewer.add_image(np.zeros((40, 60), np.uint8), name="cells", scale=(2, 2))
    labels = viewer.add_labels(two_objects(), name="mine", scale=(2, 2))
    measure(dock, qtbot)
    viewer.layers.selection.active = viewer.layers["cells"]
    dock.table.clicked.emit(dock.table.measures.index(0, 0))
    assert viewer.layers.selection.active is labels
    assert labels.selected_label == 2
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (2 * 33.5, 2 * 50.5))
    labels.selected_label = 5
    assert dock.table.currentIndex().row() == 1
    labels.selected_label = 77
    assert dock.table.currentIndex().row() == 1


def test_what_was_changed_since_is_said(viewer, dock, qtbot):
    labels = viewer.add_labels(two_objects(), name="mine")
    other = viewer.add_labels(two_objects(), name="other")
    dock.choose(labels)
    measure(dock, qtbot)
    other.paint((20, 20), 9)
    assert dock.words.text() == "2 objects of “mine”"
    labels.paint((20, 20), 9)
    assert dock.words.text() == STALE
    measure(dock, qtbot)
    assert dock.words.text() == "3 objects of “mine”"
    viewer.layers.remove(labels)
    dock.table.clicked.emit(dock.table.measures.index(0, 0))
    assert dock.labels.currentText() == "other"


def test_the_table_is_saved_as_csv(viewer, dock, qtbot, tmp_path, monkeypatch):
    viewer.add_labels(two_objects(), name="my: labels")
    measure(dock, qtbot)
    asked = []

    def name(parent, title, proposed, kinds):
        asked.append(proposed)
        return str(tmp_path / "out"), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", name)
    qtbot.mouseClick(dock.save, Qt.MouseButton.LeftButton)
    assert asked == ["my_ labels.csv"]
    with open(tmp_path / "out.csv", encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["area_px"] for row in rows] == ["16", "24"]
    dock.save_csv(tmp_path / "no" / "folder.csv")
    assert "could not be written" in dock.message.text.text()


def test_labels_of_a_part_are_measured_where_they_lie(viewer, dock, qtbot):
    pixels = np.random.default_rng(0).integers(0, 99, (3, 40, 60), np.uint16)
    image = viewer.add_image(pixels, name="stack", axis_labels=("z", "y", "x"))
    record = LayerRecord(image_id=str(image.unique_id), offset_px=(1, 0, 0))
    part = two_objects()[None, :, :30]
    viewer.add_labels(part, name="part", metadata=metadata_of(record))
    measure(dock, qtbot)
    assert column(dock, "volume (px)") == ["24"]
    mean = float(pixels[1, 2:6, 3:9].mean())
    assert float(column(dock, "intensity mean")[0]) == pytest.approx(mean, rel=1e-3)


def test_labels_that_fit_no_image_are_refused_and_measured_without(viewer, dock, qtbot):
    viewer.add_labels(two_objects(), name="mine")
    viewer.add_image(np.zeros((7, 7), np.uint8), name="small")
    dock.image.setCurrentIndex(dock.image.findText("small"))
    dock.run()
    assert "do not belong together" in dock.message.text.text()
    dock.image.setCurrentIndex(0)
    measure(dock, qtbot)
    assert column(dock, "area (px)") == ["16", "24"]


def test_objects_are_exported(viewer, dock, qtbot, tmp_path):
    viewer.add_image(np.zeros((40, 60), np.uint8), name="cells")
    layer = viewer.add_labels(two_objects(), name="mine")
    layer.features = {"index": [2, 5], "class": [1, 2], "score": [0.5, 0.75]}

    def export(title, name):
        dock.format.setCurrentIndex(dock.format.findText(title))
        with qtbot.waitSignal(dock._writer.finished, timeout=WAIT_MS):
            dock.export_to(tmp_path / name)
        return tmp_path / name

    rois = roifile.roiread(export("ImageJ ROI set", "mine.zip"))
    assert [(roi.name, roi.group) for roi in rois] == [("2", 1), ("5", 2)]
    assert "Exported" in dock.message.text.text()
    assert np.array_equal(tifffile.imread(export("Labels as TIFF", "mine.tif")), layer.data)
    export("Outlines picture", "no/folder.png")
    assert "cannot be written" in dock.message.text.text()


# ---- The table ----


def test_headings_are_words():
    named = ["area_px", "area_um2", "centroid_y_um", "orientation_deg", "label", "bbox_y0"]
    assert [heading(name) for name in named] == [
        *("area (px)", "area (µm²)", "centroid y (µm)", "orientation (°)", "label", "bbox y0"),
    ]


def test_columns_are_sorted_as_numbers_with_what_is_none_last():
    model = MeasuresModel()
    names = np.array(["b", "a", "b"], dtype=object)
    scores = np.array([9.0, np.nan, 10.0])
    model.show(Table(columns={"label": np.array([1, 2, 3]), "score": scores, "class_name": names}))

    def sorted_by(column, order):
        model.sort(column, order)
        return [model.data(model.index(row, 0)) for row in range(3)]

    assert sorted_by(1, Qt.SortOrder.AscendingOrder) == ["1", "3", "2"]
    assert sorted_by(1, Qt.SortOrder.DescendingOrder) == ["3", "1", "2"]
    assert sorted_by(2, Qt.SortOrder.AscendingOrder) == ["2", "1", "3"]
    assert model.data(model.index(0, 1)) == ""
    assert model.row_of(3) == 2 and model.row_of(4) == -1


def test_ten_thousand_rows_are_fluent(qtbot):
    rng = np.random.default_rng(0)
    columns = {"label": np.arange(1, 10_001), **{f"m{i}_px": rng.random(10_000) for i in range(30)}}
    table = MeasureTable()
    qtbot.addWidget(table)
    table.show()
    begun = time.process_time()
    table.show_table(Table(columns=columns))
    table.sortByColumn(3, Qt.SortOrder.DescendingOrder)
    table.selectRow(9_999)
    spent = time.process_time() - begun
    assert spent < 1.0
    assert float(table.measures.row(0)["m2_px"]) == columns["m2_px"].max()


def test_the_box_of_a_row_has_all_dimensions_of_the_layer():
    row = {"label": 3, "t": 2, "bbox_y0": 1, "bbox_y1": 4, "bbox_x0": 5, "bbox_x1": 9}
    whole = box_of(row, "tcyx", (5, 1, 20, 30))
    assert whole == (slice(2, 3), slice(0, 1), slice(1, 4), slice(5, 9))


def test_labels_in_another_order_are_turned(viewer):
    labels = np.zeros((4, 3, 10, 12), np.int32)  # z before t
    labels[1, 2, 2:4, 5:9] = 7
    layer = viewer.add_labels(labels, axis_labels=("z", "t", "y", "x"))
    subject = subject_of_measure(layer, None, viewer.layers)
    assert (subject.axes, subject.labels.shape) == ("tzyx", (3, 4, 10, 12))
    assert subject.labels[2, 1, 2, 5] == 7

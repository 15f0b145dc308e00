"""Measurements of objects against figures that are known by hand."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

import napari_segnet as sn
from napari_segnet.errors import MismatchError
from napari_segnet.measure import Table, measure


def disc(shape: tuple[int, int], middle: tuple[int, int], radius: float) -> np.ndarray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - middle[0]) ** 2 + (x - middle[1]) ** 2 <= radius**2


@pytest.fixture
def labels() -> np.ndarray:
    made = np.zeros((60, 80), np.int32)
    made[disc(made.shape, (20, 20), 10)] = 7
    made[40:44, 30:70] = 3
    return made


def test_a_disc_and_a_bar(labels: np.ndarray) -> None:
    image = sn.Image(data=np.where(labels == 7, 200, 10).astype(np.uint8), axes="yx")
    table = sn.run(measure(labels, "yx", image, pixel_size_um={"y": 0.5, "x": 0.5}))
    bar, round_ = table.rows()
    assert (bar["label"], round_["label"]) == (3, 7)
    assert bar["area_px"] == 160
    assert bar["area_um2"] == 40
    assert (bar["bbox_y0"], bar["bbox_y1"], bar["bbox_x0"], bar["bbox_x1"]) == (40, 44, 30, 70)
    assert (bar["centroid_y_px"], bar["centroid_x_px"]) == (41.5, 49.5)
    assert bar["centroid_x_um"] == 24.75
    assert bar["orientation_deg"] == pytest.approx(0, abs=1e-6)
    assert bar["solidity"] == pytest.approx(1)
    assert bar["intensity_mean"] == 10
    assert round_["diameter_px"] == pytest.approx(20, rel=0.02)
    assert round_["diameter_um"] == pytest.approx(10, rel=0.02)
    assert round_["circularity"] > 0.9 > bar["circularity"]
    assert round_["intensity_max"] == round_["intensity_min"] == 200
    assert round_["intensity_sum"] == 200 * round_["area_px"]


def test_orientation_counts_counter_clockwise_from_the_x_axis() -> None:
    labels = np.zeros((50, 50), np.int32)
    for k in range(30):  # up and to the right, as people see it
        labels[40 - k, 5 + k : 8 + k] = 1
    (row,) = sn.run(measure(labels, "yx")).rows()
    assert row["orientation_deg"] == pytest.approx(45, abs=3)


def test_without_pixel_size_there_are_no_micrometres(labels: np.ndarray) -> None:
    table = sn.run(measure(labels, "yx"))
    assert not [name for name in table.columns if "_um" in name or "intensity" in name]


def test_unequal_pixels_give_areas_but_no_lengths(labels: np.ndarray) -> None:
    table = sn.run(measure(labels, "yx", pixel_size_um={"y": 1.0, "x": 0.5}))
    assert "area_um2" in table.columns
    assert "perimeter_um" not in table.columns


def test_a_volume() -> None:
    labels = np.zeros((10, 12, 14), np.int32)
    labels[2:6, 3:7, 4:8] = 5
    labels[8, 1:4, 1:4] = 6  # flat: has no convex hull
    table = sn.run(measure(labels, "zyx", pixel_size_um={"z": 2.0, "y": 1.0, "x": 1.0}))
    cube, flat = table.rows()
    assert cube["volume_px"] == 64
    assert cube["volume_um3"] == 128
    assert "volume_ml" not in cube  # of a cell
    assert cube["centroid_z_um"] == 7
    assert cube["solidity"] == pytest.approx(1)
    assert flat["solidity"] is None
    size = {"z": 5000.0, "y": 700.0, "x": 700.0}  # of a CT, in micrometres
    cube, _ = sn.run(measure(labels, "zyx", pixel_size_um=size)).rows()
    assert cube["volume_ml"] == pytest.approx(64 * 5 * 0.7 * 0.7 / 1000)


def test_a_series_has_a_row_per_time() -> None:
    labels = np.zeros((2, 20, 20), np.int32)
    labels[0, 2:6, 2:6] = 1
    labels[1, 2:6, 2:10] = 1
    labels[1, 12:14, 2:4] = 2
    image = sn.Image(data=np.stack([np.full((20, 20), 3.0), np.full((20, 20), 4.0)]), axes="tyx")
    rows = list(sn.run(measure(labels, "tyx", image)).rows())
    assert [(r["label"], r["t"], r["area_px"]) for r in rows] == [(1, 0, 16), (1, 1, 32), (2, 1, 4)]
    assert [r["intensity_mean"] for r in rows] == [3, 4, 4]


def test_channels_are_named(labels: np.ndarray) -> None:
    data = np.stack([np.full(labels.shape, c, np.uint8) for c in (1, 2)])
    image = sn.Image(data=data, axes="cyx", channel_names=("DAPI", "GFP"))
    table = sn.run(measure(labels, "yx", image))
    assert table.columns["intensity_mean_GFP"].tolist() == [2, 2]


def test_classes_and_scores(labels: np.ndarray) -> None:
    table = sn.run(
        measure(
            labels,
            "yx",
            label_class={3: 1, 7: 2},
            label_score={7: 0.5},
            class_names=("background", "rod", "coccus"),
        )
    )
    bar, round_ = table.rows()
    assert list(table.columns)[:4] == ["label", "class", "class_name", "score"]
    assert (bar["class_name"], bar["score"]) == ("rod", None)
    assert (round_["class_name"], round_["score"]) == ("coccus", 0.5)


def test_odd_objects_measure_without_a_warning() -> None:
    labels = np.zeros((9, 9), np.uint16)
    labels[0, 0] = 1
    labels[4, :] = 9
    rows = list(sn.run(measure(labels, "yx")).rows())
    assert [row["area_px"] for row in rows] == [1, 9]
    assert rows[0]["solidity"] is None
    assert rows[0]["circularity"] is None


def test_nothing_to_measure() -> None:
    table = sn.run(measure(np.zeros((5, 5), np.int32), "yx"))
    assert len(table) == 0
    assert table.to_csv().startswith("label,area_px,")


def test_a_full_image_has_no_background() -> None:
    (row,) = sn.run(measure(np.full((5, 5), 4, np.int32), "yx")).rows()
    assert (row["label"], row["area_px"]) == (4, 25)


def test_csv_comes_back(labels: np.ndarray, tmp_path: Path) -> None:
    table = sn.run(measure(labels, "yx", label_score={3: 0.25}))
    table.save(tmp_path / "cells.csv")
    with open(tmp_path / "cells.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["3", "7"]
    assert rows[1]["score"] == ""
    assert math.isclose(float(rows[0]["area_px"]), 160)
    assert "2 rows" in repr(table)


def test_other_lengths_are_refused(labels: np.ndarray) -> None:
    image = sn.Image(data=np.zeros((60, 81)), axes="yx")
    with pytest.raises(MismatchError, match="60 x 81 pixels, but its labels 60 x 80"):
        sn.run(measure(labels, "yx", image))
    with pytest.raises(MismatchError, match="cannot have the axes 'zyx'"):
        sn.run(measure(labels, "zyx"))
    with pytest.raises(MismatchError, match="whole numbers, but these are float64"):
        sn.run(measure(labels.astype(float), "yx"))


def test_it_can_be_stopped() -> None:
    labels = np.arange(1, 2501, dtype=np.int32).reshape(50, 50).repeat(2, 0).repeat(2, 1)
    steps = measure(labels, "yx")
    next(steps)
    steps.cancel()
    with pytest.raises(sn.Cancelled):
        next(steps)


def test_a_table_is_a_value() -> None:
    table = Table(columns={"label": np.array([1, 2])})
    assert [row["label"] for row in table.rows()] == [1, 2]

"""OME-Zarr in the window: images with their levels, labels that are corrected where they lie."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from qtpy.QtWidgets import QInputDialog, QProgressDialog, QPushButton

from napari_segnet.correct import merge
from napari_segnet.errors import ImageError
from napari_segnet.readers import open_image
from napari_segnet.segmentation import Origin, Segmentation
from napari_segnet.widgets.layers.editing import apply_edit
from napari_segnet.widgets.plugin import zarr_reader
from napari_segnet.widgets.qt.preferences import PLUGIN
from napari_segnet.writers import ZarrPlace, write_segmentation

zarr = pytest.importorskip("zarr")
WAIT_MS = 60_000


@pytest.fixture
def folder(tmp_path):
    """Labels with two levels, as they are written here."""
    labels = np.zeros((600, 40), np.int32)
    labels[100:150, 5:20], labels[150:190, 5:20] = 1, 2
    made = Segmentation(
        labels=labels, axes="yx", pixel_size_um={"y": 0.5, "x": 0.5}, kind="instance",
        label_class={1: 1, 2: 1}, label_score={1: 0.5, 2: 0.5}, class_names=(),
        origin=Origin(checkpoint={}, image={}, predict={}),
    )  # fmt: skip
    place = ZarrPlace(folder=tmp_path / "cells.zarr")
    write_segmentation(made, tmp_path, "cells", zarr=place)
    return place.folder


def levels(folder):
    return [np.asarray(zarr.open_array(str(folder / name), mode="r")) for name in "01"]


def test_labels_are_corrected_where_they_lie(viewer, folder):
    (layer,) = viewer.open(folder, plugin=PLUGIN)
    assert (type(layer).__name__, layer.multiscale, layer.editable) == ("Labels", False, True)
    assert (layer.scale.tolist(), tuple(layer.axis_labels)) == ([0.5, 0.5], ("y", "x"))
    before = levels(folder)
    layer.selected_label = 7
    layer.paint((301, 20), 7)
    assert (levels(folder)[0] == 7).sum() > 10
    edit = merge(layer.data, [1, 2])
    apply_edit(layer, edit)
    first, second = levels(folder)
    assert set(np.unique(first)) == {0, 1, 7}
    np.testing.assert_array_equal(second, first[::2, ::2])
    layer.undo()
    layer.undo()
    for now, then in zip(levels(folder), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_labels_that_cannot_be_corrected_are_shown_and_say_so(viewer, folder, monkeypatch):
    said = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", said.append)
    for what, value in ((zarr_reader, ("MOST_PX", 1000)), (os, ("access", lambda *_: False))):
        with monkeypatch.context() as patched:
            patched.setattr(what, *value)
            (layer,) = viewer.open(folder, plugin=PLUGIN)
        assert (type(layer).__name__, layer.multiscale) == ("Labels", True)
    assert "The labels cells are read-only: planes of 40 x 600" in said[0]
    assert f"you may not write to {folder}. Copy that folder" in said[1]


def test_an_image_has_its_levels_and_may_be_named_by_an_address(viewer, qtbot, folder, monkeypatch):
    group = zarr.open_group(str(folder), mode="r+")
    about = dict(group.attrs["ome"])
    del about["image-label"]
    group.attrs["ome"] = about
    answers = iter([(folder.as_uri(), True), ("https://nowhere/a.zarr", False)])
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: next(answers))
    zarr_reader.ask_address(viewer)
    zarr_reader.ask_address(viewer)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=WAIT_MS)
    (layer,) = viewer.layers
    assert (type(layer).__name__, layer.multiscale, len(layer.data)) == ("Image", True, 2)
    np.testing.assert_array_equal(np.asarray(layer.data[0]), np.asarray(open_image(folder).data))


def test_an_address_that_does_not_answer_is_cancelled_and_one_that_fails_says_why(
    viewer, qtbot, monkeypatch
):
    begun, end, said = threading.Event(), threading.Event(), []

    def slow(_: str) -> None:
        begun.set()
        end.wait(WAIT_MS / 1000)
        raise ImageError("there is no image")

    monkeypatch.setattr(zarr_reader, "_layer", slow)
    monkeypatch.setattr("napari.utils.notifications.show_error", said.append)
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: ("https://nowhere/a.zarr", True))
    window = viewer.window._qt_window

    def waiting() -> list[QProgressDialog]:
        return window.findChildren(QProgressDialog, "segnet_open_address")

    zarr_reader.ask_address(viewer)
    qtbot.waitUntil(begun.is_set, timeout=WAIT_MS)
    assert waiting()[0].labelText() == "Opening https://nowhere/a.zarr …"
    waiting()[0].findChild(QPushButton).click()
    qtbot.waitUntil(lambda: not waiting(), timeout=WAIT_MS)
    end.set()
    zarr_reader.ask_address(viewer)
    qtbot.waitUntil(lambda: not waiting(), timeout=WAIT_MS)
    assert (said, len(viewer.layers)) == (["there is no image"], 0)

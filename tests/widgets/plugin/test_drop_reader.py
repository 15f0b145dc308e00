"""Weight files that napari opens choose the network in the Segment dock."""

from __future__ import annotations

from pathlib import Path

import h5py
import npe2
import numpy as np
import pytest
import tifffile
import torch
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QLabel
from support.keras_files import h5, small
from support.packages import package, rdf, zipped

from napari_segnet.builtin import weights_path
from napari_segnet.errors import WeightsError
from napari_segnet.widgets.plugin.docks import SegmentDock
from napari_segnet.widgets.plugin.drop_reader import find_or_open_dock, weights_reader
from napari_segnet.widgets.plugin.unnamed import unnamed_reader


@pytest.fixture
def chosen(monkeypatch):
    """What docks were told to choose, each with its viewer."""
    seen: list[tuple[object, str]] = []
    monkeypatch.setattr(
        SegmentDock, "choose_weights", lambda self, choice: seen.append((self.viewer, choice))
    )
    return seen


@pytest.fixture
def weights(tmp_path) -> Path:
    path = tmp_path / "my.net.v2.PTH"
    path.write_bytes(weights_path("nuclei").read_bytes())
    return path


def docks(viewer):
    return [w for w in viewer.window.dock_widgets.values() if isinstance(w, SegmentDock)]


def test_opening_a_weights_file_opens_the_dock_and_chooses_it(viewer, weights, chosen):
    assert viewer.open(weights, plugin=None) == []
    (dock,) = docks(viewer)
    assert chosen == [(dock.viewer, str(weights))]
    assert len(viewer.layers) == 0


def test_the_network_is_looked_at(viewer, weights, qtbot):
    viewer.open(weights, plugin=None)
    (dock,) = docks(viewer)
    qtbot.waitUntil(lambda: dock.checkpoint is not None, timeout=20_000)
    assert dock.checkpoint.path == weights


def test_a_second_file_goes_to_the_same_dock(viewer, weights, chosen):
    viewer.open(weights, plugin=None)
    viewer.open(weights, plugin=None)
    assert len(docks(viewer)) == 1
    assert len(chosen) == 2


def test_of_several_files_the_first_is_chosen(viewer, weights, chosen):
    assert weights_reader([str(weights), "other.pth"])([str(weights), "other.pth"]) == [(None,)]
    assert [choice for _, choice in chosen] == [str(weights)]


def test_a_drop_on_the_canvas_is_an_opening(viewer, weights, chosen):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(weights))])
    drop = QDropEvent(
        QPointF(QPoint(20, 20)),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    viewer.window._qt_viewer.dropEvent(drop)
    assert [choice for _, choice in chosen] == [str(weights)]


def test_a_network_without_an_ending_is_dropped_like_any_other(viewer, tmp_path, chosen):
    """As Cellpose names its own."""
    path = tmp_path / "CP_20220523_104016"
    torch.save({"output.2.weight": torch.zeros(3, 2)}, path)
    assert viewer.open(path, plugin=None) == []
    assert [choice for _, choice in chosen] == [str(path)]


def test_an_image_without_an_ending_opens_and_what_is_neither_does_not(viewer, tmp_path):
    path = tmp_path / "IM0001"
    tifffile.imwrite(path, np.eye(9, dtype=np.uint8))
    (layer,) = viewer.open(path, plugin=None)
    assert np.array_equal(layer.data, np.eye(9))
    (tmp_path / "README").write_text("no image")
    assert unnamed_reader(str(tmp_path / "README")) is None
    (tmp_path / "EMPTY").touch()
    assert unnamed_reader(str(tmp_path / "EMPTY")) is None, "another reader may know it"


def test_of_two_viewers_the_one_in_front_is_told(make_viewer, weights, chosen):
    make_viewer(show=False)
    front = make_viewer(show=False)
    front.open(weights, plugin=None)
    assert len(docks(front)) == 1
    (told,) = [viewer for viewer, _ in chosen]
    assert told is docks(front)[0].viewer


def test_without_a_window_it_is_a_sentence(weights, monkeypatch, npe2pm):
    npe2pm.register(npe2.PluginManifest.from_distribution("napari-segnet"))
    monkeypatch.setattr("napari.current_viewer", lambda: None)
    with pytest.raises(WeightsError, match=r"my\.net\.v2\.PTH is a network, not an image"):
        npe2.read([str(weights)], stack=False)


def test_a_dock_that_is_hidden_is_shown_again(make_viewer, chosen):
    viewer = make_viewer(show=True)
    dock = find_or_open_dock(viewer)
    around = dock.parent()
    around.hide()
    assert find_or_open_dock(viewer) is dock
    assert around.isVisible()


def test_a_dock_has_the_name_by_which_menus_find_it_and_a_short_tab(make_viewer, chosen, qtbot):
    from napari.plugins import menu_item_template

    title = npe2.PluginManifest.from_distribution("napari-segnet").display_name
    viewer = make_viewer(show=True)
    dock = find_or_open_dock(viewer)
    assert viewer.window.dock_widgets[menu_item_template.format(title, "Segment")] is dock
    qtbot.waitUntil(lambda: dock.parent().windowTitle() == "Segment")
    bar = dock.parent().titleBarWidget()
    assert "Segment" in [label.text() for label in bar.findChildren(QLabel)]


def test_a_dock_that_a_script_added_is_found(viewer):
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="mine")
    assert find_or_open_dock(viewer) is dock


def test_a_dock_that_was_closed_is_opened_anew(viewer):
    first = find_or_open_dock(viewer)
    viewer.window.remove_dock_widget(first)
    second = find_or_open_dock(viewer)
    assert second is not first
    assert docks(viewer) == [second]


def keras_file(path: Path) -> Path:
    config, weights = small()
    return h5(path, weights, config)


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["net.h5", "net.hdf5", "NET.H5"])
def test_a_network_of_keras_goes_to_the_dock(viewer, tmp_path, chosen, name):
    path = keras_file(tmp_path / name)
    # napari's own reader claims HDF5 as well, so napari asks which one is meant.
    assert viewer.open(path, plugin="napari-segnet") == []
    assert [choice for _, choice in chosen] == [str(path)]


def test_hdf5_with_images_is_handed_on(tmp_path):
    path = tmp_path / "cells.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = np.zeros((4, 4))
    assert weights_reader(str(path)) is None
    with h5py.File(path, "r+") as file:
        file["link"] = h5py.ExternalLink("other.h5", "/raw")
    assert weights_reader([str(path)]) is None


def test_damaged_hdf5_is_explained_by_the_dock(tmp_path):
    path = keras_file(tmp_path / "net.h5")
    path.write_bytes(path.read_bytes()[:-200])
    assert weights_reader(str(path)) is not None


def test_a_folder_is_taken_if_it_is_a_package(viewer, tmp_path, chosen):
    folder = package(tmp_path / "p", rdf())
    viewer.open(folder, plugin="napari-segnet")
    assert [choice for _, choice in chosen] == [str(folder)]
    (tmp_path / "pictures").mkdir()
    np.save(tmp_path / "pictures" / "a.npy", np.zeros((4, 4)))
    assert weights_reader(str(tmp_path / "pictures")) is None
    assert weights_reader(str(zipped(tmp_path / "pictures"))) is None

"""The manifest says what there is, and every command of it opens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from app_model.types import MenuItem
from npe2 import PluginManager, PluginManifest
from npe2.manifest.utils import import_python_name

from napari_segnet.readers import READERS
from napari_segnet.readers.dicom import DicomReader
from napari_segnet.readers.nifti import NiftiReader
from napari_segnet.samples import SAMPLES
from napari_segnet.widgets.checkpoint.picker import WEIGHTS_SUFFIXES
from napari_segnet.widgets.evaluate.dock import EvaluateDock
from napari_segnet.widgets.measure.dock import MeasureDock
from napari_segnet.widgets.plugin.docks import CorrectDock, SegmentDock
from napari_segnet.widgets.plugin.drop_reader import DOCK
from napari_segnet.widgets.qt.preferences import PLUGIN
from napari_segnet.widgets.train.dock import TrainDock

MANIFEST = PluginManifest.from_distribution(PLUGIN)
THERE = MANIFEST.contributions
DOCKS = {
    DOCK: SegmentDock,
    "Correct": CorrectDock,
    "Train": TrainDock,
    "Measure": MeasureDock,
    "Evaluate": EvaluateDock,
}
MENUS = {"Evaluate": "napari/layers/measure", "Measure": "napari/layers/measure"}
"""Of the others: napari/layers/segment."""


def command_ids(menu: str) -> set[str]:
    from napari._app_model import get_app_model

    items = get_app_model().menus.get_menu(menu)
    return {item.command.id for item in items if isinstance(item, MenuItem)}


@pytest.mark.subprocess
def test_npe2_finds_nothing_wrong(root):
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", PLUGIN], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "valid" in done.stdout


def test_the_file_at_the_top_is_a_link_to_that_of_the_package(root):
    link = root / "napari.yaml"
    assert link.is_symlink()
    assert link.readlink() == Path("src/napari_segnet/napari.yaml")


def test_every_command_leads_to_what_can_be_called():
    for command in THERE.commands:
        assert command.id.startswith(f"{PLUGIN}.")
        assert callable(import_python_name(command.python_name)), command.id


def test_every_command_is_of_use():
    used = {widget.command for widget in THERE.widgets}
    used |= {reader.command for reader in THERE.readers}
    used |= {writer.command for writer in THERE.writers}
    used |= {sample.command for sample in THERE.sample_data}
    used |= {item.command for item in THERE.menus["napari/file/io_utilities"]}
    assert {command.id for command in THERE.commands} == used


@pytest.mark.parametrize("widget", THERE.widgets, ids=lambda w: w.display_name)
def test_every_dock_opens_from_the_menus(viewer, widget):
    from napari._app_model import get_app_model

    # One of several docks stands in a menu of its plugin's own.
    assert widget.command in command_ids(f"napari/plugins/{PLUGIN}")
    assert widget.command in command_ids(MENUS.get(widget.display_name, "napari/layers/segment"))
    get_app_model().commands.execute_command(widget.command).result()
    (dock,) = viewer.window.dock_widgets.values()
    assert type(dock) is DOCKS[widget.display_name]


def test_the_docks_have_the_names_that_others_look_for():
    assert list(DOCKS) == [widget.display_name for widget in THERE.widgets]


@pytest.mark.parametrize("sample", THERE.sample_data, ids=lambda s: s.key)
def test_every_sample_opens(viewer, sample):
    (layer,) = viewer.open_sample(PLUGIN, sample.key)
    assert np.array_equal(layer.data, SAMPLES[sample.key]().data)


def test_every_sample_there_is_has_its_entry():
    assert list(SAMPLES) == [sample.key for sample in THERE.sample_data]


def test_the_readers_claim_what_the_dock_takes_and_medical_images():
    reader, zarr, medical, unnamed = THERE.readers
    # In front of medical ones, which take every folder that they are offered.
    assert zarr.command.endswith("read_zarr") and zarr.accepts_directories
    assert medical.accepts_directories
    assert reader.accepts_directories  # of packages
    kinds = [kind for kind in READERS if isinstance(kind, NiftiReader | DicomReader)]
    claimed = {f"*{suffix}" for kind in kinds for suffix in kind.suffixes}
    assert claimed == set(medical.filename_patterns)
    assert [f"*{suffix}" for suffix in WEIGHTS_SUFFIXES] == reader.filename_patterns
    assert not unnamed.accepts_directories


def test_names_without_an_ending_are_claimed_and_no_others(viewer):
    without = "CP_20220523_104016", "cyto3", "cpsam", "IM000001", "my.network_of_2026_05"
    others = "cells.tif", "cells.ome.tiff", "plate.geojson", "a.b", "measured.parquet"
    for name in (*without, *others):
        found = PluginManager.instance().iter_compatible_readers(name)
        assert (name in without) is any(one.command.endswith("read_unnamed") for one in found)


def test_the_settings_have_a_page_in_the_preferences(viewer, preferences_file):
    from napari._qt.dialogs.preferences_dialog import PreferencesDialog

    dialog = PreferencesDialog(viewer.window._qt_window)
    pages = [dialog._list.item(n).text() for n in range(dialog._list.count())]
    dialog.close()
    dialog.deleteLater()
    assert THERE.configurations["engine"].title
    assert MANIFEST.display_name in pages

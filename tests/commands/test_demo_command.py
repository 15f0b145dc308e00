"""``napari-segnet demo`` where no window is opened; the window has its own tests."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

import napari_segnet as sn
from napari_segnet.commands import demo
from napari_segnet.samples import nuclei_2d, true_nuclei_2d

FILES = ["demo-nuclei.json", "demo-nuclei.labels.tif", "demo-nuclei.overlay.png", "demo-nuclei.tif"]


@pytest.fixture
def no_window(monkeypatch):
    """Nothing here may open a window."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


@pytest.fixture
def lacking(monkeypatch):
    """Make modules look as if they were not installed."""
    found = importlib.util.find_spec

    def lack(*names: str) -> None:
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name in names else found(name)
        )

    return lack


@pytest.fixture
def no_work(monkeypatch):
    """Do not segment; return the folders that were asked for."""
    folders = []
    monkeypatch.setattr(demo, "_write", folders.append)
    return folders


def test_files_are_written_and_named(run, tmp_path):
    done = run("demo", "--headless", "-o", tmp_path / "new" / "demo")
    assert done.code == 0
    folder = tmp_path / "new" / "demo"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert all(str(folder / name) in done.out for name in FILES)
    assert "nuclei found" in done.err

    labels = tifffile.imread(folder / FILES[1])
    assert sn.evaluate(labels, true_nuclei_2d()).ap50 > 0.9
    image = sn.open_image(folder / FILES[3])
    assert np.array_equal(image.data, nuclei_2d().data)
    assert dict(image.pixel_size_um) == {"y": 0.5, "x": 0.5}
    origin = json.loads((folder / FILES[0]).read_text())
    assert origin["checkpoint"]["family"] == "segnet-unet"
    with Pillow.open(folder / FILES[2]) as picture:
        assert (picture.mode, picture.size) == ("RGB", (1024, 1024))

    again = run("segment", image.source, "--settings", folder / FILES[0], "-o", tmp_path / "again")
    assert again.code == 0
    assert (tmp_path / "again" / FILES[1]).read_bytes() == (folder / FILES[1]).read_bytes()


def test_it_replaces_its_own_files_and_no_others(run, tmp_path):
    (tmp_path / "nuclei.tif").write_bytes(b"mine")
    (tmp_path / FILES[2]).write_bytes(b"old")
    assert run("demo", "--headless", "-o", tmp_path).code == 0
    assert (tmp_path / "nuclei.tif").read_bytes() == b"mine"
    assert (tmp_path / FILES[2]).read_bytes() != b"old"


def test_a_folder_that_cannot_be_made_is_refused(run, tmp_path):
    (tmp_path / "file").write_text("")
    refused = run("demo", "--headless", "-o", tmp_path / "file" / "demo").refused()
    assert "Choose another folder with -o" in refused


@pytest.mark.usefixtures("no_window")
def test_without_a_display_it_writes_files_and_says_so(run, no_work, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(demo, "BINDINGS", ("numpy",))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    done = run("demo", "-o", tmp_path)
    assert (done.code, no_work) == (0, [tmp_path])
    assert done.err == "There is no display, so no window opens.\n"


def test_without_napari_it_writes_files_and_names_the_extra(run, no_work, lacking):
    lacking("napari")
    done = run("demo")
    assert (done.code, no_work) == (0, [demo.FOLDER])
    assert done.err == (
        "napari is not installed here. For the window: pip install 'napari-segnet[all]'\n"
    )


def test_without_qt_it_writes_files_and_names_the_extra(run, no_work, lacking, monkeypatch):
    lacking(*demo.BINDINGS)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "napari" or None)
    done = run("demo")
    assert (done.code, no_work) == (0, [demo.FOLDER])
    assert "no Qt to open a window with" in done.err


def test_headless_needs_no_excuse(run, no_work, lacking):
    lacking("napari")
    assert run("demo", "--headless").err == ""
    assert no_work == [demo.FOLDER]

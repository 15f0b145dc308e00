"""Names of files: letters of all languages, spaces, length, case, Windows' own ways.

A result has the name of its picture, so whatever a system takes as a name must pass through
everything that reads and writes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from support.dicoms import save, slice_of
from support.teaching import FOREGROUND, QUICK, fresh, objects, photograph, write_dataset

from napari_segnet import repeat
from napari_segnet.__main__ import main
from napari_segnet.commands import _plan
from napari_segnet.dataset import Dataset, add
from napari_segnet.engines.torch import identify, load
from napari_segnet.errors import SettingsError
from napari_segnet.evaluate import pair_folders
from napari_segnet.export import export, import_
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.formats import FORMATS
from napari_segnet.image import Image
from napari_segnet.journal import Journal, replay, slabs
from napari_segnet.progress import run
from napari_segnet.readers import READERS, open_image
from napari_segnet.repeat import command_line
from napari_segnet.train import train

NAMES = {
    "umlauts": "Zellkerne äöü ß é",
    "in pieces": unicodedata.normalize("NFD", "Zürich ñ"),
    "Japanese": "細胞 核",
    "beyond 16 bits": "cells 🔬",
    "spaces": "a  b c",
    "quotes": "it's 100% $HOME & `x` ^",
    "brackets": "[1] {2} (3) #4 +;,=@!~",
    "dots": "a.b..c",
    "long": "l" * 180,
}
"""Each is a name on Linux, macOS and Windows."""
PIXELS = photograph(objects((24, 28)))


@pytest.fixture(params=NAMES.values(), ids=NAMES)
def name(request):
    return request.param


@pytest.fixture
def folder(tmp_path, name):
    """A folder with the name, in which the files have it too."""
    path = tmp_path / name
    path.mkdir()
    return path


@pytest.fixture
def weights(folder, name):
    network = fresh(folder / f"{name}.safetensors", FOREGROUND)
    SegnetUNet().save(SegnetUNet().build(network).eval(), network, network.path)
    return network.path


WRITERS = {
    "TIFF": lambda path: tifffile.imwrite(path, PIXELS),
    "PNG": lambda path: Pillow.fromarray(PIXELS).save(path),
    "JPEG": lambda path: Pillow.fromarray(PIXELS).save(path, quality=95),
    "npy": lambda path: np.save(path, PIXELS),
    "NIfTI": lambda path: nibabel.save(nibabel.Nifti1Image(PIXELS.T, np.eye(4)), path),
    "DICOM": lambda path: save(slice_of(PIXELS), path),
}


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_every_reader_opens_it(reader, folder, name):
    if reader.name not in WRITERS:
        pytest.skip(f"nothing here writes {reader.name}")
    path = folder / f"{name}{reader.suffixes[0]}"
    WRITERS[reader.name](path)
    image = open_image(path)
    assert image.name == name
    assert Path(image.source) == path
    assert abs(image.read().reshape(PIXELS.shape).astype(int) - PIXELS).mean() < 4  # JPEG loses


@pytest.mark.sample(4)
def test_a_picture_is_segmented_and_its_labels_are_compared(folder, name, weights, capsys):
    tifffile.imwrite(folder / f"{name}.tif", PIXELS)
    out = folder / "out"
    words = [str(folder / f"{name}.tif"), "-c", str(weights), "-o", str(out), "--save-maps"]
    assert main(["segment", *words]) == 0, capsys.readouterr().err
    ending = (".json", ".labels.tif", ".maps.tif")
    assert sorted(p.name for p in out.iterdir()) == [name + end for end in ending]
    origin = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
    assert origin["image"]["name"] == name
    capsys.readouterr()
    assert main(["evaluate", str(out), str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["name"] == unicodedata.normalize(
        "NFC", name
    )


@pytest.mark.sample(3)
@pytest.mark.trains
def test_a_network_is_taught_under_it_stopped_and_gone_on_with(folder, name, weights, tmp_path):
    dataset = Dataset.open(write_dataset(folder / "set"))
    out = folder / f"{name} 2.safetensors"
    steps = train(identify(weights), dataset, out, QUICK)
    for progress in steps:
        if progress.what == "epoch":
            break
    steps.close()
    run(train(identify(weights), dataset, out, QUICK, resume=True))
    assert load(identify(out), "cpu").checkpoint.path == out


def test_a_dataset_takes_it(folder, name):
    tifffile.imwrite(folder / f"{name}.tif", PIXELS)
    sample = add(folder / "set", open_image(folder / f"{name}.tif"), objects((24, 28)))
    again = add(folder / "set", open_image(folder / f"{name}.tif"), objects((24, 28), seed=1))
    (found,) = Dataset.open(folder / "set").samples
    assert found == again
    assert found.image == sample.image
    assert found.source == str(folder / f"{name}.tif")


@pytest.mark.sample(40)
@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_every_format_takes_it_there_and_back(kind, folder, name):
    for part in ("images", "labels"):
        (folder / "set" / part).mkdir(parents=True)
        pixels = PIXELS if part == "images" else objects((24, 28))
        tifffile.imwrite(folder / "set" / part / f"{name}.tif", pixels)
    run(export(Dataset.open(folder / "set"), kind.name, folder / "out"))
    run(import_(folder / "out", folder / "back", kind.name))
    (sample,) = Dataset.open(folder / "back").samples
    found = tifffile.imread(sample.labels)
    assert np.array_equal(found > 0, objects((24, 28)) > 0)


def test_a_journal_lies_in_it(folder, name):
    journal = Journal(folder / f"{name}.journal")
    labels = objects((24, 28))
    journal.begin_snapshot(labels.shape, labels.dtype)
    for box in slabs(labels.shape):
        journal.snapshot_box([part.start for part in box], labels[box].copy())
    journal.end_snapshot()
    journal.close()
    assert journal.error is None
    np.testing.assert_array_equal(replay(folder / f"{name}.journal").labels, labels)


# ---- What is one name on another system ----


PORTS = {f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)}
DEVICES = {"con", "prn", "aux", "nul"} | PORTS
"""https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file"""


@pytest.mark.parametrize("name", ["con", "Aux", "NUL", "com1", "lpt9.x", "prn.ome"])
def test_a_sample_has_no_name_of_a_device_of_windows(name, tmp_path):
    image = Image(data=PIXELS, axes="yx", name=name)
    sample = add(tmp_path, image, objects((24, 28)))
    for path in (sample.image, sample.labels):
        assert path.name.split(".")[0].lower() not in DEVICES
    assert sample.name.lower().startswith(f"{name.lower().split('.')[0]}_")


def test_a_long_name_of_a_sample_fits_in_any_script(tmp_path):
    image = Image(data=PIXELS, axes="yx", name="細胞" * 60)
    sample = add(tmp_path, image, objects((24, 28)))
    assert "細胞細胞" in sample.name


def test_names_that_differ_in_case_alone_are_kept_apart_where_they_are_one_file(
    tmp_path, monkeypatch
):
    for folder, name in (("a", "Cells.tif"), ("b", "cells.tif")):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / name, PIXELS)
    paths = [tmp_path / "a", tmp_path / "b"]
    monkeypatch.setattr("napari_segnet.readers.IGNORES_CASE", False)
    assert sorted(_plan._stems(paths, "auto", None)[0]) == ["Cells", "cells"]
    monkeypatch.setattr("napari_segnet.readers.IGNORES_CASE", True)
    with pytest.raises(SettingsError, match=r"would both be written as cells\.labels\.tif"):
        _plan._stems(paths, "auto", None)


def test_letters_in_pieces_find_their_pair(tmp_path):
    """A picture from a Mac, its labels from elsewhere: the names look the same."""
    composed, pieces = (unicodedata.normalize(form, "Zürich") for form in ("NFC", "NFD"))
    for part, name in (("images", pieces), ("labels", composed)):
        (tmp_path / part).mkdir()
        tifffile.imwrite(tmp_path / part / f"{name}.tif", objects((24, 28)))
    (pair,) = pair_folders(tmp_path / "images", tmp_path / "labels")
    assert pair[0] == composed
    (sample,) = Dataset.open(tmp_path).samples
    assert (sample.image.stem, sample.labels.stem) == (pieces, composed)


# ---- Shells and consoles ----


def test_a_command_for_windows_is_quoted_for_windows(monkeypatch):
    monkeypatch.setattr(repeat.sys, "platform", "win32")
    line = command_line(r"C:\Users\Jörg M\cells 1.tif", r"D:\nets\unet.pth", axes="yx")
    assert line == (
        r'napari-segnet segment "C:\Users\Jörg M\cells 1.tif" -c D:\nets\unet.pth --set axes=yx'
    )


@pytest.mark.sample(1)
@pytest.mark.subprocess
@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
def test_a_console_that_lacks_the_letters_gets_escapes(encoding, tmp_path):
    """The consoles of Windows have 256 letters, which ones depends on the country."""
    tifffile.imwrite(tmp_path / "細胞 ü.tif", PIXELS)
    words = ["-m", "napari_segnet", "inspect", "nuclei", str(tmp_path / "細胞 ü.tif")]
    done = subprocess.run(
        [sys.executable, "-W", "error::EncodingWarning", "-X", "warn_default_encoding", *words],
        capture_output=True,
        env={"PYTHONIOENCODING": encoding, "PATH": "", "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert rb"\u7d30\u80de" in done.stdout
    assert "segnet-unet" in done.stdout.decode(encoding)

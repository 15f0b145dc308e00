"""``import`` and ``export``: what they print, write and return."""

from __future__ import annotations

import errno
import os

import pytest
import tifffile
from support.teaching import write_dataset

import napari_segnet.formats._pictures as pictures
from napari_segnet.__main__ import main
from napari_segnet.commands.exchange import MEANINGS, NAMES
from napari_segnet.formats import FORMATS
from napari_segnet.formats import MEANINGS as KNOWN


def test_the_help_names_every_format():
    assert ", ".join(kind.name for kind in FORMATS) == NAMES
    assert MEANINGS == KNOWN


def test_there_and_back(tmp_path, capsys):
    write_dataset(tmp_path / "d", count=2)
    assert main(["export", str(tmp_path / "d"), "--format", "coco", "-o", str(tmp_path / "c")]) == 0
    assert capsys.readouterr().out == f"2 images written to {tmp_path / 'c'}\n"
    assert main(["import", str(tmp_path / "c"), "-o", str(tmp_path / "e")]) == 0
    assert capsys.readouterr().out == f"2 images added to {tmp_path / 'e'}\n"
    assert (tmp_path / "e" / "dataset.json").is_file()


def test_a_single_json(tmp_path):
    write_dataset(tmp_path / "d", count=1)
    main(["export", str(tmp_path / "d"), "--format", "coco", "-o", str(tmp_path / "c")])
    path = tmp_path / "c" / "instances_train.json"
    assert main(["import", str(path), "-o", str(tmp_path / "e")]) == 0


def test_some_that_fail_are_named_and_the_exit_code_is_1(tmp_path, capsys):
    write_dataset(tmp_path / "d", count=2)
    (tmp_path / "d" / "labels" / "1.tif").write_bytes(b"II*\0 nothing")
    for words in (["export", "--format", "tiff"], ["import"]):
        code = main([*words, str(tmp_path / "d"), "-o", str(tmp_path / words[0])])
        said = capsys.readouterr()
        assert code == 1
        assert said.out.startswith("1 image ")
        assert "1 of 2 images failed:\n  1" in said.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["export", "d", "--format", "zip", "-o", "x"], "There is no format 'zip'. Formats: coco"),
        (["export", "nowhere", "--format", "coco", "-o", "x"], "nowhere is not a folder"),
        (["export", "d", "--format", "coco", "-o", "d"], "is not an empty folder, so it is left"),
        (["export", "d", "-o", "x"], "the following arguments are required: --format"),
        (["import", "nowhere", "-o", "x"], "There is no file or folder nowhere"),
        (["import", "empty", "-o", "x"], "holds no images with labels that are understood"),
        (["import", "d", "-o", "x", "--format", "zip"], "There is no format 'zip'"),
    ],
)
def test_refused_in_a_sentence_and_nothing_written(words, reason, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "d", count=1)
    (tmp_path / "empty").mkdir()
    assert main(words) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_disk_that_is_full(tmp_path, capsys, monkeypatch):
    write_dataset(tmp_path / "d", count=1)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pictures, "write_image", full)
    words = ["export", str(tmp_path / "d"), "--format", "tiff", "-o", str(tmp_path / "x")]
    assert main(words) == 2
    assert "the disk is full; free some space" in capsys.readouterr().err


def test_what_a_format_cannot_keep_is_said(tmp_path, capsys):
    write_dataset(tmp_path / "d", count=1)
    labels = tifffile.imread(tmp_path / "d" / "labels" / "0.tif")
    (tmp_path / "d" / "trusted").mkdir()
    tifffile.imwrite(tmp_path / "d" / "trusted" / "0.tif", (labels > 0).astype("uint8"))
    words = ["export", str(tmp_path / "d"), "--format", "cellpose", "-o", str(tmp_path / "x")]
    assert main(words) == 0
    assert "Note: 1 of the images is reviewed in part only, first '0'" in capsys.readouterr().err


def test_what_is_left_over_is_said_and_the_exit_code_is_1(tmp_path, capsys):
    write_dataset(tmp_path / "d", count=2)
    (tmp_path / "d" / "images" / "1.tif").unlink()
    assert main(["import", str(tmp_path / "d"), "-o", str(tmp_path / "e")]) == 1
    said = capsys.readouterr()
    assert said.out == f"1 image added to {tmp_path / 'e'}\n"
    assert said.err.endswith("Note: 1 label image left out: 1.tif has no image of its name.\n")


def test_a_mask_is_taken_apart_or_kept(tmp_path, capsys):
    root = write_dataset(tmp_path / "d", count=1)
    path = root / "labels" / "0.tif"
    labels = tifffile.imread(path) * 0
    labels[2:8, 2:8] = labels[20:28, 20:28] = 255
    tifffile.imwrite(path, labels)
    assert main(["import", str(root), "-o", str(tmp_path / "e")]) == 0
    assert "Note: 1 image: 0 has one number, 255, in several" in capsys.readouterr().err
    assert main(["import", str(root), "-o", str(tmp_path / "f"), "--labels", "objects"]) == 0
    assert capsys.readouterr().err.count("Note") == 0
    assert tifffile.imread(tmp_path / "e" / "labels" / "0.tif").max() == 2
    assert tifffile.imread(tmp_path / "f" / "labels" / "0.tif").max() == 255

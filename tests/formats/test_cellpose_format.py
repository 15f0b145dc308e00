"""Cellpose's files, and those of folders side by side."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_segnet.dataset import Dataset
from napari_segnet.errors import DatasetError
from napari_segnet.export import import_
from napari_segnet.formats import format_of
from napari_segnet.progress import run

LABELS = np.repeat(np.arange(6, dtype=np.uint16)[:, None], 7, 1)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def picture(path, values=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.zeros((6, 7), np.uint8) if values is None else values)


def seg(path, **content):
    np.save(path, content, allow_pickle=True)


def labels_in(root):
    (sample,) = Dataset.open(root).samples
    return tifffile.imread(sample.labels)


def test_what_its_window_saves_is_read_without_running_it(tmp_path):
    picture(tmp_path / "in" / "a.tif")
    seg(tmp_path / "in" / "a_seg.npy", masks=LABELS, filename="a.tif", flows=[np.zeros(3)])
    run(import_(tmp_path / "in", tmp_path / "d"))
    np.testing.assert_array_equal(LABELS, labels_in(tmp_path / "d"))


def test_masks_come_before_seg(tmp_path):
    picture(tmp_path / "in" / "a.tif")
    picture(tmp_path / "in" / "a_masks.tif", LABELS)
    picture(tmp_path / "in" / "a_cp_outlines.tif")
    seg(tmp_path / "in" / "a_seg.npy", masks=LABELS * 0)
    assert format_of(tmp_path / "in").name == "cellpose"
    run(import_(tmp_path / "in", tmp_path / "d"))
    np.testing.assert_array_equal(LABELS, labels_in(tmp_path / "d"))


def test_a_file_that_would_run_code(tmp_path):
    picture(tmp_path / "in" / "a.tif")
    seg(tmp_path / "in" / "a_seg.npy", masks=Bomb(tmp_path / "victim"))
    with pytest.raises(DatasetError, match=r"a_seg\.npy (cannot be read|holds no masks)"):
        run(import_(tmp_path / "in", tmp_path / "d"))
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"other": LABELS}, "holds no masks as Cellpose writes them"),
        ({"masks": "none"}, "holds no masks as Cellpose writes them"),
        ({"masks": LABELS[:3]}, r"holds masks of \(3, 7\) pixels, but a\.tif is \(6, 7\)"),
    ],
)
def test_files_that_are_none(content, reason, tmp_path):
    picture(tmp_path / "in" / "a.tif")
    seg(tmp_path / "in" / "a_seg.npy", **content)
    with pytest.raises(DatasetError, match=reason):
        run(import_(tmp_path / "in", tmp_path / "d"))


def test_a_file_that_is_cut_off(tmp_path):
    picture(tmp_path / "in" / "a.tif")
    path = tmp_path / "in" / "a_seg.npy"
    seg(path, masks=LABELS)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DatasetError, match=r"a_seg\.npy cannot be read as a file of Cellpose"):
        run(import_(tmp_path / "in", tmp_path / "d"))


def test_masks_without_their_image(tmp_path):
    picture(tmp_path / "in" / "a_masks.tif", LABELS)
    with pytest.raises(DatasetError, match=r"a_masks\.tif has no image a\.tif \(or \.png, \.jpg"):
        run(import_(tmp_path / "in", tmp_path / "d"))


# ---- Folders and files side by side ----


@pytest.mark.parametrize(
    "names",
    [
        ("images/a.tif", "labels/a.tif"),
        ("img/a.tif", "gt/a.labels.tif"),
        ("train/images/a.tif", "train/labels/a.tif"),
        ("a.tif", "a.labels.tif"),
        ("a.tif", "a_mask.tif"),
    ],
)
def test_pairs_by_many_names(names, tmp_path):
    for name, values in zip(names, (None, LABELS), strict=True):
        picture(tmp_path / "in" / name, values)
    assert format_of(tmp_path / "in").name == "tiff"
    run(import_(tmp_path / "in", tmp_path / "d"))
    np.testing.assert_array_equal(LABELS, labels_in(tmp_path / "d"))


def test_the_test_folder_is_held_out(tmp_path):
    for side in ("train", "test"):
        picture(tmp_path / "in" / side / "images" / f"{side}.tif")
        picture(tmp_path / "in" / side / "masks" / f"{side}.tif", LABELS)
    assert format_of(tmp_path / "in").name == "stardist"
    run(import_(tmp_path / "in", tmp_path / "d"))
    found = {s.name: s.split for s in Dataset.open(tmp_path / "d").samples}
    assert found == {"train": "train", "test": "val"}


def test_an_image_without_labels_is_named(tmp_path):
    for name in ("a", "b"):
        picture(tmp_path / "in" / "images" / f"{name}.tif")
    picture(tmp_path / "in" / "labels" / "a.tif", LABELS)
    report = run(import_(tmp_path / "in", tmp_path / "d"))
    assert report.done == ("a",)
    assert "b.tif has no label image of the same name" in report.failed[0][1]


def test_another_format_than_the_one_named(tmp_path):
    picture(tmp_path / "in" / "images" / "a.tif")
    with pytest.raises(DatasetError, match=r"holds nothing of the kind 'cellpose' \(Cellpose"):
        run(import_(tmp_path / "in", tmp_path / "d", "cellpose"))

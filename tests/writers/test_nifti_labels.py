"""Labels as NIfTI: on the whole grid, a part of it, or none that is known."""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_segnet.errors import MismatchError, MissingExtraError
from napari_segnet.grid import Grid
from napari_segnet.readers import open_image
from napari_segnet.writers import plain_grid, write_nifti_labels

LABELS = np.random.default_rng(0).integers(0, 90_000, (4, 5, 6), np.int32)


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    """That of a file of i, j, k = 6, 5, 4."""
    image = nibabel.Nifti1Image(np.zeros((6, 5, 4), np.int16), np.diag([-2.0, 2, 3, 1]))
    image.header["descrip"] = b"Name of a patient"
    nibabel.save(image, tmp_path / "image.nii")
    found = open_image(tmp_path / "image.nii").grid
    assert found is not None
    return found


def written(path: Path, *given: object, **named: object) -> nibabel.Nifti1Image:
    write_nifti_labels(path, *given, **named)
    return nibabel.load(path)


@pytest.mark.parametrize("axes", ["zyx", "xyz", "yzx"])
def test_any_order_of_axes(tmp_path: Path, grid: Grid, axes: str) -> None:
    turned = LABELS.transpose(["zyx".index(a) for a in axes])
    back = written(tmp_path / "a.nii.gz", turned, axes, grid)
    assert np.array_equal(np.asarray(back.dataobj).T, LABELS)
    assert b"patient" not in back.header.binaryblock


def test_axes_of_length_one_come_and_go(tmp_path: Path, grid: Grid) -> None:
    back = written(tmp_path / "a.nii.gz", LABELS[None, :, None], "tzcyx", grid)
    assert np.array_equal(np.asarray(back.dataobj).T, LABELS)
    slice_ = plain_grid("yx", (5, 6), {"y": 500.0, "x": 250.0})
    back = written(tmp_path / "b.nii", LABELS[0], "yx", slice_, packed=False)
    assert np.array_equal(np.asarray(back.dataobj)[..., 0].T, LABELS[0])
    assert back.header.get_zooms()[:2] == (0.25, 0.5)


def test_a_part_lies_where_it_was_cut(tmp_path: Path, grid: Grid) -> None:
    part = grid.part({"z": 1, "x": 2})
    back = written(tmp_path / "a.nii.gz", LABELS[1:3, :, 2:5], "zyx", part)
    wanted = np.zeros_like(LABELS)
    wanted[1:3, :, 2:5] = LABELS[1:3, :, 2:5]
    assert np.array_equal(np.asarray(back.dataobj).T, wanted)
    assert np.array_equal(back.affine, grid.affine)


@pytest.mark.parametrize(
    ("labels", "axes"), [(LABELS[:2], "zyx"), (LABELS[0], "yx"), (LABELS.repeat(2, 2), "zyx")]
)
def test_labels_of_another_size_are_refused(
    tmp_path: Path, grid: Grid, labels: np.ndarray, axes: str
) -> None:
    with pytest.raises(MismatchError, match="grid"):
        write_nifti_labels(tmp_path / "a.nii.gz", labels, axes, grid)
    assert not (tmp_path / "a.nii.gz").exists()


def test_masks_stay_small_and_high_ids_stay_right(tmp_path: Path, grid: Grid) -> None:
    mask = LABELS > 40_000
    assert written(tmp_path / "m.nii.gz", mask, "zyx", grid).get_data_dtype() == np.uint8
    high = LABELS.astype(np.int64) + 2**40
    back = written(tmp_path / "h.nii.gz", high, "zyx", grid)
    assert np.array_equal(np.asarray(back.dataobj).T, high)


def test_more_voxels_than_the_first_version_can_say(tmp_path: Path) -> None:
    long = np.zeros((1, 40_000), np.uint8)
    back = written(tmp_path / "a.nii.gz", long, "yx", plain_grid("yx", long.shape, {}))
    assert back.shape == (40_000, 1, 1)


def test_without_nibabel_the_extra_is_named(
    tmp_path: Path, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'napari-segnet\[medical\]'"):
        write_nifti_labels(tmp_path / "a.nii.gz", LABELS, "zyx", grid)

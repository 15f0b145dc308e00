"""npy: mapped, never unpickled, axes told where they cannot be known."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from napari_segnet.errors import ImageError
from napari_segnet.readers import open_image
from napari_segnet.readers._file_pixels import FilePixels


def save(path: Path, array: np.ndarray, **options: bool) -> Path:
    np.save(path, array, **options)
    return path


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_opens(tmp_path: Path, version: tuple[int, int]) -> None:
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, pixels, version)
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.npy").data), pixels)
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:6] + b"\x04" + data[7:])
    with pytest.raises(ImageError, match=r"unknown npy version \(4, 0\)"):
        open_image(tmp_path / "a.npy")


def test_two_dimensions_are_rows_and_columns(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.float32).reshape(3, 4)
    image = open_image(save(tmp_path / "a.npy", pixels))
    assert image.axes == "yx"
    assert isinstance(image.data, FilePixels)
    np.testing.assert_array_equal(image.data, pixels)


def test_more_dimensions_must_be_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(ImageError, match=r"3 dimensions \(3, 4, 5\).*--set axes=zyx"):
        open_image(path)
    assert open_image(path, "cyx").sizes["c"] == 3
    with pytest.raises(ImageError, match=r"has 3 dimensions .* but 2 axis names"):
        open_image(path, "yx")


def test_fortran_order_and_swapped_bytes(tmp_path: Path) -> None:
    pixels = np.asfortranarray(np.arange(12).reshape(3, 4).astype(">i2"))
    image = open_image(save(tmp_path / "a.npy", pixels))
    block = image.read()
    assert (block.dtype, image.dtype) == (np.dtype("int16"), np.dtype("int16"))
    assert block.dtype.isnative
    np.testing.assert_array_equal(block[0, 0, 0], pixels)


def test_bool_is_zero_and_one(tmp_path: Path) -> None:
    image = open_image(save(tmp_path / "a.npy", np.eye(3, dtype=bool)))
    assert image.read().dtype == image.dtype == np.uint8


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((0, 5)), "is empty: its shape is"),
        (np.zeros(5), "has one dimension"),
        (np.float32(1), "has a single number"),
        (np.zeros((3, 3), np.complex128), "complex numbers"),
        (np.zeros((3, 3), "U5"), "values of type"),
        (np.zeros((3, 3), [("a", "f4")]), "records"),
        (np.zeros((3, 3), np.longdouble), "at most 64 bits"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, array: np.ndarray, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        open_image(save(tmp_path / "a.npy", array))


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("exploded"),)


def test_objects_are_refused_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    array = np.empty((2, 2), object)
    array[:] = _Bomb()
    path = save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ImageError, match="Python objects, which would run code"):
        open_image(path)
    assert not (tmp_path / "exploded").exists()
    assert b"touch" in pickle.dumps(_Bomb())  # the file did hold the bomb


@pytest.mark.parametrize("keep", [7, 20, 90, 500])
def test_cut_off_files_say_so(tmp_path: Path, keep: int) -> None:
    path = save(tmp_path / "cut.npy", np.zeros((30, 40)))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ImageError, match=r"cut\.npy is damaged or not complete"):
        open_image(path)

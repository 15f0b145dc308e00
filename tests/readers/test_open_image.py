"""open_image, image_paths: which file, which reader, which words when it fails."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_segnet.errors import ImageError
from napari_segnet.readers import image_paths, is_image_file, open_image, skipped_files


def test_the_bytes_tell_the_kind_not_the_ending(tmp_path: Path) -> None:
    path = tmp_path / "really_a_tiff.png"
    tifffile.imwrite(path, np.zeros((3, 4), np.uint8))
    assert open_image(str(path)).sizes["x"] == 4


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.tif", b"", r"a\.tif is empty \(0 bytes\)"),
        ("a.tif", b"<!DOCTYPE html>", r"ends like a TIFF file.*'<!DOCTYPE html>'.*export it again"),
        ("a.png", b"\x00\x01\x02\x03", r"ends like a PNG file.*00 01 02 03"),
        ("a.npz", b"PK\x03\x04", r"a\.npz is of a kind that does not open.*TIFF \(\.tif, \.tiff\)"),
        ("a.vsi", b"II*", r"does not open.*PNG.*JPEG.*npy.*Fiji"),
    ],
)
def test_refusals(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=words):
        open_image(tmp_path / name)


def test_missing_folder_and_device(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"There is no file .*nothing.tif"):
        open_image(tmp_path / "nothing.tif")
    with pytest.raises(ImageError, match="is a folder, not an image"):
        open_image(tmp_path)
    with pytest.raises(ImageError, match="cannot be read"):
        open_image(tmp_path / ("x" * 300 + ".tif"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(ImageError, match="not a regular file"):
        open_image(tmp_path / "pipe.tif")


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.tif"
    path.write_bytes(b"x")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so pretend
    with pytest.raises(ImageError, match=r"secret\.tif cannot be read \(Permission denied\)"):
        open_image(path)


def test_folders_are_listed_in_natural_order_without_our_results(tmp_path: Path) -> None:
    names = ["b10.tif", "b2.tif", "A1.PNG", "b2.labels.tif", "b2.maps.tif", ".c.tif", "notes.txt"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "deeper.tif").mkdir()
    other = tmp_path / "missing.tif"
    found = image_paths([tmp_path, tmp_path / "b2.tif", other])
    assert [p.name for p in found] == ["A1.PNG", "b2.tif", "b10.tif", "missing.tif"]
    assert is_image_file(tmp_path / "b2.tif")
    assert not is_image_file(other)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"holds no image.*TIFF"):
        image_paths([tmp_path])


def test_what_may_be_a_picture_and_is_skipped_in_a_folder(tmp_path: Path) -> None:
    taken = ["a.tif", "b.png"]
    beside = ["a.labels.tif", "a.json", "a.csv", "unet.pth", ".d.czi", "notes.txt", "set.ome"]
    skipped = ["c2.vsi", "c10.oib", "no ending"]
    for name in [*taken, *beside, *skipped]:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "deeper.vsi").mkdir()
    assert [path.name for path in skipped_files([tmp_path, tmp_path / "c2.vsi"])] == skipped

"""JPEG: grey, RGB, CMYK, upright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from napari_segnet.errors import ImageError
from napari_segnet.readers import open_image


def ramp(*shape: int) -> np.ndarray:
    return np.linspace(0, 255, int(np.prod(shape))).reshape(shape).astype(np.uint8)


def test_grey_and_rgb(tmp_path: Path) -> None:
    Pillow.fromarray(ramp(40, 30)).save(tmp_path / "grey.jpg", quality=95)
    Pillow.fromarray(ramp(40, 30, 3)).save(tmp_path / "rgb.jpeg", quality=95)
    grey, rgb = open_image(tmp_path / "grey.jpg"), open_image(tmp_path / "rgb.jpeg")
    assert (grey.axes, grey.rgb) == ("yx", False)
    assert (rgb.axes, rgb.rgb) == ("yxc", True)
    assert np.abs(grey.data.astype(int) - ramp(40, 30)).max() < 12


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    file = Pillow.fromarray(ramp(40, 30))
    exif = Pillow.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    file.save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = open_image(tmp_path / "a.jpg")
    assert image.data.shape == (30, 40)
    assert np.abs(image.data.astype(int) - np.rot90(ramp(40, 30), -1)).max() < 12


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Pillow.new("CMYK", (30, 40), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    image = open_image(tmp_path / "a.jpg")
    assert image.rgb
    red, green, blue = (int(v) for v in image.data[5, 5])
    assert red > 200
    assert green < 60
    assert blue < 60


@pytest.mark.parametrize("keep", [0.01, 0.5, 0.9])
def test_cut_off_files_say_so(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "cut.jpg"
    Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70), np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ImageError, match=r"cut\.jpg is damaged or not complete"):
        open_image(path)


def test_real_picture(data: Path) -> None:
    image = open_image(data / "samples" / "histo.jpg")
    assert (image.rgb, image.dtype) == (True, np.uint8)

"""PNG: every colour type and depth, and no bomb."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image as Pillow

from napari_segnet.errors import ImageError
from napari_segnet.readers import open_image

RNG = np.random.default_rng(3)


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    file = Pillow.fromarray(pixels)
    (file.convert(mode) if mode else file).save(path)


@pytest.mark.parametrize(
    ("shape", "axes"), [((9, 7), "yx"), ((9, 7, 3), "yxc"), ((1, 1), "yx"), ((1, 17), "yx")]
)
def test_grey_and_rgb(tmp_path: Path, shape: tuple[int, ...], axes: str) -> None:
    pixels = RNG.integers(0, 256, shape, np.uint8)
    save(tmp_path / "a.png", pixels)
    image = open_image(tmp_path / "a.png")
    assert (image.axes, image.rgb, image.pixel_size_um) == (axes, axes == "yxc", {})
    np.testing.assert_array_equal(image.data, pixels)
    assert image.data.flags.writeable


def test_alpha_is_dropped(tmp_path: Path) -> None:
    rgba = RNG.integers(0, 256, (9, 7, 4), np.uint8)
    save(tmp_path / "rgba.png", rgba)
    np.testing.assert_array_equal(open_image(tmp_path / "rgba.png").data, rgba[..., :3])
    Pillow.merge("LA", [Pillow.fromarray(rgba[..., i].copy()) for i in (0, 1)]).save(
        tmp_path / "la.png"
    )
    image = open_image(tmp_path / "la.png")
    assert image.axes == "yx"
    np.testing.assert_array_equal(image.data, rgba[..., 0])


def test_grey_in_three_channels_stays_rgb(tmp_path: Path) -> None:
    grey = RNG.integers(0, 256, (9, 7, 1), np.uint8)
    save(tmp_path / "a.png", np.repeat(grey, 3, 2))
    assert open_image(tmp_path / "a.png").rgb


def test_palette_is_applied(tmp_path: Path) -> None:
    rgb = RNG.integers(0, 2, (9, 7, 3), np.uint8) * 255
    file = Pillow.fromarray(rgb).convert("P", palette=Pillow.Palette.WEB)
    expected = np.asarray(file.convert("RGB"))
    file.save(tmp_path / "a.png", transparency=0)
    image = open_image(tmp_path / "a.png")
    assert image.rgb
    np.testing.assert_array_equal(image.data, expected)


def test_one_bit_is_zero_and_one(tmp_path: Path) -> None:
    mask = RNG.random((9, 11)) > 0.5
    Pillow.fromarray(mask).save(tmp_path / "a.png")
    image = open_image(tmp_path / "a.png")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image.data, mask)


@pytest.mark.parametrize(("samples", "kept"), [(1, 1), (2, 1), (3, 3), (4, 3)])
def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path, samples: int, kept: int) -> None:
    pixels = RNG.integers(0, 2**16, (9, 7, samples), np.uint16)
    stored = pixels[..., 0] if samples == 1 else pixels
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(stored))
    image = open_image(tmp_path / "a.png")
    assert (image.dtype, image.sizes["c"]) == (np.uint16, kept)
    np.testing.assert_array_equal(image.read()[0, :, 0], pixels[..., :kept].transpose(2, 0, 1))


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Pillow.fromarray(np.full((9, 7), v, np.uint8)) for v in (10, 200)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert np.all(open_image(tmp_path / "a.png").data == 10)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("keep", [0.005, 0.3, 0.9])
def test_cut_off_files_say_so(tmp_path: Path, bits: int, keep: float) -> None:
    pixels = RNG.integers(0, 2**bits, (90, 70), np.uint8 if bits == 8 else np.uint16)
    content = imagecodecs.png_encode(pixels)
    path = tmp_path / "cut.png"
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ImageError, match=r"cut\.png is damaged or not complete"):
        open_image(path)


def header_only(width: int, height: int, colour: int = 0) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    ihdr = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


def test_a_size_that_cannot_be_true_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(header_only(100_000, 100_000))
    with pytest.raises(ImageError, match="100000 x 100000 pixels cannot be in"):
        open_image(path)


def test_more_than_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    class Free:
        available = 10_000

    monkeypatch.setattr(psutil, "virtual_memory", Free)
    save(tmp_path / "a.png", RNG.integers(0, 256, (100, 200), np.uint8))
    with pytest.raises(ImageError, match=r"needs about .* GB of memory.*tiled TIFF"):
        open_image(tmp_path / "a.png")


def test_large_pictures_are_no_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 100)  # Pillow's own limit, made small
    save(tmp_path / "a.png", np.zeros((100, 100), np.uint8))
    Pillow.fromarray(np.zeros((100, 100), np.uint8)).save(tmp_path / "a.jpg")
    assert open_image(tmp_path / "a.png").sizes["y"] == 100
    assert open_image(tmp_path / "a.jpg").sizes["y"] == 100


def test_a_zero_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(header_only(0, 5))
    with pytest.raises(ImageError, match="0 x 5 pixels"):
        open_image(tmp_path / "a.png")


def test_axes_can_be_told(tmp_path: Path) -> None:
    save(tmp_path / "a.png", RNG.integers(0, 256, (9, 7, 3), np.uint8))
    image = open_image(tmp_path / "a.png", "yxz")
    assert (image.axes, image.rgb, image.channel_names) == ("yxz", False, ())


def test_real_pictures(data: Path) -> None:
    kinds = {open_image(p).axes for p in sorted((data / "nuclei" / "images").glob("0*.png"))[:12]}
    assert kinds <= {"yx", "yxc"}

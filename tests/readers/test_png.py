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
from napari_segnet.readers import open_image, open_numbers

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


# ---- Which way is up, and what is below ----


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, bits: int) -> None:
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(1).integers(0, 2**bits, (10, 16)).astype(f"u{bits // 8}")
    exif = Pillow.Exif()
    exif[274] = orientation
    Pillow.fromarray(pixels).save(path, exif=exif)
    image = open_image(path)
    turned = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.T,
        6: np.rot90(pixels, -1), 7: pixels[::-1, ::-1].T, 8: np.rot90(pixels),
    }  # fmt: skip
    np.testing.assert_array_equal(image.read()[0, 0, 0], turned[orientation])
    said = (f"It was rotated by its EXIF orientation ({orientation}).",)
    assert image.notes == (said if orientation > 1 else ())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparent_pixels_are_said(tmp_path: Path, dtype: type) -> None:
    """A drawing on a transparent ground may be black throughout without its alpha."""
    import imagecodecs

    pixels = np.zeros((8, 9, 4), dtype)
    pixels[2:4, :, 3] = np.iinfo(dtype).max
    for name, alpha in (("drawn", pixels[..., 3]), ("opaque", np.iinfo(dtype).max)):
        pixels[..., 3] = alpha
        (tmp_path / f"{name}.png").write_bytes(imagecodecs.png_encode(pixels))
    assert "transparency (alpha) was left out" in open_image(tmp_path / "drawn.png").notes[0]
    assert open_image(tmp_path / "opaque.png").notes == ()


# ---- Labels ----


def test_labels_are_the_entries_of_a_palette(tmp_path: Path) -> None:
    """Several entries may have one colour: VOC, CVAT and QuPath write such files."""
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    file = Pillow.fromarray(ids).convert("P")
    file.putdata(ids.ravel().tolist())
    file.putpalette([0, 0, 0] + [255, 0, 0] * 255)
    file.save(tmp_path / "a.png")
    labels = open_numbers(tmp_path / "a.png")
    assert (labels.axes, labels.rgb) == ("yx", False)
    np.testing.assert_array_equal(labels.read()[0, 0, 0], ids)
    assert open_image(tmp_path / "a.png").rgb


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_labels_of_few_bits_are_not_spread(tmp_path: Path, bits: int) -> None:
    import imagecodecs

    ids = (np.arange(12).reshape(3, 4) % 2**bits).astype(np.uint8)
    file = Pillow.fromarray(ids).convert("P")
    file.putdata(ids.ravel().tolist())
    file.putpalette([i for n in range(2**bits) for i in (n, n, n)])
    file.save(tmp_path / "a.png", bits=bits)
    np.testing.assert_array_equal(open_numbers(tmp_path / "a.png").read()[0, 0, 0], ids)
    grey = bytearray((tmp_path / "a.png").read_bytes())
    assert grey[24:26] == bytes((bits, 3))
    # The same numbers as grey values: colour type 0 and no palette.
    at = grey.index(b"PLTE")
    length = int.from_bytes(grey[at - 4 : at], "big")
    del grey[at - 4 : at + 8 + length]
    grey[25] = 0
    grey[29:33] = zlib.crc32(grey[12:29]).to_bytes(4, "big")
    (tmp_path / "b.png").write_bytes(grey)
    assert imagecodecs.png_decode(bytes(grey)).shape == (3, 4)
    np.testing.assert_array_equal(open_numbers(tmp_path / "b.png").read()[0, 0, 0], ids)


def test_equal_colours_are_numbers(tmp_path: Path) -> None:
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Pillow.fromarray(np.dstack([ids] * 3)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_numbers(tmp_path / "a.png").read()[0, 0, 0], ids)
    Pillow.fromarray(np.dstack([ids, ids, ids + 1])).save(tmp_path / "b.png")
    assert open_numbers(tmp_path / "b.png").rgb


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("last", [False, True])
def test_a_long_text_costs_no_picture(tmp_path: Path, kind: type, last: bool) -> None:
    """Editors keep a history of megabytes, which Pillow refuses."""
    pixels = RNG.integers(0, 250, (9, 7)).astype(kind)
    data = imagecodecs.png_encode(pixels)
    text = b"history\x00\x00" + zlib.compress(b"a" * 3_000_000)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + text))
    place = len(data) - 12 if last else 33  # before the end, or behind the header
    (tmp_path / "a.png").write_bytes(data[:place] + chunk + data[place:])
    np.testing.assert_array_equal(open_image(tmp_path / "a.png").data, pixels)

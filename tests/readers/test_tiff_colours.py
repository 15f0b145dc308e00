"""What the numbers of a TIFF mean; Pillow is the judge where it knows the kind."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from PIL import ImageCms

from napari_segnet.errors import ImageError
from napari_segnet.readers import file_axes, open_image, open_numbers

RNG = np.random.default_rng(11)
ROTATIONS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
"""What each orientation asks for; https://exiftool.org/TagNames/EXIF.html, tag 0x0112"""


def noise(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def tag(code: int, kind: str, *values: Any) -> dict[str, Any]:
    count = len(values) // (2 if kind in ("5", "2I") else 1)
    return {"extratags": [(code, kind, count, values if len(values) > 1 else values[0], True)]}


def seen(path: Path) -> np.ndarray:
    """Return ``(y, x)`` or ``(y, x, c)`` as opened."""
    block = open_image(path).read()[0, :, 0]
    return block[0] if len(block) == 1 else np.moveaxis(block, 0, -1)


# ---- White is zero ----


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_white_from_zero_is_inverted(
    tmp_path: Path, dtype: Any, compression: str | None, byteorder: Any
) -> None:
    path = tmp_path / "a.tif"
    stored = noise(40, 50, dtype=dtype)
    tifffile.imwrite(
        path, stored, photometric="miniswhite", compression=compression, byteorder=byteorder
    )
    np.testing.assert_array_equal(seen(path), np.iinfo(dtype).max - stored)
    (note,) = open_image(path).notes
    assert "zero is white (PhotometricInterpretation 0); it was inverted" in note


def test_eight_bits_are_what_pillow_shows(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(40, 50), photometric="miniswhite")
    np.testing.assert_array_equal(seen(path), np.array(Pillow.open(path)))


def test_twelve_bits_have_a_white_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stored = noise(40, 50, dtype=np.uint16) >> 4
    tifffile.imwrite(path, stored, photometric="miniswhite", bitspersample=12)
    np.testing.assert_array_equal(seen(path), 4095 - stored)


@pytest.mark.parametrize("compression", ["raw", "packbits", "group4", "tiff_lzw"])
@pytest.mark.parametrize("white", [0, 1])
def test_one_bit_of_other_programs(tmp_path: Path, compression: str, white: int) -> None:
    path = tmp_path / "a.tif"
    Pillow.fromarray(RNG.random((40, 50)) > 0.5).save(path, compression=compression)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["PhotometricInterpretation"].overwrite(white)
    np.testing.assert_array_equal(seen(path), np.array(Pillow.open(path)).astype(np.uint8))


def test_a_mask_of_tifffile_is_what_was_written(tmp_path: Path) -> None:
    """It calls every bool array white-from-zero, and reads it back as it was."""
    path = tmp_path / "a.tif"
    mask = RNG.random((20, 31)) > 0.5
    tifffile.imwrite(path, mask)
    np.testing.assert_array_equal(seen(path), mask)
    assert "as tifffile does" in open_image(path).notes[0]


@pytest.mark.parametrize(
    ("stored", "options", "words"),
    [
        (noise(8, 9), {"imagej": True}, "ImageJ inverts only the display: the numbers were kept"),
        (noise(8, 9).astype("f4"), {}, "type float32 have no white: they were kept"),
        (noise(8, 9).astype("i2"), {}, "type int16 have no white"),
    ],
)
def test_where_there_is_no_white_the_numbers_are_kept(
    tmp_path: Path, stored: np.ndarray, options: dict[str, Any], words: str
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="miniswhite", **options)
    np.testing.assert_array_equal(seen(path), stored)
    assert words in open_image(path).notes[0]


def test_labels_are_never_inverted(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    ids = noise(20, 30)
    tifffile.imwrite(path, ids, photometric="miniswhite")
    np.testing.assert_array_equal(open_numbers(path).read()[0, 0, 0], ids)


# ---- Palettes ----


def test_labels_are_the_entries_of_a_palette(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    ids = noise(20, 30)
    colours = RNG.integers(0, 2**16, (3, 256), np.uint16)
    tifffile.imwrite(path, ids, photometric="palette", colormap=colours, compression="zlib")
    assert open_image(path).rgb
    labels = open_numbers(path)
    assert (labels.axes, labels.rgb) == ("yx", False)
    np.testing.assert_array_equal(labels.read()[0, 0, 0], ids)


@pytest.mark.parametrize("size", [(30, 20), (4, 3)])
def test_each_page_has_its_own_palette(tmp_path: Path, size: tuple[int, int]) -> None:
    pages = []
    for _ in range(3):
        page = Pillow.fromarray(noise(size[1], size[0]), "P")
        page.putpalette(noise(768).tobytes())
        pages.append(page)
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    image = open_image(tmp_path / "a.tif")
    assert (image.axes, image.rgb) == ("zyxc", True)
    wanted = np.stack([np.asarray(page.convert("RGB")) for page in pages])
    np.testing.assert_array_equal(np.asarray(image.data), wanted)
    np.testing.assert_array_equal(np.asarray(image.data[1:, 2, 1:3, 2]), wanted[1:, 2, 1:3, 2])


def test_a_palette_may_have_transparency_beside_it(tmp_path: Path) -> None:
    path, numbers = tmp_path / "a.tif", noise(20, 30)
    palette = noise(768)
    colours = palette.reshape(256, 3).T.astype(np.uint16) * 257
    stored = np.stack([numbers, noise(20, 30)], -1)
    said = tag(320, "H", *colours.ravel().tolist()) | {"extrasamples": ["unassalpha"]}
    tifffile.imwrite(path, stored, photometric="minisblack", planarconfig="contig", **said)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages.first.tags["PhotometricInterpretation"].overwrite(3)
    image = open_image(path)
    assert (image.axes, image.rgb) == ("yxc", True)
    assert image.notes == ("Its transparency (alpha) was left out.",)
    np.testing.assert_array_equal(np.asarray(image.data), palette.reshape(256, 3)[numbers])


# ---- Orientation ----


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("orientation", ROTATIONS)
def test_pictures_are_turned_upright(
    tmp_path: Path, orientation: int, colours: bool, compression: str | None
) -> None:
    path = tmp_path / "a.tif"
    stored = noise(20, 31, 3) if colours else noise(20, 31)
    kind: Any = "rgb" if colours else "minisblack"
    tifffile.imwrite(
        path, stored, photometric=kind, compression=compression, rowsperstrip=6,
        resolution=(20_000, 10_000), resolutionunit="CENTIMETER", **tag(274, "H", orientation),
    )  # fmt: skip
    upright = np.array(Pillow.fromarray(stored).transpose(ROTATIONS[orientation]))
    image = open_image(path)
    np.testing.assert_array_equal(seen(path), upright)
    box = image.read(y=slice(3, 11), x=slice(7, 8))[0, 0, 0]
    np.testing.assert_array_equal(box, (upright[..., 0] if colours else upright)[3:11, 7:8])
    along = {"y": 1.0, "x": 0.5} if orientation < 5 else {"y": 0.5, "x": 1.0}
    assert image.pixel_size_um == pytest.approx(along)
    assert f"rotated by its orientation tag ({orientation})" in image.notes[-1]


def test_stacks_and_labels_are_turned_too(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stored = noise(3, 20, 31)
    tifffile.imwrite(path, stored, photometric="minisblack", **tag(274, "H", 6))
    turned = np.rot90(stored, -1, (1, 2))
    np.testing.assert_array_equal(open_image(path).read()[0, 0], turned)
    np.testing.assert_array_equal(open_numbers(path).read()[0, 0], turned)


def test_imagej_and_ome_show_what_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stored = noise(20, 31)
    tifffile.imwrite(path, stored, imagej=True, **tag(274, "H", 6))
    np.testing.assert_array_equal(seen(path), stored)
    assert "orientation tag (6) was not followed" in open_image(path).notes[0]


def test_an_impossible_orientation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(20, 31), **tag(274, "H", 11))
    with pytest.raises(ImageError, match=r"a\.tif is damaged: its (orientation is 11|tag 274)"):
        open_image(path)


# ---- Colour spaces ----


def smooth_lab() -> np.ndarray:
    lab = np.zeros((20, 32, 3), np.uint8)
    lab[..., 0] = np.arange(640).reshape(20, 32) % 200 + 30
    lab[..., 1] = (np.arange(32) % 20 - 10).astype(np.int8).view(np.uint8)
    lab[..., 2] = (10 - np.arange(32) % 20).astype(np.int8).view(np.uint8)
    return lab


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_colour_spaces_are_what_pillow_makes_of_them(
    tmp_path: Path, mode: str, compression: str
) -> None:
    path = tmp_path / "a.tif"
    samples = noise(20, 32, len(mode) if mode == "CMYK" else 3)
    Pillow.frombytes(mode, (32, 20), samples.tobytes()).save(path, compression=compression)
    expected = np.array(Pillow.open(path).convert("RGB")).astype(int)
    image = open_image(path)
    assert (image.rgb, image.channel_names) == (True, ("red", "green", "blue"))
    assert np.abs(seen(path) - expected).max() <= 1
    assert f"stored as {mode}" in image.notes[-1]
    np.testing.assert_array_equal(image.read(c=1, y=4)[0, 0, 0, 0], seen(path)[4, :, 1])


def test_cielab_is_what_colour_management_makes_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Pillow.frombytes("LAB", (32, 20), smooth_lab().tobytes()).save(path)
    to_rgb = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
    expected = np.array(ImageCms.applyTransform(Pillow.open(path), to_rgb)).astype(int)
    assert open_image(path).rgb
    assert np.abs(seen(path) - expected).max() <= 2


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_cmyk_of_sixteen_bits(tmp_path: Path, planar: Any, byteorder: Any) -> None:
    path = tmp_path / "a.tif"
    inks = noise(20, 32, 4)
    stored = (inks.astype(np.uint16) * 257).transpose(
        (2, 0, 1) if planar == "separate" else (0, 1, 2)
    )
    tifffile.imwrite(
        path, stored, photometric="separated", planarconfig=planar, byteorder=byteorder
    )
    expected = np.array(Pillow.frombytes("CMYK", (32, 20), inks.tobytes()).convert("RGB"))
    expected = expected.astype(int) * 257
    assert np.abs(seen(path).astype(int) - expected).max() <= 257


@pytest.mark.parametrize(
    ("photometric", "samples", "dtype", "options", "words"),
    [
        ("separated", 5, np.uint8, {}, "CMYK with 5 samples per pixel"),
        ("separated", 4, np.float32, {}, "CMYK with numbers of type float32"),
        ("separated", 4, np.uint8, tag(332, "H", 2), "CMYK with inks other than cyan"),
        ("ycbcr", 3, np.uint16, {}, "YCbCr with numbers of type uint16"),
        ("ycbcr", 3, np.uint8, {}, ""),
        ("ycbcr", 3, np.uint8, tag(532, "2I", 15, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1),
         "unusual black and white levels"),
        ("itulab", 3, np.uint8, {}, r"PhotometricInterpretation 10\) that is not read here"),
        ("logluv", 3, np.uint8, {}, "PhotometricInterpretation 32845"),
    ],
)  # fmt: skip
def test_colours_that_are_not_understood_are_refused(
    tmp_path: Path, photometric: Any, samples: int, dtype: Any, options: Any, words: str
) -> None:
    path = tmp_path / "a.tif"
    stored = np.zeros((16, 16, samples), dtype)
    tifffile.imwrite(path, stored, photometric=photometric, planarconfig="contig", **options)
    if not words:
        assert open_image(path).rgb
        return
    with pytest.raises(ImageError, match=rf"a\.tif stores (its )?colours .*{words}"):
        open_image(path)


def test_subsampled_colours_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(16, 16, 3), photometric="ycbcr")
    data = bytearray(path.read_bytes())
    # Software (305) becomes YCbCrSubSampling (530) of two shorts: 2, 2
    at = data.index(struct.pack("<HHI", 305, 2, 12))
    data[at : at + 12] = struct.pack("<HHIHH", 530, 3, 2, 2, 2)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="halved colours"):
        open_image(path)


def test_multiplied_alpha_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    alpha = noise(20, 30, 1)
    alpha[0] = 0
    colours = (noise(20, 30, 3) * (alpha / 255)).astype(np.uint8)
    stored = np.concatenate([colours, alpha], -1)
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["assocalpha"])
    np.testing.assert_array_equal(seen(path), np.array(Pillow.open(path))[..., :3])
    assert "stored multiplied by its transparency" in open_image(path).notes[0]


def test_grey_with_multiplied_alpha(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stored = np.dstack([np.full((4, 5), 64), np.full((4, 5), 128)]).astype(np.uint8)
    tifffile.imwrite(
        path, stored, photometric="minisblack", planarconfig="contig", extrasamples=["assocalpha"]
    )
    assert open_image(path).axes == "yx"
    assert (seen(path) == 127).all()


# ---- Axes ----


@pytest.mark.parametrize("axes", ["CYX", "TYX", "ZYX", "TCYX", "TZCYX"])
def test_axes_that_imagej_says(tmp_path: Path, axes: str) -> None:
    path = tmp_path / "a.tif"
    shape = (*range(2, len(axes)), 8, 9)
    tifffile.imwrite(path, noise(*shape), imagej=True, metadata={"axes": axes})
    assert file_axes(path) == open_image(path).axes == axes.lower()


def test_axes_that_a_file_does_not_say(tmp_path: Path) -> None:
    stack, colours, array = tmp_path / "s.tif", tmp_path / "c.tif", tmp_path / "a.npy"
    tifffile.imwrite(stack, noise(3, 8, 9), photometric="minisblack", metadata=None)
    tifffile.imwrite(colours, noise(8, 9, 3), photometric="rgb", metadata=None)
    np.save(array, noise(3, 8, 9))
    assert file_axes(stack) is None
    assert file_axes(colours) == "yxc"
    assert file_axes(array) is None
    with pytest.raises(ImageError, match="There is no file"):
        file_axes(tmp_path / "missing.tif")

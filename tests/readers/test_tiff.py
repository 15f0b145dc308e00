"""TIFF: axes, sizes and channels are what the file says, pixels what was written."""

from __future__ import annotations

import pickle
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_segnet.errors import ImageError
from napari_segnet.image import Image
from napari_segnet.readers import open_image
from napari_segnet.readers._file_pixels import FilePixels
from napari_segnet.readers._tiff_meta import unit_um
from napari_segnet.readers._tiff_pixels import TiffPixels

RNG = np.random.default_rng(7)


def noise(*shape: int, dtype: Any = np.uint16) -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        return RNG.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return RNG.integers(max(info.min, -(2**40)), min(info.max, 2**40), shape, dtype)


def whole(image: Image) -> np.ndarray:
    return np.asarray(image.data)


@pytest.mark.parametrize(
    "dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">u2", ">f4"]
)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_every_pixel_type_comes_back(tmp_path: Path, dtype: str, compression: str | None) -> None:
    pixels = noise(37, 53, dtype=np.dtype(dtype).newbyteorder("=")).astype(dtype)
    byteorder = ">" if dtype.startswith(">") else "<"
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, compression=compression, byteorder=byteorder)
    image = open_image(path)
    assert image.axes == "yx"
    assert image.dtype == np.dtype(dtype).newbyteorder("=")
    block = image.read()
    assert block.dtype.isnative
    np.testing.assert_array_equal(block[0, 0, 0], pixels)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "packbits", "lzma"])
@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_compressed_boxes_equal_numpy(
    tmp_path: Path, compression: str, tile: tuple[int, int] | None
) -> None:
    pixels = noise(3, 50, 70, dtype=np.uint8)
    options: dict[str, Any] = {"tile": tile} if tile else {"rowsperstrip": 7}
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        pixels,
        compression=compression,
        photometric="minisblack",
        metadata={"axes": "ZYX"},
        **options,
    )
    image = open_image(path)
    assert image.axes == "zyx"
    for z, y, x in [
        (slice(None), slice(None), slice(None)),
        (slice(1, 2), slice(13, 37), slice(29, 70)),
        (slice(0, 3, 2), slice(49, 50), slice(0, 1)),
        (slice(None), slice(40, 10, -7), slice(None, None, 9)),
        (slice(2, 2), slice(None), slice(None)),
    ]:
        np.testing.assert_array_equal(image.data[z, y, x], pixels[z, y, x])
    np.testing.assert_array_equal(image.data[-1, ..., 3], pixels[-1, ..., 3])
    with pytest.raises(IndexError, match="out of range"):
        image.data[3]
    with pytest.raises(IndexError, match="4 indices"):
        image.data[0, 0, 0, 0]


def test_jpeg_tiles_decode(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)
    rgb = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], -1)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, compression="jpeg", photometric="rgb", tile=(32, 32))
    image = open_image(path)
    assert (image.axes, image.rgb) == ("yxc", True)
    np.testing.assert_array_equal(whole(image), tifffile.imread(path))


def test_only_the_needed_tiles_are_decoded(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, noise(4, 256, 256), compression="zlib", tile=(64, 64), photometric="minisblack"
    )
    image = open_image(path)
    asked: list[int] = []
    read = TiffPixels._bytes

    def spy(self: TiffPixels, page: Any, index: int) -> bytes | None:
        asked.append(index)
        return read(self, page, index)

    monkeypatch.setattr(TiffPixels, "_bytes", spy)
    image.read(z=1, y=slice(70, 130), x=slice(0, 64))
    assert len(asked) == 2
    image.read(z=1, y=slice(70, 130), x=slice(0, 64))
    assert len(asked) == 2, "a second look must come from the cache"


def test_uncompressed_stacks_are_read_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(5, 40, 30)
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "ZYX"})
    image = open_image(path)
    assert isinstance(image.data, FilePixels)
    np.testing.assert_array_equal(image.data, pixels)


def test_pages_scattered_over_the_file_are_mapped_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(3, 40, 30)
    with tifffile.TiffWriter(path) as tif:
        for plane in pixels:
            tif.write(plane, contiguous=False, metadata=None)
    image = open_image(path)
    assert image.axes == "zyx"
    np.testing.assert_array_equal(image.read()[0, 0], pixels)


def test_bigtiff_opens(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(9, 11)
    tifffile.imwrite(path, pixels, bigtiff=True)
    np.testing.assert_array_equal(whole(open_image(path)), pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (17, 1)])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiny_pictures_keep_rows_and_columns(
    tmp_path: Path, shape: tuple[int, int], compression: str | None
) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(*shape)
    tifffile.imwrite(path, pixels, compression=compression)
    image = open_image(path)
    assert image.axes == "yx"
    np.testing.assert_array_equal(whole(image), pixels)


# ---- Axes ----


def test_imagej_hyperstack(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(2, 3, 4, 8, 9)
    tifffile.imwrite(
        path,
        pixels,
        imagej=True,
        resolution=(1 / 0.25, 1 / 0.5),
        metadata={"axes": "TZCYX", "unit": "um", "spacing": 2.5},
    )
    image = open_image(path)
    assert image.axes == "tzcyx"
    assert image.pixel_size_um == pytest.approx({"z": 2.5, "y": 0.5, "x": 0.25})
    np.testing.assert_array_equal(image.read(), pixels.transpose(0, 2, 1, 3, 4))


@pytest.mark.parametrize("axes", ["TCZYX", "ZCTYX", "CTZYX"])
def test_ome_orders(tmp_path: Path, axes: str) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = noise(2, 3, 4, 8, 9)
    tifffile.imwrite(
        path,
        pixels,
        compression="zlib",
        metadata={
            "axes": axes,
            "PhysicalSizeX": 325.0,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.325,
            "PhysicalSizeZ": 0.002,
            "PhysicalSizeZUnit": "mm",
            "Channel": {"Name": [f"dye {i}" for i in range(pixels.shape[axes.index("C")])]},
        },
    )
    image = open_image(path)
    assert image.axes == axes.lower()
    assert image.pixel_size_um == pytest.approx({"z": 2.0, "y": 0.325, "x": 0.325})
    assert image.channel_names == tuple(f"dye {i}" for i in range(image.sizes["c"]))
    np.testing.assert_array_equal(image.read(), pixels.transpose([axes.index(a) for a in "TCZYX"]))


def test_length_one_axes_vanish(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, noise(1, 1, 8, 9), metadata={"axes": "TZYX"})
    assert open_image(path).axes == "yx"


def test_pages_without_a_name_are_z_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(6, 8, 9)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None)
    assert open_image(path).axes == "zyx"
    assert open_image(path, "tyx").axes == "tyx"


def test_two_unnamed_dimensions_must_be_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(6, 2, 8, 9), photometric="minisblack")
    with pytest.raises(ImageError, match=r"a\.tif does not say .*--set axes=tzyx"):
        open_image(path)
    assert open_image(path, "tcyx").sizes == {"t": 6, "c": 2, "z": 1, "y": 8, "x": 9}


def test_told_axes_drop_sizes_that_no_longer_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        noise(6, 8, 9),
        imagej=True,
        resolution=(2, 2),
        metadata={"axes": "ZYX", "unit": "um", "spacing": 3.0},
    )
    assert open_image(path, "tyx").pixel_size_um == {"y": 0.5, "x": 0.5}


def test_colours_in_each_channel_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = noise(2, 8, 9, 3, dtype=np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", metadata={"axes": "CYXS"})
    with pytest.raises(ImageError, match="Split Channels"):
        open_image(path)


def test_one_dimension_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros(7, np.uint8))
    with pytest.raises(ImageError, match="one dimension"):
        open_image(path)


# ---- Pixel sizes ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("um", 1), ("µm", 1), ("μm", 1), ("\\u00b5m", 1), ("\\u00B5m", 1), ("micron", 1),
        ("nm", 1e-3), ("mm", 1e3), ("cm", 1e4), ("inch", 25400), ("pixel", None), ("", None),
        (None, None), ("furlong", None),
    ],
)  # fmt: skip
def test_units(text: str | None, expected: float | None) -> None:
    assert unit_um(text) == expected


@pytest.mark.parametrize("unit", ["pixel", None])
def test_imagej_without_a_length_has_no_size(tmp_path: Path, unit: str | None) -> None:
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "spacing": 2.0} | ({"unit": unit} if unit else {})
    tifffile.imwrite(path, noise(3, 8, 9), imagej=True, resolution=(4, 4), metadata=metadata)
    assert open_image(path).pixel_size_um == {}


@pytest.mark.parametrize("dpi", [72, 96, 300, 600, 4800])
def test_print_resolutions_are_no_pixel_sizes(tmp_path: Path, dpi: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(8, 9), resolution=(dpi, dpi), resolutionunit="INCH")
    assert open_image(path).pixel_size_um == {}


def test_one_to_one_is_no_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(8, 9), resolution=(1, 1), resolutionunit="CENTIMETER")
    assert open_image(path).pixel_size_um == {}


def test_a_fine_resolution_per_centimetre_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(8, 9), resolution=(2e4, 1e4), resolutionunit="CENTIMETER")
    assert open_image(path).pixel_size_um == pytest.approx({"y": 1.0, "x": 0.5})


def test_zero_resolution_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, noise(8, 9), imagej=True, resolution=((0, 1), (0, 1)), metadata={"unit": "um"}
    )
    assert open_image(path).pixel_size_um == {}


def test_ome_pixel_unit_and_nonsense_are_unknown(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path,
        noise(8, 9),
        metadata={
            "axes": "YX", "PhysicalSizeX": 1.0, "PhysicalSizeXUnit": "pixel", "PhysicalSizeY": 0.0,
        },
    )  # fmt: skip
    assert open_image(path).pixel_size_um == {}


# ---- Colours and channels ----


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("alpha", [False, True])
def test_rgb_and_rgba(tmp_path: Path, planar: bool, compression: str | None, alpha: bool) -> None:
    pixels = noise(20, 30, 4 if alpha else 3, dtype=np.uint8)
    stored = pixels.transpose(2, 0, 1) if planar else pixels
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        stored,
        photometric="rgb",
        planarconfig="separate" if planar else "contig",
        compression=compression,
        extrasamples=["unassalpha"] if alpha else None,
    )
    image = open_image(path)
    assert image.rgb
    assert image.channel_names == ("red", "green", "blue")
    assert image.sizes["c"] == 3
    np.testing.assert_array_equal(image.read()[0, :, 0], pixels.transpose(2, 0, 1)[:3])
    np.testing.assert_array_equal(image.read(c=1)[0, 0, 0], pixels[..., 1])


def test_grey_with_alpha_is_grey(tmp_path: Path) -> None:
    pixels = noise(20, 30, 2, dtype=np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, pixels, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]
    )
    image = open_image(path)
    assert image.axes == "yx"
    np.testing.assert_array_equal(whole(image), pixels[..., 0])


def test_an_unexplained_fourth_sample_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(20, 30, 4, dtype=np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unspecified"])
    image = open_image(path)
    assert (image.sizes["c"], image.rgb) == (4, False)


def test_stack_of_rgb_pages(tmp_path: Path) -> None:
    pixels = noise(5, 20, 30, 3, dtype=np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", compression="zlib", metadata=None)
    image = open_image(path)
    assert (image.axes, image.rgb) == ("zyxc", True)
    np.testing.assert_array_equal(image.read(z=3)[0, :, 0], pixels[3].transpose(2, 0, 1))


def test_five_samples_are_five_channels(tmp_path: Path) -> None:
    pixels = noise(20, 30, 5)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig")
    image = open_image(path)
    assert (image.axes, image.rgb) == ("yxc", False)


def palette_file(path: Path, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    numbers = noise(20, 30, dtype=np.uint8)
    colours = RNG.integers(0, 2**16, (3, 256), dtype=np.uint16)
    tifffile.imwrite(path, numbers, photometric="palette", colormap=colours, **options)
    return numbers, colours


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_palettes_become_colours(tmp_path: Path, compression: str | None) -> None:
    numbers, colours = palette_file(tmp_path / "a.tif", compression=compression, metadata=None)
    image = open_image(tmp_path / "a.tif")
    expected = (colours >> 8).astype(np.uint8).T[numbers]
    assert (image.axes, image.rgb, image.dtype) == ("yxc", True, np.uint8)
    box = image.read(y=slice(3, 9))[0, :, 0]
    np.testing.assert_array_equal(box, expected[3:9].transpose(2, 0, 1))
    np.testing.assert_array_equal(image.data[4, :, 1], expected[4, :, 1])


def test_imagej_look_up_tables_only_colour_the_display(tmp_path: Path) -> None:
    numbers, _ = palette_file(
        tmp_path / "a.tif", description="ImageJ=1.54f\nimages=1\n", metadata=None
    )
    image = open_image(tmp_path / "a.tif")
    assert (image.axes, image.rgb) == ("yx", False)
    np.testing.assert_array_equal(whole(image), numbers)


def test_one_bit_is_zero_and_one(tmp_path: Path) -> None:
    mask = RNG.random((20, 31)) > 0.5
    tifffile.imwrite(tmp_path / "a.tif", mask)
    image = open_image(tmp_path / "a.tif")
    assert image.dtype == np.uint8
    block = image.read()
    assert block.dtype == np.uint8
    np.testing.assert_array_equal(block[0, 0, 0], mask)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["DAPI", "GFP"], ("DAPI", "GFP")),
        (["DAPI", "DAPI"], ()),
        (["", "GFP"], ()),
        (["DAPI"], ()),
    ],
)
def test_imagej_labels_name_channels_where_each_plane_is_one(
    tmp_path: Path, labels: list[str], expected: tuple[str, ...]
) -> None:
    path = tmp_path / "a.tif"
    metadata = {"axes": "CYX", "Labels": labels}
    tifffile.imwrite(path, noise(2, 8, 9), imagej=True, metadata=metadata)
    assert open_image(path).channel_names == expected


def test_imagej_labels_of_slices_are_no_channel_names(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "Labels": ["a", "b"]}
    tifffile.imwrite(path, noise(2, 8, 9), imagej=True, metadata=metadata)
    assert open_image(path).channel_names == ()


# ---- Series and pyramids ----


def test_a_pyramid_opens_at_full_resolution(tmp_path: Path) -> None:
    pixels = noise(64, 96)
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(pixels, subifds=1, tile=(32, 32), compression="zlib", metadata={"axes": "YX"})
        tif.write(pixels[::2, ::2], subfiletype=1, tile=(32, 32), compression="zlib")
    np.testing.assert_array_equal(whole(open_image(path)), pixels)


def test_a_thumbnail_above_its_picture_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(noise(8, 12), subifds=1, subfiletype=1, metadata=None)
        tif.write(noise(64, 96), metadata=None)
    image = open_image(path)
    assert image.data.shape == (8, 12)
    assert "marked as a reduced copy" in image.notes[-1]


def test_the_first_of_several_series_opens(tmp_path: Path) -> None:
    pixels = noise(20, 30)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(pixels, metadata=None)
        tif.write(noise(7, 5), metadata=None)
    np.testing.assert_array_equal(whole(open_image(path)), pixels)


def test_pixels_travel_to_another_process(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(20, 30)
    tifffile.imwrite(path, pixels, compression="zlib")
    image = pickle.loads(pickle.dumps(open_image(path)))
    np.testing.assert_array_equal(whole(image), pixels)


def test_no_file_is_left_open(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(20, 30), compression="zlib")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        image = open_image(path)
        image.read()
        assert image.data._series.parent.filehandle.closed
        del image


# ---- Damage ----


@pytest.mark.parametrize(("imagej", "compression"), [(False, None), (False, "zlib"), (True, None)])
@pytest.mark.parametrize("keep", [0.02, 0.3, 0.7, 0.99])
def test_cut_off_files_say_so(
    tmp_path: Path, compression: str | None, imagej: bool, keep: float
) -> None:
    path = tmp_path / "cut.tif"
    pixels = noise(4, 64, 64)
    tifffile.imwrite(
        path,
        pixels,
        imagej=imagej,
        compression=compression,
        photometric="minisblack",
        metadata={"axes": "ZYX"},
    )
    full = path.read_bytes()
    path.write_bytes(full[: int(len(full) * keep)])
    with pytest.raises(ImageError, match=r"cut\.tif .*(complete|damaged)"):
        open_image(path).read()


def test_cut_off_plain_pages_say_so(tmp_path: Path) -> None:
    path = tmp_path / "cut.tif"
    with tifffile.TiffWriter(path) as tif:
        for plane in noise(4, 64, 64):
            tif.write(plane, contiguous=False, metadata=None)
    full = path.read_bytes()
    for keep in (0.3, 0.6, 0.95):
        path.write_bytes(full[: int(len(full) * keep)])
        with pytest.raises(ImageError, match=r"cut\.tif is not complete"):
            open_image(path).read()


def test_damaged_tiles_say_so_when_read(tmp_path: Path) -> None:
    path = tmp_path / "bad.tif"
    tifffile.imwrite(path, noise(64, 64), compression="zlib", tile=(32, 32))
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[3]
    content = bytearray(path.read_bytes())
    content[offset : offset + 20] = b"x" * 20
    path.write_bytes(content)
    image = open_image(path)
    image.read(y=slice(0, 32), x=slice(0, 32))
    with pytest.raises(ImageError, match=r"bad\.tif is damaged.*Copy or export it again"):
        image.read(y=slice(32, 64), x=slice(32, 64))


def test_a_vanished_file_says_so_when_read(tmp_path: Path) -> None:
    path = tmp_path / "gone.tif"
    tifffile.imwrite(path, noise(64, 64), compression="zlib")
    image = open_image(path)
    path.unlink()
    with pytest.raises(ImageError, match=r"gone\.tif is gone"):
        image.read()


@pytest.mark.parametrize(
    "content",
    [
        b"II*\x00",
        b"II*\x00\x08\x00\x00\x00",
        b"II*\x00\x08\x00\x00\x00" + b"\xff" * 100,
        b"MM\x00*" + b"\x00" * 200,
        b"II*\x00" + struct.pack("<IHHHIII", 8, 1, 256, 3, 1, 0, 0),
    ],
)
def test_rubbish_after_the_magic_bytes_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.tif"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"bad\.tif"):
        open_image(path)


def test_complex_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((8, 9), np.complex64))
    with pytest.raises(ImageError, match=r"complex numbers.*magnitude"):
        open_image(path)


# ---- Real files ----


def test_real_stack(data: Path) -> None:
    image = open_image(data / "plant_3d" / "rgb_3D_0.tiff")
    assert (image.axes, image.data.shape, image.dtype) == ("zyx", (75, 75, 75), np.uint16)
    assert image.pixel_size_um == {"z": 1.0, "y": 1.0, "x": 1.0}


def test_real_picture(data: Path) -> None:
    image = open_image(data / "samples" / "img2d.tif")
    assert (image.axes, image.pixel_size_um) == ("yx", {})


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_equal_pages_written_one_by_one_are_a_stack(tmp_path: Path, compression) -> None:
    """tifffile marks each as a picture of its own; everybody else sees a stack."""
    path = tmp_path / "loop.tif"
    stack = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    with tifffile.TiffWriter(path) as file:
        for plane in stack:
            file.write(
                plane,
                contiguous=False,
                compression=compression,
                resolution=(20_000, 20_000),
                resolutionunit="CENTIMETER",
            )
    image = open_image(path)
    assert (image.axes, image.notes) == ("zyx", ())
    assert image.pixel_size_um == {"y": 0.5, "x": 0.5}
    np.testing.assert_array_equal(image.read()[0, 0], stack)
    data = pickle.loads(pickle.dumps(image.data))
    np.testing.assert_array_equal(np.asarray(data), stack)


def test_pages_that_differ_leave_a_note(tmp_path: Path) -> None:
    path = tmp_path / "odd.tif"
    with tifffile.TiffWriter(path) as file:
        for shape in ((4, 5), (4, 6), (2, 2)):
            file.write(np.zeros(shape, np.uint8))
    image = open_image(path)
    assert image.axes == "yx"
    assert image.notes[0].startswith("The file holds 2 more images; only the first (4 x 5) was")


# ---- Sizes of prints ----


@pytest.mark.parametrize(
    ("unit", "per_unit", "expected"),
    [
        ("inch", 72.0, None),
        ("inch", 300.0, None),
        ("inch", 50_800.0, 0.5),
        ("cm", 28.3465, None),
        ("cm", 118.11, None),
        ("cm", 100.0, 100.0),
        ("cm", 20_000.0, 0.5),
        ("\\u00B5m", 4.0, 0.25),
        ("mm", 10.0, 100.0),
    ],
)
def test_imagej_keeps_the_resolution_of_a_photo(
    tmp_path: Path, unit: str, per_unit: float, expected: float | None
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, noise(8, 9), imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit}
    )
    image = open_image(path)
    if expected is None:
        assert image.pixel_size_um == {}
        assert f"pixels per {unit} is that of a print" in image.notes[0]
    else:
        assert image.pixel_size_um == pytest.approx({"y": expected, "x": expected}, rel=1e-4)
        assert image.notes == ()

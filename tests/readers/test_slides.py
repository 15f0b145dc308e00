"""Slides in TIFF: their coarser copies, their pixel size, and which picture of them is meant."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_segnet import open_image
from napari_segnet.image import Image
from napari_segnet.plan.input import UnitInput
from napari_segnet.prepare import Affine, ChannelMap, scale
from napari_segnet.readers._tiff_pixels import TiffPixels
from napari_segnet.sinks import file as in_file

RGB = {"photometric": "rgb", "tile": (32, 32), "metadata": None}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


def write_svs(path: Path, mpp: str = "0.4990") -> np.ndarray:
    """Write what Aperio writes: the slide, a thumbnail in strips, two coarser ones, a label."""
    slide = noise(160, 192, 3)
    said = f"Aperio Image Library v10\r\n160x192 JPEG/RGB Q=70|AppMag = 20|MPP = {mpp}"
    with tifffile.TiffWriter(path) as tif:
        tif.write(slide, description=said, compression="zlib", **RGB)
        strips = {"photometric": "rgb", "rowsperstrip": 8, "metadata": None}
        tif.write(slide[::8, ::8], description="Aperio thumbnail", **strips)
        for step in (2, 4):
            tif.write(slide[::step, ::step], description="Aperio level", **RGB)
        tif.write(noise(30, 20, 3), description="Aperio\r\nlabel 20x30", subfiletype=1, **strips)
    return slide


def test_an_aperio_slide_has_levels_and_a_pixel_size(tmp_path: Path) -> None:
    slide = write_svs(tmp_path / "a.svs")
    image = open_image(tmp_path / "a.svs")
    assert (image.axes, image.rgb, image.notes) == ("yxc", True, ())
    assert image.pixel_size_um == {"y": 0.499, "x": 0.499}
    assert [level.shape for level in image.levels] == [(80, 96, 3), (40, 48, 3)]
    for copy in (image, pickle.loads(pickle.dumps(image))):
        np.testing.assert_array_equal(copy.data[:], slide)
        near = copy.level_for({"y": 50, "x": 60})
        np.testing.assert_array_equal(near.data[:], slide[::2, ::2])
    write_svs(tmp_path / "b.svs", mpp="none")
    assert open_image(tmp_path / "b.svs").pixel_size_um == {}


def test_levels_of_an_ome_tiff_are_read_where_it_shrinks(tmp_path: Path, monkeypatch) -> None:
    stack = noise(3, 128, 96)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        how = {"tile": (32, 32), "compression": "zlib", "photometric": "minisblack"}
        tif.write(stack, subifds=2, metadata={"axes": "CYX", "PhysicalSizeX": 0.5}, **how)
        for step in (2, 4):
            tif.write(stack[:, ::step, ::step], subfiletype=1, **how)
    image = open_image(tmp_path / "a.ome.tif")
    assert [level.shape for level in image.levels] == [(3, 64, 48), (3, 32, 24)]
    seen = []
    real = TiffPixels._box
    monkeypatch.setattr(
        TiffPixels, "_box", lambda self, box: seen.append(self.shape) or real(self, box)
    )
    unit = UnitInput(
        t=0, z=0, ndim=2, shape=(128, 96), seen=(64, 48), channels=ChannelMap(channels=(0,)),
        affines=((Affine(),),),
    )  # fmt: skip
    np.testing.assert_array_equal(unit.read_seen(image)[0], stack[0, ::2, ::2])
    small = replace(unit, seen=(40, 31))
    at_once = small.read_seen(image)
    monkeypatch.setattr(in_file, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(scale, "BAND_PX", 100)
    np.testing.assert_allclose(small.read_seen(image), at_once, atol=1e-3)  # of 255
    assert set(seen) == {(3, 64, 48)}


def test_what_shrinks_is_read_in_bands_where_the_whole_has_no_room(monkeypatch) -> None:
    """Also where what the network sees of it has."""
    unit = UnitInput(
        t=0, z=0, ndim=2, shape=(128, 96), seen=(64, 48), channels=ChannelMap(channels=(0,)),
        affines=((Affine(),),),
    )  # fmt: skip
    image = Image(data=noise(128, 96), axes="yx")
    at_once, rows = unit.read_seen(image), []
    real = UnitInput.read
    monkeypatch.setattr(
        UnitInput, "read", lambda self, image, box: rows.append(box[0]) or real(self, image, box)
    )
    monkeypatch.setattr(scale, "BAND_PX", 480)
    monkeypatch.setattr(in_file, "IN_MEMORY_BYTES", 4 * 64 * 48)
    np.testing.assert_allclose(unit.read_seen(image), at_once, atol=1e-3)  # of 255
    assert max(part.stop - part.start for part in rows) < 40


def test_the_largest_picture_of_a_leica_slide_is_meant(tmp_path: Path) -> None:
    slide, small = noise(96, 128, 3), noise(24, 32, 3)
    images = "".join(
        f'<image name="{name}"><pixels sizeX="{w}" sizeY="{h}"><dimension sizeX="{w}" sizeY="{h}" '
        f'r="0" ifd="{ifd}"/></pixels></image>'
        for ifd, (name, h, w) in enumerate([("macro", 24, 32), ("slide", 96, 128)])
    )
    said = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f"<collection>{images}</collection></scn>"
    )
    with tifffile.TiffWriter(tmp_path / "a.scn", bigtiff=True) as tif:
        tif.write(small, description=said, **RGB)
        tif.write(slide, **RGB)
    image = open_image(tmp_path / "a.scn")
    np.testing.assert_array_equal(image.data[:], slide)
    assert image.notes == ()


def test_akoya_names_the_channels(tmp_path: Path) -> None:
    planes = noise(2, 64, 64)
    with tifffile.TiffWriter(tmp_path / "a.qptiff") as tif:
        for name, plane in zip(("DAPI", "CD8"), planes, strict=True):
            said = (
                "<PerkinElmer-QPI-ImageDescription><ImageType>FullResolution</ImageType>"
                f"<Name>{name}</Name></PerkinElmer-QPI-ImageDescription>"
            )
            tif.write(
                plane, description=said, tile=(32, 32), metadata=None, software="PerkinElmer-QPI",
                resolution=(20000, 20000), resolutionunit="CENTIMETER",
            )  # fmt: skip
    image = open_image(tmp_path / "a.qptiff")
    assert image.channel_names == ("DAPI", "CD8")
    assert image.pixel_size_um == pytest.approx({"y": 0.5, "x": 0.5})


def test_a_damaged_copy_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(64, 64)
    how = {"tile": (32, 32), "compression": "zlib", "metadata": None}
    with tifffile.TiffWriter(path) as tif:
        tif.write(pixels, subifds=1, **how)
        tif.write(pixels[::2, ::2], subfiletype=1, **how)
    with tifffile.TiffFile(path) as tif:
        page = tif.series[0].levels[1].keyframe
        tag = page.tags["TileByteCounts"]
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.series[0].levels[1].keyframe.tags["TileByteCounts"].overwrite(10**8)
    assert tag.count == 1
    image = open_image(path)
    assert image.levels == ()
    assert "coarser copy of the image is damaged" in image.notes[-1]
    np.testing.assert_array_equal(image.data[:], pixels)

"""What a TIFF promises and does not hold is refused, left out or named; never black unsaid."""

from __future__ import annotations

import os
import random
import struct
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_segnet.errors import ImageError
from napari_segnet.readers import image_paths, is_image_file, open_image

RNG = np.random.default_rng(5)
PLANES = RNG.integers(1, 200, (5, 24, 32)).astype(np.uint16)
OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
    'UUID="urn:uuid:{own}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
    'Type="uint16" SizeX="32" SizeY="24" SizeZ="{z}" SizeC="1" SizeT="{t}">'
    '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{places}</Pixels></Image></OME>'
)


def ome(path: Path, planes: np.ndarray, **words: Any) -> Path:
    text = OME.format(**{"own": uuid.uuid4(), "z": 1, "t": 1, "places": "<TiffData/>", **words})
    tifffile.imwrite(path, planes, description=text, metadata=None, photometric="minisblack")
    return path


def patched(path: Path, code: int, at: int, new: bytes) -> None:
    """Change bytes of the entry of a tag: 0 code, 2 type, 4 count, 8 value."""
    with tifffile.TiffFile(path) as tif:
        begin = tif.pages[0].tags[code].offset
    data = bytearray(path.read_bytes())
    data[begin + at : begin + at + len(new)] = new
    path.write_bytes(data)


# ---- Planes ----


def test_a_stopped_acquisition_ends_where_it_stopped(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif", PLANES[:3], z=10)
    image = open_image(path)
    np.testing.assert_array_equal(image.read()[0, 0], PLANES[:3])
    assert image.axes == "zyx"
    assert image.notes == (
        "The file says that it has 10 planes, and 3 are there: the others were left out.",
    )


def test_a_time_point_that_was_begun_is_kept_and_its_gaps_named(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif", PLANES, z=3, t=4)
    image = open_image(path)
    assert (image.axes, image.data.shape) == ("tzyx", (2, 3, 24, 32))
    block = image.read()[:, 0]
    np.testing.assert_array_equal(block[0], PLANES[:3])
    np.testing.assert_array_equal(block[1, :2], PLANES[3:])
    assert not block[1, 2].any()
    assert "12 planes, and 5 are there" in image.notes[0]
    assert "missing are t=1 z=2, counted from 0, which are read as black" in image.notes[0]


def test_missing_files_of_a_set_are_named(tmp_path: Path) -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    places = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="m{z}.ome.tif">'
        f"urn:uuid:{ids[z]}</UUID></TiffData>"
        for z in range(3)
    )
    paths = [
        ome(tmp_path / f"m{z}.ome.tif", PLANES[z], own=ids[z], z=3, places=places) for z in range(3)
    ]
    whole = open_image(paths[1])
    assert whole.notes == ()
    np.testing.assert_array_equal(whole.read()[0, 0], PLANES[:3])
    paths[2].unlink()
    cut = open_image(paths[1])
    np.testing.assert_array_equal(cut.read()[0, 0, :2], PLANES[:2])
    assert "3 planes, and 2 are there (not found: m2.ome.tif)" in cut.notes[0]
    assert "z=2, counted from 0, which are read as black" in cut.notes[0]


def test_a_file_of_a_set_that_changes_is_an_error(tmp_path: Path) -> None:
    ids = [str(uuid.uuid4()) for _ in range(2)]
    places = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="m{z}.ome.tif">'
        f"urn:uuid:{ids[z]}</UUID></TiffData>"
        for z in range(2)
    )
    first, second = (
        ome(tmp_path / f"m{z}.ome.tif", PLANES[z], own=ids[z], z=2, places=places) for z in range(2)
    )
    image = open_image(first)
    os.truncate(second, second.stat().st_size - 9)
    np.testing.assert_array_equal(image.read(z=0)[0, 0, 0], PLANES[0])
    with pytest.raises(ImageError, match=r"m1\.ome\.tif has changed since it was opened"):
        image.read(z=1)


def test_black_planes_that_fill_up_an_acquisition_are_said(tmp_path: Path) -> None:
    planes = PLANES.copy()
    planes[3:] = 0
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, planes, ome=True, metadata={"axes": "TYX"})
    image = open_image(path)
    np.testing.assert_array_equal(image.read()[:, 0, 0], planes)
    assert image.notes == (
        "The last 2 planes are black throughout: was the acquisition of its 5 stopped?",
    )
    tifffile.imwrite(path, PLANES, ome=True, metadata={"axes": "TYX"})
    assert open_image(path).notes == ()


@pytest.mark.parametrize("missing", [0, 700, 4000])
def test_a_large_stack_of_imagej_that_is_cut_off(tmp_path: Path, missing: int) -> None:
    """Beyond 4 GB it writes one page, and says in words how many planes follow."""
    path = tmp_path / "a.tif"
    words = "ImageJ=1.53c\nimages=5\nslices=5\n"
    tifffile.imwrite(path, PLANES[0], description=words, metadata=None, software=None)
    with tifffile.TiffFile(path) as tif:
        begin = tif.pages[0].dataoffsets[0]
    whole = path.read_bytes()[:begin] + PLANES.tobytes()
    path.write_bytes(whole[: len(whole) - missing])
    if not missing:
        np.testing.assert_array_equal(open_image(path).read()[0, 0], PLANES)
        return
    with pytest.raises(ImageError, match=r"a\.tif is not complete: ImageJ wrote 5 planes"):
        open_image(path)


def test_one_plane_taken_out_of_a_stack_of_imagej(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    words = "ImageJ=1.53c\nimages=5\nslices=5\n"
    tifffile.imwrite(path, PLANES[0], description=words, metadata=None)
    image = open_image(path)
    np.testing.assert_array_equal(image.read()[0, 0, 0], PLANES[0])
    assert "ImageJ's description says 5 planes, and one is there." in image.notes
    tifffile.imwrite(path, PLANES[0], description=words, metadata=None, compression="zlib")
    with pytest.raises(ImageError, match="ImageJ wrote 5 planes, and only 1 could be found"):
        open_image(path)


# ---- Tags and tiles ----


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("code", "at", "new", "words"),
    [
        (273, 2, b"\x0c\x00", r"tag 273 \(StripOffsets\)"),
        (273, 0, b"\x12\x91", "lists 0 tiles or strips"),
        (273, 8, bytes(4), "where the file begins"),
        (279, 8, bytes(4), "pixels have no place"),
        (279, 8, struct.pack("<I", 40), "complete|damaged"),
        (256, 2, b"\x0b\x00", "ImageWidth|decoded"),
        (257, 8, struct.pack("<I", 2**30), "needs? "),
        (258, 8, struct.pack("<H", 64), "need|reshaped"),
    ],
)
def test_damaged_tags_are_never_black(
    tmp_path: Path, code: int, at: int, new: bytes, words: str, compression: str | None
) -> None:
    path = tmp_path / "bad.tif"
    tifffile.imwrite(path, PLANES[0], compression=compression)
    patched(path, code, at, new)
    with pytest.raises(ImageError, match=rf"bad\.tif is (not complete|damaged).*({words})"):
        open_image(path).read()


@pytest.mark.parametrize(
    ("compression", "name"),
    [(6, "old-style JPEG"), (32809, "THUNDERSCAN"), (34676, "SGILOG"), (60_001, "60001")],
)
def test_a_compression_without_a_decoder_is_named(
    tmp_path: Path, compression: int, name: str
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANES[0].astype(np.uint8), metadata=None)
    patched(path, 259, 8, struct.pack("<H", compression))
    words = rf"a\.tif compresses its pixels as {name}, which tifffile does not read\. Save it again"
    with pytest.raises(ImageError, match=words):
        open_image(path)


def test_old_style_jpeg_whose_strips_are_whole_files_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANES[0].astype(np.uint8), compression="jpeg", metadata=None)
    new_style = open_image(path).read()
    patched(path, 259, 8, struct.pack("<H", 6))
    np.testing.assert_array_equal(open_image(path).read(), new_style)


def test_bits_of_more_samples_than_there_are(tmp_path: Path) -> None:
    path, colours = tmp_path / "a.tif", RNG.integers(0, 255, (24, 32, 3), np.uint8)
    tifffile.imwrite(path, colours, photometric="rgb")
    patched(path, 258, 4, struct.pack("<II", 4, path.stat().st_size))
    path.write_bytes(path.read_bytes() + struct.pack("<4H", 8, 8, 8, 1))
    np.testing.assert_array_equal(np.asarray(open_image(path).data), colours)
    patched(path, 258, 4, struct.pack("<I", 2))
    with pytest.raises(ImageError, match=r"tag 258 \(BitsPerSample\) cannot be right"):
        open_image(path)


def test_fewer_strips_than_rows_need(tmp_path: Path) -> None:
    path = tmp_path / "bad.tif"
    tifffile.imwrite(path, PLANES[0], compression="zlib")
    patched(path, 278, 8, struct.pack("<I", 1))
    with pytest.raises(ImageError, match=r"lists 1 tiles or strips, and its size needs 24"):
        open_image(path)


@pytest.mark.parametrize("code", [258, 259, 262])
def test_a_missing_tag_is_said(tmp_path: Path, code: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANES[0].astype(np.uint8))
    patched(path, code, 0, struct.pack("<H", 60_000))
    assert any(f"It has no tag {code}" in note for note in open_image(path).notes)


def test_masks_of_pillow_do_not_say_their_bits(tmp_path: Path) -> None:
    mask = RNG.random((24, 37)) > 0.5
    Image.fromarray(mask).save(tmp_path / "a.tif")
    found = open_image(tmp_path / "a.tif")
    assert not found.notes
    np.testing.assert_array_equal(np.asarray(found.data), mask)


def test_tiles_that_were_never_written_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANES[0], tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tif:
        tags = tif.pages[0].tags
        for name in ("TileOffsets", "TileByteCounts"):
            tags[name].overwrite([*tags[name].value[:3], 0])
    image = open_image(path)
    assert image.notes == ("1 of its 4 tiles or strips were never written; they are read as 0.",)
    np.testing.assert_array_equal(image.read()[0, 0, 0, :16], PLANES[0][:16])


def test_bytes_that_nobody_needs_are_said(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANES[0])
    patched(path, 257, 8, struct.pack("<I", 12))
    assert any("more than its size needs" in note for note in open_image(path).notes)


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "compressed": {"compression": "zlib", "rowsperstrip": 5},
    "tiled": {"compression": "lzw", "tile": (16, 16)},
    "big-endian": {"byteorder": ">", "rowsperstrip": 7},
    "BigTIFF": {"bigtiff": True},
}


@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", KINDS)
def test_mutations_are_refused_or_not_black(kind: str, tmp_path: Path) -> None:
    """One byte outside of the pixels: refused, said, or hardly any zero where there is none."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANES[0], **KINDS[kind])
    data = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        places = zip(page.dataoffsets, page.databytecounts, strict=True)
        pixels = {i for begin, count in places for i in range(begin, begin + count)}
    spots = [i for i in range(len(data)) if i not in pixels]
    same = 0
    for seed in range(120):
        dice = random.Random(seed)
        at = dice.choice(spots)
        damaged = bytearray(data)
        damaged[at] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        try:
            image = open_image(path)
            block = image.read()
        except ImageError as error:
            assert "a.tif" in str(error)
            continue
        if not image.notes:
            assert np.mean(block == 0) < 0.5, (seed, at)
        same += bool(np.array_equal(np.squeeze(block), PLANES[0]))
    assert same, "every file was refused: nothing was compared"


# ---- Endings ----


@pytest.mark.parametrize("ending", ["lsm", "stk", "svs", "qptiff", "btf", "scn", "ndpi"])
def test_kin_of_tiff_in_a_folder(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    tifffile.imwrite(path, PLANES[0])
    assert is_image_file(path)
    assert image_paths([tmp_path]) == [path]

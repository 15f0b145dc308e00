"""Pictures as they come: the same pixels in any wrapping give the same labels, the rest a sentence.

Every picture goes through the command, as a user's would.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from support.teaching import objects, photograph

from napari_segnet.readers import open_image

PIXELS = photograph(objects((60, 52), count=5))
WIDE = PIXELS.astype(np.uint16)


def tiff(pixels=PIXELS, **how):
    return lambda path: tifffile.imwrite(path, pixels, **how)


def pillow(picture, **how):
    return lambda path: picture.save(path, **how)


def several(*pages, **how):
    def write(path):
        with tifffile.TiffWriter(path, **how) as file:
            for page in pages:
                file.write(page, contiguous=False)

    return write


def pyramid(path):
    with tifffile.TiffWriter(path) as file:
        file.write(PIXELS, subifds=1, tile=(32, 32))
        file.write(PIXELS[::2, ::2], subfiletype=1, tile=(32, 32))


def turned(path):
    """Stored on its side, with the note that says so."""
    exif = Pillow.Exif()
    exif[0x112] = 6
    Pillow.fromarray(np.rot90(PIXELS)).save(path, exif=exif, quality=100)


def grey_colours(picture):
    picture.putpalette([value for value in range(256) for _ in range(3)])
    return picture


RGB = np.stack([PIXELS] * 3, -1)
CLEAR = np.dstack([RGB, np.zeros_like(PIXELS)])  # wholly transparent: alpha is no pixel value
LOSSLESS = ("lzw", "deflate", "zstd", "lzma", "packbits", "png", "jpegxl", "lerc")
TYPES = ("int16", "int32", "int64", "uint32", "uint64", "float16", "float32", "float64")

SAME = {
    "big endian.tif": tiff(WIDE.astype(">u2"), byteorder=">"),
    "big.tif": tiff(WIDE, bigtiff=True),
    "tiled.tif": tiff(WIDE, tile=(16, 32)),
    "strips.tif": tiff(WIDE, rowsperstrip=7),
    "horizontal.tif": tiff(WIDE, compression="lzw", predictor=True),
    "floating.tif": tiff(PIXELS.astype(np.float32), compression="deflate", predictor=3),
    **{f"{name}.tif": tiff(compression=name) for name in LOSSLESS},
    **{f"{name}.tif": tiff(PIXELS.astype(name)) for name in TYPES},
    "2000.tif": tiff(WIDE, compression="jpeg2000"),
    "ome.ome.tif": tiff(ome=True),
    "imagej.tif": tiff(imagej=True),
    "pyramid.tif": pyramid,
    "UPPER.TIF": tiff(),
    "two.dots.tiff": tiff(),
    "mit Leerzeichen ü 細胞 🔬.tif": tiff(),
    "-c.tif": tiff(),
    "[1]*?.tif": tiff(),
    "l" * 200 + ".tif": tiff(),
    "rgb.tif": tiff(RGB, photometric="rgb"),
    "planar.tif": tiff(np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate"),
    "rgba.tif": tiff(CLEAR, photometric="rgb", extrasamples=["unassalpha"]),
    "palette.tif": tiff(
        photometric="palette",
        colormap=np.repeat(np.arange(256, dtype=np.uint16)[None] * 257, 3, axis=0),
    ),
    "grey.png": pillow(Pillow.fromarray(PIXELS)),
    "16.png": pillow(Pillow.fromarray(WIDE)),
    "rgb.png": pillow(Pillow.fromarray(RGB)),
    "rgba.png": pillow(Pillow.fromarray(CLEAR)),
    "grey alpha.png": pillow(Pillow.fromarray(np.dstack([PIXELS, PIXELS]), "LA")),
    "palette.png": pillow(grey_colours(Pillow.fromarray(PIXELS).copy())),
    "png named.tif": pillow(Pillow.fromarray(PIXELS), format="PNG"),
    "array.npy": lambda path: np.save(path, PIXELS),
    "columns first.npy": lambda path: np.save(path, np.asfortranarray(PIXELS)),
}


@pytest.fixture(scope="module")
def words(shop, tmp_path_factory):
    """A network that judges by shape: every pixel type is stretched to 0 and 1."""
    return ("-c", shop / "unet.pth", "--set", "normalize=min-max", "--json")


@pytest.fixture
def segmented(run, words, tmp_path):
    def go(name, write, *more):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        write(path)
        done = run("segment", *words, *more, "-o", tmp_path / "out", "--", path)
        assert "Traceback" not in done.err
        return done

    return go


@pytest.fixture(scope="module")
def plain(words, tmp_path_factory):
    from napari_segnet.__main__ import main

    folder = tmp_path_factory.mktemp("plain")
    tifffile.imwrite(folder / "plain.tif", PIXELS)
    assert main([str(w) for w in ("segment", folder / "plain.tif", *words, "-o", folder)]) == 0
    labels = np.asarray(open_image(folder / "plain.labels.tif").data)
    assert labels.max() > 2
    return labels


def labels_of(line):
    return np.asarray(open_image(line["files"][0]).data)


@pytest.mark.sample(15)
@pytest.mark.parametrize("name", SAME, ids=lambda name: name[:20])
def test_the_same_pixels_give_the_same_labels(segmented, plain, name):
    done = segmented(name, SAME[name])
    assert done.code == 0, done.err
    labels = labels_of(done.json)
    bound = 0.01 if {"rgb", "rgba", "planar", "palette"} & {name.partition(".")[0]} else 1e-9
    # Brightness of three equal colours is that grey but for rounding.
    assert (labels != plain).mean() < (bound)
    assert Path(done.json["files"][0]).name == f"{name.removesuffix('.ome.tif').rpartition('.')[0] or 'ome'}.labels.tif"  # fmt: skip  # noqa: E501


def test_lossy_ones_give_nearly_the_same(segmented, plain):
    for name, write in {
        "grey.jpg": pillow(Pillow.fromarray(PIXELS), quality=95),
        "cmyk.jpg": pillow(Pillow.fromarray(RGB).convert("CMYK"), quality=95),
        "SIDE.JPEG": turned,
        "jpeg.tif": tiff(compression="jpeg", compressionargs={"level": 95}),
        "webp.tif": tiff(RGB, photometric="rgb", compression="webp"),
    }.items():
        done = segmented(name, write)
        assert done.code == 0, done.err
        assert labels_of(done.json).shape == plain.shape
        seen = open_image(done.json["image"]).read().astype(float).mean(axis=1).squeeze()
        assert np.abs(seen - PIXELS).mean() < 6, name


def test_black_and_white_of_one_bit(segmented):
    mask = PIXELS > 100
    found = {}
    for name, write in {
        "bits.png": pillow(Pillow.fromarray(mask)),
        "bits.tif": pillow(Pillow.fromarray(mask)),
        "fax.tif": pillow(Pillow.fromarray(mask), compression="group4"),
        "bool.tif": tiff(mask),
        "bytes.npy": lambda path: np.save(path, mask),
    }.items():
        done = segmented(name, write)
        assert done.code in (0, 2), done.err
        found[name] = labels_of(done.json) if done.code == 0 else done.refused()
    # Two of one stem end in one folder: the second is refused, not written over the first.
    assert "would be replaced" in found.pop("bits.tif")
    first = found.pop("bits.png")
    assert first.max() > 0
    for name, labels in found.items():
        np.testing.assert_array_equal(labels, first, err_msg=name)


@pytest.mark.parametrize("shape", [(1, 1), (1, 52), (60, 1), (2, 3), (17, 503)])
def test_any_size(segmented, shape):
    pixels = np.resize(PIXELS, shape)
    done = segmented("any.tif", tiff(pixels))
    assert done.code == 0, done.err
    assert labels_of(done.json).shape == shape


@pytest.mark.parametrize("value", [0, 7, 65535, np.float32(-1e30), np.float32(1e30)])
def test_a_picture_of_one_grey_value(segmented, value):
    done = segmented("flat.tif", tiff(np.full((60, 52), value, np.asarray(value).dtype)))
    assert done.code == 0, done.err
    origin = json.loads(Path(done.json["files"][-1]).read_text())
    assert len(origin["labels"]) == done.json["n_labels"]


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_few_pixels_that_are_no_numbers(segmented, plain, odd):
    pixels = PIXELS.astype(np.float32)
    pixels[:3, :3] = odd
    done = segmented("dead.tif", tiff(pixels), "--save-maps")
    assert done.code == 0, done.err
    far = (slice(30, None), slice(30, None))
    assert ((labels_of(done.json) > 0) == (plain > 0))[far].all()
    maps = open_image(done.json["files"][1]).read()
    assert np.isfinite(maps).all()


# ---- More than a plane ----


@pytest.mark.parametrize(
    ("name", "write", "axes", "shape"),
    [
        ("pages.tif", several(*[PIXELS] * 3), "zyx", (3, 60, 52)),
        (
            "hyper.tif",
            tiff(np.stack([PIXELS] * 6).reshape(2, 3, 60, 52), imagej=True,
                 metadata={"axes": "TZYX"}),
            "tzyx",
            (2, 3, 60, 52),
        ),
        (
            "series.ome.tif",
            tiff(np.stack([PIXELS] * 2), ome=True, metadata={"axes": "TYX"}),
            "tyx",
            (2, 60, 52),
        ),
    ],
)  # fmt: skip
def test_every_plane_is_segmented_as_if_alone(segmented, plain, name, write, axes, shape):
    done = segmented(name, write)
    assert done.code == 0, done.err
    image = open_image(done.json["files"][0])
    assert (image.axes, image.data.shape) == (axes, shape)
    planes = np.asarray(image.data).reshape(-1, 60, 52)
    for number, plane in enumerate(planes):
        np.testing.assert_array_equal(plane, np.where(plain > 0, plain + number * plain.max(), 0))


def test_channels_of_a_hyperstack(segmented, plain):
    stack = np.stack([255 - PIXELS, PIXELS])
    both = np.stack([stack] * 2)  # z, c, y, x
    write = tiff(both, imagej=True, metadata={"axes": "ZCYX"})
    done = segmented("hyper.tif", write)
    assert done.code == 1
    assert "takes 1 channel, but hyper has 2 channels. Choose with --set channels=0" in done.err
    done = segmented("hyper.tif", write, "--set", "channels=1")
    assert done.code == 0, done.err
    np.testing.assert_array_equal(labels_of(done.json)[0], plain)


def test_further_pictures_in_a_file_are_not_passed_over_in_silence(segmented, plain):
    for name, write, count in (
        ("odd pages.tif", several(PIXELS, PIXELS[:30], WIDE), "2 more images"),
        ("positions.ome.tif", several(PIXELS, WIDE[:20], ome=True), "one more image"),
    ):
        done = segmented(name, write)
        assert done.code == 0, done.err
        np.testing.assert_array_equal(labels_of(done.json), plain)
        (note,) = done.json["notes"]
        assert note.startswith(f"The file holds {count}; only the first")
        assert note in done.err


# ---- What is refused, alone ----


def cut(write, share=0.5):
    def go(path):
        write(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return go


def bytes_of(content):
    return lambda path: path.write_bytes(content)


def array(values):
    return lambda path: np.save(path, values)


REFUSED = {
    "missing.tif": (lambda path: None, "There is no file"),
    "empty.tif": (bytes_of(b""), "empty (0 bytes)"),
    "folder.tif": (lambda path: (path.mkdir(), tiff()(path / "a.txt")), "holds no image"),
    "text.tif": (bytes_of(b"hello"), "its first bytes are 'hello'"),
    "pointer.tif": (
        bytes_of(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "only a Git-LFS pointer, not the file itself. Run 'git lfs pull'",
    ),
    "unet.pth": (bytes_of(b"PK\x03\x04weights"), "Name a network with -c"),
    "picture.gif": (pillow(Pillow.fromarray(PIXELS)), "of a kind that does not open here"),
    "cut.tif": (cut(tiff(WIDE)), "is not complete: it should have at least"),
    "cut lzw.tif": (cut(tiff(WIDE, compression="lzw")), "is not complete"),
    "head.tif": (bytes_of(b"II*\0\x08\0\0\0"), "holds no image"),
    "cut.png": (cut(pillow(Pillow.fromarray(WIDE))), "damaged or not complete"),
    "cut.jpg": (cut(pillow(Pillow.fromarray(PIXELS))), "damaged or not complete"),
    "cut.npy": (cut(array(PIXELS)), "damaged or not complete"),
    "nan.tif": (tiff(np.full((9, 9), np.nan, np.float32)), "has no finite pixel: all are NaN"),
    "inf.npy": (array(np.full((9, 9), -np.inf)), "has no finite pixel"),
    "zero.npy": (array(np.zeros((0, 5), np.uint8)), "is empty: its shape is (0, 5)"),
    "line.npy": (array(np.arange(5)), "has one dimension, but an image has at least two"),
    "number.npy": (array(np.array(3)), "has a single number"),
    "stack.npy": (array(np.stack([PIXELS] * 3)), "for example --set axes=zyx"),
    "complex.npy": (array(PIXELS.astype(complex)), "holds complex numbers"),
    "complex.tif": (tiff(PIXELS.astype(np.complex64)), "holds complex numbers"),
    "letters.npy": (array(np.array([["a"]])), "pixels must be whole numbers or floats"),
    "records.npy": (array(np.zeros((5, 5), [("a", "u1")])), "holds records"),
    "five.tif": (
        tiff(np.stack([PIXELS] * 5), imagej=True, metadata={"axes": "CYX"}),
        "This network takes 1 channel, but five has 5 channels. Choose with --set channels=0",
    ),
}


@pytest.mark.sample(8)
@pytest.mark.parametrize("name", REFUSED)
def test_a_picture_that_cannot_be_used_fails_alone(segmented, run, words, shop, tmp_path, name):
    write, says = REFUSED[name]
    done = segmented(name, write)
    if name == "folder.tif":  # seen before any image is read
        assert says in done.refused()
        return
    assert done.code == 1
    assert says in done.json["error"]
    assert done.json["error"] in done.err
    assert "does not foresee" not in done.err
    assert "\n" not in done.json["error"]
    assert not (tmp_path / "out").exists()
    # Another image beside it is done.
    both = (tmp_path / "in" / name, shop / "cells.tif")
    done = run("segment", *words, *both, "-o", tmp_path / "out")
    assert done.code == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "cells.json",
        "cells.labels.tif",
    ]


def test_pickled_objects_in_an_array_do_not_run(segmented, tmp_path):
    witness = tmp_path / "witness"

    class Evil:
        def __reduce__(self):
            return Path.touch, (witness,)

    done = segmented("evil.npy", lambda path: np.save(path, np.array([Evil()]), allow_pickle=True))
    assert done.code == 1
    assert "holds Python objects, which would run code when opened" in done.json["error"]
    assert not witness.exists()


# ---- Which files are meant ----


def test_stars_and_question_marks_where_the_shell_leaves_them(run, words, tmp_path):
    inside = tmp_path / "exp [1]"
    inside.mkdir()
    for name in ("a1.tif", "a2.tif", "a10.tif", "b1.png", "a3.txt"):
        (pillow(Pillow.fromarray(PIXELS)) if "png" in name else tiff())(inside / name)
    done = run("segment", *words, inside / "a*", "-o", tmp_path / "out")
    assert [Path(line["image"]).name for line in done.lines] == ["a1.tif", "a2.tif", "a10.tif"]
    done = run("segment", *words, inside / "?1.*", "-o", tmp_path / "2")
    assert [Path(line["image"]).name for line in done.lines] == ["a1.tif", "b1.png"]
    done = run("segment", *words, inside / "*.jpg", "-o", tmp_path / "3")
    assert "No image matches " in done.refused()
    assert not (tmp_path / "3").exists()


def test_empty_names_are_not_the_folder_one_stands_in(run, words, shop, tmp_path):
    assert "argument IMAGE: is empty" in run("segment", *words, "").refused()
    cells = shop / "cells.tif"
    assert "argument -c/--checkpoint: is empty" in run("segment", cells, "-c", "").refused()
    assert "argument -o/--output: is empty" in run("segment", *words, cells, "-o", " ").refused()
    assert "argument --device: is empty" in run("segment", *words, cells, "--device", "").refused()

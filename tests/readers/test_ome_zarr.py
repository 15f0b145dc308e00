"""OME-Zarr folders as other programs write them."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_segnet.errors import ImageError, MissingExtraError
from napari_segnet.readers import image_paths, image_stem, open_image
from napari_segnet.readers._zarr_pixels import ZarrPixels

zarr = pytest.importorskip("zarr")

PIXELS = np.random.default_rng(0).integers(0, 4000, (2, 60, 50), np.uint16)
UNITS = {"c": "channel", "t": "time", "z": "space", "y": "space", "x": "space"}


def axes_of(letters: str) -> list[dict[str, str]]:
    units = {"space": {"unit": "nanometer"}}
    return [{"name": a, "type": UNITS[a], **units.get(UNITS[a], {})} for a in letters]


def multiscale(letters: str, levels: int = 2) -> dict[str, Any]:
    scales = [[500.0 * 2**k if a in "yx" else 1.0 for a in letters] for k in range(levels)]
    return {
        "axes": axes_of(letters),
        "datasets": [
            {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            for k, scale in enumerate(scales)
        ],
    }


def write(folder: Path, pixels: np.ndarray, ome: dict[str, Any], version: int, **how: Any) -> None:
    """Write a pyramid of two levels, by means of zarr itself."""
    attributes = {"ome": {"version": "0.5", **ome}} if version == 3 else ome
    zarr.open_group(str(folder), mode="w", zarr_format=version, attributes=attributes)
    for name, data in (("0", pixels), ("1", pixels[..., ::2, ::2])):
        chunks = how.get("chunks", (*(1,) * (data.ndim - 2), 16, 20))
        made = zarr.create_array(
            str(folder / name), shape=data.shape, dtype=data.dtype, zarr_format=version,
            chunks=chunks, **{k: v for k, v in how.items() if k != "chunks"},
        )  # fmt: skip
        made[...] = data


@pytest.mark.parametrize(
    ("version", "how"),
    [
        (2, {}),
        (2, {"chunk_key_encoding": {"name": "v2", "separator": "/"}}),
        (3, {}),
        (3, {"shards": (2, 64, 60), "chunks": (1, 16, 20)}),
    ],
)
def test_axes_pixel_sizes_channels_and_levels(tmp_path, version, how):
    ome = {
        "multiscales": [multiscale("cyx")],
        "omero": {"channels": [{"label": "DAPI"}, {"label": "GFP"}]},
    }
    write(tmp_path / "cells.ome.zarr", PIXELS, ome, version, **how)
    image = open_image(tmp_path / "cells.ome.zarr")
    assert (image.axes, image.name, image.channel_names) == ("cyx", "cells", ("DAPI", "GFP"))
    assert image.pixel_size_um == {"y": 0.5, "x": 0.5}
    np.testing.assert_array_equal(image.read()[0, :, 0], PIXELS)
    np.testing.assert_array_equal(image.read(c=1, y=slice(7, 40), x=slice(13, 50))[0, 0, 0],
                                  PIXELS[1, 7:40, 13:50])  # fmt: skip
    [half] = image.levels
    np.testing.assert_array_equal(np.asarray(half), PIXELS[:, ::2, ::2])
    again = pickle.loads(pickle.dumps(image))
    np.testing.assert_array_equal(again.read(y=3), image.read(y=3))
    assert image_paths([tmp_path]) == [tmp_path / "cells.ome.zarr"]


def test_the_nearest_level_is_read_where_the_image_is_shrunk(tmp_path):
    write(tmp_path / "a.zarr", PIXELS, {"multiscales": [multiscale("cyx")]}, 3)
    image = open_image(tmp_path / "a.zarr")
    assert image.level_for({"y": 30, "x": 25}).data is image.levels[0]
    assert image.level_for({"y": 31, "x": 25}) is image
    assert image.level_for({"y": 4, "x": 3}).sizes["y"] == 30


def test_a_level_of_another_type_is_left_out(tmp_path):
    """As in the image that BioImageTools/ome-zarr-examples calls one to warn of."""
    folder = tmp_path / "a.zarr"
    write(folder, PIXELS, {"multiscales": [multiscale("cyx")]}, 2)
    zarr.create_array(
        str(folder / "1"), shape=(2, 30, 25), dtype="f8", zarr_format=2, overwrite=True
    )
    opened = open_image(folder)
    assert opened.levels == ()
    np.testing.assert_array_equal(opened.read()[0, :, 0], PIXELS)


def test_five_dimensions_of_one_time_and_depth_are_left_out(tmp_path):
    pixels = PIXELS[np.newaxis, :, np.newaxis]
    write(tmp_path / "a.zarr", pixels, {"multiscales": [multiscale("tczyx")]}, 2)
    image = open_image(tmp_path / "a.zarr")
    assert image.axes == "cyx"
    assert [level.shape for level in image.levels] == [(2, 30, 25)]
    assert open_image(tmp_path / "a.zarr", "tczyx").axes == "tczyx"


def test_old_layouts(tmp_path):
    pixels = np.stack([PIXELS] * 3)[:, :, np.newaxis]
    old = {"multiscales": [{"version": "0.1", "datasets": [{"path": "0"}, {"path": "1"}]}]}
    write(tmp_path / "old.zarr", pixels, old, 2)
    assert open_image(tmp_path / "old.zarr").axes == "tcyx"
    named = {"multiscales": [{"axes": ["z", "y", "x"], "datasets": [{"path": "0"}]}]}
    write(tmp_path / "named.zarr", PIXELS, named, 2)
    image = open_image(tmp_path / "named.zarr")
    assert (image.axes, image.pixel_size_um, image.levels) == ("zyx", {}, ())


def test_the_first_series_of_bioformats2raw(tmp_path):
    zarr.open_group(str(tmp_path / "s.zarr"), mode="w", zarr_format=2,
                    attributes={"bioformats2raw.layout": 3})  # fmt: skip
    for number in ("0", "1"):
        ome = {"multiscales": [multiscale("cyx")]}
        write(tmp_path / "s.zarr" / number, PIXELS, ome, 2)
    image = open_image(tmp_path / "s.zarr")
    assert image.name == "s"
    assert "only the first was read" in image.notes[0]
    assert image_stem(tmp_path / "s.zarr" / "1") == "s_1"
    assert open_image(tmp_path / "s.zarr" / "1").name == "s_1"


def test_a_plain_array(tmp_path):
    zarr.save_array(str(tmp_path / "plain.zarr"), PIXELS)
    with pytest.raises(ImageError, match="--set axes=zyx"):
        open_image(tmp_path / "plain.zarr")
    assert open_image(tmp_path / "plain.zarr", "cyx").sizes["c"] == 2


@pytest.mark.parametrize(
    ("ome", "match"),
    [
        ({"plate": {"wells": [{"path": "B/3"}]}}, "Name the fields of its wells, such as .*B/3/0"),
        ({"well": {"images": [{"path": "0"}]}}, "Name one of its fields"),
        ({}, "without an OME-Zarr image"),
        ({"labels": ["nuclei", "b"]}, "2 in all. Name one of them, such as a.zarr/nuclei"),
        ({"multiscales": [{"datasets": []}]}, "names no array"),
        ({"multiscales": [{"datasets": [{"path": "../other"}]}]}, "Nothing outside is read"),
        ({"multiscales": [{"datasets": [{"path": "9"}]}]}, "no Zarr array is there"),
        ({"multiscales": [{"axes": ["a", "b", "y"], "datasets": [{"path": "0"}]}]}, "calls them"),
        ({"multiscales": [{"datasets": [{"path": "0"}]}]}, "does not say which they are"),
    ],
)
def test_what_is_no_image_is_said(tmp_path, ome, match):
    write(tmp_path / "a.zarr", PIXELS, ome, 2)
    with pytest.raises(ImageError, match=match):
        open_image(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("file", "change", "match"),
    [
        ("0/.zarray", {"filters": [{"id": "pickle"}]}, "might run code"),
        ("0/.zarray", {"dtype": "|O"}, "must be whole numbers"),
        ("0/.zarray", {"shape": [-1, 3, 3]}, "cannot be understood"),
        ("0/.zarray", {"shape": [2**40, 2**40, 2]}, "no image has the shape"),
    ],
)
def test_arrays_that_are_no_numbers_never_reach_zarr(tmp_path, monkeypatch, file, change, match):
    write(tmp_path / "a.zarr", PIXELS, {"multiscales": [multiscale("cyx")]}, 2)
    path = tmp_path / "a.zarr" / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    monkeypatch.setattr(zarr, "open_array", lambda *_, **__: pytest.fail("zarr was asked"))
    with pytest.raises(ImageError, match=match):
        open_image(tmp_path / "a.zarr")


def test_damage_is_said(tmp_path):
    write(tmp_path / "a.zarr", PIXELS, {"multiscales": [multiscale("cyx")]}, 3)
    chunk = next((tmp_path / "a.zarr" / "0" / "c").rglob("1"))
    chunk = chunk if chunk.is_file() else next(p for p in chunk.rglob("*") if p.is_file())
    chunk.write_bytes(b"rubbish")
    with pytest.raises(ImageError, match="damaged or not complete"):
        open_image(tmp_path / "a.zarr").read()
    (tmp_path / "a.zarr" / "zarr.json").write_text("[" * 100_000)
    with pytest.raises(ImageError, match="cannot be read"):
        open_image(tmp_path / "a.zarr")


def test_each_chunk_is_decoded_once_for_bands_of_rows(tmp_path, monkeypatch):
    made = zarr.create_array(str(tmp_path / "a"), shape=(64, 64), dtype="u1", chunks=(32, 32))
    made[:] = 1
    pixels, asked = ZarrPixels(tmp_path / "a", 3), []
    array = pixels._array
    monkeypatch.setattr(pixels, "_array", type("", (), {
        "__getitem__": lambda _, box: (asked.append(box), array[box])[1]
    })())  # fmt: skip
    for row in range(64):
        pixels[row]
    assert len(asked) == 4


def test_chunks_that_are_not_there_are_filled_also_while_others_are_written(tmp_path, monkeypatch):
    """One that is written between two looks says nothing of those that are not there."""
    made = zarr.create_array(
        str(tmp_path / "a"), shape=(64, 60), dtype="u1", chunks=(32, 32), fill_value=7
    )
    pixels, asked = ZarrPixels(tmp_path / "a", 3), []
    array, absent = pixels._array, pixels._is_absent

    def written_meanwhile(where):
        found = absent(where)
        if where == (0, 0):
            made[:32, :32] = 1
        return found

    monkeypatch.setattr(pixels, "_is_absent", written_meanwhile)
    monkeypatch.setattr(pixels, "_array", type("", (), {
        "__getitem__": lambda _, box: (asked.append(box), array[box])[1]
    })())  # fmt: skip
    expected = np.full((64, 60), 7)
    expected[:32, :32] = 1
    np.testing.assert_array_equal(pixels[:], expected)
    np.testing.assert_array_equal(pixels[:], expected)
    assert len(asked) == 2  # of the three that are not there, one is decoded


def test_without_zarr_the_extra_is_named(tmp_path, monkeypatch):
    zarr.save_array(str(tmp_path / "plain.zarr"), PIXELS[0])
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r"Install the extra \[zarr\]"):
        open_image(tmp_path / "plain.zarr")

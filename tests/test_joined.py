"""Several pictures of one place as the channels of one image, in Python and on the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_segnet.__main__ import main
from napari_segnet.errors import ImageError
from napari_segnet.image import Image
from napari_segnet.joined import join_channels
from napari_segnet.readers import channel_sets


def picture(value: float, **changes) -> Image:
    rng = np.random.default_rng(int(value))
    pixels = rng.integers(0, 200, (3, 10, 12)).astype(np.uint8)
    made = Image(data=pixels, axes="zyx", name=f"c{value:g}", source=f"c{value:g}.tif")
    return replace(made, **changes)


def test_images_become_channels_in_their_order_and_are_read_in_parts():
    one, two = picture(1), picture(2)
    joined = join_channels([two, one, two], "case")
    assert (joined.axes, joined.name, joined.data.shape) == ("czyx", "case", (3, 3, 10, 12))
    assert joined.channel_sources == ("c2.tif", "c1.tif", "c2.tif")
    whole = joined.read()[0]
    assert np.array_equal(whole, np.stack([two.data, one.data, two.data]))
    part = joined.read(c=1, z=2, y=slice(3, 7))
    assert np.array_equal(part[0, 0, 0], one.data[2, 3:7])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"data": np.zeros((3, 9, 12), np.uint8)}, "c2 has 9 pixels along y and c1 has 10"),
        ({"pixel_size_um": {"x": 0.5}}, "A pixel of c2 is 0.5 µm along x, one of c1 is 0.4 µm"),
        (
            {"data": np.zeros((2, 3, 10, 12), np.uint8), "axes": "czyx"},
            "c2 has 2 channels, but each image of a set is one channel",
        ),
    ],
)
def test_images_of_other_grids_are_refused(other, words):
    with pytest.raises(ImageError, match=words):
        join_channels([picture(1, pixel_size_um={"x": 0.4}), picture(2, **other)])


def test_no_image_is_refused():
    with pytest.raises(ImageError, match="There is no image to join"):
        join_channels([])


def test_files_are_a_set_only_if_they_are_counted_from_zero_without_a_gap():
    names = ["a_0001.tif", "a_0000.tif", "b_0001.tif", "b_0002.tif", "c_0000.tif", "a_0000.png"]
    found = channel_sets([Path(name) for name in names])
    assert found == {Path("a_0000.tif"): (Path("a_0000.tif"), Path("a_0001.tif"))}


@pytest.fixture
def two_files(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60, (2, 32, 32)).astype(np.uint8)
    pixels[1, 8:20, 8:20] = 220
    for number, plane in enumerate(pixels):
        tifffile.imwrite(tmp_path / f"cell_000{number}.tif", plane)
    return tmp_path


def test_the_command_takes_numbered_files_as_one_image_where_channels_say_so(two_files, tmp_path):
    out = tmp_path / "out"
    names = [str(two_files / f"cell_000{n}.tif") for n in range(2)]
    assert main(["segment", *names, "-o", str(out), "--set", "channels=1"]) == 0
    origin = json.loads((out / "cell.json").read_text())
    assert [Path(name).name for name in origin["image"]["channels_from"]] == [
        "cell_0000.tif",
        "cell_0001.tif",
    ]
    assert origin["image"]["axes"] == "cyx"
    assert not (out / "cell_0000.json").exists()


def test_the_command_takes_numbered_files_one_by_one_otherwise(two_files, tmp_path):
    out = tmp_path / "out"
    assert main(["segment", str(two_files), "-o", str(out)]) == 0
    assert (out / "cell_0000.json").exists()
    assert (out / "cell_0001.json").exists()


def test_files_of_other_sizes_are_refused_with_their_names(two_files, tmp_path, capsys):
    tifffile.imwrite(two_files / "cell_0001.tif", np.zeros((32, 30), np.uint8))
    out = tmp_path / "out"
    assert main(["segment", str(two_files), "-o", str(out), "--set", "channels=1"]) == 1
    assert "cell_0001 has 30 pixels along x and cell_0000 has 32" in capsys.readouterr().err

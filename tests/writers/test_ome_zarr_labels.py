"""Labels as OME-Zarr: by themselves, and among the labels of an image."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_segnet import atomic
from napari_segnet.commands._zarr import zarr_place
from napari_segnet.errors import MissingExtraError, OutputError, SettingsError
from napari_segnet.readers import open_numbers
from napari_segnet.segmentation import Origin, Segmentation
from napari_segnet.writers import ZarrPlace, check_output, write_segmentation
from napari_segnet.writers import ome_zarr as writer

zarr = pytest.importorskip("zarr")


def segmentation(axes: str = "zyx", shape: tuple[int, ...] = (2, 1100, 700)) -> Segmentation:
    labels = np.random.default_rng(1).integers(0, 9, shape, np.int32)
    return Segmentation(
        labels=labels,
        axes=axes,
        pixel_size_um={"y": 0.5, "x": 0.25},
        kind="instance",
        label_class=dict.fromkeys(range(1, 9), 1),
        label_score=dict.fromkeys(range(1, 9), 0.5),
        class_names=("background", "cell"),
        origin=Origin(checkpoint={"sha256": "ab"}, image={"name": "cells"}, predict={}),
    )


def ome_of(folder: Path) -> dict[str, Any]:
    if (folder / ".zattrs").exists():
        found: dict[str, Any] = json.loads((folder / ".zattrs").read_text())
        return found
    return json.loads((folder / "zarr.json").read_text())["attributes"]["ome"]


def image_folder(folder: Path, version: int, axes: str, shape: tuple[int, ...]) -> Path:
    scales = {
        "axes": [{"name": a, **({"unit": "nanometer"} if a in "yx" else {})} for a in axes],
        "datasets": [
            {
                "path": "0",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [400.0 if a in "yx" else 2.0 for a in axes]}
                ],
            }
        ],
    }
    ome = {"multiscales": [scales]}
    zarr.open_group(str(folder), mode="w", zarr_format=version,
                    attributes=ome if version == 2 else {"ome": ome})  # fmt: skip
    zarr.create_array(str(folder / "0"), shape=shape, dtype="u1", zarr_format=version)
    return folder


@pytest.mark.parametrize("version", [2, 3])
def test_labels_by_themselves(tmp_path, version):
    made = segmentation()
    place = ZarrPlace(folder=tmp_path / "cells.zarr", zarr_format=version)
    files = write_segmentation(made, tmp_path, "cells", zarr=place)
    assert [file.name for file in files] == ["cells.zarr", "cells.json"]
    assert sorted(os.listdir(tmp_path)) == ["cells.json", "cells.zarr"]
    opened = open_numbers(tmp_path / "cells.zarr")
    np.testing.assert_array_equal(opened.read()[0, 0], made.labels)
    assert (opened.axes, opened.pixel_size_um) == ("zyx", {"y": 0.5, "x": 0.25})
    assert [level.shape for level in opened.levels] == [(2, 550, 350), (2, 275, 175)]
    assert opened.data.chunks == (1, 1024, 700)
    ome = ome_of(tmp_path / "cells.zarr")
    assert len(ome["image-label"]["properties"]) == 8
    assert ome["image-label"]["properties"][0] == {"label-value": 1, "class": 1, "score": 0.5}
    scale = ome["multiscales"][0]["datasets"][2]["coordinateTransformations"][0]["scale"]
    assert scale == [1.0, 2.0, 1.0]


@pytest.mark.parametrize("version", [2, 3])
def test_labels_of_an_image_stand_among_its_labels(tmp_path, version):
    image = image_folder(tmp_path / "a.zarr", version, "tczyx", (1, 3, 2, 60, 50))
    for weights in ("nuclei.pt", "my net.pt"):
        place = zarr_place(image, [image], Path(weights))
        write_segmentation(segmentation("zyx", (2, 60, 50)), tmp_path, weights, zarr=place)
    assert ome_of(image / "labels")["labels"] == ["nuclei", "my_net"]
    assert ome_of(image / "labels" / "nuclei")["image-label"]["source"] == {"image": "../../"}
    [scales] = ome_of(image / "labels" / "nuclei")["multiscales"]
    [finest] = scales["datasets"][0]["coordinateTransformations"]
    assert finest["scale"] == [2.0, 2.0, 2.0, 400.0, 400.0], "as the image has it"
    assert [axis.get("unit") for axis in scales["axes"]] == [None] * 3 + ["nanometer"] * 2
    array = zarr.open_array(str(image / "labels" / "nuclei" / "0"), mode="r")
    assert (array.shape, array.metadata.zarr_format) == ((1, 1, 2, 60, 50), version)
    assert zarr.open_group(str(image / "labels"), mode="r")["my_net"]["0"].dtype == "i4"


@pytest.mark.parametrize("version", [2, 3])
def test_labels_of_an_image_have_its_levels_and_its_place(tmp_path, version):
    """The format wants as many levels; 35 and 13 pixels are what 71 and 27 are cut off to."""
    image = tmp_path / "a.zarr"
    shapes, moved = ((3, 71, 90), (3, 35, 45), (3, 13, 40)), [0.0, 4.0, -6.0]
    datasets = [
        {
            "path": f"s{number}",
            "coordinateTransformations": [
                {"type": "scale", "scale": [1.0, 0.5 * step, 0.5 * step]},
                {"type": "translation", "translation": [0.0, 2.0 + number, -3.0]},
            ],
        }
        for number, step in enumerate((1, 2, 5))
    ]
    whole = [{"type": "scale", "scale": [1.0, 2.0, 2.0]}]
    ome = {
        "multiscales": [
            {
                "axes": [{"name": a} for a in "cyx"],
                "datasets": datasets,
                "coordinateTransformations": whole,
            }
        ]
    }
    attributes = ome if version == 2 else {"ome": ome}
    zarr.open_group(str(image), mode="w", zarr_format=version, attributes=attributes)
    for number, shape in enumerate(shapes):
        folder = str(image / f"s{number}")
        zarr.create_array(folder, shape=shape, dtype="u1", zarr_format=version)
    made = segmentation("yx", (71, 90))
    write_segmentation(made, tmp_path, "a", zarr=zarr_place(image, [image], Path("net.pt")))
    [scales] = ome_of(image / "labels" / "net")["multiscales"]
    assert [one["coordinateTransformations"] for one in scales["datasets"]] == [
        [
            {"type": "scale", "scale": [1.0, step, step]},
            {"type": "translation", "translation": [0.0, 4.0 + 2 * number, -6.0]},
        ]
        for number, step in enumerate((1.0, 2.0, 5.0))
    ]
    levels = [zarr.open_array(str(image / "labels" / "net" / str(n)), mode="r") for n in range(3)]
    assert [level.shape for level in levels] == [(1, *shape[1:]) for shape in shapes]
    np.testing.assert_array_equal(levels[1][0], made.labels[:70:2, ::2])
    rows, columns = (np.arange(13) + 0.5) * 71 / 13, (np.arange(40) + 0.5) * 90 / 40
    expected = made.labels[np.ix_(rows.astype(int), columns.astype(int))]
    np.testing.assert_array_equal(levels[2][0], expected)
    place = zarr_place(tmp_path / "b.zarr", [image], Path("net.pt"))
    write_segmentation(made, tmp_path, "b", zarr=place)
    [scales] = ome_of(tmp_path / "b.zarr")["multiscales"]
    _, translation = scales["datasets"][0]["coordinateTransformations"]
    assert translation["translation"] == moved[1:]


def test_nothing_but_labels_is_replaced(tmp_path):
    place = ZarrPlace(folder=tmp_path / "cells.zarr")
    write_segmentation(segmentation(), tmp_path, "cells", zarr=place)
    with pytest.raises(OutputError, match=r"would be replaced\. Allow that with --overwrite"):
        check_output(tmp_path, "cells", zarr=place)
    other = segmentation(shape=(1, 20, 30))
    write_segmentation(other, tmp_path, "cells", zarr=place, overwrite=True)
    assert open_numbers(tmp_path / "cells.zarr").sizes["x"] == 30
    image = image_folder(tmp_path / "image.zarr", 3, "yx", (9, 9))
    (tmp_path / "plain.zarr").mkdir()
    for folder in (image, tmp_path / "plain.zarr"):
        with pytest.raises(OutputError, match="holds no OME-Zarr labels, so it is not replaced"):
            check_output(tmp_path, "new", overwrite=True, zarr=ZarrPlace(folder=folder))


def test_what_fails_leaves_what_was_there(tmp_path, monkeypatch):
    place = ZarrPlace(folder=tmp_path / "cells.zarr")
    write_segmentation(segmentation(), tmp_path, "cells", zarr=place)
    before = sorted(os.listdir(tmp_path))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for module, name in ((writer, "_write_level"), (atomic, "flush")):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, full)
            with pytest.raises(OutputError, match="the disk is full"):
                write_segmentation(
                    segmentation(shape=(1, 9, 9)), tmp_path, "cells", zarr=place, overwrite=True
                )
        assert sorted(os.listdir(tmp_path)) == before
        assert open_numbers(tmp_path / "cells.zarr").sizes["x"] == 700


def test_what_cannot_go_there_is_said(tmp_path, monkeypatch):
    image = image_folder(tmp_path / "a.zarr", 2, "yx", (60, 50))
    other = image_folder(tmp_path / "b.zarr", 2, "yx", (60, 50))
    with pytest.raises(SettingsError, match="the labels of one image, and there are 2"):
        zarr_place(tmp_path / "out.zarr", [image, other], Path("nuclei.pt"))
    with pytest.raises(SettingsError, match="not the one that is segmented"):
        zarr_place(other, [image], Path("nuclei.pt"))
    assert zarr_place(tmp_path / "out.zarr", [image], Path("n.pt")).zarr_format == 2
    place = ZarrPlace(folder=image / "labels" / "n", image=image, axes="yx")
    with pytest.raises(OutputError, match="do not fit each other"):
        write_segmentation(segmentation(), tmp_path, "a", zarr=place)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r"Install the extra \[zarr\]"):
        check_output(tmp_path, "c", zarr=ZarrPlace(folder=tmp_path / "c.zarr"))

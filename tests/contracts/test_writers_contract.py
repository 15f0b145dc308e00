"""What every writer in WRITERS promises; a newcomer is tested without an edit here."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image as Pillow
from support.spawned import die_writing, exit_code

from napari_segnet.checkpoint import Output
from napari_segnet.errors import OutputError
from napari_segnet.grid import Grid
from napari_segnet.image import Image
from napari_segnet.measure import Table, measure
from napari_segnet.progress import run
from napari_segnet.readers import open_image
from napari_segnet.segmentation import Instances, Kind, Maps, Origin, Segmentation
from napari_segnet.writers import (
    WRITERS,
    Result,
    Writer,
    exporters,
    result_paths,
    write_segmentation,
)

HEADER = nibabel.Nifti1Header(endianness="<")
HEADER.set_sform(np.eye(4), code="aligned")
GRID = Grid(
    affine=tuple(tuple(float(v) for v in row) for row in np.eye(4)),
    dims="zyx",
    shape=(3, 24, 19),
    header=bytes(HEADER.binaryblock),
)
LENGTHS = {"t": 2, "z": 3, "y": 24, "x": 19}
OUTPUTS = (
    Output(role="foreground", channels=1, activation="sigmoid"),
    Output(role="class", channels=2, activation="softmax"),
)


def segmentation_of(
    axes: str, kind: Kind = "instance", empty: bool = False, grid: Grid | None = None
) -> Segmentation:
    rng = np.random.default_rng(3)
    shape = [LENGTHS[a] for a in axes]
    coarse = rng.integers(0, 70_000, (*shape[:-2], 6, 5), np.int32)
    labels = coarse.repeat(4, -2).repeat(4, -1)[..., :19]  # squares of 4 x 4
    if empty:
        labels = np.zeros(shape, np.int32)
    there = [int(i) for i in np.unique(labels)[1:20]]
    return Segmentation(
        labels=labels,
        axes=axes,
        pixel_size_um={a: n for a, n in {"z": 2.0, "y": 0.25, "x": 0.325}.items() if a in axes},
        kind=kind,
        label_class={i: 1 + i % 2 for i in there},
        label_score={i: np.float32(0.25) for i in there},
        class_names=("background", "a", "Ü"),
        origin=Origin(
            checkpoint={"path": "unet.pth", "sha256": "ab" * 32, "family": "toy"},
            image={"name": "cells", **({} if grid is None else {"grid": grid.to_json()})},
            predict={"doubt": float("nan")},
        ),
    )


def maps_of(axes: str) -> Maps:
    shape = (3, *(LENGTHS[a] for a in axes))
    data = np.random.default_rng(4).random(shape).astype(np.float32)
    return Maps(data=data, axes="c" + axes, outputs=OUTPUTS)


def instances_of(axes: str) -> Instances:
    return Instances(
        boxes=np.array([[0, 0, 4, 5]], np.float32),
        plane=np.zeros(1, np.int64),
        scores=np.array([0.5], np.float32),
        classes=np.array([1]),
        masks=np.ones((1, 28, 28), np.float32),
        shape=tuple(LENGTHS[a] for a in axes),
        axes=axes,
    )


def table_of(made: Segmentation) -> Table:
    return run(measure(made.labels, made.axes, label_score=made.label_score))


EXPORTS = frozenset(writer.asked for writer in exporters())


def image_of(axes: str) -> Image:
    pixels = np.random.default_rng(5).integers(0, 4000, [LENGTHS[a] for a in axes], np.uint16)
    return Image(data=pixels, axes=axes, name="cells")


def asked_for(made: Segmentation) -> dict[str, Any]:
    return {"maps": maps_of(made.axes), "table": table_of(made), "exports": EXPORTS}


def results() -> Iterator[Any]:
    for axes in ("yx", "zyx", "tzyx"):
        made = segmentation_of(axes)
        yield pytest.param(Result(segmentation=made), id=axes)
        yield pytest.param(Result(segmentation=made, maps=maps_of(axes)), id=f"{axes} maps")
        yield pytest.param(Result(segmentation=made, table=table_of(made)), id=f"{axes} table")
        everything = Result(segmentation=made, exports=EXPORTS, image=image_of(axes))
        yield pytest.param(everything, id=f"{axes} exports")
        nothing = segmentation_of(axes, empty=True)
        yield pytest.param(Result(segmentation=nothing, exports=EXPORTS), id=f"{axes} no objects")
    for made in (segmentation_of("yx", "semantic"), segmentation_of("zyx", grid=GRID)):
        exported = Result(segmentation=made, exports=EXPORTS)
        yield pytest.param(exported, id=f"{made.kind} {made.axes} exports")
    found = Result(segmentation=segmentation_of("yx"), instances=instances_of("yx"))
    yield pytest.param(found, id="detections")
    yield pytest.param(Result(segmentation=segmentation_of("yx", empty=True)), id="nothing")
    yield pytest.param(Result(segmentation=segmentation_of("yx", "semantic")), id="classes")
    yield pytest.param(Result(segmentation=segmentation_of("zyx", grid=GRID)), id="on a grid")


def objects_of(made: Segmentation) -> list[int]:
    found: list[int] = np.unique(made.labels[made.labels > 0]).tolist()
    return found


every_writer = pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.name)


@every_writer
def test_names_and_endings(writer: Writer) -> None:
    assert writer.name
    assert writer.ending.startswith((".", "_"))
    assert sum(other.name == writer.name for other in WRITERS) == 1
    assert sum(writer.ending.lower() == other.ending.lower() for other in WRITERS) == 1


@every_writer
@pytest.mark.parametrize("result", list(results()))
def test_the_same_result_makes_the_same_bytes_and_no_other_file(
    writer: Writer, result: Result, tmp_path: Path
) -> None:
    if not writer.takes(result):
        other = writer.on_grid not in (None, result.grid is not None)
        assert writer.asked or other, "whatever is no answer of the network, every such result has"
        return
    for name in (".one.part", ".two.part"):
        writer.write(tmp_path / name, replace(result))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".one.part", ".two.part"]
    content = (tmp_path / ".one.part").read_bytes()
    assert content
    assert content == (tmp_path / ".two.part").read_bytes()


@every_writer
@pytest.mark.parametrize("result", list(results()))
def test_what_is_written_opens(writer: Writer, result: Result, tmp_path: Path) -> None:
    if not writer.takes(result):
        return
    path = tmp_path / f"cells{writer.ending}"
    writer.write(path, result)
    made = result.segmentation
    if path.name.endswith("_masks.tif"):
        assert np.array_equal(tifffile.imread(path), made.labels)
    elif path.suffix in (".tif", ".tiff"):
        image = open_image(path)
        assert image.axes.replace("c", "") == made.axes
        assert image.pixel_size_um == pytest.approx(dict(made.pixel_size_um))
        with tifffile.TiffFile(path) as tif:
            assert tif.is_ome
            assert tif.series[0].axes == image.axes.upper()
            np.testing.assert_array_equal(tif.asarray(), np.asarray(image.data))
            assert tif.series[0].shape == tuple(image.data.shape)
    elif path.name.endswith(".nii.gz"):
        loaded = nibabel.load(path)
        assert np.array_equal(np.asarray(loaded.dataobj).T, made.labels)
        assert np.array_equal(loaded.affine, np.array(GRID.affine))
    elif path.name.endswith(".rois.zip"):
        rois = roifile.roiread(path) if objects_of(made) else []
        assert sorted({int(roi.name) for roi in rois}) == objects_of(made)
    elif path.suffix == ".geojson":
        features = json.loads(path.read_text(encoding="utf8"))["features"]
        assert sorted({int(one["properties"]["name"]) for one in features}) == objects_of(made)
    elif path.suffix == ".png":
        with Pillow.open(path) as picture:
            assert picture.size == (2 * LENGTHS["x"], 2 * LENGTHS["y"])
    elif path.suffix == ".json":
        text = path.read_text(encoding="utf8")
        assert isinstance(json.loads(text, parse_constant=pytest.fail), dict)
    elif path.suffix == ".csv":
        with open(path, encoding="utf8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert {int(row["label"]) for row in rows} == set(np.unique(made.labels)) - {0}
    else:
        pytest.fail(f"nobody opens {path.name}")


# ---- All of them or none ----


def grid_for(writer: Writer) -> Grid | None:
    return GRID if writer.on_grid else None


@every_writer
def test_a_failure_leaves_what_was_there(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = grid_for(writer)
    first = segmentation_of("zyx", grid=grid)
    write_segmentation(first, tmp_path, "cells", **asked_for(first))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    named = result_paths(
        tmp_path, "cells", maps=True, table=True, grid=grid is not None, exports=EXPORTS
    )
    assert set(before) == {path.name for path in named}

    def full(self: Writer, path: Path, result: Result) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(type(writer), "write", full)
    second = segmentation_of("zyx", empty=True, grid=grid)
    for folder in (tmp_path, tmp_path / "new" / "folder"):
        with pytest.raises(OutputError, match=r"the disk is full\. Free some space"):
            write_segmentation(second, folder, "cells", overwrite=True, **asked_for(first))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


UNSEEN = (".part", ".lock")
"""What a killed run may leave, hidden; the next run of the name takes it away, or takes it over."""


@pytest.mark.sample(4)
@every_writer
@pytest.mark.subprocess
def test_who_is_killed_while_writing_leaves_what_was_there(writer: Writer, tmp_path: Path) -> None:
    first = segmentation_of("zyx", grid=grid_for(writer))
    write_segmentation(first, tmp_path, "cells", **asked_for(first))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    second = segmentation_of("zyx", empty=True, grid=grid_for(writer))
    assert exit_code(die_writing, writer.name, tmp_path, second, asked_for(second)) == 9
    after = {
        path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix not in UNSEEN
    }
    assert after == before

"""Results: what is written reads back the same, and failures leave nothing."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_segnet import atomic
from napari_segnet.checkpoint import Output
from napari_segnet.errors import OutputError
from napari_segnet.measure import Table
from napari_segnet.readers import open_image
from napari_segnet.readers._file_pixels import FilePixels
from napari_segnet.segmentation import Instances, Maps, Origin, Segmentation
from napari_segnet.writers import (
    WRITERS,
    check_output,
    exporters,
    ome_tiff,
    result_paths,
    write_segmentation,
)

RNG = np.random.default_rng(9)
LENGTHS = {"t": 2, "z": 3, "y": 40, "x": 33}
ORIGIN = Origin(
    checkpoint={"path": "unet.pth", "sha256": "ab" * 32, "family": "toy"},
    image={"name": "cells"},
    predict={"tile_px": (64,), "doubt": float("nan"), "low": float("-inf")},
    device="cpu",
    rung="whole",
    versions={"torch": "2"},
    seconds={"predict": np.float32(0.5)},
)


def segmentation(axes: str = "yx", **sizes: float) -> Segmentation:
    *rest, height, width = (LENGTHS[a] for a in axes)
    coarse = RNG.integers(0, 70_000, (*rest, -(-height // 4), -(-width // 4)), np.int32)
    labels = coarse.repeat(4, -2).repeat(4, -1)[..., :height, :width]  # squares of 4 x 4
    return Segmentation(
        labels=labels,
        axes=axes,
        pixel_size_um=sizes,
        kind="instance",
        label_class={1: 1, 2: 2},
        label_score={1: np.float32(0.25), 2: float("nan")},
        class_names=("background", "nucleus", "debris"),
        origin=ORIGIN,
    )


def maps_for(axes: str, channels: int = 3, dtype: Any = np.float32) -> Maps:
    outputs = (
        Output(role="foreground", channels=1, activation="sigmoid"),
        Output(role="class", channels=channels - 1, activation="softmax"),
    )
    data = RNG.random((channels, *(LENGTHS[a] for a in axes))).astype(dtype)
    return Maps(data=data, axes="c" + axes, outputs=outputs)


@pytest.mark.parametrize("axes", ["yx", "zyx", "tyx", "tzyx", "ztyx"])
@pytest.mark.parametrize("sizes", [{}, {"y": 0.25, "x": 0.325}, {"z": 2.0, "y": 0.1, "x": 0.1}])
def test_labels_and_maps_read_back_the_same(
    tmp_path: Path, axes: str, sizes: dict[str, float]
) -> None:
    known = {a: n for a, n in sizes.items() if a in axes}
    made, maps = segmentation(axes, **known), maps_for(axes)
    files = write_segmentation(made, tmp_path / "new" / "folder", "cells", maps=maps)
    assert files == result_paths(tmp_path / "new" / "folder", "cells", maps=True)
    assert sorted(os.listdir(tmp_path / "new" / "folder")) == sorted(p.name for p in files)
    for path, truth, own in (
        (files[0], made.labels, axes),
        (files[1], maps.data, "c" + axes),
    ):
        image = open_image(path)
        assert image.axes == own
        assert image.pixel_size_um == pytest.approx(known)
        assert image.dtype == truth.dtype
        np.testing.assert_array_equal(np.asarray(image.data), truth)
        with tifffile.TiffFile(path) as tif:
            assert tif.series[0].axes == own.upper()
            np.testing.assert_array_equal(tif.asarray(), truth)
    assert open_image(files[1]).channel_names == ("foreground", "class 0", "class 1")


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (17, 1)])
def test_tiny_labels(tmp_path: Path, shape: tuple[int, int]) -> None:
    labels = np.arange(shape[0] * shape[1], dtype=np.int32).reshape(shape)
    made = Segmentation(
        labels=labels, axes="yx", pixel_size_um={}, kind="semantic", label_class={},
        label_score={}, class_names=(), origin=ORIGIN,
    )  # fmt: skip
    (path, _) = write_segmentation(made, tmp_path, "a")
    np.testing.assert_array_equal(np.asarray(open_image(path).data), labels)


def test_rows_and_columns_come_last_in_the_file(tmp_path: Path) -> None:
    made = segmentation("yzx")
    (path, _) = write_segmentation(made, tmp_path, "a")
    image = open_image(path)
    assert image.axes == "zyx"
    np.testing.assert_array_equal(np.asarray(image.data), made.labels.transpose(1, 0, 2))


def test_half_precision_maps_are_written_as_float32_plane_by_plane(tmp_path: Path) -> None:
    maps = maps_for("zyx", dtype=np.float16)
    files = write_segmentation(segmentation("zyx"), tmp_path, "a", maps=maps)
    image = open_image(files[1])
    assert isinstance(image.data, FilePixels)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image.data, maps.data.astype(np.float32))


def test_large_files_are_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ome_tiff, "BIG_BYTES", 100)
    (path, _) = write_segmentation(segmentation(), tmp_path, "a")
    with tifffile.TiffFile(path) as tif:
        assert tif.is_bigtiff


def test_the_origin_is_strict_json(tmp_path: Path) -> None:
    boxes = np.array([[0, 0, 1, 1], [2.5, 3, 7, 9]], np.float32)
    instances = Instances(
        boxes=boxes,
        plane=np.array([0, 1]),
        scores=np.array([0.5, 1], np.float32),
        classes=np.array([1, 2]),
        masks=np.zeros((2, 28, 28), np.float32),
        shape=(3, 40, 33),
        axes="zyx",
    )
    made = segmentation("zyx", y=0.5, x=0.5)
    files = write_segmentation(made, tmp_path, "a", instances=instances)

    def refuse(text: str) -> None:
        raise AssertionError(text)

    found = json.loads(files[-1].read_text(encoding="utf-8"), parse_constant=refuse)
    assert found["checkpoint"] == {"path": "unet.pth", "sha256": "ab" * 32, "family": "toy"}
    assert found["predict"] == {"tile_px": [64], "doubt": None, "low": None}
    assert found["seconds"] == {"predict": 0.5}
    assert (found["kind"], found["axes"], found["shape"]) == ("instance", "zyx", [3, 40, 33])
    assert found["pixel_size_um"] == {"y": 0.5, "x": 0.5}
    assert found["class_names"] == ["background", "nucleus", "debris"]
    assert found["labels"] == [
        {"label": 1, "class": 1, "score": 0.25},
        {"label": 2, "class": 2, "score": None},
    ]
    assert found["detections"] == {
        "plane": [0, 1],
        "boxes": boxes.tolist(),
        "scores": [0.5, 1.0],
        "classes": [1, 2],
    }


# ---- What is there already ----


def test_existing_results_are_kept_unless_told(tmp_path: Path) -> None:
    first = segmentation()
    write_segmentation(first, tmp_path, "a")
    for check in (
        lambda: check_output(tmp_path, "a"),
        lambda: write_segmentation(segmentation(), tmp_path, "a"),
    ):
        with pytest.raises(OutputError, match=r"a\.labels\.tif and a\.json .* --overwrite"):
            check()
    check_output(tmp_path, "b")
    check_output(tmp_path, "a", overwrite=True)
    second = segmentation()
    write_segmentation(second, tmp_path, "a", overwrite=True)
    np.testing.assert_array_equal(open_image(tmp_path / "a.labels.tif").data, second.labels)


def test_maps_count_only_where_they_are_to_be_saved(tmp_path: Path) -> None:
    (tmp_path / "a.maps.tif").write_bytes(b"old")
    check_output(tmp_path, "a")
    with pytest.raises(OutputError, match=r"a\.maps\.tif"):
        check_output(tmp_path, "a", save_maps=True)


# ---- Failures ----


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    check_output(tmp_path / "not" / "yet", "a")
    assert list(tmp_path.iterdir()) == []


def unwritable_folders(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    (tmp_path / "file").write_bytes(b"x")
    yield tmp_path / "file", "a file has the name of the folder"
    yield tmp_path / "file" / "below", "is a file, not a folder"
    yield tmp_path / ("x" * 300), "the name is too long"
    yield Path("/proc/self/results"), "cannot be written to /proc/self/results"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_unwritable_folders_are_refused_in_words(tmp_path: Path) -> None:
    for folder, words in unwritable_folders(tmp_path):
        with pytest.raises(OutputError, match=words):
            check_output(folder, "a")
        with pytest.raises(OutputError, match=words):
            write_segmentation(segmentation(), folder, "a")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    for stem in ("x" * 235, "x" * 300):  # with its temporary ending, and as it is
        with pytest.raises(OutputError, match="the name is too long"):
            check_output(tmp_path, stem)
        with pytest.raises(OutputError, match="the name is too long"):
            write_segmentation(segmentation(), tmp_path, stem)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.sample(10)
@pytest.mark.parametrize(
    "stage", [*(writer.name for writer in WRITERS if not writer.on_grid), "flush"]
)
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full. Free some space"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "Input/output error. Choose another folder"),
    ],
)
def test_any_failure_leaves_nothing_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, number: int, words: str
) -> None:
    write_segmentation(segmentation(), tmp_path, "a")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def failing(real: Callable[..., Any]) -> Callable[..., None]:
        def fail(*given: Any, **named: Any) -> None:
            real(*given, **named)
            raise OSError(number, os.strerror(number))

        return fail

    if stage == "flush":
        monkeypatch.setattr(atomic, "flush", failing(atomic.flush))
    else:
        (kind,) = (type(writer) for writer in WRITERS if writer.name == stage)
        monkeypatch.setattr(kind, "write", failing(kind.write))
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(OutputError, match=words):
            write_segmentation(
                segmentation(),
                folder,
                "a",
                overwrite=True,
                maps=maps_for("yx"),
                table=Table(columns={"label": np.array([1])}),
                exports=[writer.asked for writer in exporters()],
            )
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KB, where the machine lets us make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    try:
        made = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        pytest.skip("mounting a small disk is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("lengths", [(100, 100), (1000, 1000)])
def test_a_disk_that_is_really_full(tiny_disk: Path, lengths: tuple[int, int]) -> None:
    labels = RNG.integers(0, 2**30, lengths, np.int32)
    made = Segmentation(
        labels=labels, axes="yx", pixel_size_um={}, kind="instance", label_class={},
        label_score={}, class_names=(), origin=ORIGIN,
    )  # fmt: skip
    noise = Maps(data=RNG.random((4, 200, 200)), axes="cyx", outputs=())
    with pytest.raises(OutputError, match="the disk is full"):
        write_segmentation(made, tiny_disk, "a", maps=noise)
    assert list(tiny_disk.iterdir()) == []

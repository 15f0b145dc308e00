"""A disk that fails at any call: a sentence, what was there stays, and the next try is right."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from support.hostile.disk import Disk, calls_of

import napari_segnet as sn
from napari_segnet.dataset import Dataset, add, remove
from napari_segnet.errors import OutputError, SegnetError
from napari_segnet.export import HALF, export
from napari_segnet.image import Image
from napari_segnet.journal import Act, Change, Journal, replay

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning",  # tifffile's own
    "ignore::ResourceWarning",
)
ERRORS = (errno.ENOSPC, errno.EROFS)


def added(root: Path, number: int) -> None:
    """Add an image that is one number everywhere, as its labels are."""
    pixels = np.full((16, 16), number, np.uint16)
    image = Image(data=pixels, axes="yx", name=f"i{number}", source=f"/x/{number}.tif")
    add(root, image, pixels.astype(np.int32), source=f"/x/{number}.tif", split="train")


def names(root: Path) -> list[str]:
    """Return the sources of a dataset, each of whose images has its own labels."""
    dataset = Dataset.open(root)
    assert not dataset.problems
    for one in dataset.samples:
        image = np.asarray(sn.open_image(one.image).data)
        assert image.max() == image.min() == tifffile.imread(one.labels).max()
    return sorted(one.source for one in dataset.samples)


def failing(work: Callable[[int], Any], number: int, count: int, check: Callable[[], None]) -> None:
    """Do something, with the n-th call that touches the disk failing, for each n."""
    refused = 0
    for place in range(count):
        with Disk(fail_at=place, error=OSError(number, os.strerror(number))):
            try:
                work(place)
            except SegnetError as error:
                refused += 1
                assert len(str(error)) > 30 and "Errno" not in str(error), str(error)
        check()
    assert refused > count // 2


@pytest.mark.parametrize("number", ERRORS)
def test_changes_of_a_dataset(number: int, tmp_path: Path) -> None:
    root = tmp_path / "data"
    added(root, 1)
    added(root, 2)
    count = calls_of(lambda: added(root, 3))
    failing(lambda place: added(root, 4 + place), number, count, lambda: None)
    assert {"/x/1.tif", "/x/2.tif", "/x/3.tif"} <= set(names(root))
    count = calls_of(lambda: remove(root, Dataset.open(root).samples[-1]))
    before = len(names(root))
    for _ in range(count):
        added(root, 100 + _)
    failing(lambda _: remove(root, Dataset.open(root).samples[-1]), number, count, lambda: None)
    assert before <= len(names(root)) <= before + count
    added(root, 99)
    assert "/x/99.tif" in names(root)
    assert not list(root.rglob("*.part"))


def test_exports(tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    for number in (1, 2):
        added(root, number)
    dataset = Dataset.open(root)

    def work(place: int) -> None:
        sn.run(export(dataset, "coco", out / str(place)))

    def check() -> None:
        for folder in out.iterdir() if out.is_dir() else ():
            assert sorted(path.name for path in folder.iterdir())[0] == "images"  # or not there

    count = calls_of(lambda: work(-1))
    failing(work, errno.ENOSPC, count, check)
    for place in range(count):
        if not (out / str(place)).exists():
            work(place)
    check()


def test_what_a_killed_export_left_is_no_obstacle(tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    added(root, 1)
    dataset = Dataset.open(root)
    (out / HALF / "images").mkdir(parents=True)
    (out / HALF / "images" / "half.tif").write_bytes(b"half")
    (out / ".export.lock").touch()
    sn.run(export(dataset, "coco", out))
    assert sorted(path.name for path in (out / "images").iterdir()) == ["1.tif"]
    assert not (out / HALF).exists()
    with pytest.raises(OutputError, match="exists and is not an empty folder"):
        sn.run(export(dataset, "coco", out))
    # Killed while it was being moved: all of it is there, so it is gone on with.
    (out / HALF).mkdir()
    (out / HALF / ".whole").touch()
    (out / "images").rename(out / HALF / "images")
    with pytest.raises(OutputError, match="exists and is not an empty folder"):
        sn.run(export(dataset, "coco", out))
    assert (out / "images" / "1.tif").is_file() and not (out / HALF).exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("mine")
    with pytest.raises(OutputError, match="exists and is not an empty folder"):
        sn.run(export(dataset, "coco", tmp_path / "mine"))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["a.txt"]


@pytest.mark.parametrize("number", ERRORS)
def test_journals_keep_what_was_flushed(number: int, tmp_path: Path) -> None:
    def work(place: int) -> None:
        path, labels = tmp_path / f"{place}.journal", np.zeros((10, 10), np.int32)
        told = 0
        try:
            journal = Journal(path)
            journal.begin_snapshot(labels.shape, labels.dtype)
            journal.snapshot_box([0, 0], labels.copy())
            journal.end_snapshot()
            for value in range(1, 4):
                one = Change(
                    box=(slice(0, 5), slice(0, 10)),
                    mask=None,
                    before=labels[:5].reshape(-1).copy(),
                    after=np.array([value], np.int32),
                )
                one.apply(labels)
                act = Act(what="stroke", at=float(value), changes=(one,))
                journal.act(lambda act=act: act)
                journal.flush()
                told = value if journal.error is None else told
            journal.close()
            if journal.error is not None:
                raise journal.error
        finally:
            if told:
                assert int(replay(path).labels.max()) >= told

    failing(work, number, calls_of(lambda: work(-1)), lambda: None)

"""Programs that are killed at random moments: no half file is taken for a whole one.

    pytest -m kills tests/fuzz                   # 60 kills of each
    SEGNET_KILLS=200 pytest -m kills tests/fuzz

The window that is killed while somebody paints is in ``tests/widgets/recovery/test_crash.py``.
A child is forked, so that it begins at once and dies within its work.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import napari_segnet as sn
from napari_segnet.dataset import Dataset, add, remove
from napari_segnet.errors import SegnetError
from napari_segnet.export import export
from napari_segnet.image import Image
from napari_segnet.journal import Act, Change, Journal, replay
from napari_segnet.segmentation import Origin, Segmentation
from napari_segnet.writers import write_segmentation

KILLS = int(os.environ.get("SEGNET_KILLS", "60"))

pytestmark = [
    pytest.mark.kills,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked"),
]


def killed(work: Callable[[int], Any], seconds: float) -> None:
    """Let a child do something again and again, and kill it after so long."""
    child = os.fork()
    if child == 0:
        try:
            for turn in range(10_000):
                work(turn)
        finally:
            os._exit(7)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def many(work: Callable[[int], Any], check: Callable[[], None]) -> None:
    """Kill it at moments of up to a quarter of a second."""
    dice = random.Random(0)
    for number in range(KILLS):
        killed(lambda turn, number=number: work(1000 * number + turn), dice.uniform(0.01, 0.25))
        check()
    sys.stdout.write(f"{KILLS} kills\n")


def picture(number: int) -> Image:
    """Return an image that is one number everywhere, as the labels that belong to it."""
    data = np.full((32, 32), number % 250 + 1, np.uint16)
    return Image(data=data, axes="yx", name=f"image{number % 7}", source=f"/x/{number % 7}.tif")


def labels_of(number: int) -> np.ndarray:
    return np.full((32, 32), number % 250 + 1, np.int32)


def change(root: Path, number: int) -> None:
    if number % 5 == 4:
        samples = Dataset.open(root).samples
        if len(samples) > 1:
            remove(root, samples[number % len(samples)])
    add(root, picture(number), labels_of(number), source=f"/x/{number % 7}.tif", split="train")


def sound(root: Path) -> None:
    """Each image has its own labels, and nothing is named that is not there."""
    dataset = Dataset.open(root)
    assert not dataset.problems
    for sample in dataset.samples:
        image = np.asarray(sn.open_image(sample.image).data)
        labels = tifffile.imread(sample.labels)
        assert image.max() == image.min() == labels.max() == labels.min()


def test_changes_of_a_dataset(tmp_path: Path) -> None:
    root = tmp_path / "data"
    change(root, 0)
    many(lambda number: change(root, number), lambda: sound(root))
    change(root, 3)
    remove(root, Dataset.open(root).samples[0])
    sound(root)
    # Whole files of rows that are gone may lie there; nothing names them, and none is a half.
    assert not list(root.rglob("*.part"))


def test_exports(tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    for number in range(6):
        change(root, number)
    dataset = Dataset.open(root)

    def work(number: int) -> None:
        sn.run(export(dataset, "coco", out / str(number)))

    def check() -> None:
        """What is killed reads as nothing, or as pairs that are whole."""
        for folder in out.iterdir() if out.is_dir() else ():
            for listing in folder.rglob("*.json"):
                if listing.name.startswith("."):
                    continue
                rows = json.loads(listing.read_text())["images"]
                assert all((folder / "images" / row["file_name"]).is_file() for row in rows)

    many(work, check)


def write(folder: Path, number: int) -> None:
    origin = Origin(checkpoint={}, image={"name": "a"}, predict={"seed": number})
    made = Segmentation(
        labels=np.full((64, 64), number, np.int32),
        axes="yx",
        pixel_size_um={},
        origin=origin,
        kind="instance",
        label_class={},
        label_score={},
        class_names=(),
    )
    write_segmentation(made, folder, f"image{number % 3}", overwrite=True)


def test_results_of_a_folder(tmp_path: Path) -> None:
    def check() -> None:
        for path in tmp_path.glob("image*.labels.tif"):
            record = path.with_name(path.name.replace(".labels.tif", ".json"))
            if record.is_file():  # else it is no result yet: the run writes it again
                said = json.loads(record.read_text())["predict"]["seed"]
                assert int(tifffile.imread(path).max()) == said

    many(lambda number: write(tmp_path, number), check)
    write(tmp_path, 1)


def test_journals(tmp_path: Path) -> None:
    """Acts that were flushed are there, in their order, and none is half there."""
    told = tmp_path / "told"
    paths: list[Path] = []

    def work(number: int) -> None:
        path, labels = tmp_path / f"{number}.journal", np.zeros((40, 40), np.int32)
        paths.append(path)
        journal = Journal(path)
        journal.begin_snapshot(labels.shape, labels.dtype)
        journal.snapshot_box([0, 0], labels.copy())
        journal.end_snapshot()
        for value in range(1, 200):
            before = labels[:20].reshape(-1).copy()
            box = (slice(0, 20), slice(0, 40))
            one = Change(box=box, mask=None, before=before, after=np.array([value], np.int32))
            one.apply(labels)
            act = Act(what="stroke", at=float(value), changes=(one,))
            journal.act(lambda act=act: act)
            journal.flush()
            told.write_text(f"{path.name} {value}")
        journal.close()

    def check() -> None:
        for path in tmp_path.glob("*.journal"):
            try:
                found = replay(path)
            except SegnetError:
                found = None  # killed before its snapshot was whole
            if found is not None:
                assert len(np.unique(found.labels[:20])) == 1 and not found.labels[20:].any()
            name, _, value = told.read_text().partition(" ") if told.is_file() else ("", "", "")
            if name == path.name and value:
                assert found is not None and int(found.labels.max()) >= int(value)
            path.unlink()

    many(work, check)

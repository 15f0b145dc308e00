"""Programs that are killed at random moments: no half file is taken for a whole one.

    pytest -m kills tests/fuzz                   # 60 kills of each
    SEGNET_KILLS=200 pytest -m kills tests/fuzz

The window that is killed while somebody paints is in ``tests/widgets/recovery/test_crash.py``; its
test of many kills has the mark ``long`` and takes ``SEGNET_KILLS``, too.
A child is forked, so that it begins at once and dies within its work. What takes longer than a
quarter of a second is killed at moments over the whole of it, in seconds of its own: those in which
it waits for a processor do not count.
"""

from __future__ import annotations

import contextlib
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
from support.painter import own_time

import napari_segnet as sn
from napari_segnet.dataset import Dataset, add, remove
from napari_segnet.errors import OutputError, SegnetError
from napari_segnet.export import HALF, export
from napari_segnet.image import Image
from napari_segnet.journal import Act, Change, Journal, replay
from napari_segnet.segmentation import Origin, Segmentation
from napari_segnet.writers import check_output, write_segmentation

KILLS = int(os.environ.get("SEGNET_KILLS", "60"))

pytestmark = [
    pytest.mark.kills,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked"),
]


def forked(work: Callable[[int], Any], turns: int) -> int:
    """Let a child do something again and again; return the number of its process."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            for turn in range(turns):
                work(turn)
            os._exit(0)
        os._exit(7)
    return child


def killed(work: Callable[[int], Any], seconds: float) -> None:
    """Let a child do something again and again, and kill it after so long."""
    child = forked(work, 10_000)
    begin = time.monotonic()
    while own_time(child) - begin < seconds:
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def many(work: Callable[[int], Any], check: Callable[[], None], most: float = 0.25) -> None:
    """Kill it at moments of up to so many seconds."""
    dice = random.Random(0)
    for number in range(KILLS):
        killed(lambda turn, number=number: work(1000 * number + turn), dice.uniform(0.01, most))
        check()
    sys.stdout.write(f"{KILLS} kills\n")


def whole(work: Callable[[int], Any]) -> float:
    """Return the seconds that it takes alone, those without a processor left out."""
    begin, seconds, child = time.monotonic(), 0.0, forked(work, 1)
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        seconds = own_time(child) - begin
        time.sleep(0.002)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return seconds


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
                if listing.name.startswith(".") or HALF in listing.parts:
                    continue
                rows = json.loads(listing.read_text())["images"]
                assert all((folder / "images" / row["file_name"]).is_file() for row in rows)

    many(work, check)
    left = [folder for folder in out.iterdir() if not (folder / "images").exists()]
    for folder in left:  # it can be named again
        sn.run(export(dataset, "coco", folder))
        assert len(list((folder / "images").iterdir())) == len(dataset.samples)


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
        for number in range(3):  # the next run of that name goes on with what was killed
            with contextlib.suppress(OutputError):
                check_output(tmp_path, f"image{number}")
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


@pytest.mark.trains
def test_trainings(tmp_path: Path) -> None:
    """A training goes on from a state that is whole; the file is there whole or not at all."""
    import torch
    from support.teaching import QUICK, fresh, write_dataset

    from napari_segnet.recognition import identify
    from napari_segnet.train import read_unfinished, train

    torch.set_num_threads(1)
    write_dataset(tmp_path / "data")
    dataset, out = Dataset.open(tmp_path / "data"), tmp_path / "taught.safetensors"
    network = fresh(tmp_path / "new.safetensors")
    state = out.with_name(out.name + ".state")

    def work(turn: int) -> None:
        sn.run(train(network, dataset, out, QUICK, device="cpu", resume=True))

    def check() -> None:
        if out.exists():
            assert identify(out).family == "segnet-unet"
        if state.exists():
            read_unfinished(state)
        assert sum(path.suffix == ".part" for path in tmp_path.iterdir()) <= 1

    work(0)
    check()
    many(work, check, 1.2 * whole(work))
    work(1)
    check()
    assert not state.exists()


def test_runs_of_a_folder(tmp_path: Path) -> None:
    """What a killed run left reads as whole results; the next run of the folder makes the rest."""
    from support.examples import EXAMPLES
    from support.files import identified, write_picture

    from napari_segnet.__main__ import main

    identified(tmp_path, "milesial-unet", EXAMPLES["milesial-unet"][0])
    dice, images, out = np.random.default_rng(0), tmp_path / "images", tmp_path / "out"
    for number in range(4):
        channels = EXAMPLES["milesial-unet"][0].channels
        pixels = dice.integers(0, 255, (channels, 32, 32), np.uint8)
        write_picture(images / f"{number}.tif", pixels, "cyx")
    words = ["segment", str(images), "-c", str(tmp_path / "network.pth"), "-o"]
    assert main([*words, str(tmp_path / "whole")]) == 0

    def work(turn: int) -> None:
        main([*words, str(out), "--overwrite"])

    def check() -> None:
        for path in out.glob("*.labels.tif") if out.is_dir() else ():
            wanted = tifffile.imread(tmp_path / "whole" / path.name)
            assert np.array_equal(tifffile.imread(path), wanted)
            record = path.with_name(path.name.replace(".labels.tif", ".json"))
            assert not record.exists() or json.loads(record.read_text())["image"]

    many(work, check, 1.2 * whole(work))
    assert main([*words, str(out), "--overwrite"]) == 0
    check()
    assert len(list(out.glob("*.json"))) == 4 and not list(out.rglob("*.part"))

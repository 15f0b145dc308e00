"""Windows renames, replaces and removes no file that is open; here it is acted on Linux.

Whatever this program writes must get along with that: it may keep no file open that it
replaces later, and where another program has one open, it says so and loses nothing.
"""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.teaching import FOREGROUND, QUICK, fresh, objects, photograph, write_dataset
from support.windows import refuse_open_files

from napari_segnet import atomic, open_image
from napari_segnet.dataset import Dataset, add, remove
from napari_segnet.engines.torch import identify, load
from napari_segnet.errors import ImageError, OutputError
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.image import Image
from napari_segnet.journal import Act, Change, Journal, replay, slabs
from napari_segnet.journal import _write as journal_writer
from napari_segnet.progress import run
from napari_segnet.train import state_path, train

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="this system does not tell what is open"
)

IN_USE = "another program has that file open; close it there"


@pytest.fixture(autouse=True)
def windows(monkeypatch):
    refuse_open_files(monkeypatch)


def cells(path, seed=0):
    tifffile.imwrite(path, photograph(objects((24, 28), seed=seed)))
    return path


@pytest.fixture
def weights(tmp_path):
    network = fresh(tmp_path / "tiny.safetensors", FOREGROUND)
    SegnetUNet().save(SegnetUNet().build(network).eval(), network, network.path)
    return network.path


# ---- The act itself ----


def test_what_is_open_can_be_neither_replaced_nor_removed(tmp_path):
    mine, other = tmp_path / "mine", tmp_path / "other"
    for path in (mine, other):
        path.write_bytes(b"1")
    with mine.open("rb"):
        for act in (
            lambda: os.replace(other, mine),
            lambda: mine.replace(other),
            mine.unlink,
        ):
            with pytest.raises(PermissionError):
                act()
    mapped = np.memmap(mine, np.uint8, "r")
    with pytest.raises(PermissionError):
        os.replace(other, mine)
    del mapped
    os.replace(other, mine)
    mine.unlink()


# ---- What this program has open itself ----


def test_an_image_that_is_looked_at_may_be_segmented_and_its_results_replaced(
    weights, tmp_path, capsys
):
    from napari_segnet.__main__ import main

    image = open_image(cells(tmp_path / "cells.tif"))
    words = ["segment", str(tmp_path / "cells.tif"), "-c", str(weights), "-o", str(tmp_path)]
    assert main(words) == 0, capsys.readouterr().err
    results = open_image(tmp_path / "cells.labels.tif")
    assert main([*words, "--overwrite", "--save-maps"]) == 0, capsys.readouterr().err
    with pytest.raises(ImageError, match="has changed since it was opened"):
        results.read()
    assert open_image(tmp_path / "cells.labels.tif").read().shape == image.read().shape


def test_a_network_that_is_in_use_can_be_saved_again(weights):
    network = load(identify(weights), "cpu")
    description = identify(weights)
    SegnetUNet().save(SegnetUNet().build(description).eval(), description, weights)
    assert identify(weights).family == network.checkpoint.family == "segnet-unet"


@pytest.mark.trains
def test_a_training_stops_goes_on_and_removes_its_state(weights, tmp_path):
    dataset = Dataset.open(write_dataset(tmp_path / "set", count=2))
    pictures = [open_image(sample.image) for sample in dataset.samples]  # as a window does
    out = tmp_path / "new.safetensors"
    how = replace(QUICK, epochs=3)
    steps = train(identify(weights), dataset, out, how)
    while not state_path(out).exists():
        next(steps)
    steps.close()
    run(train(identify(weights), dataset, out, how, resume=True))
    assert identify(out).family == "segnet-unet"
    assert not state_path(out).exists()
    assert len(pictures) == 2


def test_a_sample_that_is_looked_at_is_corrected_and_removed(tmp_path):
    root = write_dataset(tmp_path / "set", count=2)
    first, _ = Dataset.open(root).samples
    # As other readers do it, and napari's: the file stays open behind the pixels.
    looked_at = replace(open_image(first.image), data=tifffile.memmap(first.image, mode="r"))
    labels = tifffile.memmap(first.labels, mode="r")
    before = np.array(labels)

    better = add(root, looked_at, 2 * before, source=first.source)
    assert better.labels in [sample.labels for sample in Dataset.open(root).samples]
    assert better.labels != first.labels
    (kept,) = (root / "history").glob(f"*/labels/{first.labels.name}")
    np.testing.assert_array_equal(tifffile.imread(kept), before)
    np.testing.assert_array_equal(labels, before)

    remove(root, better)
    assert len(list((root / "history").glob("*/labels/*.tif"))) == 2
    assert [sample.source for sample in Dataset.open(root).samples] == ["1"]
    again = add(root, looked_at, before, source=first.source)
    assert again.image != first.image, "another program has that file open"


def test_a_journal_is_made_smaller_while_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_writer, "COMPACT_BYTES", 2000)
    path = tmp_path / "labels.journal"
    journal = Journal(path)
    labels = np.zeros((40, 50), np.int32)
    journal.begin_snapshot(labels.shape, labels.dtype)
    for box in slabs(labels.shape):
        journal.snapshot_box([part.start for part in box], labels[box].copy())
    journal.end_snapshot()
    box, rng = (slice(0, 40), slice(0, 50)), np.random.default_rng(0)
    largest = 0
    for _ in range(8):
        after = rng.integers(0, 99, labels.size).astype(labels.dtype)
        change = Change(box=box, mask=None, before=labels.reshape(-1).copy(), after=after)
        change.apply(labels)
        made = Act(what="stroke", at=0.0, changes=(change,), patch=None)
        journal.act(lambda made=made: made)
        journal.flush()
        largest = max(largest, path.stat().st_size)
    assert journal.error is None, journal.error
    np.testing.assert_array_equal(replay(path).labels, labels)
    assert path.stat().st_size < largest + 2000
    journal.delete()
    assert not path.exists()


# ---- What another program has open ----


def test_a_scanner_that_opens_a_new_file_for_a_moment_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "PATIENCE_S", 30.0)
    path = tmp_path / "labels.tif"
    path.write_bytes(b"old")
    scanned = path.open("rb")
    threading.Timer(0.2, scanned.close).start()
    atomic.write_whole(path, lambda part: part.write_bytes(b"new"))
    assert scanned.closed
    assert path.read_bytes() == b"new"


def test_results_that_another_program_has_open_are_named(weights, tmp_path, capsys):
    from napari_segnet.__main__ import main

    cells(tmp_path / "cells.tif")
    words = ["segment", str(tmp_path / "cells.tif"), "-c", str(weights), "-o", str(tmp_path)]
    assert main(words) == 0, capsys.readouterr().err
    before = sorted(path.name for path in tmp_path.iterdir())
    with (tmp_path / "cells.labels.tif").open("rb"):
        assert main([*words, "--overwrite"]) != 0
    said = capsys.readouterr().err.lower()
    assert "another program has that file open" in said
    assert "close it there" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_network_that_another_program_has_open_is_named(weights):
    description = identify(weights)
    before = weights.read_bytes()
    with weights.open("rb"), pytest.raises(OutputError, match=IN_USE):
        SegnetUNet().save(SegnetUNet().build(description).eval(), description, weights)
    assert weights.read_bytes() == before
    assert list(weights.parent.iterdir()) == [weights]


def test_a_listing_that_another_program_has_open_leaves_the_dataset_as_it_was(tmp_path):
    root = tmp_path / "set"
    image = Image(data=photograph(objects((24, 28))), axes="yx", name="cells")
    add(root, image, objects((24, 28)))
    with (root / "dataset.json").open("rb"), pytest.raises(OutputError, match=IN_USE):
        add(root, replace(image, name="other"), objects((24, 28)), source="other")
    assert len(Dataset.open(root).samples) == 1

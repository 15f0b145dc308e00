"""Batches are the same whoever draws them."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.teaching import QUICK, fresh, write_dataset

from napari_segnet.crops import Augmentation, Crops
from napari_segnet.dataset import Dataset
from napari_segnet.errors import DatasetError
from napari_segnet.train._batches import batches, drawers

MANY = replace(QUICK, steps_per_epoch=7, batch_size=2, seed=3)


@pytest.fixture
def crops(tmp_path):
    change = Augmentation(flip=True, rotate=True, noise=0.1, blur_px=1.0)
    samples = Dataset.open(write_dataset(tmp_path / "d")).samples
    found = Crops(samples, fresh(tmp_path / "none.safetensors"), (16, 16), change)
    assert not any(found.check())
    return found


def drawing_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("crops")]


@pytest.mark.parametrize("threads", [1, 3, 20])
def test_threads_draw_the_same_batches_in_the_same_order(crops, threads):
    ahead = list(batches(crops, MANY, 4, threads))
    one_by_one = list(batches(crops, MANY, 4, 0))
    assert len(ahead) == len(one_by_one) == 7
    for batch, other in zip(ahead, one_by_one, strict=True):
        assert len(batch) == 2
        for crop, same in zip(batch, other, strict=True):
            np.testing.assert_array_equal(crop.pixels, same.pixels)
            np.testing.assert_array_equal(crop.targets, same.targets)
    assert not drawing_threads()


def test_every_step_of_every_epoch_draws_anew(crops):
    seen = [
        c.pixels.tobytes() for e in (0, 1) for batch in batches(crops, MANY, e, 0) for c in batch
    ]
    assert len(set(seen)) == len(seen) == 28


def test_who_stops_waits_for_no_more_than_is_being_drawn(crops, monkeypatch):
    drawn = []

    def slow(rng):
        drawn.append(1)
        time.sleep(0.02)

    monkeypatch.setattr(crops, "draw", slow)
    steps = batches(crops, replace(MANY, steps_per_epoch=1000), 0, 2)
    next(steps)
    steps.close()
    assert not drawing_threads()
    assert len(drawn) < 20


def test_an_error_of_a_thread_is_raised(crops, monkeypatch):
    def broken(rng):
        raise DatasetError("cell_1.tif is gone.")

    monkeypatch.setattr(crops, "draw", broken)
    with pytest.raises(DatasetError, match="is gone"):
        list(batches(crops, MANY, 0, 2))
    assert not drawing_threads()


def test_a_second_core_draws_ahead(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert drawers("cpu") == 0
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    assert drawers("cpu") == 1
    assert drawers("cuda:1") == 8


@pytest.mark.parametrize("threads", [0, 1])
def test_crops_are_drawn_on_one_thread_of_torch(crops, monkeypatch, threads):
    seen = []
    monkeypatch.setattr(crops, "draw", lambda rng: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    list(batches(crops, MANY, 0, threads))
    assert set(seen) == {1}
    assert torch.get_num_threads() == before

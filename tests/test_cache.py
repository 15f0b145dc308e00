"""Caches: what is kept, for how long, and that it stays within its bounds."""

from __future__ import annotations

import random
import threading
from dataclasses import replace

import numpy as np
import pytest

from napari_segnet.cache import Bounded, Predictions
from napari_segnet.checkpoint import Output
from napari_segnet.segmentation import Instances, Maps, Origin, Prediction
from napari_segnet.sinks.file import file_array

ORIGIN = Origin(
    checkpoint={"path": "net.pth", "sha256": "0" * 64, "family": "toy"},
    image={"source": None, "name": "cells", "axes": "yx", "shape": [4, 5], "dtype": "uint8"},
    predict={"normalize": "none"},
    time="2026-11-21T10:00:00+00:00",
    seconds={"predict": 1.0},
)


def prediction(data, run=0):
    output = Output(role="foreground", channels=data.shape[0], activation="sigmoid")
    maps = Maps(data=data, axes="cyx", outputs=(output,))
    origin = replace(ORIGIN, time=f"2026-11-21T10:00:{run:02}+00:00")
    return Prediction(answer=maps, pixel_size_um={}, class_names=(), origin=origin)


# ---- Values up to a number of bytes ----


def test_what_was_put_is_found():
    kept = Bounded(100)
    kept.put("a", 1, 40)
    assert kept.get("a") == 1
    assert kept.get("b") is None
    assert kept.bytes == 40


def test_what_was_used_longest_ago_goes_first():
    kept = Bounded(100)
    for key in "abc":
        kept.put(key, key, 30)
    kept.get("a")
    kept.put("d", "d", 40)
    assert [kept.get(key) for key in "abcd"] == ["a", None, "c", "d"]
    assert kept.bytes == 100


def test_as_many_go_as_room_is_needed():
    kept = Bounded(100)
    for key in range(10):
        kept.put(key, key, 10)
    kept.put("large", "large", 95)
    assert kept.bytes == 95
    assert kept.get("large") == "large"


def test_what_is_too_large_is_not_kept_and_drives_nothing_out():
    kept = Bounded(100)
    kept.put("a", 1, 100)
    kept.put("b", 2, 101)
    assert kept.get("a") == 1
    assert kept.get("b") is None


def test_a_value_put_again_counts_once():
    kept = Bounded(100)
    kept.put("a", 1, 60)
    kept.put("a", 2, 70)
    assert kept.get("a") == 2
    assert kept.bytes == 70
    kept.put("a", 3, 500)
    assert kept.get("a") is None, "the older value is not passed off as the newer"


def test_values_can_be_forgotten():
    kept = Bounded(100)
    kept.put("a", 1, 1)
    kept.put("b", 2, 2)
    kept.drop("a")
    kept.drop("never there")
    assert kept.bytes == 2
    kept.clear()
    assert kept.bytes == 0


def test_threads_share_it():
    kept, errors = Bounded(50), []

    def work(seed):
        rng = random.Random(seed)
        try:
            for _ in range(500):
                key = rng.randrange(20)
                kept.put(key, key, rng.randrange(1, 20))
                assert kept.get(rng.randrange(20)) in (None, *range(20))
                assert kept.bytes <= 50
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


# ---- Predictions ----


def test_a_prediction_comes_back_in_half_precision():
    maps = np.random.default_rng(0).random((2, 6, 7), np.float32)
    cache = Predictions(1000)
    kept = cache.recall(cache.remember(prediction(maps)))
    assert kept.answer.data.dtype == np.float16
    assert np.array_equal(maps.astype(np.float16), kept.answer.data)
    assert kept.answer.axes == "cyx"
    assert kept.origin.key == prediction(maps).origin.key
    assert cache.bytes == 2 * 6 * 7 * 2


def test_a_kept_prediction_cannot_be_written_to():
    cache = Predictions(1000)
    kept = cache.recall(cache.remember(prediction(np.zeros((1, 4, 5), np.float32))))
    with pytest.raises(ValueError, match="read-only"):
        kept.answer.data[...] = 1


def test_what_comes_later_to_the_maps_does_not_come_to_the_kept_ones():
    maps = np.zeros((1, 4, 5), np.float32)
    cache = Predictions(1000)
    key = cache.remember(prediction(maps))
    maps[...] = 1
    assert not cache.recall(key).answer.data.any()


def test_maps_that_lie_in_such_a_file_are_not_copied():
    data = file_array((1, 4, 5), np.dtype(np.float16))
    data[...] = 0.5
    cache = Predictions(1000)
    kept = cache.recall(cache.remember(prediction(data)))
    assert np.shares_memory(data, kept.answer.data)
    data[...] = 0.25  # whoever made it may still write


def test_older_predictions_make_room():
    cache = Predictions(100)
    keys = [cache.remember(prediction(np.zeros((1, 4, 5), np.float32), run)) for run in range(4)]
    assert len(set(keys)) == 4
    assert [cache.recall(key) is not None for key in keys] == [False, False, True, True]
    assert cache.bytes == 80


def test_a_prediction_that_is_too_large_is_gone_at_once():
    cache = Predictions(39)
    key = cache.remember(prediction(np.zeros((1, 4, 5), np.float32)))
    assert cache.recall(key) is None
    assert cache.bytes == 0


def test_detections_are_kept_as_they_are():
    found = Instances(
        boxes=np.zeros((2, 4), np.float32),
        plane=np.zeros(2, np.int64),
        scores=np.ones(2, np.float32),
        classes=np.ones(2, np.int64),
        masks=np.ones((2, 3, 3), np.float32),
        shape=(4, 5),
        axes="yx",
    )
    cache = Predictions(1000)
    kept = cache.recall(cache.remember(replace(prediction(np.zeros((1, 1, 1))), answer=found)))
    assert kept.answer is found
    assert cache.bytes == 2 * (16 + 8 + 4 + 8 + 36)


def test_everything_can_be_forgotten():
    cache = Predictions(1000)
    key = cache.remember(prediction(np.zeros((1, 4, 5), np.float32)))
    cache.clear()
    assert cache.recall(key) is None


def test_only_what_is_recalled_is_said_to_be_kept():
    kept, fresh = Predictions(), prediction(np.zeros((1, 4, 5), np.float32))
    assert not kept.keeps(fresh)
    key = kept.remember(fresh)
    assert kept.keeps(kept.recall(key))
    assert not kept.keeps(fresh)  # its values are not yet of half precision

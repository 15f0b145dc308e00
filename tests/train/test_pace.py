"""How far a training is, by rounds and by minutes."""

from __future__ import annotations

import time
from dataclasses import replace
from importlib import import_module

import pytest
from safetensors.numpy import load, load_file
from support.teaching import QUICK, fresh, write_dataset

from napari_segnet.dataset import Dataset
from napari_segnet.progress import run
from napari_segnet.train import read_unfinished, state_path, train
from napari_segnet.train._pace import Pace

ROUNDS = replace(QUICK, epochs=3, steps_per_epoch=4)
MINUTE = replace(ROUNDS, minutes=1.0)


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that moves by 2.5 seconds a step."""
    now = {"s": 0.0}

    def tick():
        now["s"] += 2.5
        return now["s"]

    monkeypatch.setattr(import_module("napari_segnet.train._pace"), "perf_counter", tick)


def test_rounds_count_steps():
    pace = Pace(ROUNDS, epochs=1)
    assert list(pace.epochs()) == [1, 2]
    assert (pace.steps, pace.total_steps, pace.total_epochs) == (4, 12, 3)
    assert pace.fraction == pytest.approx(1 / 3)
    assert not pace.is_over


def test_minutes_count_the_time_of_the_steps(clock):
    pace = Pace(MINUTE, seconds=30.0)
    assert pace.fraction == 0.5
    for _ in range(8):
        with pace.step():
            pass
    assert pace.fraction == pytest.approx((30 + 8 * 2.5) / 60)
    assert pace.total_steps == round(8 * 60 / 50)
    assert not pace.is_over
    epochs = pace.epochs()
    next(epochs)
    for _ in range(4):
        with pace.step():
            pass
    assert pace.is_over
    assert next(epochs, None) is None


@pytest.mark.trains
def test_a_training_ends_when_its_minutes_are_over(tmp_path, clock):
    network, data = fresh(tmp_path / "n.safetensors"), Dataset.open(write_dataset(tmp_path / "d"))
    reports = []
    steps = train(network, data, tmp_path / "n.safetensors", MINUTE)
    while True:
        try:
            reports.append(next(steps))
        except StopIteration as stop:
            made = stop.value
            break
    done = [r for r in reports if r.what == "step"]
    assert len(done) == 24  # of 2.5 s each
    assert done[-1].done == done[-1].total == 24
    assert [r.done for r in reports if r.what == "epoch"] == [1, 2, 3, 4, 5, 6]
    assert made.card["training"]["settings"]["minutes"] == 1


@pytest.mark.trains
def test_a_training_that_goes_on_has_the_rest_of_its_minutes(tmp_path, clock):
    network, data = fresh(tmp_path / "n.safetensors"), Dataset.open(write_dataset(tmp_path / "d"))
    out = tmp_path / "n.safetensors"
    steps = train(network, data, out, MINUTE)
    while next(steps).what != "epoch":
        pass
    steps.close()
    assert read_unfinished(state_path(out)).settings.minutes == 1
    left = [r for r in train(network, data, out, MINUTE, resume=True) if r.what == "step"]
    assert [left[0].done, left[-1].done] == [5, 24]
    assert run(train(network, data, out, replace(MINUTE, minutes=0.1))).path == out


@pytest.mark.trains
def test_a_clock_that_goes_back_changes_nothing(tmp_path, monkeypatch):
    """The day is set back by an hour at each look; the training is cut off and goes on."""
    data = Dataset.open(write_dataset(tmp_path / "d"))
    network = fresh(tmp_path / "n.safetensors")
    whole = run(train(network, data, tmp_path / "a.safetensors", ROUNDS)).path.read_bytes()
    now = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    out = tmp_path / "b.safetensors"
    steps = train(network, data, out, ROUNDS)
    while next(steps).what != "epoch":
        pass
    steps.close()
    assert read_unfinished(state_path(out)).settings == ROUNDS
    left = [r for r in train(network, data, out, ROUNDS, resume=True) if r.what == "step"]
    assert [left[0].done, left[-1].done] == [5, 12]
    assert not state_path(out).exists()
    was, made = load(whole), load_file(out)
    assert was.keys() == made.keys()
    assert all((was[key] == made[key]).all() for key in was)

"""A plan and its tasks are values: another process that gets them pickled answers the same."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import dask.array
import numpy as np
import pytest
import torch
from support import worker
from support.blobseer import field
from support.engines import put_first
from support.maskrcnns import calibrated
from support.networks import Milesial, calibrate, pictures, save_as

from napari_segnet import cache
from napari_segnet.answers.detections.tiling import DetectionTiles
from napari_segnet.answers.maps.tiling import MapTiles
from napari_segnet.engines.torch import identify
from napari_segnet.image import Image
from napari_segnet.inference import PredictSettings, predict
from napari_segnet.plan import resolve
from napari_segnet.plan.memory import first_plan
from napari_segnet.plan.tasks import TaskReader, read_task, tile_tasks
from napari_segnet.progress import run
from napari_segnet.sinks import open_sink
from napari_segnet.stitch import UnitSink

HOW = PredictSettings(
    normalize="percentile", normalize_over="plane", device="cpu", tile_px=(32,), maps="float32"
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    module = Milesial(channels=1, width=3, depth=2, bilinear=True)
    calibrate(module, images=pictures(2, 1, (32, 32)))
    return identify(save_as(module, tmp_path_factory.mktemp("net") / "network.pth", "bare"))


@pytest.fixture(scope="module")
def elsewhere():
    """A process that shares nothing with this one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    cache.networks.clear()
    cache.rungs.clear()


def data(kind, folder):
    stack = pictures(1, 3, (70, 61), seed=4)[0].numpy()
    if kind == "dask":
        return dask.array.from_array(stack, chunks=(1, 32, 61))
    if kind == "memory map":
        np.save(folder / "stack.npy", stack)
        return np.load(folder / "stack.npy", mmap_mode="r")
    return stack


def planned(plan, rule, kind):
    """Return the tasks of every unit: ``(t, z)`` and the tasks."""
    tiling = first_plan(kind.load(plan.checkpoint), rule).tiling
    assert len(tiling.tiles) > 1
    return [(at, tile_tasks(plan.input, tiling, *at)) for at in plan.input.units]


def assembled(plan, units, answers):
    """Put the answers of all tasks into the sink that the plan says."""
    sink = open_sink(plan.keep)
    for ((t, z), tasks), maps in zip(units, answers, strict=True):
        at = {"t": t, "z": z}
        into = UnitSink(sink, tuple(slice(at[a], at[a] + 1) for a in plan.axes if a in at))
        for task, kept in zip(tasks, maps, strict=True):
            into.write((slice(0, len(kept)), *task.tile.write), kept)
    return sink.finish()


@pytest.mark.sample(1)
@pytest.mark.parametrize("kind", ["numpy", "dask", "memory map"])
def test_maps_of_another_process_are_those_of_predict(
    kind, checkpoint, elsewhere, tmp_path, monkeypatch
):
    put_first(monkeypatch, worker.SINES)
    image = Image(data=data(kind, tmp_path), axes="zyx", name="cells")
    expected = run(predict(checkpoint, image, HOW)).answer.data
    plan = resolve(checkpoint, image, HOW)
    units = planned(plan, MapTiles(checkpoint, plan.input.seen, HOW), worker.SINES)
    sent = [pickle.dumps((worker.SINES, plan, tasks)) for _, tasks in units]
    answers = list(elsewhere.map(worker.fake_answer, sent))
    assert np.array_equal(assembled(plan, units, answers), expected)
    assert expected.std() > 0.1


@pytest.mark.long
def test_and_so_are_those_of_torch(checkpoint, elsewhere, tmp_path):
    image = Image(data=data("numpy", tmp_path), axes="zyx", name="cells")
    expected = run(predict(checkpoint, image, HOW)).answer.data
    plan = resolve(checkpoint, image, HOW)
    units = planned(plan, MapTiles(checkpoint, plan.input.seen, HOW), worker.SINES)
    sent = [pickle.dumps((plan, tasks)) for _, tasks in units]
    answers = list(elsewhere.map(worker.answer, sent))
    assert np.abs(assembled(plan, units, answers) - expected).max() < 1e-5


def test_a_task_at_another_scale_needs_nothing_of_the_others(checkpoint, tmp_path, monkeypatch):
    put_first(monkeypatch, worker.SINES)
    image = Image(data=data("numpy", tmp_path), axes="zyx", name="cells")
    plan = resolve(checkpoint, image, replace(HOW, scale=0.5))
    rule = MapTiles(checkpoint, plan.input.seen, HOW)
    ((_, tasks), *_) = planned(plan, rule, worker.SINES)
    reader = TaskReader(image)
    for task in pickle.loads(pickle.dumps(tasks)):
        assert np.array_equal(read_task(task, image), reader.read(task))
        assert reader.read(task).shape == (1, *task.lengths)


def test_objects_of_another_process_are_those_of_predict(elsewhere, tmp_path, monkeypatch):
    torch.save(calibrated().state_dict(), tmp_path / "maskrcnn.pth")
    network = identify(tmp_path / "maskrcnn.pth")
    put_first(monkeypatch, worker.BLOBS)
    how = replace(HOW, normalize="none", channels="0,0,0", tile_px=(256,))
    stack = np.stack([field((400, 80), [(40, 40), (y, 30)]) for y in (120, 330)])
    image = Image(data=stack, axes="zyx", name="cells")
    expected = run(predict(network, image, how)).answer
    plan = resolve(network, image, how)
    units = planned(plan, DetectionTiles(network, plan.input.seen, how), worker.BLOBS)
    sent = [pickle.dumps((worker.BLOBS, plan, tasks)) for _, tasks in units]
    for plane, found in enumerate(elsewhere.map(worker.fake_detect, sent)):
        boxes = np.concatenate(
            [
                one.instances.boxes + [part.start for part in task.tile.frame] * 2
                for one, task in zip(found, units[plane][1], strict=True)
            ]
        )
        mine = expected.boxes[expected.plane == plane]
        assert len(mine) == 2
        assert {*map(tuple, mine.tolist())} <= {*map(tuple, boxes.tolist())}


def test_a_plan_says_all_that_the_origin_says_of_it(checkpoint, tmp_path, monkeypatch):
    put_first(monkeypatch, worker.SINES)
    image = Image(data=data("numpy", tmp_path), axes="zyx", name="cells")
    plan = pickle.loads(pickle.dumps(resolve(checkpoint, image, HOW)))
    origin = run(predict(checkpoint, image, HOW)).origin
    assert origin.predict == plan.origin_settings()
    facts = plan.input_facts()
    assert facts.items() <= origin.engine.items()
    assert facts["normalize"] == "percentile"
    assert len(facts["normalization"]["affines"]) == 3
    assert (plan.axes, plan.shape) == ("zyx", (3, 70, 61))
    assert plan.keep.shape == (1, 3, 70, 61)
    with pytest.raises(AttributeError):
        plan.checkpoint = None

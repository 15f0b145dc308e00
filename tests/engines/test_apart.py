"""Networks in a process of their own: the same answers, and its end is a sentence."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
import torch
from support import workers
from support.maskrcnns import calibrated
from support.networks import Milesial, calibrate, pictures, save_as

import napari_segnet as sn
from napari_segnet import cache, engines
from napari_segnet.engines.apart import keep_apart, load_apart, worker
from napari_segnet.engines.elsewhere import run_at
from napari_segnet.errors import Cancelled, SettingsError, WorkerLostError
from napari_segnet.image import Image
from napari_segnet.progress import run

pytestmark = [pytest.mark.subprocess, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def apart():
    keep_apart(True)
    yield worker()
    keep_apart(False)


@pytest.fixture
def here():
    """Run networks in this process for a while, and keep nothing of it."""

    def inside(steps):
        run_at("process", None)
        try:
            return run(steps)
        finally:
            run_at("process", load_apart)
            cache.networks.clear()
            cache.rungs.clear()

    return inside


def test_a_preference_that_changes_while_a_run_begins():
    """The run asked where networks are, and a moment later they are not there any more."""
    with pytest.raises(WorkerLostError, match=r"ended by a preference just now\. Run again"):
        worker()


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("net")
    torch.save(calibrate(Milesial(channels=1, width=6, depth=2)).state_dict(), folder / "u.pth")
    return sn.identify(folder / "u.pth")


IMAGE = Image(data=(255 * pictures(1, 1, (200, 180))[0, 0].numpy()).astype(np.uint8), axes="yx")
HOW = sn.PredictSettings(tile_px=(64,), device="cpu", engine="torch")


def test_maps_are_those_of_this_process(apart, here, network, monkeypatch):
    with monkeypatch.context() as without:
        without.delattr(engines.TorchKind, "devices")  # a driver may crash when it is asked
        there = run(sn.predict(network, IMAGE, HOW))
    mine = here(sn.predict(network, IMAGE, HOW))
    np.testing.assert_allclose(there.answer.data, mine.answer.data, atol=1e-6)
    assert there.origin.device == "cpu"
    assert there.origin.engine == mine.origin.engine
    assert not cache.networks.bytes, "no network is in this process"
    with pytest.raises(SettingsError, match="'cuda:7' is not available"):
        run(sn.predict(network, IMAGE, sn.PredictSettings(device="cuda:7")))


@pytest.mark.long  # a second process loads torchvision
def test_objects_and_what_is_asked_about_a_box(apart, here, tmp_path):
    save_as(calibrated(), tmp_path / "rcnn.pth", "training")
    net = sn.identify(tmp_path / "rcnn.pth")
    engine = engines.engine_for(net, "cpu")
    picture = pictures(1, 3, (96, 128))[0].numpy()
    look = engine.look(picture)
    boxes = look.proposals[:5]
    scores, masks = look.scores_in(boxes), look.masks_in(boxes, np.ones(len(boxes), np.int64))
    assert len(engine.detect(picture[None])) == 1
    os.kill(apart.pid, signal.SIGKILL)
    wait_for_end(apart)
    # The process is another one: it looks again.
    np.testing.assert_allclose(look.scores_in(boxes), scores, atol=1e-5)
    assert look.detect(boxes).boxes.shape[1] == 4
    np.testing.assert_allclose(
        look.masks_in(boxes, np.ones(len(boxes), np.int64)), masks, atol=1e-5
    )


def wait_for_end(one):
    until = time.monotonic() + 10
    while one.pid is not None and time.monotonic() < until:
        time.sleep(0.01)


def test_memory_that_runs_out_there_is_met_by_smaller_tiles(apart, network):
    engine = engines.engine_for(network, "cpu")
    with pytest.raises(MemoryError) as caught:
        apart.call(workers.no_memory)
    assert engine.is_out_of_memory(caught.value)
    assert engine.free_bytes() > 0 and engine.peak_bytes(1, (64, 64)) > 0


def test_a_run_is_stopped_there(apart, network):
    job = sn.predict(network, IMAGE, HOW)
    while next(job).done < 1:
        pass
    before = apart.pid
    job.cancel()
    with pytest.raises(Cancelled):
        run(job)
    assert run(sn.predict(network, IMAGE, HOW)).answer.data.any()
    assert apart.pid == before


def ended_within(apart, network, kills):
    """Kill the process within runs, again and again; each run after it works."""
    whole = run(sn.predict(network, IMAGE, HOW)).answer.data
    dice = np.random.default_rng(0)
    for _ in range(kills):
        job = sn.predict(network, IMAGE, HOW)
        next(job)
        pid = apart.pid
        threading.Timer(dice.uniform(0, 0.05), os.kill, (pid, signal.SIGKILL)).start()
        with pytest.raises(WorkerLostError, match=r"Nothing of yours is lost.*run it again"):
            while True:  # a run may be over before
                run(job)
                job = sn.predict(network, IMAGE, HOW)
        again = run(sn.predict(network, IMAGE, HOW)).answer.data
        np.testing.assert_allclose(again, whole, atol=1e-6)
        assert apart.pid not in (None, pid)


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no signals")
def test_a_process_that_is_killed_ends_one_run(apart, network):
    ended_within(apart, network, 1)


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="Windows knows no signals")
def test_a_process_that_is_killed_twenty_times(apart, network):
    ended_within(apart, network, 20)

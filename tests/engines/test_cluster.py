"""Networks on the workers of a dask scheduler: the same maps, whoever is lost on the way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
from support.networks import Milesial, calibrate, pictures

import napari_segnet as sn
from napari_segnet.engines import cluster
from napari_segnet.engines.apart import _there, wanted_of
from napari_segnet.engines.apart._there import Wanted
from napari_segnet.engines.cluster import _connection, _scheduler, connect, disconnect
from napari_segnet.engines.cluster._plugin import Introduce
from napari_segnet.errors import (
    BrokenWeightsError,
    Cancelled,
    MissingExtraError,
    WorkerLostError,
)
from napari_segnet.extras import distributed_package
from napari_segnet.image import Image
from napari_segnet.progress import run

HOW = sn.PredictSettings(tile_px=(32,), device="cpu")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    monkeypatch.setattr("builtins.__import__", refusing(__import__))
    with pytest.raises(MissingExtraError, match=r"pip install 'napari-segnet\[cluster\]'"):
        distributed_package()


class Slow:
    """In place of a connection: one that takes a while to be made."""

    lives, made, closed = True, 0, 0

    def __init__(self, address):
        if address == "wrong":
            raise WorkerLostError("No dask scheduler answers at wrong.")
        asked.set()
        assert goes_on.wait(20)

    def close(self):
        Slow.closed += 1


asked, goes_on = threading.Event(), threading.Event()


def test_a_connection_in_vain_leaves_networks_here(monkeypatch):
    monkeypatch.setattr(_scheduler, "Cluster", Slow)
    with pytest.raises(WorkerLostError, match="No dask scheduler"):
        connect("wrong")
    assert not cluster.is_clustered()


def test_another_address_waits_for_no_connection(monkeypatch):
    """The window calls ``use``, while a run may wait for minutes."""
    monkeypatch.setattr(_scheduler, "Cluster", Slow)
    said = []

    def waiting():
        try:
            connect("first")
        except WorkerLostError as error:
            said.append(str(error))

    thread = threading.Thread(target=waiting)
    thread.start()
    assert asked.wait(20)
    changing = threading.Thread(target=cluster.use, args=("",), daemon=True)
    changing.start()
    changing.join(2)
    stuck = changing.is_alive()
    goes_on.set()
    thread.join(20)
    assert not stuck, "the window stands still"
    assert (said, Slow.closed) == ([said[0]], 1)
    assert "was changed while this run waited for it. Run again." in said[0]
    assert not cluster.is_clustered()


def test_weights_go_once_to_images_that_are_at_work_at_once():
    class Client:
        sent = 0

        def register_plugin(self, _plugin):
            time.sleep(0.1)
            Client.sent += 1

    one = _scheduler.Cluster.__new__(_scheduler.Cluster)
    one._known, one._home, one._client = set(), object(), Client()
    one._introducing = threading.Lock()
    one.call = lambda *_: None
    wanted = Wanted(key="k", checkpoint=None, device="cpu", threads=0, wish="auto")
    threads = [threading.Thread(target=one.introduce, args=(wanted,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Client.sent == 1


def test_weights_that_were_written_over_on_a_worker_are_refused(tmp_path):
    """The file that was recognised is not on that machine; what was sent is, under its hash."""
    here = tmp_path / "network.pth"
    torch.save(calibrate(Milesial(channels=1, width=2, depth=1)).state_dict(), here)
    wanted = wanted_of(sn.identify(here), "cpu", 1, "torch")
    weights = here.read_bytes()
    here.unlink()
    one = SimpleNamespace(local_directory=str(tmp_path), name="worker-0")
    Introduce(wanted, weights).setup(one)
    assert _there.facts(wanted.key).device == "cpu"
    (copy,) = tmp_path.iterdir()
    copy.write_bytes(weights[:-1] + b"x")
    _there._engines.clear()
    with pytest.raises(BrokenWeightsError, match="on a worker of the cluster are not those that"):
        _there.facts(wanted.key)
    _there._introduced.clear()


def refusing(real):
    def without(name, *args, **more):
        if name == "distributed":
            raise ModuleNotFoundError("none", name=name)
        return real(name, *args, **more)

    return without


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    torch.save(calibrate(Milesial(channels=1, width=6, depth=2)).state_dict(), folder / "u.pth")
    pixels = (255 * pictures(1, 1, (200, 180))[0, 0].numpy()).astype(np.uint8)
    tifffile.imwrite(folder / "plain.tif", pixels)
    tifffile.imwrite(folder / "packed.tif", pixels, compression="zlib")
    return folder


@pytest.fixture(scope="module")
def home():
    """A scheduler with two workers, each a process: of another machine, as far as anybody sees."""
    distributed = pytest.importorskip(
        "distributed", reason="dask.distributed is not installed: the extra [cluster]"
    )
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture
def clustered(home):
    connect(home.scheduler_address)
    yield home
    disconnect()


def pids():
    return list(_connection[0]._client.run(os.getpid).values())


@pytest.fixture(scope="module")
def expected(place):
    return run(sn.predict(place / "u.pth", place / "plain.tif", HOW)).answer.data


@pytest.mark.subprocess
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
def test_maps_are_the_same_from_files_and_from_pixels(expected, clustered, place, monkeypatch):
    from napari_segnet.stitch import ahead

    sent = []
    real = ahead._sent
    monkeypatch.setattr(ahead, "_sent", lambda *a: sent.append(a[3] is not None) or real(*a))
    array = Image(data=tifffile.imread(place / "plain.tif"), axes="yx")
    for image, by_file in ((place / "plain.tif", True), (array, False)):
        sent.clear()
        found = run(sn.predict(place / "u.pth", image, HOW))
        np.testing.assert_allclose(found.answer.data, expected, atol=1e-6)
        assert sent and set(sent) == {by_file}, "pixels travel only where they must"
    weights = _connection[0]._client.run(
        lambda dask_worker: os.listdir(dask_worker.local_directory)
    )
    assert all(any(name.endswith(".pth") for name in names) for names in weights.values())


@pytest.fixture(scope="module")
def of_mirrors(place):
    how = replace(HOW, mirror="yes")
    return how, run(sn.predict(place / "u.pth", place / "plain.tif", how)).answer.data


@pytest.mark.long
@pytest.mark.subprocess
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
def test_mirror_images_are_sent_ahead_too(of_mirrors, expected, clustered, place, monkeypatch):
    from napari_segnet.stitch import ahead

    sent, real, (how, here) = [], ahead._sent, of_mirrors
    monkeypatch.setattr(ahead, "_sent", lambda *a: sent.append(a[1].mirrored) or real(*a))
    array = Image(data=tifffile.imread(place / "plain.tif"), axes="yx")
    for image in (place / "plain.tif", array):
        sent.clear()
        found = run(sn.predict(place / "u.pth", image, how))
        np.testing.assert_allclose(found.answer.data, here, atol=1e-6)
        assert found.origin.engine["mirrored"] == ["y", "x"]
        assert len(sent) > 3 and all(sent)
    assert np.abs(here - expected).max() > 1e-3


@pytest.mark.subprocess
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_worker_that_is_lost_in_the_middle_costs_nothing(expected, clustered, place):
    job = sn.predict(place / "u.pth", place / "packed.tif", HOW)
    while next(job).done < 3:
        pass
    os.kill(pids()[0], signal.SIGKILL)
    np.testing.assert_allclose(run(job).answer.data, expected, atol=1e-6)


@pytest.mark.long
@pytest.mark.subprocess
@pytest.mark.timeout(300)
def test_a_run_is_stopped_and_the_next_one_works(expected, clustered, place):
    job = sn.predict(place / "u.pth", place / "plain.tif", HOW)
    while next(job).done < 2:
        pass
    job.cancel()
    with pytest.raises(Cancelled):
        run(job)
    found = run(sn.predict(place / "u.pth", place / "plain.tif", HOW))
    np.testing.assert_allclose(found.answer.data, expected, atol=1e-6)


@pytest.mark.long
@pytest.mark.subprocess
@pytest.mark.timeout(300)
def test_a_scheduler_that_is_gone_is_a_sentence(expected, place):
    distributed = pytest.importorskip("distributed", reason="the extra [cluster]")
    home = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
    connect(home.scheduler_address)
    job = sn.predict(place / "u.pth", place / "plain.tif", HOW)
    while next(job).done < 2:
        pass
    threading.Thread(target=home.close, daemon=True).start()
    with pytest.raises(WorkerLostError, match=r"is gone\. What is finished is kept.*--resume"):
        run(job)
    with pytest.raises(WorkerLostError, match="No dask scheduler answers"):
        run(sn.predict(place / "u.pth", place / "plain.tif", HOW))
    disconnect()


class Machines:
    """A scheduler and its two workers, each a process, as a user starts them."""

    def __init__(self, port: int, folder: Path) -> None:
        self.address = f"tcp://127.0.0.1:{port}"
        with (folder / "dask.log").open("a") as log:
            self.every = [
                subprocess.Popen(
                    [sys.executable, "-m", f"distributed.cli.dask_{kind}", *args],
                    cwd=folder, stdout=log, stderr=log,
                )
                for kind, args in (
                    ("scheduler", ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]),
                    *[("worker", [self.address, "--nthreads", "1", "--no-nanny"])] * 2,
                )
            ]  # fmt: skip

    def end(self, number: int | None = None) -> None:
        for one in self.every if number is None else [self.every[number]]:
            one.kill()
            one.wait()


@pytest.mark.long
@pytest.mark.subprocess
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_folder_outlives_a_worker_and_its_scheduler(place, tmp_path):
    """One worker is killed, then the scheduler, which comes again: the rest goes on."""
    pytest.importorskip("distributed", reason="the extra [cluster]")
    images = tmp_path / "images"
    images.mkdir()
    for number, pixels in enumerate(pictures(9, 1, (420, 380))[:, 0].numpy()):
        tifffile.imwrite(images / f"{number:02}.tif", (255 * pixels).astype(np.uint8))

    def segment(out: Path, *more: str) -> subprocess.Popen:
        how = ["--set", "tile_px=32", "--set", "engine=torch", "--device", "cpu", "--resume"]
        command = ["segment", str(images), "-c", str(place / "u.pth"), "-o", str(out), *how, *more]
        with said.open("w") as log:
            return subprocess.Popen([sys.executable, "-m", "napari_segnet", *command], stderr=log)

    def labels(out: Path) -> dict[str, np.ndarray]:
        return {p.name: tifffile.imread(p) for p in sorted(out.glob("*.labels.tif"))}

    def wait_for(count: int) -> None:
        while len(list(out.glob("*.json"))) < count:
            assert running.poll() is None, said.read_text()
            time.sleep(0.02)

    alone, out, said = tmp_path / "alone", tmp_path / "out", tmp_path / "said.txt"
    assert segment(alone).wait() == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    there = [Machines(port, tmp_path)]
    try:
        running = segment(out, "--scheduler", there[0].address)
        wait_for(1)
        there[0].end(1)
        wait_for(2)
        there[0].end(0)
        there.append(Machines(port, tmp_path))
        assert running.wait() == 1, said.read_text()
        words = "is gone. What is finished is kept, and nothing is half written."
        assert words in said.read_text()
        kept = labels(out)
        assert 2 <= len(kept) < 9
        assert sorted(p.name for p in out.iterdir()) == sorted(
            name.replace(".labels.tif", end) for name in kept for end in (".json", ".labels.tif")
        )
        assert segment(out, "--scheduler", there[1].address).wait() == 0, said.read_text()
    finally:
        for one in there:
            one.end()
    for name, expected in labels(alone).items():
        np.testing.assert_array_equal(labels(out)[name], expected)
        if name in kept:
            np.testing.assert_array_equal(kept[name], expected)

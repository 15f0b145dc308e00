"""A worker does jobs in a process of its own, and its end ends nothing else."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time

import numpy as np
import pytest
from support import workers

from napari_segnet.errors import Cancelled, SettingsError, WorkerLostError
from napari_segnet.progress import Job, run
from napari_segnet.worker import Worker

pytestmark = pytest.mark.subprocess


@pytest.fixture(scope="module")
def worker():
    one = Worker({"NAPARI_SEGNET_TEST": "1"})
    yield one
    one.stop()


def test_results_reports_and_errors_come_back(worker):
    assert worker.call(workers.who) == worker.pid != os.getpid()
    reports = worker.do(workers.counted, 5)
    assert [next(reports).done for _ in range(5)] == [0, 1, 2, 3, 4]
    assert run(reports) == "counted"
    with pytest.raises(SettingsError, match=r"scale is 0\. Set more\."):
        worker.call(workers.refuse)
    with pytest.raises(Exception, match="lambda"):
        worker.call(workers.odd)
    assert worker.call(os.getenv, "NAPARI_SEGNET_TEST") == "1"


def test_arrays_come_whole_and_leave_no_memory_open(worker):
    worker.call(workers.who)  # its process is there
    open_files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    large = np.arange(3_000_000, dtype=np.float32).reshape(3, 1000, 1000)
    for pixels in (large, large[:, ::2], large.T, np.zeros((0, 4)), np.arange(5)):
        answer = worker.call(workers.doubled, pixels, add=1)
        np.testing.assert_array_equal(answer, pixels * 2 + 1)
        answer[...] = 0  # it is the caller's
    np.testing.assert_array_equal(large.reshape(-1)[:3], [0, 1, 2])  # and what went is still ours
    del answer
    gc.collect()
    if open_files:
        assert len(os.listdir("/proc/self/fd")) <= open_files + 1


ENDS = [
    (workers.end_by, workers.KILL, r"most likely since memory ran out.*--set tile_px=256"),
    (workers.end_by, signal.SIGSEGV, r"crashed \(SIGSEGV\).*--device cpu"),
    (workers.leave, 3, r"crashed \(exit code 3\)"),
]


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no signals")
@pytest.mark.parametrize(("how", "number", "says"), ENDS, ids=["killed", "segfault", "left"])
def test_the_end_of_the_process_is_a_sentence_and_the_next_job_works(worker, how, number, says):
    with pytest.raises(WorkerLostError, match=says):
        worker.call(how, number)
    assert worker.pid is None
    assert worker.call(workers.who) == worker.pid


def test_an_answer_that_cannot_be_taken_ends_the_job_not_the_next_one(worker):
    job = Job(worker.do(workers.only_here))
    threading.Timer(10, job.cancel).start()
    with pytest.raises(
        WorkerLostError, match=r"could not be read here \(MemoryError: for a test\)"
    ):
        run(job)
    assert worker.call(workers.who) == worker.pid


def test_a_job_is_stopped(worker):
    before = worker.call(workers.who)
    job = Job(worker.do(workers.patient))
    assert next(job).text == "begun"
    threading.Timer(0.1, job.cancel).start()
    with pytest.raises(Cancelled):
        run(job)
    assert worker.call(workers.who) == before  # what listens is not ended


def test_a_job_that_does_not_listen_ends_with_its_process(worker, monkeypatch):
    monkeypatch.setattr("napari_segnet.worker._worker.STOP_S", 0.1)
    before = worker.call(workers.who)
    job = Job(worker.do(workers.deaf))
    next(job)
    job.cancel()
    begun = time.monotonic()
    with pytest.raises(Cancelled):
        next(job)
    assert time.monotonic() - begun < 10
    assert worker.call(workers.who) != before


def test_who_waits_for_a_busy_worker_can_be_stopped(worker):
    busy = worker.do(workers.counted, 3)
    next(busy)
    waiting = Job(worker.do(workers.counted, 3))
    threading.Timer(0.1, waiting.cancel).start()
    with pytest.raises(Cancelled):
        run(waiting)
    assert run(busy) == "counted"

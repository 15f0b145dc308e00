"""Who computes on a device at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import napari_segnet as sn
from napari_segnet.engines.turns import at_once, small_at_once, turn
from napari_segnet.errors import Cancelled


def held_by(count: int, most: int, name: str) -> int:
    """Return how many threads of ``count`` held a device at once."""
    here, highest, lock = [0], [0], threading.Lock()
    ready = threading.Barrier(count)

    def hold() -> None:
        ready.wait(10)
        with turn(name, most):
            with lock:
                here[0] += 1
                highest[0] = max(highest[0], here[0])
            threading.Event().wait(0.05)
            with lock:
                here[0] -= 1

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(hold) for _ in range(count)]:
            done.result()
    return highest[0]


@pytest.mark.parametrize(("most", "highest"), [(1, 1), (2, 2), (3, 3)])
def test_so_many_hold_a_device_at_once(most: int, highest: int) -> None:
    assert held_by(4, most, f"test{most}") == highest


def test_who_is_alone_waits_for_those_who_share() -> None:
    order, shared = [], threading.Event()

    def alone() -> None:
        shared.wait(10)
        with turn("test_alone"):
            order.append("alone")

    thread = threading.Thread(target=alone)
    thread.start()
    with turn("test_alone", 2), turn("test_alone", 2):
        shared.set()
        threading.Event().wait(0.05)
        order.append("both")
    thread.join(10)
    assert order == ["both", "alone"]


def test_who_waits_can_be_cancelled() -> None:
    @sn.progress.job
    def waits():
        yield sn.Progress(what="begin")
        with turn("test_cancelled"):
            yield sn.Progress(what="never")

    job = waits()
    with turn("test_cancelled"):
        next(job)
        threading.Timer(0.05, job.cancel).start()
        with pytest.raises(Cancelled):
            next(job)
    with turn("test_cancelled"):
        pass


def test_one_thread_says_for_itself_alone_how_many_may_be_answered_at_once() -> None:
    with small_at_once(2):
        assert at_once() == 2
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(at_once).result() == 1
    assert at_once() == 1

"""Jobs: progress, results, and being stopped."""

from __future__ import annotations

import contextvars
import gc
import threading
import time
from types import SimpleNamespace

import pytest

from napari_segnet.answers.maps.run import _work
from napari_segnet.errors import Cancelled
from napari_segnet.progress import Job, Pace, Progress, changed_reports, check_cancelled, job, run


@job
def counting(n, log=None):
    try:
        for done in range(n):
            check_cancelled()
            yield Progress(what="step", done=done, total=n)
        return n
    finally:
        if log is not None:
            log.append("cleaned up")


@job
def outer(n, log):
    try:
        result = yield from counting(n, log)
        return result + 1
    finally:
        log.append("outer cleaned up")


def test_run_returns_the_result():
    assert run(counting(3)) == 3


def test_a_job_reports_as_it_goes_and_ends_with_its_result():
    steps = counting(2)
    assert next(steps) == Progress(what="step", done=0, total=2)
    assert next(steps) == Progress(what="step", done=1, total=2)
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value == 2


def test_a_decorated_function_keeps_its_name_and_returns_a_job():
    assert counting.__name__ == "counting"
    assert isinstance(counting(1), Job)


def test_cancelled_before_its_start_a_job_does_nothing():
    log = []
    steps = counting(2, log)
    steps.cancel()
    with pytest.raises(Cancelled, match="Stopped on request; nothing was changed"):
        next(steps)
    assert log == [], "not even its first line ran"
    with pytest.raises((StopIteration, Cancelled)):
        next(steps)


def test_cancelled_between_two_reports_a_job_cleans_up():
    log = []
    steps = counting(5, log)
    next(steps)
    steps.cancel()
    with pytest.raises(Cancelled):
        next(steps)
    assert log == ["cleaned up"]


def test_cancelled_while_it_works_a_job_stops_where_it_looks():
    started = threading.Event()

    @job
    def busy():
        started.set()
        while True:
            check_cancelled()
        yield Progress(what="never")

    steps = busy()
    threading.Thread(target=lambda: (started.wait(), steps.cancel())).start()
    with pytest.raises(Cancelled):
        next(steps)


def test_cancelling_a_job_stops_the_job_within_it():
    log = []
    steps = outer(5, log)
    next(steps)
    steps.cancel()
    with pytest.raises(Cancelled):
        next(steps)
    assert log == ["cleaned up", "outer cleaned up"]


def test_the_flag_of_an_outer_job_is_seen_deep_inside_an_inner_one():
    @job
    def inner():
        yield Progress(what="one")
        check_cancelled()
        raise AssertionError("went on")

    @job
    def around(steps):
        first = next(steps)  # driven by hand, not by "yield from"
        outside.cancel()
        next(steps)
        yield first

    outside = around(inner())
    with pytest.raises(Cancelled):
        next(outside)


def test_an_inner_job_cancelled_by_itself_ends_the_outer_one_unless_it_is_caught():
    @job
    def careful():
        inside = counting(5)
        yield next(inside)
        inside.cancel()
        try:
            next(inside)
        except Cancelled:
            check_cancelled()  # the outer job's own flag is not set
            return "went on"

    assert run(careful()) == "went on"


def test_nothing_is_cancelled_outside_of_jobs():
    steps = counting(5)
    next(steps)
    steps.cancel()
    check_cancelled()  # raises Cancelled within a job whose flag is set, and not here
    with pytest.raises(Cancelled):
        next(steps)


def test_one_job_does_not_stop_another_in_the_same_thread():
    first, second = counting(3), counting(3)
    next(first)
    next(second)
    first.cancel()
    assert next(second).done == 1


def test_closing_cleans_up_once_and_for_all():
    log = []
    steps = outer(5, log)
    next(steps)
    steps.close()
    steps.close()
    assert log == ["cleaned up", "outer cleaned up"]
    with pytest.raises(StopIteration):
        next(steps)


def test_closing_before_the_start_is_allowed():
    log = []
    counting(5, log).close()
    assert log == []


def test_a_forgotten_job_cleans_up():
    log = []
    steps = counting(5, log)
    next(steps)
    del steps
    gc.collect()
    assert log == ["cleaned up"]


def test_an_error_thrown_in_is_raised_where_the_job_works():
    @job
    def stubborn():
        try:
            yield Progress(what="first")
        except ValueError:
            yield Progress(what="saved")
        return "done"

    steps = stubborn()
    next(steps)
    assert steps.throw(ValueError("thrown")).what == "saved"
    with pytest.raises(StopIteration, match="done"):
        next(steps)


def test_errors_come_out_as_they_are():
    @job
    def broken():
        yield Progress(what="first")
        raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        run(broken())


def test_a_job_may_wander_between_threads_and_contexts():
    steps = counting(4)
    seen = [next(steps).done]
    seen.append(contextvars.copy_context().run(next, steps).done)
    thread = threading.Thread(target=lambda: seen.append(next(steps).done))
    thread.start()
    thread.join()
    assert seen == [0, 1, 2]
    steps.cancel()
    with pytest.raises(Cancelled):
        contextvars.copy_context().run(next, steps)
    check_cancelled()


def test_the_time_left_is_of_the_work_that_is_left():
    """As tiles of 8000² went: the first one warms up, those at the border are smaller."""
    now, work = 0.0, [1.0] * 5 + [0.7] * 5
    pace, whole = Pace(lambda: now), sum(work)
    assert pace.left_s(Progress(what="tile", total=10)) is None
    found = []
    for done, part in enumerate(work, 1):
        now += 4 * part + (3 if done == 1 else 0)
        values = (("share done", sum(work[:done]) / whole),)
        found.append(pace.left_s(Progress(what="tile", done=done, total=10, values=values)))
    right = [4 * sum(work[done:]) for done in range(1, 11)]
    assert found[0] == pytest.approx(right[0] * 7 / 4 / 1.3)
    assert found[0] < 1.36 * right[0]
    assert found[1:] == pytest.approx(right[1:])
    assert pace.left_s(Progress(what="labels", total=2)) is None, "another stage begins anew"
    now += 0.1
    assert pace.left_s(Progress(what="labels", done=1, total=2)) is None, "too early to say"
    now += 0.9
    assert pace.left_s(Progress(what="labels", done=1, total=2)) == pytest.approx(1 / 1.3)


def test_the_work_of_a_slide_of_many_tiles_is_summed_once():
    tasks = [SimpleNamespace(lengths=(100, 200 if number % 2 else 100)) for number in range(30_000)]
    begun = time.thread_time()
    work = _work(tasks)
    assert time.thread_time() - begun < 1  # sums anew for each tile took 6 s
    assert work[:3] == pytest.approx([0, 1 / 45_000, 3 / 45_000])
    assert work[-1] == 1


def test_reports_are_changed_and_the_result_is_kept() -> None:
    @job
    def counts():
        for number in range(3):
            yield Progress(what="plane", done=number)
        return "result"

    seen = []

    def named(report: Progress) -> Progress:
        seen.append(report.done)
        return Progress(what=f"cell: {report.what}", done=report.done)

    steps = changed_reports(counts(), named)
    assert [next(steps).what for _ in range(3)] == ["cell: plane"] * 3
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert (stop.value.value, seen) == ("result", [0, 1, 2])

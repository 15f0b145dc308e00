"""One job at a time off the GUI thread: whatever happens there, the window hears one outcome."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import warnings
import weakref

import pytest
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QWidget

from napari_segnet.errors import Cancelled, SegnetError
from napari_segnet.progress import Progress, check_cancelled, job
from napari_segnet.widgets.qt import job_runner as _job
from napari_segnet.widgets.qt.job_runner import JobRunner

NAMES = ("started", "progressed", "succeeded", "failed", "cancelled", "finished")


class Diary:
    """What a runner has told, in order, and in which thread."""

    def __init__(self, runner: JobRunner) -> None:
        self.told: list[tuple] = []
        self.threads: set[int] = set()
        for name in NAMES:
            getattr(runner, name).connect(lambda *given, name=name: self._note(name, *given))

    def _note(self, *line) -> None:
        self.told.append(line)
        self.threads.add(threading.get_ident())

    @property
    def words(self) -> list[str]:
        """All but progress."""
        return [line[0] for line in self.told if line[0] != "progressed"]


@pytest.fixture
def runner(qtbot):
    made = JobRunner()
    yield made
    made.close()
    assert wait(lambda: not jobs_alive()), "a thread was left behind"


@pytest.fixture
def diary(runner):
    return Diary(runner)


def jobs_alive() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "napari-segnet job"]


def wait(until, seconds: float = 8.0) -> bool:
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        QCoreApplication.processEvents()
        time.sleep(0.002)
    return bool(until())


def idle(seconds: float) -> None:
    wait(lambda: False, seconds)


@job
def counting(n: int, pause_s: float = 0.0, result: object = "done"):
    for i in range(n):
        time.sleep(pause_s)
        yield Progress(what="step", done=i + 1, total=n)
    return result


@job
def raising(error: BaseException):
    yield Progress(what="step")
    raise error


@job
def stubborn(seconds: float, ended: threading.Event | None = None):
    """One long step that never asks whether it was cancelled."""
    yield Progress(what="step")
    time.sleep(seconds)
    if ended is not None:
        ended.set()
    yield Progress(what="step")
    return "late"


@job
def polite(seconds: float):
    """One long step that asks, as the hooks inside a network do."""
    yield Progress(what="step")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check_cancelled()
        time.sleep(0.005)


class OutOfMemoryError(RuntimeError):
    """As torch has it: a RuntimeError."""


def test_a_job_tells_start_progress_result_and_end_in_the_gui_thread(runner, diary) -> None:
    assert not runner.busy
    runner.start(lambda: counting(3, 0.06))
    assert runner.busy
    assert wait(lambda: not runner.busy)
    assert diary.words == ["started", "succeeded", "finished"]
    assert ("succeeded", "done") in diary.told
    assert diary.threads == {threading.get_ident()}


def test_the_job_is_made_and_done_in_one_other_thread(runner, diary) -> None:
    seen = []

    @job
    def work():
        seen.append(threading.get_ident())
        yield Progress(what="step")
        seen.append(threading.get_ident())

    def make():
        seen.append(threading.get_ident())
        return work()

    runner.start(make)
    assert wait(lambda: not runner.busy)
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert threading.get_ident() not in seen


def test_a_flood_of_progress_comes_as_20_a_second_and_ends_with_the_newest(runner, diary) -> None:
    @job
    def flood():
        end, n = time.monotonic() + 0.5, 0
        while time.monotonic() < end:
            n += 1
            yield Progress(what="step", done=n)
            time.sleep(0)
        yield Progress(what="step", done=-1)

    runner.start(flood)
    assert wait(lambda: not runner.busy)
    reports = [line[1].done for line in diary.told if line[0] == "progressed"]
    assert 1 <= len(reports) <= 13
    assert reports[:-1] == sorted(reports[:-1])
    assert reports[-1] == -1
    assert [line[0] for line in diary.told][-3:] == ["progressed", "succeeded", "finished"]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        MemoryError(),
        SegnetError("The image is too small."),
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
        StopIteration("an iterator of its own"),
        ValueError("generator already executing"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_is_told_and_leaves_the_runner_alive(runner, diary, error) -> None:
    runner.start(lambda: raising(error))
    assert wait(lambda: not runner.busy)
    assert diary.words == ["started", "failed", "finished"]
    (told,) = [line[1] for line in diary.told if line[0] == "failed"]
    # Python turns a StopIteration inside a generator into a RuntimeError.
    assert told is error or told.__cause__ is error
    runner.start(lambda: counting(1))
    assert wait(lambda: not runner.busy)
    assert diary.words[-2:] == ["succeeded", "finished"]


def test_an_error_while_the_job_is_made_is_told(runner, diary) -> None:
    def make():
        raise ImportError("No module named 'torch'")

    runner.start(make)
    assert wait(lambda: not runner.busy)
    assert diary.words == ["started", "failed", "finished"]


def test_a_system_without_threads_is_an_error_as_any(runner, diary, monkeypatch) -> None:
    def refuse(self) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    runner.start(lambda: counting(1))
    assert wait(lambda: not runner.busy)
    assert diary.words == ["started", "failed", "finished"]


def test_a_told_error_keeps_no_arrays_alive(runner, diary) -> None:
    class Big:
        pass

    kept: list[weakref.ref] = []

    @job
    def work():
        big = Big()
        kept.append(weakref.ref(big))
        yield Progress(what="step")
        try:
            raise OutOfMemoryError("CUDA out of memory")
        except OutOfMemoryError as error:
            raise SegnetError("Not enough memory.") from error

    runner.start(work)
    assert wait(lambda: not runner.busy)
    (told,) = [line[1] for line in diary.told if line[0] == "failed"]
    assert isinstance(told.__cause__, OutOfMemoryError)
    assert told.__traceback__ is not None  # where it happened can still be read
    gc.collect()
    assert kept[0]() is None


def test_warnings_inside_neither_freeze_nor_end_the_job(runner, diary) -> None:
    seen = []

    @job
    def work():
        for i in range(50):
            warnings.warn(f"deprecated {i}", FutureWarning, stacklevel=1)
            yield Progress(what="step")
        return "done"

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda *given, **_: seen.append(given)
        runner.start(work)
        assert wait(lambda: not runner.busy)
    assert diary.words == ["started", "succeeded", "finished"]
    assert len(seen) == 50


@pytest.mark.parametrize("work", [lambda: polite(20), lambda: counting(10_000, 0.01)])
def test_cancel_stops_a_job_within_a_step_or_between_two(runner, diary, work) -> None:
    runner.start(work)
    idle(0.1)
    begun = time.monotonic()
    runner.cancel()
    assert wait(lambda: not runner.busy)
    assert time.monotonic() - begun < 0.5
    assert diary.words == ["started", "cancelled", "finished"]
    assert wait(lambda: not jobs_alive(), 1)


def test_cancel_while_the_job_is_still_made(runner, diary) -> None:
    def make():
        while True:
            check_cancelled()
            time.sleep(0.005)

    runner.start(make)
    idle(0.1)
    runner.cancel()
    assert wait(lambda: not runner.busy, 1)
    assert diary.words == ["started", "cancelled", "finished"]


def test_cancel_at_once_after_start(runner, diary) -> None:
    runner.start(lambda: counting(1000, 0.01))
    runner.cancel()
    assert wait(lambda: not runner.busy, 1)
    assert diary.words == ["started", "cancelled", "finished"]


def test_a_cancelled_job_is_closed_in_its_own_thread(runner, diary) -> None:
    closed = []

    @job
    def work():
        try:
            while True:
                time.sleep(0.01)
                yield Progress(what="step")
        finally:
            closed.append(threading.current_thread().name)

    runner.start(work)
    idle(0.05)
    runner.cancel()
    assert wait(lambda: not runner.busy, 1)
    assert closed == ["napari-segnet job"]


def test_a_step_that_cannot_be_stopped_delays_neither_cancel_nor_doubles_work(
    runner, diary
) -> None:
    ended = threading.Event()
    runner.start(lambda: stubborn(1.6, ended))
    idle(0.05)
    begun = time.monotonic()
    runner.cancel()
    assert wait(lambda: not runner.busy)
    assert time.monotonic() - begun < 1
    assert diary.words == ["started", "cancelled", "finished"]
    overlap = []

    @job
    def next_one():
        overlap.append(not ended.is_set())
        yield Progress(what="step")
        return "next"

    runner.start(next_one)  # begins when the other has ended: they would share a GPU
    assert wait(lambda: not runner.busy)
    assert overlap == [False]
    assert diary.words[3:] == ["started", "succeeded", "finished"]
    assert ("succeeded", "next") in diary.told


def test_a_result_that_comes_after_cancel_is_not_told(runner, diary) -> None:
    runner.start(lambda: stubborn(0.3))
    idle(0.05)
    runner.cancel()
    assert wait(lambda: not runner.busy)
    idle(0.4)
    assert diary.words == ["started", "cancelled", "finished"]


def test_no_progress_after_cancel(runner, diary) -> None:
    runner.start(lambda: stubborn(0.3))
    assert wait(lambda: any(line[0] == "progressed" for line in diary.told), 1)
    runner.cancel()
    told = len(diary.told)
    assert wait(lambda: not runner.busy)
    assert [line[0] for line in diary.told[told:]] == ["cancelled", "finished"]


def test_a_job_that_cancels_itself_is_cancelled(runner, diary) -> None:
    runner.start(lambda: raising(Cancelled("Stopped.")))
    assert wait(lambda: not runner.busy)
    assert diary.words == ["started", "cancelled", "finished"]


def test_cancel_without_a_job_does_nothing(runner, diary) -> None:
    runner.cancel()
    idle(0.05)
    assert diary.told == []


def test_the_latest_start_wins(runner, diary) -> None:
    runner.start(lambda: counting(1000, 0.01, "first"))
    idle(0.1)
    runner.start(lambda: counting(1000, 0.01, "second"))
    runner.start(lambda: counting(2, 0.01, "third"))
    told = len(diary.told)
    assert wait(lambda: not runner.busy)
    assert diary.words == ["started", "started", "started", "succeeded", "finished"]
    assert ("succeeded", "third") in diary.told
    totals = {line[1].total for line in diary.told[told:] if line[0] == "progressed"}
    assert totals <= {2}


def test_an_outcome_that_nobody_has_heard_yet_is_dropped_by_the_next_start(runner, diary) -> None:
    runner.start(lambda: raising(RuntimeError("old")))
    assert wait_for_thread()
    runner.start(lambda: counting(1, 0, "new"))
    assert wait(lambda: not runner.busy)
    assert diary.words == ["started", "started", "succeeded", "finished"]


def wait_for_thread() -> bool:
    """Wait for the job without the GUI's timers."""
    for thread in jobs_alive():
        thread.join(5)
    return not jobs_alive()


def test_cancel_also_drops_what_waits_for_its_turn(runner, diary) -> None:
    runner.start(lambda: stubborn(0.5))
    idle(0.05)
    made = []
    runner.start(lambda: made.append(1) or counting(1))
    runner.cancel()
    assert wait(lambda: not runner.busy, 1)
    idle(0.7)
    assert made == []
    assert diary.words == ["started", "started", "cancelled", "finished"]


def test_a_slot_may_start_the_next_job(runner, diary) -> None:
    left = [2, 1]
    runner.succeeded.connect(lambda _: left and runner.start(lambda: counting(left.pop())))
    runner.start(lambda: counting(1))
    assert wait(lambda: diary.words.count("finished") == 3)
    assert diary.words.count("succeeded") == 3
    assert not runner.busy


def test_two_runners_work_at_once(qtbot) -> None:
    first, second = JobRunner(), JobRunner()
    diaries = Diary(first), Diary(second)
    meet = threading.Barrier(2, timeout=5)

    @job
    def work(name: str):
        meet.wait()
        yield Progress(what="step")
        return name

    first.start(lambda: work("a"))
    second.start(lambda: work("b"))
    assert wait(lambda: not first.busy and not second.busy)
    assert ("succeeded", "a") in diaries[0].told
    assert ("succeeded", "b") in diaries[1].told
    first.close()
    second.close()


def test_200_quick_starts_leave_no_thread_and_one_result(runner, diary) -> None:
    before = threading.active_count()
    most = 0
    for i in range(200):
        runner.start(lambda i=i: counting(5, 0.001, i))
        if i % 7 == 0:
            idle(0.003)
        most = max(most, len(jobs_alive()))
    assert wait(lambda: not runner.busy)
    assert ("succeeded", 199) in diary.told
    assert most <= 2  # one at work, one about to be gone
    assert wait(lambda: threading.active_count() <= before, 2)
    assert diary.words.count("started") == 200


def test_close_during_work_stops_it_and_is_silent(qtbot) -> None:
    runner = JobRunner()
    diary = Diary(runner)
    runner.start(lambda: polite(30))
    idle(0.1)
    begun = time.monotonic()
    runner.close()
    assert time.monotonic() - begun < 1
    assert not jobs_alive()
    told = len(diary.told)
    idle(0.1)
    assert len(diary.told) == told
    assert not runner.busy
    runner.start(lambda: counting(1))  # a timer of the window that comes late
    assert not runner.busy
    runner.close()


def test_close_waits_for_no_longer_than_promised(qtbot, monkeypatch) -> None:
    monkeypatch.setattr(_job, "CLOSE_S", 0.3)
    runner = JobRunner()
    diary = Diary(runner)
    runner.start(lambda: stubborn(1.2))
    idle(0.05)
    begun = time.monotonic()
    runner.close()
    assert 0.25 < time.monotonic() - begun < 0.9
    assert wait(lambda: not jobs_alive(), 3)
    idle(0.1)
    assert diary.words == ["started"]


def test_a_slot_may_close_the_window(runner, diary) -> None:
    runner.succeeded.connect(lambda _: runner.close())
    runner.start(lambda: counting(1))
    assert wait(lambda: not runner.busy)
    idle(0.05)
    assert diary.words == ["started", "succeeded"]


def test_deleting_the_window_without_close_stops_the_job(qtbot) -> None:
    window = QWidget()
    runner = JobRunner(window)
    heard: list[object] = []
    runner.succeeded.connect(heard.append)
    runner.start(lambda: counting(10_000, 0.005))
    idle(0.05)
    window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert wait(lambda: not jobs_alive(), 2)
    idle(0.1)
    assert heard == []


def test_a_receiver_that_is_gone_hears_nothing(runner, diary) -> None:
    class Receiver(QWidget):
        def hear(self, _: object) -> None:
            raise AssertionError("told to a deleted widget")

    receiver = Receiver()
    runner.succeeded.connect(receiver.hear)
    runner.start(lambda: counting(3, 0.03))
    receiver.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert wait(lambda: not runner.busy)
    assert diary.words == ["started", "succeeded", "finished"]


def test_the_timer_rests_when_nothing_is_at_work(runner, diary) -> None:
    runner.start(lambda: counting(1))
    assert wait(lambda: not runner.busy)
    assert wait(lambda: not runner._timer.isActive(), 1)


END = """
import sys, time
from qtpy.QtCore import QCoreApplication
from napari_segnet.progress import Progress, check_cancelled, job
from napari_segnet.widgets.qt.job_runner import JobRunner
app = QCoreApplication([])

@job
def work():
    try:
        while True:
            check_cancelled()
            time.sleep(0.01)
            yield Progress(what="step")
    finally:
        print("closed", flush=True)

runner = JobRunner()
runner.start(work)
end = time.monotonic() + 0.2
while time.monotonic() < end:
    app.processEvents()
{last}
"""


@pytest.mark.parametrize("last", ["", "del runner, app", "sys.exit(0)"])
@pytest.mark.subprocess
def test_the_end_of_the_program_stops_the_job_first(last) -> None:
    """A thread that is inside torch when the interpreter goes crashes on its way out."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", END.format(last=last)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "closed\n"
    assert done.stderr == ""
    assert time.monotonic() - begun < 20

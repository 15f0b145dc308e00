"""One Job at a time off the GUI thread; the latest wins.

The worker thread never touches Qt: it leaves its reports in a mailbox, and a timer of the
GUI thread looks there. So no report can reach a widget that is gone, a job that reports a
thousand times a second costs the window nothing, and whoever is connected is called in the
GUI thread.
"""

from __future__ import annotations

import atexit
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_segnet.errors import Cancelled
from napari_segnet.progress import Job, Progress, job
from napari_segnet.widgets.qt.deletion import when_deleted

__all__ = ["JobRunner"]

LOOK_MS = 15
"""How often the mailbox is looked at: a result waits 8 ms on average."""
PROGRESS_S = 0.05
"""Least time between two reports of progress; an eye does not read more than 20 a second."""
GRACE_S = 0.7
"""After so long a cancelled job counts as stopped, even if its last step is still ending."""
CLOSE_S = 5.0
"""The longest that closing waits for jobs to stop."""


class JobRunner(QObject):
    """One job at a time, off the GUI thread; the latest wins.

    Call :meth:`close` when the window ends. Where that is forgotten, the deletion of the
    runner (or of its parent) and the end of the program stop its jobs too.

    Attributes
    ----------
    started : Signal
        At every :meth:`start`.
    progressed : Signal of Progress
        At most 20 times a second, always the newest.
    succeeded : Signal of object
        What the job returned.
    failed : Signal of BaseException
        What it raised, of whatever kind. The local variables of its traceback are gone:
        they would keep images and GPU memory alive.
    cancelled : Signal
        It was stopped on request; within a second.
    finished : Signal
        After each of the three above. The runner is not busy then, unless one of the slots
        has started the next job.
    """

    started = Signal()
    progressed = Signal(object)
    succeeded = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    finished = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._works = _Works()
        self._reported_s = 0.0
        self._closed = False
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)
        when_deleted(self, self._works.stop)  # no method of self: that would be gone by then

    @property
    def busy(self) -> bool:
        """True from :meth:`start` until one of the three outcomes is told."""
        return self._works.now is not None

    def start(self, make: Callable[[], Job[Any]]) -> None:
        """Do a job; one that is at work is cancelled, and nothing more is heard of it.

        Parameters
        ----------
        make : callable
            Called in the worker thread, so it may import torch; it must not touch widgets
            or layers. It returns the job.

        Notes
        -----
        The new job begins when the old one has ended, so two never share the memory of a
        GPU. After :meth:`close` nothing is started.
        """
        if self._closed:
            return
        self._works.replace(_Work(make))
        self._timer.start()
        self.started.emit()

    def cancel(self) -> None:
        """Stop; ``cancelled`` and ``finished`` follow within a second."""
        if self._works.now is not None:
            self._works.now.cancel()

    def end_with(self, widget: QObject) -> None:
        """Stop, and wait for the end of the job, when Qt deletes a widget."""
        when_deleted(widget, self._works.end)

    def close(self) -> None:
        """Stop, wait for the end of the job, and fall silent for good.

        Waits for at most 5 seconds; a step that takes longer ends by itself later, unheard.
        """
        self._closed = True
        self._timer.stop()
        self._works.end()

    def _look(self) -> None:
        """See what has come out of the worker thread."""
        self._works.begin_next()
        work = self._works.now
        if work is None:
            if self._works.idle:
                self._timer.stop()
            return
        over = work.over  # asked before the progress is taken: so the last one is not lost
        self._tell_progress(work, at_once=over)
        if over and self._works.now is work:
            self._tell_outcome(work)

    def _tell_progress(self, work: _Work, *, at_once: bool) -> None:
        now = time.monotonic()
        if work.wanted and (at_once or now - self._reported_s >= PROGRESS_S):
            progress, work.progress = work.progress, None
            if progress is not None:
                self._reported_s = now
                self.progressed.emit(progress)

    def _tell_outcome(self, work: _Work) -> None:
        self._works.dismiss()
        if not work.wanted or isinstance(work.error, Cancelled):
            self.cancelled.emit()
        elif work.error is not None:
            self.failed.emit(work.error)
        else:
            self.succeeded.emit(work.result)
        if not self._closed:  # a slot may have closed the window
            self.finished.emit()


class _Work:
    """One job in a thread of its own, and its mailbox."""

    def __init__(self, make: Callable[[], Job[Any]]) -> None:
        self.progress: Progress | None = None  # the newest that nobody has taken
        self.result: Any = None
        self.error: BaseException | None = None
        self._job = _whole(make)
        self._cancelled_at: float | None = None
        self._ended = threading.Event()
        # A daemon: a step that cannot be stopped must not keep the program from ending.
        self._thread = threading.Thread(target=self._do, name="napari-segnet job", daemon=True)
        self._begun = False

    @property
    def wanted(self) -> bool:
        return self._cancelled_at is None

    @property
    def at_work(self) -> bool:
        return self._begun and not self._ended.is_set()

    @property
    def over(self) -> bool:
        """True if it has ended, or was cancelled and is given up."""
        if self._ended.is_set():
            return True
        if self._cancelled_at is None:
            return False
        return not self._begun or time.monotonic() - self._cancelled_at > GRACE_S

    def begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        _at_work.add(self)
        try:
            self._thread.start()
        except RuntimeError as error:  # the system has no thread left
            self._end(error)

    def cancel(self) -> None:
        if self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
        self._job.cancel()

    def join(self, seconds: float) -> None:
        if self.at_work:
            self._thread.join(seconds)

    def _do(self) -> None:
        error: BaseException | None = None
        try:
            while True:
                self.progress = next(self._job)
        except StopIteration as stop:
            self.result = stop.value
        except BaseException as raised:  # whatever it is, the window has to know
            _forget_variables(raised)
            error = raised
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        self.error = error
        _at_work.discard(self)
        self._ended.set()


class _Works:
    """The works of a runner: the one whose outcome is awaited, and those that still stop.

    Not a part of Qt, so it can stop them when the runner itself is gone.
    """

    def __init__(self) -> None:
        self.now: _Work | None = None
        self._old: list[_Work] = []

    @property
    def idle(self) -> bool:
        return self.now is None and not self._old

    def replace(self, work: _Work) -> None:
        """Await the outcome of this work instead; it begins when the others have ended."""
        if self.now is not None:
            self.now.cancel()
            self.dismiss()
        self.now = work
        self.begin_next()

    def dismiss(self) -> None:
        """Await no outcome; remember the work as long as its thread is busy."""
        if self.now is not None and self.now.at_work:
            self._old.append(self.now)
        self.now = None

    def begin_next(self) -> None:
        """Begin the awaited work if nothing else is at work."""
        self._old = [work for work in self._old if work.at_work]
        if self.now is not None and self.now.wanted and not self._old:
            self.now.begin()

    def stop(self) -> list[_Work]:
        """Cancel everything; return what is still at work."""
        if self.now is not None:
            self.now.cancel()
            self.dismiss()
        return list(self._old)

    def end(self) -> None:
        """Cancel everything and wait for it."""
        _stop_and_wait(self.stop())


_at_work: set[_Work] = set()  # of all runners, for the end of the program


@job
def _whole(make: Callable[[], Job[Any]]) -> Generator[Progress, None, Any]:
    """Make a job and do it: one job, so that making it can be cancelled too."""
    return (yield from make())


def _forget_variables(error: BaseException) -> None:
    """Clear the frames of an error and of what led to it; where they stood stays readable."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__


def _stop_and_wait(works: Iterable[_Work]) -> None:
    until = time.monotonic() + CLOSE_S
    for work in works:
        work.join(max(0.0, until - time.monotonic()))


@atexit.register
def _stop_all() -> None:
    """Stop before the interpreter goes: a thread inside torch would crash on its way out."""
    works = list(_at_work)
    for work in works:
        work.cancel()
    _stop_and_wait(works)

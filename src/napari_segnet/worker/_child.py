"""The process of a worker: does what it is told, one job after the other."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from napari_segnet.errors import Cancelled, SegnetError
from napari_segnet.progress import Job, Progress
from napari_segnet.worker._wire import read_message, write_message

__all__ = ["main"]

QUIET_S = 0.02
"""Least time between two reports of progress that say nothing but a number."""
FIRST_TO_GO = "500"
"""Where memory is short, Linux ends this process before others of the user:
https://man7.org/linux/man-pages/man5/proc_pid_oom_score_adj.5.html"""


class _Desk:
    """What is to be done, and the job at work."""

    def __init__(self) -> None:
        self.todo: queue.SimpleQueue[tuple[Any, tuple[Any, ...]] | SegnetError] = (
            queue.SimpleQueue()
        )
        self.job: Job[Any] | None = None

    def listen(self, stream: IO[bytes]) -> None:
        """Take what comes; end where nobody speaks any more, whatever is at work."""
        while True:
            try:
                message = read_message(stream)
            except Exception as error:  # what cannot be unpickled here: its sender has to know
                self.todo.put(_unreadable(error))
                continue
            if message is None:
                os._exit(0)
            kind, work, args = message
            if kind == "do":
                self.todo.put((work, args))
            elif self.job is not None:
                self.job.cancel()


def main() -> None:
    """Do jobs until the end of the standard input."""
    inward, outward = sys.stdin.buffer, _own_output()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
    desk = _Desk()
    threading.Thread(target=desk.listen, args=(inward,), daemon=True).start()
    while True:
        asked = desk.todo.get()
        if isinstance(asked, SegnetError):
            write_message(outward, ("failed", asked))
            continue
        work, args = asked
        desk.job = Job(work(*args))
        del asked, work, args
        try:
            answer: tuple[str, Any] = ("done", _done(desk.job, outward))
        except BaseException as error:
            answer = ("failed", _sendable(error))
        desk.job = None
        write_message(outward, answer)


def _done(job: Job[Any], outward: IO[bytes]) -> Any:
    told = 0.0
    while True:
        try:
            report: Progress = next(job)
        except StopIteration as stop:
            return stop.value
        now = time.monotonic()
        if report.text or report.done in (0, 1) or now - told >= QUIET_S:
            told = now
            write_message(outward, ("progress", report))


def _own_output() -> IO[bytes]:
    """Return the standard output; what libraries print goes to the standard error instead."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(kept, "wb")


def _sendable(error: BaseException) -> BaseException:
    """Return an error that another process can read."""
    if isinstance(error, Cancelled | SegnetError):
        return error
    plain = error.with_traceback(None)
    plain.__cause__ = plain.__context__ = None
    try:
        if isinstance(pickle.loads(pickle.dumps(plain)), type(error)):
            return plain
    except Exception:  # of a library whose errors do not pickle
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")


def _unreadable(error: Exception) -> SegnetError:
    return SegnetError(
        f"The process that runs the network cannot read what it is to do ({error}). Install "
        "napari-segnet and what it needs once for this Python, and start again."
    )

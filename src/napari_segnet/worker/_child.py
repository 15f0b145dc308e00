"""The process of a worker: does what it is told, one job after the other."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from napari_segnet.errors import Cancelled, SegnetError
from napari_segnet.progress import Job, Progress
from napari_segnet.worker._wire import Wire

__all__ = ["main"]

QUIET_S = 0.02
"""Least time between two reports of progress that say nothing but a number."""
FIRST_TO_GO = "500"
"""Where memory is short, Linux ends this process before others of the user:
https://man7.org/linux/man-pages/man5/proc_pid_oom_score_adj.5.html"""


class _Desk:
    """What is to be done, and the job that came last."""

    def __init__(self) -> None:
        self.todo: queue.SimpleQueue[Job[Any] | Exception] = queue.SimpleQueue()
        self._last: weakref.ref[Job[Any]] | None = None

    def listen(self, wire: Wire) -> None:
        """Take what comes; end where nobody speaks any more, whatever is at work."""
        while True:
            try:
                message = wire.read()
                if message is None:
                    os._exit(0)
                self._take(*message)
            except OSError:
                os._exit(0)
            except Exception as error:  # what cannot be unpickled here: its sender has to know
                self.todo.put(_unreadable(error))

    def _take(self, kind: str, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if kind == "do":
            job = Job(work(*args))
            self._last = weakref.ref(job)
            self.todo.put(job)
        elif self._last is not None and (last := self._last()) is not None:
            last.cancel()


def main() -> None:
    """Do jobs until the end of the standard input."""
    wire = Wire(sys.stdin.buffer, _own_output())
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
    desk = _Desk()
    threading.Thread(target=desk.listen, args=(wire,), daemon=True).start()
    while True:
        _serve(desk.todo.get(), wire)


def _serve(asked: Job[Any] | Exception, wire: Wire) -> None:
    """Do one job and send what comes of it."""
    try:
        if isinstance(asked, Exception):
            raise asked
        wire.write(("done", _done(asked, wire)))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            os._exit(0)  # nobody reads it
        wire.write(("failed", _sendable(error)))
    except BaseException as error:
        wire.write(("failed", _sendable(error)))


def _done(job: Job[Any], wire: Wire) -> Any:
    reported_s = 0.0
    while True:
        try:
            report: Progress = next(job)
        except StopIteration as stop:
            return stop.value
        now = time.monotonic()
        if report.text or report.done in (0, 1) or now - reported_s >= QUIET_S:
            reported_s = now
            wire.write(("progress", report))


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

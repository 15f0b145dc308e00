"""Worker: the side of the process that waits."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import IO, Any, TypeVar

from napari_segnet.errors import Remedy, WorkerLostError
from napari_segnet.progress import Progress, check_cancelled
from napari_segnet.worker._wire import ENDED, Message, Wire

__all__ = ["Worker"]

T = TypeVar("T")

LOOK_S = 0.05
"""How often one who waits looks if the job was cancelled."""
STOP_S = 2.0
"""How long a cancelled job may take to stop before its process is ended."""
BYE_S = 2.0
"""How long a process may take to end by itself."""
CODE = "from napari_segnet.worker._child import main; main()"
STDERR = "NAPARI_SEGNET_TRACEBACK"
"""Where this variable is set, what the process prints is shown."""


class Worker:
    """A process that does one job at a time; it starts with the first one.

    Parameters
    ----------
    environ : mapping of str to str, optional
        Variables that differ from those of this process, such as ``OMP_NUM_THREADS``.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = dict(environ or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: Wire | None = None
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Return the number of its process; None while there is none."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def do(
        self, work: Callable[..., Generator[Progress, None, T]], *args: Any
    ) -> Generator[Progress, None, T]:
        """Let it do a job; the reports and the result are those of the job.

        Parameters
        ----------
        work : callable
            Makes the job there: a function of a module, not of a program's own file.
        *args : Any
            Its arguments.

        Raises
        ------
        WorkerLostError
            If its process ends before the job does.
        """
        with self._turn():
            self._begin()
            self._send(("do", work, args))
            over = False
            try:
                while True:
                    message = self._next()
                    if message is None:
                        check_cancelled()
                        continue
                    kind, value = message
                    if kind == "progress":
                        yield value
                        check_cancelled()
                        continue
                    over = True
                    if kind == "done":
                        return value  # type: ignore[no-any-return]
                    raise value if kind == "failed" else self._lost(value)
            finally:
                if not over:
                    self._abandon()

    def call(self, function: Callable[..., T], *args: Any, **more: Any) -> T:
        """Let it call a function, and wait for what that returns; see :meth:`do`."""
        steps = self.do(_called, function, args, more)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                result: T = stop.value
                return result

    def stop(self) -> None:
        """End its process; the next job starts another one."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            _pipe(process.stdin).close()  # it ends where nobody speaks to it any more
        try:
            process.wait(BYE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until it is idle, unless the job is cancelled meanwhile."""
        while not self._lock.acquire(timeout=LOOK_S):
            check_cancelled()
        try:
            yield
        finally:
            self._lock.release()

    def _begin(self) -> None:
        if self.pid is not None:
            return
        self.stop()
        path = os.pathsep.join(entry for entry in sys.path if entry)
        shown = None if os.environ.get(STDERR) else subprocess.DEVNULL
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=shown,
            env={**os.environ, "PYTHONPATH": path, **self._environ},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            start_new_session=True,  # Ctrl-C in the terminal is meant for who waits
        )
        self._process, self._inbox = process, queue.SimpleQueue()
        self._wire = Wire(_pipe(process.stdout), _pipe(process.stdin))
        reader = threading.Thread(
            target=_listen,
            args=(self._wire, _pipe(process.stdout), self._inbox),
            name="napari-segnet worker's answers",
            daemon=True,
        )
        reader.start()

    def _send(self, message: Any) -> None:
        assert self._wire is not None
        try:
            self._wire.write(message)
        except OSError as error:  # it has ended: a broken pipe
            raise self._lost() from error

    def _next(self) -> Message | None:
        try:
            return self._inbox.get(timeout=LOOK_S)
        except queue.Empty:
            return None

    def _abandon(self) -> None:
        """Stop a job that nobody waits for; if it does not, its process ends."""
        process, until = self._process, time.monotonic() + STOP_S
        if process is None or self._wire is None:
            return
        try:
            self._wire.write(("cancel", None, None))
            while (left := until - time.monotonic()) > 0:
                with contextlib.suppress(queue.Empty):
                    if self._inbox.get(timeout=left)[0] != "progress":
                        return
        except OSError:
            pass  # it has ended already
        process.kill()
        process.wait()

    def _lost(self, why: str | None = None) -> WorkerLostError:
        """Return what to say of the end; ``why`` nobody reads a process that still is there."""
        process = self._process
        code = None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(0 if why else BYE_S)
            if code is None:  # the next job needs one whose answers are read
                process.kill()
                process.wait()
        return unread(why) if why else lost(code)


def unread(why: str) -> WorkerLostError:
    """Return what to say where an answer came that cannot be taken."""
    return WorkerLostError(
        f"What the process that runs the network answered could not be read here ({why}). Nothing "
        "of yours is lost. Close other programs, since memory may be short; then run it again."
    )


def lost(code: int | None) -> WorkerLostError:
    """Return what to say of a process that ended with an exit code."""
    tile, cpu = Remedy("tile_px", "256"), Remedy("device", "cpu")
    killed = -getattr(signal, "SIGKILL", 9)
    if code == killed:
        return WorkerLostError(
            "The system ended the process that runs the network, most likely since memory ran out. "
            "Nothing of yours is lost. Close other programs, or let the network see less at once "
            f"with {tile}; then run it again.",
            remedies=(tile,),
        )
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            how = signal.Signals(-code).name
    return WorkerLostError(
        f"The process that runs the network crashed ({how}). Nothing of yours is lost. Run it "
        f"again; if it crashes again, run it on the CPU ({cpu}).",
        remedies=(cpu,),
    )


def _called(
    function: Callable[..., T], args: tuple[Any, ...], more: Mapping[str, Any]
) -> Generator[Progress, None, T]:
    """Make a job of a function, there."""
    yield from ()
    return function(*args, **more)


def _listen(wire: Wire, stream: IO[bytes], inbox: queue.SimpleQueue[Message]) -> None:
    """Put what comes into the mailbox, up to the end."""
    why = None
    try:
        with stream:
            while (message := wire.read()) is not None:
                inbox.put(message)
    except (OSError, ValueError):
        pass  # it has ended within a message
    except Exception as error:  # whatever a message is made of; who waits must not wait for ever
        why = f"{type(error).__name__}: {error}"
    wire.close()
    inbox.put((ENDED, why))


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "a pipe was asked for"
    return stream

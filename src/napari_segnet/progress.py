"""Long work is a generator: ``yield`` is progress, ``return`` is the result.

A function decorated with :func:`job` returns a :class:`Job`. Iterate it to make
it work, call :meth:`Job.cancel` from any thread to stop it. Deep inside, where a
single step may last seconds, :func:`check_cancelled` looks at the same flag.
"""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from napari_segnet.errors import Cancelled, SegnetError

__all__ = [
    "SHARE_DONE",
    "Job",
    "Pace",
    "Progress",
    "changed_reports",
    "check_cancelled",
    "job",
    "run",
]

SHARE_DONE = "share done"
"""Name of a value of a progress: how much of the work is done, 0 to 1, where its units differ."""
SETTLED_S = 0.5
"""Before that, a guess of the time left says nothing."""

FIRST_PART = 1.3
"""So many times as long as others is the first part expected to take: 1.5 to 1.7 were measured for
tiles of 8000² by OpenVINO; where it takes no longer than others, the guess is 23 % too low."""

T = TypeVar("T")
P = ParamSpec("P")

# The flags of all jobs that are at work in this thread, outermost first.
_flags: ContextVar[tuple[threading.Event, ...]] = ContextVar("_flags", default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One report of a job.

    Attributes
    ----------
    what : str
        What is being done, for the user: ``"tile"``, ``"labels"``.
    done, total : int
        Finished and expected units; ``total == 0`` where it is unknown.
    values : tuple of (str, float)
        Figures worth showing, such as a training loss.
    text : str
        A sentence for the user, such as what was left out and why; mostly empty.
    shown : Any
        Something worth seeing; which type it has, the job says.
    """

    what: str
    done: int = 0
    total: int = 0
    values: tuple[tuple[str, float], ...] = ()
    text: str = ""
    shown: Any = None

    @property
    def share(self) -> float:
        """How much of the work is done, 0 to 1."""
        said = dict(self.values).get(SHARE_DONE)
        return said if said is not None else self.done / max(self.total, 1)


class Pace:
    """How long a stage of a job will still take, by the work that it has done.

    The first part is left out as soon as there is a second one: memory is taken and code is loaded
    while it is done, which took up to half of its time.

    Parameters
    ----------
    clock : callable
        Seconds that count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._stage = clock, ""
        self._begun = self._since = (0.0, 0.0)

    def left_s(self, progress: Progress) -> float | None:
        """Return the seconds left after a report; None while that is unknown."""
        now = (self._clock(), progress.share)
        if progress.what != self._stage or progress.share <= self._begun[1]:
            self._stage, self._begun, self._since = progress.what, now, now
            return None
        if self._since == self._begun:
            self._since = now  # the end of the first part
        if now[0] - self._begun[0] < SETTLED_S:
            return None
        only_first = now[1] <= self._since[1]
        since, times = (self._begun, FIRST_PART) if only_first else (self._since, 1.0)
        return (now[0] - since[0]) / (now[1] - since[1]) * (1 - now[1]) / times


class Job(Generator[Progress, None, T]):
    """A generator with a cancel flag that any thread may set."""

    def __init__(self, steps: Generator[Progress, None, T]) -> None:
        self._steps = steps
        self._flag = threading.Event()

    def __repr__(self) -> str:
        name = getattr(self._steps, "__name__", "steps")
        state = "cancelled" if self._flag.is_set() else inspect.getgeneratorstate(self._steps)
        return f"Job({name}: {state.removeprefix('GEN_').lower()})"

    def cancel(self) -> None:
        """Ask the job to stop; it raises :class:`Cancelled` where it is at work."""
        self._flag.set()

    def send(self, value: None, /) -> Progress:
        """Work up to the next report."""
        token = _flags.set((*_flags.get(), self._flag))
        try:
            if self._flag.is_set():
                return self._steps.throw(_cancelled())
            return self._steps.send(value)
        finally:
            _flags.reset(token)

    def throw(self, *error: Any) -> Progress:
        """Raise an error where the job is at work; ``close`` uses it."""
        token = _flags.set((*_flags.get(), self._flag))
        try:
            return self._steps.throw(*error)
        finally:
            _flags.reset(token)


def job(steps: Callable[P, Generator[Progress, None, T]]) -> Callable[P, Job[T]]:
    """Make a generator function return a :class:`Job`."""

    @functools.wraps(steps)
    def start(*args: P.args, **kwargs: P.kwargs) -> Job[T]:
        return Job(steps(*args, **kwargs))

    return start


def check_cancelled() -> None:
    """Raise :class:`Cancelled` if a job at work in this thread was cancelled."""
    if any(flag.is_set() for flag in _flags.get()):
        raise _cancelled()


def run(steps: Generator[Progress, None, T]) -> T:
    """Do a job to its end and return its result.

    Raises
    ------
    SegnetError
        If it is no job.
    """
    if not isinstance(steps, Generator):
        raise SegnetError(
            f"run() does a job to its end, such as that of segment() or train(), not "
            f"{type(steps).__name__}. Give it a job."
        )
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result


def changed_reports(
    steps: Generator[Progress, None, T], change: Callable[[Progress], Progress]
) -> Generator[Progress, None, T]:
    """Yield each report of a job as ``change`` returns it, and return the job's result."""
    while True:
        try:
            report = next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
        yield change(report)


def _cancelled() -> Cancelled:
    return Cancelled("Stopped on request; nothing was changed.")

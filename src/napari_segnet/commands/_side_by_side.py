"""``--jobs``, ``--scheduler``: several images at once, in processes or on other machines."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.commands._image_run import Done, segmented
from napari_segnet.commands._in_turn import Todo
from napari_segnet.commands._plan import Plan
from napari_segnet.commands._show import Show
from napari_segnet.errors import Cancelled, SettingsError
from napari_segnet.progress import Job, job
from napari_segnet.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_segnet.commands._bar import Bar
    from napari_segnet.progress import Progress

__all__ = ["on_cluster", "shares", "side_by_side"]

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""How many threads a process computes on, where its user has not said it."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
"""https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-environment-variables"""


def side_by_side(plan: Plan, todo: list[Todo], show: Show, jobs: int) -> None:
    """Segment images in several processes; a crash of one costs one image.

    Parameters
    ----------
    plan : Plan
        The run.
    todo : list of Todo
        The images.
    show : Show
        Told of each, as they are done.
    jobs : int
        How many at once.

    Raises
    ------
    SettingsError
        If there is no memory for so many.
    """
    plan = _one_engine(plan)
    crew = _Crew(plan, todo, show)
    crew.run([partial(_in_worker, share) for share in shares(plan.predict.device, jobs)])


def on_cluster(plan: Plan, todo: list[Todo], show: Show, at_once: int) -> None:
    """Segment images whose tiles go to other machines: several at once keep these busy.

    Parameters
    ----------
    plan, todo, show
        As in :func:`side_by_side`.
    at_once : int
        How many images.
    """
    _Crew(plan, todo, show).run([_in_thread] * at_once)


def shares(device: str, jobs: int) -> list[dict[str, str]]:
    """Return the variables that give each of several processes its part of the machine.

    Cores and memory are divided; each has one graphics processor, and several share one where there
    are fewer.

    Raises
    ------
    SettingsError
        If the parts of memory are too small.
    """
    import psutil

    from napari_segnet.room import LEAST_LIMIT, LIMIT, room_bytes

    room = room_bytes(int(psutil.virtual_memory().available)) // jobs
    if room < LEAST_LIMIT:
        most = max(1, room * jobs // (4 * LEAST_LIMIT))
        raise SettingsError(
            f"--jobs {jobs} leaves each process {room / 1e6:.0f} MB of memory, which is too "
            f"little. Choose fewer, such as --jobs {most}."
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    each = str(max(1, (cores or 1) // jobs))
    plain = {LIMIT: f"{room // 2**20}MB"}
    plain |= {name: each for name in THREADS if name not in os.environ}
    chips = _chips() if device in ("auto", "cuda") else []
    return [
        {**plain, VISIBLE: chips[number % len(chips)]} if len(chips) > 1 else plain
        for number in range(jobs)
    ]


def _chips() -> list[str]:
    """Return the graphics processors that may be used, by the names that CUDA has for them."""
    from napari_segnet.engines import ENGINES

    count = sum(name.startswith("cuda") for name in ENGINES[0].devices())
    visible = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return visible if len(visible) == count else [str(number) for number in range(count)]


def _one_engine(plan: Plan) -> Plan:
    """Decide who computes once for all: processes for themselves may come to different ends."""
    from napari_segnet.engines import named_engine

    settings = plan.predict
    name = named_engine(plan.checkpoint, settings.engine, settings.device, settings.threads)
    return replace(plan, predict=replace(settings, engine=name))


Do = Callable[[Plan, str, Path], Job[Done]]
Way = Callable[[], AbstractContextManager[Do]]
"""Where images are done: gives what does one."""


@contextmanager
def _in_worker(share: dict[str, str]) -> Iterator[Do]:
    """Do images in a process with a share of the machine."""
    worker = Worker(share)
    try:
        yield partial(_there, worker)
    finally:
        worker.stop()


@contextmanager
def _in_thread() -> Iterator[Do]:
    yield segmented


class _Crew:
    """Those who take images from one list, until it is empty or somebody stops them."""

    def __init__(self, plan: Plan, todo: list[Todo], show: Show) -> None:
        self._plan, self._show = plan, show
        self._todo: queue.SimpleQueue[Todo] = queue.SimpleQueue()
        for one in todo:
            self._todo.put(one)
        self._stopped = False
        self._failed: BaseException | None = None
        self._jobs: set[Job[Done]] = set()
        self._lock = threading.Lock()

    def run(self, ways: Sequence[Way]) -> None:
        """Do all images, in a thread for each way."""
        threads = [
            threading.Thread(target=self._work, args=(way,), name="napari-segnet job", daemon=True)
            for way in ways
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            self.stop()
            for thread in threads:
                thread.join()
            raise
        if self._failed is not None:
            raise self._failed

    def _work(self, way: Way) -> None:
        try:
            with way() as do:
                while not self._stopped:
                    try:
                        bar, stem, path = self._todo.get_nowait()
                    except queue.Empty:
                        return
                    if self._show.disk.is_full:
                        self._show.leave([path])
                    else:
                        self._one(do, bar, stem, path)
        except BaseException as error:  # what is no failure of one image: nobody reads the output
            self._failed = error
            self.stop()

    def stop(self) -> None:
        """Let all stop; what is written at the moment is written whole or not at all."""
        with self._lock:
            self._stopped = True
            for one in self._jobs:
                one.cancel()

    def _one(self, do: Do, bar: Bar, stem: str, path: Path) -> None:
        files = self._plan.channel_files
        mine = {stem: files[stem]} if stem in files else {}
        plan = replace(self._plan, images={stem: path}, channel_files=mine, kept={})
        steps = do(plan, stem, path)
        with self._lock:
            self._jobs.add(steps)
            if self._stopped:
                steps.cancel()
        try:
            done = bar.follow(steps)
        except Cancelled:
            bar.end("stopped")
        except Exception as error:
            self._show.failure(bar, path, error)
        else:
            self._show.done(bar, done)
        finally:
            with self._lock:
                self._jobs.discard(steps)


@job
def _there(worker: Worker, plan: Plan, stem: str, path: Path) -> Generator[Progress, None, Done]:
    """Segment an image in another process."""
    return (yield from worker.do(segmented, plan, stem, path))

"""Images one after the other: the next is read, and the last written, while the network works."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as futures_done
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_segnet.commands._bar import Bar
from napari_segnet.commands._failure import added
from napari_segnet.commands._image_run import Answered, Done, answered, finished, opened
from napari_segnet.commands._plan import Plan
from napari_segnet.commands._show import Show
from napari_segnet.engines.turns import small_at_once
from napari_segnet.errors import Cancelled
from napari_segnet.inference import same_engine
from napari_segnet.progress import Progress, changed_reports, run

if TYPE_CHECKING:
    from napari_segnet.image import Image
    from napari_segnet.progress import Job

__all__ = ["Todo", "in_turn"]

Todo = tuple[Bar, str, Path]
"""Who shows how far an image is, the stem of its results, its file."""
AT_ONCE = 2
"""Small images that OpenVINO answers beside each other, each by threads of its own."""
AHEAD = AT_ONCE + 1
"""Small images that are worked on before their turn: one is read while the others are answered."""
WRITTEN_AT_ONCE = 4
"""Small images that are labelled and written beside each other: until the disk holds the files of
one, most of the time is waited (33 of 36 ms were measured)."""
SMALL_PX = 512**2
"""A plane of so many pixels is small: its memory and that of its answer need not be counted."""
AHEAD_BYTES = 2**28
"""An image of more bytes, or with an answer of more, is alone in memory from beginning to end: two
such at once would each take what was free for one."""


def in_turn(plan: Plan, todo: list[Todo], show: Show) -> None:
    """Segment images in this process; a failure costs one image.

    Small images are answered beside each other, where the engine gains by it.

    Parameters
    ----------
    plan : Plan
        The run.
    todo : list of Todo
        The images.
    show : Show
        Told of each, in their order.
    """
    with _Threads(show) as threads:
        coming: deque[Future[_Begun]] = deque()
        most, small = 1, False

        def begin(number: int) -> None:
            """Begin with the images from a number on."""
            for _, stem, path in todo[number + len(coming) :][: most - len(coming)]:
                coming.append(threads.begin(plan, stem, path, answer=small))

        for number, (bar, stem, path) in enumerate(todo):
            if show.disk.is_full:
                show.leave([path for _, _, path in todo[number:]])
                break
            begun = time.perf_counter()
            mine = coming.popleft() if coming else None
            try:
                bar.say("reading")
                if small:
                    begin(number + 1)
                got = mine.result() if mine is not None else _Begun(opened(plan, stem, path))
                begin(number + 1)
                if got.answered is not None or got.error is not None:
                    made = bar.follow(_replayed(got))
                else:
                    made = bar.follow(answered(plan, stem, got.image, begun))
                assert made.prediction is not None
                plan = replace(plan, predict=same_engine(plan.predict, made.prediction.origin))
                # The first image is answered alone: its network is converted and compiled.
                small = plan.predict.engine == "openvino" and _is_small(made.image)
                most = AHEAD if small else 1
                del got, mine
                threads.finish(plan, bar, stem, path, made, alone=not coming)
            except KeyboardInterrupt as error:
                bar.end(f"stopped{added(error)}")
                raise
            except Exception as error:
                threads.wait()
                show.failure(bar, path, error)


@dataclass(frozen=True, slots=True, eq=False)
class _Begun:
    """An image in memory, if it is small with its answer.

    Attributes
    ----------
    image : Image
        The image.
    answered : Answered or None
        Its answer.
    error : Exception or None
        Why there is none, though it was asked for.
    texts : list of Progress
        What is to be said of it before.
    spent : float
        Seconds of its answer.
    """

    image: Image
    answered: Answered | None = None
    error: Exception | None = None
    texts: list[Progress] = field(default_factory=list)
    spent: float = 0.0


def _replayed(begun: _Begun) -> Generator[Progress, None, Answered]:
    """Say what was to be said, and return the answer; that it waited does not count."""
    yield from begun.texts
    if begun.error is not None:
        raise begun.error
    made = begun.answered
    assert made is not None
    made.begun = time.perf_counter() - begun.spent
    return made


class _Threads:
    """Some read the next images, and answer small ones; others label and write the last."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._ahead = ThreadPoolExecutor(AHEAD, "napari-segnet reads")
        self._behind = ThreadPoolExecutor(WRITTEN_AT_ONCE, "napari-segnet writes")
        self._writing: deque[tuple[Bar, Path, Future[Done]]] = deque()
        self._telling = threading.Lock()
        self._broken: Exception | None = None
        self._jobs: set[Job[Answered] | Job[Done]] = set()
        self._stopped = False

    def __enter__(self) -> _Threads:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._stopped = True
            for job in tuple(self._jobs):
                job.cancel()
        self._ahead.shutdown(cancel_futures=True)
        self._behind.shutdown()
        self.wait()

    def begin(self, plan: Plan, stem: str, path: Path, *, answer: bool) -> Future[_Begun]:
        """Begin with an image: read it into memory, unless it is large; answer a small one."""
        return self._ahead.submit(self._begin, plan, stem, path, answer)

    def _begin(self, plan: Plan, stem: str, path: Path, answer: bool) -> _Begun:
        begun, image = time.perf_counter(), _read(plan, stem, path)
        if not answer or not _is_small(image):
            return _Begun(image)
        steps, texts = answered(plan, stem, image, begun), list[Progress]()
        self._jobs.add(steps)
        if self._stopped:  # meanwhile
            steps.cancel()
        made, failed = None, None

        def keep(report: Progress) -> Progress:
            if report.text:
                texts.append(report)
            return report

        try:
            with small_at_once(AT_ONCE):
                made = run(changed_reports(steps, keep))
        except Exception as error:
            failed = error
        finally:
            self._jobs.discard(steps)
        return _Begun(image, made, failed, texts, time.perf_counter() - begun)

    def finish(
        self, plan: Plan, bar: Bar, stem: str, path: Path, made: Answered, *, alone: bool
    ) -> None:
        """Label and write, beside the next image unless it is large or the last."""
        small = _is_small(made.image)
        self.wait(WRITTEN_AT_ONCE - 1 if small else 0)
        assert made.prediction is not None
        alone = alone or made.prediction.answer.kept_nbytes > AHEAD_BYTES
        job = finished(plan, stem, path, made)
        self._jobs.add(job)
        if alone or _nbytes(made.image) > AHEAD_BYTES:
            self.wait()
            try:
                self._show.done(bar, bar.follow(job))
            finally:
                self._jobs.discard(job)
        else:
            written = self._behind.submit(self._finish, job)
            self._writing.append((bar, path, written))
            written.add_done_callback(self._tell)

    def wait(self, left: int = 0) -> None:
        """Wait until no more than ``left`` images are written: what is said keeps their order."""
        while len(waiting := tuple(self._writing)) > left:
            futures_done((waiting[0][2],))
            self._tell()
        if self._broken is not None:
            broken, self._broken = self._broken, None
            raise broken

    def _tell(self, _future: object = None) -> None:
        """Say of the images that are written what came of them, in their order, each at once."""
        with self._telling:
            while self._writing and self._writing[0][2].done():
                bar, path, made = self._writing[0]
                try:
                    self._said(bar, path, made)
                except Exception as error:  # nobody listens any more: the run hears of it
                    self._broken = self._broken or error
                self._writing.popleft()

    def _said(self, bar: Bar, path: Path, made: Future[Done]) -> None:
        try:
            done = made.result()
        except Cancelled:
            return  # nothing is said of what was stopped
        except Exception as error:
            self._show.failure(bar, path, error)
        else:
            self._show.done(bar, done)

    def _finish(self, job: Job[Done]) -> Done:
        try:
            return run(job)
        finally:
            self._jobs.discard(job)


def _read(plan: Plan, stem: str, path: Path) -> Image:
    image = opened(plan, stem, path)
    if _nbytes(image) > AHEAD_BYTES:
        return image
    every = tuple(slice(None) for _ in image.data.shape)
    return replace(image, data=np.asarray(image.data[every]))


def _is_small(image: Image) -> bool:
    """Tell one small plane."""
    sizes = image.sizes
    return sizes["y"] * sizes["x"] <= SMALL_PX and sizes["t"] == sizes["z"] == 1


def _nbytes(image: Image) -> int:
    each: int = np.dtype(image.data.dtype).itemsize
    return each * math.prod(map(int, image.data.shape))

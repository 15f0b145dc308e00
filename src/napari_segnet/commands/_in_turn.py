"""Images one after the other: the next is read, and the last written, while the network works."""

from __future__ import annotations

import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_segnet.commands._bar import Bar
from napari_segnet.commands._failure import added
from napari_segnet.commands._image_run import Answered, Done, answered, finished, opened
from napari_segnet.commands._plan import Plan
from napari_segnet.commands._show import Show
from napari_segnet.errors import Cancelled
from napari_segnet.inference import same_engine
from napari_segnet.progress import run

if TYPE_CHECKING:
    from napari_segnet.image import Image
    from napari_segnet.progress import Job

__all__ = ["Todo", "in_turn"]

Todo = tuple[Bar, str, Path]
"""Who shows how far an image is, the stem of its results, its file."""
AHEAD_BYTES = 2**28
"""An image of more bytes, or with an answer of more, is alone in memory from beginning to end: two
such at once would each take what was free for one."""


def in_turn(plan: Plan, todo: list[Todo], show: Show) -> None:
    """Segment images in this process; a failure costs one image.

    Parameters
    ----------
    plan : Plan
        The run.
    todo : list of Todo
        The images.
    show : Show
        Told of each, in their order.
    """
    with _Threads(plan, show) as threads:
        ahead: Future[Image] | None = None
        for number, (bar, stem, path) in enumerate(todo):
            begun, mine = time.perf_counter(), ahead
            ahead = None
            try:
                bar.say("reading")
                image = mine.result() if mine is not None else opened(plan, stem, path)
                if number + 1 < len(todo):
                    ahead = threads.read(*todo[number + 1][1:])
                made = bar.follow(answered(plan, stem, image, begun))
                assert made.prediction is not None
                plan = replace(plan, predict=same_engine(plan.predict, made.prediction.origin))
                del image
                threads.finish(plan, bar, stem, path, made, alone=ahead is None)
            except KeyboardInterrupt as error:
                bar.end(f"stopped{added(error)}")
                raise
            except Exception as error:
                threads.wait()
                show.failure(bar, path, error)


class _Threads:
    """One reads the next image, one labels and writes the last."""

    def __init__(self, plan: Plan, show: Show) -> None:
        self._plan, self._show = plan, show
        self._ahead = ThreadPoolExecutor(1, "napari-segnet reads")
        self._behind = ThreadPoolExecutor(1, "napari-segnet writes")
        self._writing: Future[None] | None = None
        self._job: Job[Done] | None = None

    def __enter__(self) -> _Threads:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._job is not None:
            self._job.cancel()
        self._ahead.shutdown(cancel_futures=True)
        self._behind.shutdown()

    def read(self, stem: str, path: Path) -> Future[Image]:
        """Begin to read an image: into memory, unless it is large."""
        return self._ahead.submit(_read, self._plan, stem, path)

    def finish(
        self, plan: Plan, bar: Bar, stem: str, path: Path, made: Answered, *, alone: bool
    ) -> None:
        """Label and write, beside the next image unless it is large or the last."""
        self.wait()
        assert made.prediction is not None
        alone = alone or made.prediction.answer.kept_nbytes > AHEAD_BYTES
        self._job = finished(plan, stem, path, made)
        if alone or _nbytes(made.image) > AHEAD_BYTES:
            self._show.done(bar, bar.follow(self._job))
        else:
            self._writing = self._behind.submit(self._finish, bar, path, self._job)

    def wait(self) -> None:
        """Wait for the last image: what is said of images keeps their order."""
        if self._writing is not None:
            self._writing.result()

    def _finish(self, bar: Bar, path: Path, job: Job[Done]) -> None:
        with suppress(Cancelled):
            try:
                self._show.done(bar, run(job))
            except Exception as error:
                if isinstance(error, Cancelled):
                    raise
                self._show.failure(bar, path, error)


def _read(plan: Plan, stem: str, path: Path) -> Image:
    image = opened(plan, stem, path)
    if _nbytes(image) > AHEAD_BYTES:
        return image
    every = tuple(slice(None) for _ in image.data.shape)
    return replace(image, data=np.asarray(image.data[every]))


def _nbytes(image: Image) -> int:
    each: int = np.dtype(image.data.dtype).itemsize
    return each * math.prod(map(int, image.data.shape))

"""Tiles that are answered elsewhere, several at once: sent ahead, and taken in their order."""

from __future__ import annotations

import functools
import pickle
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.engines.apart._there import kept_part
from napari_segnet.image import Image
from napari_segnet.plan.tasks import TaskReader, TileTask, read_task
from napari_segnet.progress import check_cancelled

if TYPE_CHECKING:
    from napari_segnet.engines.cluster import WorksAhead
    from napari_segnet.engines.cluster._scheduler import Pending

__all__ = ["answers_ahead"]

IMAGE_BYTES = 2**16
"""An image that is named by its file takes no more, pickled; pixels are sent tile by tile."""


def answers_ahead(
    engine: WorksAhead, tasks: Sequence[TileTask], reader: TaskReader, precision: str
) -> Iterator[tuple[TileTask, npt.NDArray[np.float32]]]:
    """Yield each task and what is kept of its answer, in order; few are under way at a time.

    Parameters
    ----------
    engine : WorksAhead
        Where the network is.
    tasks : sequence of TileTask
        Of one plane or volume.
    reader : TaskReader
        Of their image; read here unless each worker can.
    precision : str
        What to compute in.
    """
    named = _named_image(engine, reader.image) if tasks and _unscaled(tasks[0]) else None
    waiting: deque[tuple[TileTask, Pending]] = deque()
    window = engine.window
    try:
        for task in tasks:
            check_cancelled()
            if len(waiting) >= window:
                yield _taken(waiting)
                window = engine.window  # workers come and go
            waiting.append((task, _sent(engine, task, reader, named, precision)))
        while waiting:
            yield _taken(waiting)
    finally:
        for _, pending in waiting:
            pending.cancel()


def _taken(
    waiting: deque[tuple[TileTask, Pending]],
) -> tuple[TileTask, npt.NDArray[np.float32]]:
    task, pending = waiting[0]
    answer: npt.NDArray[np.float32] = pending.result()
    waiting.popleft()
    return task, answer


def _sent(
    engine: WorksAhead, task: TileTask, reader: TaskReader, named: bytes | None, precision: str
) -> Pending:
    if named is not None:
        return engine.begin(_read_and_answer, engine.key, named, task, precision)
    return engine.begin(kept_part, engine.key, reader.read(task), *_how(task, precision))


def _how(task: TileTask, precision: str) -> tuple[Any, ...]:
    """Return how a task is answered, as ``kept_part`` takes it."""
    return task.tile.keep, precision, task.offset, task.frame.size, task.mirrored


def _unscaled(task: TileTask) -> bool:
    """Tell if a tile needs its own pixels only, not a whole plane that is resampled."""
    return task.unit.seen == task.unit.shape


def _named_image(engine: WorksAhead, image: Image) -> bytes | None:
    """Return an image that is the name of a file, if every worker reads the same pixels there."""
    if image.source is None or isinstance(image.data, np.ndarray):
        return None
    named = pickle.dumps(image)
    if len(named) > IMAGE_BYTES:
        return None
    return named if engine.everywhere(_reads, named, _corner(image)) else None


def _reads(named: bytes, corner: bytes) -> bool:
    return _corner(_image(named)) == corner


def _corner(image: Image) -> bytes:
    """Return the first and the last pixels of an image."""
    last = {axis: slice(size - 1, size) for axis, size in image.sizes.items()}
    return image.read(t=0, z=0, y=0, x=slice(0, 64)).tobytes() + image.read(**last).tobytes()


@functools.lru_cache(maxsize=2)
def _image(named: bytes) -> Image:
    image: Image = pickle.loads(named)
    return image


def _read_and_answer(
    key: str, named: bytes, task: TileTask, precision: str
) -> npt.NDArray[np.float32]:
    """Read a task there and answer it."""
    block = read_task(task, _image(named))
    return kept_part(key, block, *_how(task, precision))

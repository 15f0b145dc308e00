"""Batches of crops, drawn ahead by threads, so that no step waits for them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from napari_segnet.crops import Crop, Crops
from napari_segnet.engines.torch.device import on_threads
from napari_segnet.train.settings import TrainSettings

__all__ = ["UNCHANGED", "batches", "drawers", "unchanged"]

UNCHANGED = 64
"""Crops as they are, of which the norms remember the statistics."""
MOST_DRAWERS = 8
"""A batch takes the CPU about ten times as long as a step takes a GPU."""


def drawers(device: str) -> int:
    """Return how many threads draw crops for a device; 0: none, since there is a single core."""
    others = (os.cpu_count() or 1) - 1
    return min(others, 1) if device == "cpu" else max(1, min(MOST_DRAWERS, others))


def batches(
    crops: Crops,
    settings: TrainSettings,
    epoch: int,
    threads: int,
    rehearsed: Crops | None = None,
) -> Generator[list[Crop]]:
    """Yield the batches of one epoch: always the same ones, whoever draws them.

    Parameters
    ----------
    crops : Crops
        Drawn from.
    settings : TrainSettings
        ``steps_per_epoch``, ``batch_size`` and ``seed`` are used.
    epoch : int
        From 0.
    threads : int
        How many draw ahead; 0: each batch is drawn when it is asked for.
    rehearsed : Crops, optional
        Of what the network knew before: some join each batch, see ``rehearsal``.
    """
    more = max(1, round(settings.rehearsal * settings.batch_size))

    def drawn(step: int) -> list[Crop]:
        rng = np.random.default_rng((settings.seed, epoch, step))
        # A crop is too small to be shared: two threads took four times as long as one.
        with on_threads(1):
            own = [crops.draw(rng) for _ in range(settings.batch_size)]
            return own if rehearsed is None else [*own, *(rehearsed.draw(rng) for _ in range(more))]

    steps = range(settings.steps_per_epoch)
    if not threads:
        yield from map(drawn, steps)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="crops")
    waiting: deque[Future[list[Crop]]] = deque()
    try:
        for step in steps:
            waiting.append(pool.submit(drawn, step))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def unchanged(crops: Crops, settings: TrainSettings, count: int) -> Iterator[list[Crop]]:
    """Yield some batches of crops as they are, from anywhere in the images."""
    rng, crops = np.random.default_rng(settings.seed), crops.unchanged()
    for _ in range(count):
        yield [crops.draw(rng) for _ in range(settings.batch_size)]

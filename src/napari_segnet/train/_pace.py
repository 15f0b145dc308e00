"""How far a training is: by its rounds, or by the minutes that it may take."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from napari_segnet.train.settings import TrainSettings

__all__ = ["Pace"]


class Pace:
    """Counts steps and the seconds in which they were done.

    Only what is learned counts, not the scores in between, nor the time in which the training
    stood still.

    Parameters
    ----------
    settings : TrainSettings
        ``minutes``, or else ``epochs``, say how long it is.
    epochs : int
        How many are done already.
    seconds : float
        How long they took.
    """

    def __init__(self, settings: TrainSettings, epochs: int = 0, seconds: float = 0.0) -> None:
        self._settings, self._first = settings, epochs
        self.steps = epochs * settings.steps_per_epoch
        self.seconds = seconds

    @property
    def fraction(self) -> float:
        """The share of the training that is done, 0 to 1."""
        if self._settings.minutes:
            return min(1.0, self.seconds / (60 * self._settings.minutes))
        return min(1.0, self.steps / (self._settings.steps_per_epoch * self._settings.epochs))

    @property
    def total_steps(self) -> int:
        """How many steps there are in all; where minutes count, as it looks now."""
        if not self._settings.minutes:
            return self._settings.steps_per_epoch * self._settings.epochs
        return max(self.steps, round(self.steps / self.fraction) if self.fraction else 1)

    @property
    def total_epochs(self) -> int:
        """How many epochs there are in all; where minutes count, as it looks now."""
        if not self._settings.minutes:
            return self._settings.epochs
        return math.ceil(self.total_steps / self._settings.steps_per_epoch)

    @property
    def is_over(self) -> bool:
        """True when the minutes are used up; rounds end by themselves."""
        return bool(self._settings.minutes) and self.fraction >= 1

    def epochs(self) -> Iterator[int]:
        """Yield the numbers of the epochs to come, from 0."""
        if not self._settings.minutes:
            yield from range(self._first, self._settings.epochs)
            return
        # One that was stopped when its time was over ends with what it has.
        yield from itertools.takewhile(lambda _: not self.is_over, itertools.count(self._first))

    @contextmanager
    def step(self) -> Iterator[None]:
        """Count one step and its time."""
        begun = perf_counter()
        yield
        self.seconds += perf_counter() - begun
        self.steps += 1

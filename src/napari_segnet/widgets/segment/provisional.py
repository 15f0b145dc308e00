"""Labels of what is finished of a run, while the rest of it is computed; it knows no widget."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_segnet.answers import answer_of
from napari_segnet.checkpoint import Checkpoint
from napari_segnet.inference import LabelSettings, label
from napari_segnet.progress import Pace, Progress, changed_reports, run
from napari_segnet.segmentation import FinishedPart, Maps, Origin, Prediction

__all__ = ["SECONDS_LEFT", "Provisional", "followed"]

SHOWN_PX = 2**21
"""Of more pixels each second, third, ... is labelled: no screen shows more of them."""
WHOLE_TIMES = 1.8
"""So many times as long as for a part is labelling for each pixel of the whole, which is put
together, numbered, measured and shown: 0.48 and 0.26 microseconds were measured at 8000²."""
SECONDS_LEFT = "seconds left"
"""Name of the value of a progress."""


class Provisional:
    """Labels of the finished parts of what is looked at.

    Parameters
    ----------
    checkpoint : Checkpoint
        The network.
    view : tuple of slice
        What is looked at, one plane: one slice for each of the image's axes without its channels,
        in pixels; y and x are the last.
    settings : LabelSettings
        How labels are made.

    Attributes
    ----------
    view : tuple of slice
        As given.
    labels : ndarray
        int32, with the axes of the view: every ``step``-th row and column of it. It is
        written into.
    step : int
        Pixels of the image for each of the labels, along y and x.
    version : int
        Counts what was written.
    seconds : float
        How long labels have taken so far.
    """

    def __init__(
        self, checkpoint: Checkpoint, view: tuple[slice, ...], settings: LabelSettings
    ) -> None:
        self._checkpoint, self.view = checkpoint, view
        pixels = math.prod(part.stop - part.start for part in view[-2:])
        self.step = max(1, math.ceil(math.sqrt(pixels / SHOWN_PX)))
        self._settings = _for_each(self.step, checkpoint, settings)
        shape = [1] * (len(view) - 2) + [len(self._grid(part)) for part in view[-2:]]
        self.labels: npt.NDArray[np.int32] = np.zeros(shape, np.int32)
        self.version, self._used = 0, 0
        self.seconds, self._pixels = 0.0, 0

    @property
    def seconds_per_px(self) -> float:
        """How long labels of a pixel of maps take; 0 before any was labelled."""
        return self.seconds / max(self._pixels, 1)

    def take(self, part: FinishedPart) -> None:
        """Label what is looked at of a part that is finished."""
        maps = part.answer.data
        for view, where in zip(self.view[:-2], part.where[:-2], strict=True):
            if not where.start <= view.start < where.stop:
                return
            maps = maps[:, view.start - where.start]
        (rows, y), (columns, x) = (
            self._shared(view, where)
            for view, where in zip(self.view[-2:], part.where[-2:], strict=True)
        )
        maps = maps[:, y, x]
        if not maps.size:
            return
        begun = time.perf_counter()
        found = self._labels_of(replace(part.answer, data=maps, axes="cyx", ndim=2))
        self.seconds += time.perf_counter() - begun
        self._pixels += found.size
        self.labels[..., rows, columns] = np.where(found > 0, found + self._used, 0)
        self._used += int(found.max(initial=0))
        self.version += 1

    def _labels_of(self, maps: Maps) -> npt.NDArray[np.int32]:
        checkpoint = self._checkpoint
        prediction = Prediction(
            answer=maps,
            pixel_size_um={},
            class_names=checkpoint.class_names,
            advice=dict(checkpoint.card.get("label", {})),
            origin=Origin(checkpoint={}, image={}, predict={}),
        )
        return run(label(prediction, self._settings)).labels

    def _grid(self, view: slice) -> range:
        """Return the rows (columns) of the image that are labelled."""
        return range(view.start + self.step // 2, view.stop, self.step)

    def _shared(self, view: slice, where: slice) -> tuple[slice, slice]:
        """Return the rows of the labels that a part has, and where these lie in the part."""
        grid = self._grid(view)
        first = min(len(grid), max(0, -(-(where.start - grid.start) // self.step)))
        last = min(len(grid), max(first, -(-(where.stop - grid.start) // self.step)))
        begin = grid.start + first * self.step - where.start
        return slice(first, last), slice(begin, begin + (last - first) * self.step, self.step)


def _for_each(step: int, checkpoint: Checkpoint, settings: LabelSettings) -> LabelSettings:
    """Return settings for each ``step``-th pixel along y and x."""
    advice = checkpoint.card.get("label", {})
    how = answer_of(checkpoint).settings(settings, checkpoint.outputs, advice)
    least = how.min_size_px or 0
    return replace(how, min_size_px=math.ceil(least / step**2), link="none")


def followed(
    steps: Generator[Progress, None, Prediction], into: Provisional, pixels: int
) -> Generator[Progress, None, Prediction]:
    """Predict, label what is finished, and say how long all the rest takes.

    Parameters
    ----------
    steps : generator
        What ``predict`` returned, which was told what is looked at.
    into : Provisional
        Takes the finished parts.
    pixels : int
        Of the image, without its channels.

    Yields
    ------
    Progress
        Those of ``predict``. ``shown`` is ``into``; ``values`` has ``seconds left`` where that is
        known, the labels included.
    """
    pace = Pace(lambda: time.perf_counter() - into.seconds)

    def labelled(progress: Progress) -> Progress:
        rest = pace.left_s(progress)
        for part in progress.shown or ():
            into.take(part)
        left: tuple[tuple[str, float], ...] = ()
        if progress.what == "tile" and rest is not None:
            left = ((SECONDS_LEFT, rest + WHOLE_TIMES * pixels * into.seconds_per_px),)
        return replace(progress, shown=into, values=(*progress.values, *left))

    return (yield from changed_reports(steps, labelled))

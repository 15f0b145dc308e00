"""Run a map network on an image at several scales, and average what it answers.

Objects that are larger than those of the training, or that differ in size among each other, are
answered better at one scale than at another; the mean of two is better than either.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.maps.run import run_maps
from napari_segnet.half import halved
from napari_segnet.plan import InferencePlan, RunResult
from napari_segnet.progress import SHARE_DONE, Progress, check_cancelled
from napari_segnet.segmentation import Maps

if TYPE_CHECKING:
    from napari_segnet.engines import Engine

__all__ = ["FACTORS", "run_scales"]

FACTORS = (1.0, 2.0)
"""Of the usual image pixels per network pixel: 1.25 times the work of the first alone. AP50 on 25
images of histology, the built-in network untaught and taught four images in two ways: 0.559, 0.591
and 0.587 at the usual scale, 0.594, 0.623 and 0.627 with both, 0.594 and 0.614 (the first and the
last) with the root of 2 between them. Untaught on 33 images of fluorescence, its own kind: 0.746
and 0.742; on 8 planes of plant nuclei, which are larger: 0.410 and 0.590."""

BAND_PX = 2**22
"""Pixels that are averaged at once: 16 MB."""


def run_scales(engine: Engine, plan: InferencePlan) -> Generator[Progress, None, RunResult]:
    """Answer every plane at each scale, the usual one first; return the mean.

    Only tiles of the usual scale are kept on the disk (``plan.kept``), and only their answer is
    shown while the others run.

    Parameters
    ----------
    engine : Engine
        The network.
    plan : InferencePlan
        What was resolved for it and the image, at the usual scale.
    """
    work = [factor**-2 for factor in FACTORS]
    done = [sum(work[:n]) / sum(work) for n in range(len(work) + 1)]
    first, mean, tiles, seen = None, None, 0, list[float]()
    for number, (factor, shares) in enumerate(zip(FACTORS, itertools.pairwise(done), strict=True)):
        part = plan if first is None else _at(plan, factor, first)
        before, after = tiles, len(FACTORS) - number - 1
        seen.append(round(part.input.scale, 4))
        steps = _counted(run_maps(engine, part), shares, before, after)
        ran, tiles = yield from steps
        assert isinstance(ran.answer, Maps)
        if first is None or mean is None:
            first, mean = ran, _writeable(ran.answer.data)
        else:
            _average(mean, ran.answer.data, number)
            first = _joined(first, ran)
    assert first is not None and mean is not None and isinstance(first.answer, Maps)
    facts = {**first.engine, "scales": seen}
    return replace(first, answer=replace(first.answer, data=mean), engine=facts)


def _at(plan: InferencePlan, factor: float, first: RunResult) -> InferencePlan:
    """Return the plan of a run at another scale, of which nothing is shown or kept.

    Its tiles are as large as those of the first, which the origin records: the same again where a
    run is repeated.
    """
    scale = min(100.0, plan.input.scale * factor)
    tile, batch = tuple(first.engine["tile_px"]), int(first.engine["batch_size"])
    asked = replace(plan.settings, scale=scale, object_px=None, object_um=None, multiscale="no")
    settings = replace(asked, tile_px=tile, batch_size=batch)
    # Normalised by the same figures: measuring them reads all pixels.
    given = replace(plan.input, scale=scale)
    return replace(plan, input=given, settings=settings, kept=None, first=None)


def _counted(
    steps: Generator[Progress, None, RunResult],
    shares: tuple[float, float],
    before: int,
    after: int,
) -> Generator[Progress, None, tuple[RunResult, int]]:
    """Count the tiles of one scale behind those ``before`` it; there are more scales ``after``."""
    low, high = shares
    total = 0
    while True:
        try:
            report = next(steps)
        except StopIteration as stop:
            ran: RunResult = stop.value
            return ran, before + total
        if report.what == "tile" and report.total:
            total = report.total
            values = dict(report.values)
            share = values.get(SHARE_DONE, report.done / total)
            values[SHARE_DONE] = low + share * (high - low)
            report = replace(
                report,
                done=before + report.done,
                total=before + total + after,
                values=tuple(values.items()),
            )
        yield report


def _writeable(data: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return data if data.flags.writeable else np.array(data)


def _average(mean: npt.NDArray[Any], more: npt.NDArray[Any], count: int) -> None:
    """Take one more answer into the mean of so many, in place."""
    for band in _bands(mean.shape):
        check_cancelled()
        old = mean[band].astype(np.float32)
        old += (more[band].astype(np.float32) - old) / np.float32(count + 1)
        mean[band] = halved(old) if mean.dtype == np.float16 else old


def _bands(shape: tuple[int, ...]) -> Iterator[tuple[int | slice, ...]]:
    """Cut maps ``(..., y, x)`` into rows of one plane."""
    height, width = shape[-2:]
    rows = max(1, BAND_PX // max(1, width))
    for plane in np.ndindex(*shape[:-2]):
        for row in range(0, height, rows):
            yield (*plane, slice(row, row + rows))


def _joined(first: RunResult, ran: RunResult) -> RunResult:
    """Return the facts of the first scale, with what became of another one."""
    notes = (*first.notes, *(note for note in ran.notes if note not in first.notes))
    moved = ran.device != first.device
    return replace(
        first,
        notes=notes,
        device=ran.device if moved else first.device,
        rung=ran.rung if moved else first.rung,
    )

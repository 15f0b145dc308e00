"""Run a map network over all planes or volumes of an image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.maps.first import InView
from napari_segnet.answers.maps.tiling import MapTiles
from napari_segnet.answers.maps.uncertainty import probabilities
from napari_segnet.engines import Engine
from napari_segnet.errors import SegnetError
from napari_segnet.plan import InferencePlan, RunResult
from napari_segnet.plan.input import mirrored
from napari_segnet.plan.kept import KeptRun, UnitBlocks, engine_of, kept_run
from napari_segnet.plan.memory import MemoryPlan, after_shortage, first_plan, remember
from napari_segnet.plan.precision import PrecisionChoice, Verdict
from napari_segnet.plan.tasks import TaskReader, TileTask, tile_tasks
from napari_segnet.progress import SHARE_DONE, Progress
from napari_segnet.segmentation import Maps
from napari_segnet.sinks import Sink, large_array, open_sink
from napari_segnet.sinks.memory import ArraySink
from napari_segnet.stitch.maps import (
    Apart,
    BlendedSink,
    ScaledSink,
    Seams,
    UnitSink,
    stitch_maps,
)

__all__ = ["MapAgreement", "run_facts", "run_maps"]

FP16_TOLERANCE = 5e-3
"""Half precision is used on a GPU where no map differs by more than that on the first
tile: a tenth of what moves a threshold that a user would set by eye."""


def run_maps(engine: Engine, plan: InferencePlan) -> Generator[Progress, None, RunResult]:
    """Answer every plane or volume; give up batch, tile and device where memory runs out.

    Parameters
    ----------
    engine : Engine
        The network.
    plan : InferencePlan
        What was resolved for it and the image.
    """
    with kept_run(plan, engine) as kept:
        return (yield from _run(engine, plan, kept))


def _run(
    engine: Engine, plan: InferencePlan, kept: KeptRun
) -> Generator[Progress, None, RunResult]:
    given, settings = plan.input, plan.settings
    if plan.keep is None:
        raise SegnetError(f"{plan.checkpoint.path.name} answers with objects, not with maps.")
    view = InView(plan)
    sink, apart = view.sink(open_sink(plan.keep)), _ApartMaps(plan)
    rule = MapTiles(plan.checkpoint, given.seen, settings)
    memory = first_plan(engine, rule)
    precision = PrecisionChoice(settings.precision, MapAgreement())
    kept.precision(precision)
    seams, reader = Seams(), TaskReader(plan.image)
    turned = mirrored(plan.checkpoint, settings)
    cut = partial(tile_tasks, given, mirrored=turned)
    yield from view.first_look(engine, rule, memory, reader)
    done, units = 0, view.units(given.units)
    for number, (t, z) in enumerate(units):
        memory = kept.memory(number, memory, rule.tiles)
        engine = engine_of(memory, engine)
        while True:
            total = len(memory.tiling.tiles)
            yield Progress(what="tile", done=number * total, total=len(units) * total)
            try:
                into = partial(_unit_sink, sink, plan, memory, seams, t, z, apart)
                tasks = view.tasks(cut(memory.tiling, t, z), memory, (t, z))
                known = kept.of_unit(number, _block_dtype(plan, memory))
                work = _work(tasks)
                for done in _unit(engine, tasks, reader, into, precision, memory.batch, known):
                    kept.settled(precision)
                    share = (number + work[done]) / len(units)
                    yield _tile(number * total + done, len(units) * total, share, view.parts())
                break
            except Exception as error:
                if not engine.is_out_of_memory(error):
                    raise
            # Outside the except block: the error holds the tensors of the failed forward.
            memory, used = after_shortage(memory, engine, rule, settings, total)
            kept.begin_again(number, memory)
            if used is not engine:
                engine, precision = used, PrecisionChoice("fp32", MapAgreement())
    remember(memory, engine)
    if engine.device == "cpu" and len(units) * total > 1:
        engine.release()  # labels need room; an image of one tile may be followed by another
    return RunResult(
        answer=_maps(sink, plan, apart),
        device=memory.device,
        rung=memory.name,
        notes=(*memory.notes, *kept.note(len(units) * len(memory.tiling.tiles))),
        engine=run_facts(plan, memory, precision, seams, turned),
    )


def _maps(sink: Sink, plan: InferencePlan, apart: _ApartMaps) -> Maps:
    return Maps(
        data=sink.finish(),
        axes="c" + plan.axes,
        outputs=plan.checkpoint.outputs,
        ndim=plan.input.ndim,
        apart=apart.finish(),
    )


def _tile(done: int, total: int, share: float, shown: Any) -> Progress:
    values = ((SHARE_DONE, share),)
    return Progress(what="tile", done=done, total=total, values=values, shown=shown)


def _work(tasks: Sequence[TileTask]) -> list[float]:
    """Return which share of a plane's (volume's) work each number of its tiles is."""
    seen = (math.prod(task.lengths) for task in tasks)
    parts = list(itertools.accumulate(seen, initial=0))
    return [done / parts[-1] for done in parts]


def _unit(
    engine: Engine,
    tasks: Sequence[TileTask],
    reader: TaskReader,
    open_unit: Callable[[], Sink],
    precision: PrecisionChoice[npt.NDArray[np.float32]],
    batch: int,
    known: UnitBlocks | None,
) -> Iterator[int]:
    """Answer one plane or volume; what its sink holds is let go of in the end, or if that fails."""
    into = open_unit()
    yield from stitch_maps(engine, tasks, reader, into, precision, batch, known)
    into.finish()


class MapAgreement:
    """Maps agree where no pixel differs by more than ``FP16_TOLERANCE``."""

    def telling(self, exact: npt.NDArray[np.float32]) -> bool:
        """Tell that any tile can be compared."""
        return True

    def compare(self, exact: npt.NDArray[np.float32], half: npt.NDArray[np.float32]) -> Verdict:
        """Compare pixel by pixel."""
        error = float(np.abs(exact - half).max())
        # A NaN is not below the tolerance: overflow keeps full precision.
        agrees = error <= FP16_TOLERANCE
        return Verdict(agrees=agrees, error=error if np.isfinite(error) else None)

    def sound(self, answer: npt.NDArray[np.float32]) -> bool:
        """Tell if nothing overflowed."""
        return bool(np.isfinite(answer).all())


def _unit_sink(
    sink: Sink,
    plan: InferencePlan,
    memory: MemoryPlan,
    seams: Seams,
    t: int,
    z: int,
    apart: _ApartMaps,
) -> UnitSink | ScaledSink | BlendedSink:
    """Return what receives the tiles of one plane or volume, and hands them to the whole."""
    given, channels = plan.input, sum(output.channels for output in plan.checkpoint.outputs)
    into = _placed_sink(sink, plan, channels, t, z)
    if memory.tiling.exact:
        return into
    where = Apart(apart.unit(t, z), given.seen, probabilities(plan.checkpoint.outputs)[0])
    return BlendedSink(into, (channels, *given.seen), seams, where)


def _placed_sink(
    sink: Sink, plan: InferencePlan, channels: int, t: int, z: int
) -> UnitSink | ScaledSink:
    """Return what puts a plane (volume) ``(channel, *seen)`` where it lies in the whole."""
    given = plan.input
    at = {"t": t} if given.ndim == 3 else {"t": t, "z": z}
    place = tuple(slice(at[a], at[a] + 1) for a in plan.axes if a in at)
    into = UnitSink(sink, place)
    if given.seen == given.shape:
        return into
    return ScaledSink(into, channels, given.seen, given.shape)


class _ApartMaps:
    """Where tiles are apart, of all planes: an array from the first plane on that is blended."""

    def __init__(self, plan: InferencePlan) -> None:
        self._plan = plan
        self._whole: Sink | None = None

    def unit(self, t: int, z: int) -> UnitSink | ScaledSink:
        """Return what receives a plane (volume)."""
        if self._whole is None:
            array = large_array((1, *self._plan.shape), np.float16)
            array[...] = 0
            self._whole = ArraySink(array)
        return _placed_sink(self._whole, self._plan, 1, t, z)

    def finish(self) -> npt.NDArray[np.float16] | None:
        """Return the array ``([t,] [z,] y, x)``; None where all planes are exact."""
        if self._whole is None:
            return None
        found: npt.NDArray[np.float16] = self._whole.finish()[0]
        return found


def _block_dtype(plan: InferencePlan, memory: MemoryPlan) -> str:
    """Return in how many digits tiles are kept: those of the maps, where these take them as is."""
    direct = memory.tiling.exact and plan.input.seen == plan.input.shape
    return plan.keep.dtype if direct and plan.keep is not None else "float32"


def run_facts(
    plan: InferencePlan,
    memory: MemoryPlan,
    precision: PrecisionChoice[npt.NDArray[np.float32]],
    seams: Seams,
    turned: bool = False,
) -> dict[str, Any]:
    """Return what was chosen for a run over tiles, plain JSON values for the origin."""
    facts: dict[str, Any] = {
        **plan.input_facts(),
        "tile_px": list(memory.edge),
        "halo_px": list(plan.checkpoint.halo_px or ()),
        "tiles": len(memory.tiling.tiles),
        "work": round(memory.tiling.cost, 3),
        "batch_size": memory.batch,
        "precision": precision.chosen or "fp32",
        "exact": memory.tiling.exact,
    }
    if turned:
        facts["mirrored"] = ["y", "x"]
    if precision.error is not None:
        facts["fp16_error"] = precision.error
    if not memory.tiling.exact:
        facts["seam_error"] = seams.worst
    return facts

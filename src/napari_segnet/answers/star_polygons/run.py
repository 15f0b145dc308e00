"""Run a network of StarDist over all planes or volumes of an image."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.maps.run import MapAgreement, run_facts
from napari_segnet.answers.maps.tiling import MapTiles
from napari_segnet.answers.star_polygons.candidates import (
    Candidates,
    CandidateSink,
    StarBlocks,
    WholeSink,
    star_of,
)
from napari_segnet.engines import Engine
from napari_segnet.plan import InferencePlan, RunResult
from napari_segnet.plan.kept import KeptRun, engine_of, kept_run
from napari_segnet.plan.memory import MemoryPlan, after_shortage, first_plan, remember
from napari_segnet.plan.precision import PrecisionChoice
from napari_segnet.plan.tasks import TaskReader, TileTask, tile_tasks
from napari_segnet.progress import Progress
from napari_segnet.segmentation import Maps, StarPolygons
from napari_segnet.sinks import Sink, choose_keep, open_sink
from napari_segnet.stitch.maps import (
    BlendedSink,
    KeptMaps,
    ScaledSink,
    Seams,
    UnitSink,
    stitch_maps,
)

__all__ = ["run_stars"]

Choice = PrecisionChoice[npt.NDArray[np.float32]]


def run_stars(engine: Engine, plan: InferencePlan) -> Generator[Progress, None, RunResult]:
    """Answer every plane or volume; only what may be an object is kept of the distances.

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
    given, star, seams = plan.input, star_of(plan.checkpoint), Seams()
    channels = sum(output.channels for output in plan.checkpoint.outputs)
    map_sink = open_sink(choose_keep((1, *plan.shape), plan.settings.maps))
    found: dict[tuple[int, int], CandidateSink] = {}

    def open_unit(memory: MemoryPlan, t: int, z: int) -> Sink:
        at = {"t": t} if given.ndim == 3 else {"t": t, "z": z}
        place = tuple(slice(at[a], at[a] + 1) for a in plan.axes if a in at)
        first: Sink = UnitSink(map_sink, place)
        if given.seen != given.shape:
            first = ScaledSink(first, 1, given.seen, given.shape)
        # A unit that is begun anew for lack of memory forgets what was found in it.
        sink = found[t, z] = CandidateSink(star, memory.tiling.frame.size, first)
        if memory.tiling.exact:
            return sink
        whole = (channels, *given.seen)
        return BlendedSink(WholeSink(sink, whole), whole, seams)

    memory, precision = yield from _run_tiles(engine, plan, open_unit, kept)
    units = [Candidates.joined(found[unit].parts, star) for unit in given.units]
    one = Candidates.joined([], star)
    answer = StarPolygons(
        points=np.concatenate([one.points, *(unit.points for unit in units)]),
        distances=np.concatenate([one.distances, *(unit.distances for unit in units)]),
        scores=np.concatenate([one.scores, *(unit.scores for unit in units)]),
        classes=np.concatenate([one.classes, *(unit.classes for unit in units)]),
        unit=np.repeat(np.arange(len(units)), [len(unit.points) for unit in units]),
        vertices=star.rays.vertices,
        faces=star.rays.faces,
        zoom=tuple(n / m for n, m in zip(given.shape, given.seen, strict=True)),
        seen=given.seen,
        maps=Maps(
            data=map_sink.finish(),
            axes="c" + plan.axes,
            outputs=plan.checkpoint.outputs[:1],
            ndim=given.ndim,
        ),
    )
    total = len(given.units) * len(memory.tiling.tiles)
    facts = {"least_score": star.least, "candidates": len(answer.points)}
    return RunResult(
        answer=answer,
        device=memory.device,
        rung=memory.name,
        notes=(*memory.notes, *kept.note(total)),
        engine={**run_facts(plan, memory, precision, seams), **facts},
    )


def _run_tiles(
    engine: Engine,
    plan: InferencePlan,
    open_unit: Callable[[MemoryPlan, int, int], Sink],
    kept: KeptRun,
) -> Generator[Progress, None, tuple[MemoryPlan, Choice]]:
    """Hand the maps of all tiles to the sinks of their units; begin one anew where memory fails."""
    given, settings = plan.input, plan.settings
    rule = MapTiles(plan.checkpoint, given.seen, settings)
    memory = first_plan(engine, rule)
    precision: Choice = PrecisionChoice(settings.precision, MapAgreement())
    kept.precision(precision)
    reader, units = TaskReader(plan.image), given.units
    for number, (t, z) in enumerate(units):
        memory = kept.memory(number, memory, rule.tiles)
        engine = engine_of(memory, engine)
        while True:
            total = len(memory.tiling.tiles)
            yield Progress(what="tile", done=number * total, total=len(units) * total)
            try:
                sink, tasks = open_unit(memory, t, z), tile_tasks(given, memory.tiling, t, z)
                known = _known(kept, plan, memory, number, tasks)
                how = (sink, precision, memory.batch, known)
                for done in stitch_maps(engine, tasks, reader, *how):
                    kept.settled(precision)
                    at = number * total + done
                    yield Progress(what="tile", done=at, total=len(units) * total)
                sink.finish()
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
    return memory, precision


def _known(
    kept: KeptRun, plan: InferencePlan, memory: MemoryPlan, unit: int, tasks: Sequence[TileTask]
) -> KeptMaps | None:
    """Return what is kept of a unit: all maps where tiles are blended, else only what is asked."""
    every = kept.of_unit(unit, np.float32)
    if every is None or not memory.tiling.exact:
        return every
    return StarBlocks(kept, unit, star_of(plan.checkpoint), tasks)

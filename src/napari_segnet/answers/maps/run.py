"""Run a map network over all planes or volumes of an image."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.maps.tiling import MapTiles
from napari_segnet.engines import Engine
from napari_segnet.errors import SegnetError
from napari_segnet.plan import InferencePlan, RunResult
from napari_segnet.plan.memory import MemoryPlan, after_shortage, first_plan, remember
from napari_segnet.plan.precision import PrecisionChoice, Verdict
from napari_segnet.plan.tasks import TaskReader, TileTask, tile_tasks
from napari_segnet.progress import Progress
from napari_segnet.segmentation import Maps, NetworkAnswer
from napari_segnet.sinks import Sink, open_sink
from napari_segnet.stitch.maps import BlendedSink, ScaledSink, Seams, UnitSink, stitch_maps

__all__ = ["MapAgreement", "Ran", "run_maps", "run_tiles"]

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
    if plan.keep is None:
        raise SegnetError(f"{plan.checkpoint.path.name} answers with objects, not with maps.")
    sink, seams = open_sink(plan.keep), Seams()

    def open_unit(memory: MemoryPlan, t: int, z: int) -> UnitSink | ScaledSink | BlendedSink:
        return _unit_sink(sink, plan, memory, seams, t, z)

    ran = yield from run_tiles(engine, plan, open_unit)
    answer = Maps(
        data=sink.finish(),
        axes="c" + plan.axes,
        outputs=plan.checkpoint.outputs,
        ndim=plan.input.ndim,
    )
    return ran.result(answer, plan, seams)


OpenUnit = Callable[[MemoryPlan, int, int], Sink]
"""Gives what receives the tiles of a plane or volume, from how it is cut, ``t`` and ``z``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How all tiles were run in the end."""

    memory: MemoryPlan
    precision: PrecisionChoice[npt.NDArray[np.float32]]

    def result(self, answer: NetworkAnswer, plan: InferencePlan, seams: Seams) -> RunResult:
        """Return the answer, and what was chosen for it."""
        return RunResult(
            answer=answer,
            device=self.memory.device,
            rung=self.memory.name,
            notes=self.memory.notes,
            engine=_facts(plan, self.memory, self.precision, seams),
        )


def run_tiles(
    engine: Engine, plan: InferencePlan, open_unit: OpenUnit
) -> Generator[Progress, None, Ran]:
    """Hand the maps of all tiles to the sinks of their units; begin one anew where memory fails."""
    given, settings = plan.input, plan.settings
    rule = MapTiles(plan.checkpoint, given.seen, settings)
    memory = first_plan(engine, rule)
    precision = PrecisionChoice(settings.precision, MapAgreement())
    reader = TaskReader(plan.image)
    done, units = 0, given.units
    for number, (t, z) in enumerate(units):
        while True:
            total = len(memory.tiling.tiles)
            yield Progress(what="tile", done=number * total, total=len(units) * total)
            try:
                into = partial(open_unit, memory, t, z)
                tasks = tile_tasks(given, memory.tiling, t, z)
                for done in _unit(engine, tasks, reader, into, precision, memory.batch):
                    yield Progress(
                        what="tile", done=number * total + done, total=len(units) * total
                    )
                break
            except Exception as error:
                if not engine.is_out_of_memory(error):
                    raise
            # Outside the except block: the error holds the tensors of the failed forward.
            memory, used = after_shortage(memory, engine, rule, settings, total)
            if used is not engine:
                engine, precision = used, PrecisionChoice("fp32", MapAgreement())
    remember(memory, engine)
    return Ran(memory=memory, precision=precision)


def _unit(
    engine: Engine,
    tasks: Sequence[TileTask],
    reader: TaskReader,
    open_unit: Callable[[], Sink],
    precision: PrecisionChoice[npt.NDArray[np.float32]],
    batch: int,
) -> Iterator[int]:
    """Answer one plane or volume; what its sink holds is let go of in the end, or if that fails."""
    into = open_unit()
    yield from stitch_maps(engine, tasks, reader, into, precision, batch)
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
    sink: Sink, plan: InferencePlan, memory: MemoryPlan, seams: Seams, t: int, z: int
) -> UnitSink | ScaledSink | BlendedSink:
    """Return what receives the tiles of one plane or volume, and hands them to the whole."""
    given, channels = plan.input, sum(output.channels for output in plan.checkpoint.outputs)
    at = {"t": t} if given.ndim == 3 else {"t": t, "z": z}
    place = tuple(slice(at[a], at[a] + 1) for a in plan.axes if a in at)
    into: UnitSink | ScaledSink | BlendedSink = UnitSink(sink, place)
    if given.seen != given.shape:
        into = ScaledSink(into, channels, given.seen, given.shape)
    if not memory.tiling.exact:
        into = BlendedSink(into, (channels, *given.seen), seams)
    return into


def _facts(
    plan: InferencePlan,
    memory: MemoryPlan,
    precision: PrecisionChoice[npt.NDArray[np.float32]],
    seams: Seams,
) -> dict[str, Any]:
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
    if precision.error is not None:
        facts["fp16_error"] = precision.error
    if not memory.tiling.exact:
        facts["seam_error"] = seams.worst
    return facts

"""What a viewer shows is answered first: a small tile at once, then the tiles around it.

The answer does not depend on it: the small tile is shown and thrown away, and tiles that are
answered in another order are the same tiles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from napari_segnet.answers.maps.tiling import MapTiles
from napari_segnet.engines import Engine
from napari_segnet.plan import InferencePlan
from napari_segnet.plan.memory import MemoryPlan
from napari_segnet.plan.tasks import TaskReader, TileTask, tile_tasks
from napari_segnet.prepare.scale import resize
from napari_segnet.progress import Progress
from napari_segnet.segmentation import FinishedPart, Maps
from napari_segnet.sinks import Sink
from napari_segnet.tiles import Tile

__all__ = ["InView"]

LOOK_PX = 512
"""Edge of the tile that is answered at once, in network pixels: dozens of cells, in less than a
second on two threads."""
WORTH = 4
"""Only ahead of a tile with so many times its pixels."""


class InView:
    """Order of a run by what is looked at, and the parts of its answer that are there.

    Parameters
    ----------
    plan : InferencePlan
        Without ``first``, everything is as it is, and no part is told.
    """

    def __init__(self, plan: InferencePlan) -> None:
        self._plan = plan
        self.channels = sum(output.channels for output in plan.checkpoint.outputs)
        self._new: list[FinishedPart] = []
        where = dict(zip(plan.axes, plan.first or (), strict=False))
        self._at = {axis: (part.start + part.stop - 1) / 2 for axis, part in where.items()}

    def units(self, units: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return planes (volumes) with the one that is looked at in front."""
        if not self._at:
            return units
        return sorted(units, key=lambda unit: unit != self._unit)

    def tasks(
        self, tasks: Sequence[TileTask], memory: MemoryPlan, unit: tuple[int, int]
    ) -> Sequence[TileTask]:
        """Return the tasks of a plane, those that are looked at first where that changes nothing.

        Where nothing is looked at, the largest is the first: what the others need is then taken
        once, and a lack of memory shows at once. Tiles that are blended are summed up in their
        order, and batches are of neighbours.
        """
        if memory.batch > 1 or not memory.tiling.exact:
            return tasks
        if not self._at or unit != self._unit:
            largest = max(tasks, key=lambda task: _pixels(task.tile))
            return [largest, *(task for task in tasks if task is not largest)]
        return sorted(tasks, key=lambda task: self._distance(task.tile))

    def first_look(
        self, engine: Engine, rule: MapTiles, memory: MemoryPlan, reader: TaskReader
    ) -> Iterator[Progress]:
        """Answer a small tile, and tell what comes of it; nothing where tiles are small anyway."""
        given = self._plan.input
        largest = max(map(_pixels, memory.tiling.tiles))
        if not self._at or given.ndim == 3 or largest < WORTH * LOOK_PX**2:
            return
        yield Progress(what="first tile")
        small = rule.cut((LOOK_PX,) * 2)
        tasks = tile_tasks(given, small, *self._unit)
        task = min(tasks, key=lambda task: self._distance(task.tile))
        try:
            block = reader.read(task)[None]
            said = engine.maps(block, offset=task.offset, whole=task.frame.size)[0]
        except Exception as error:
            if engine.is_out_of_memory(error):  # the run has its own ways out of that
                return
            raise
        self._tell(said[(slice(None), *task.tile.keep)], task)
        yield Progress(what="first tile", shown=self.parts())

    def sink(self, sink: Sink) -> Sink:
        """Return a sink that remembers what was written until that is told."""
        return _Telling(sink, self) if self._at else sink

    def parts(self) -> tuple[FinishedPart, ...]:
        """Return what is there since this was asked last."""
        new, self._new = tuple(self._new), []
        return new

    def wrote(self, where: tuple[slice, ...], values: npt.NDArray[np.float32]) -> None:
        """Take what was written of the whole answer."""
        self._new.append(self._part(values, where[1:]))

    @property
    def _unit(self) -> tuple[int, int]:
        z = self._at.get("z", 0.0) if self._plan.input.ndim == 2 else 0.0
        return int(self._at.get("t", 0.0)), int(z)

    def _distance(self, tile: Tile) -> float:
        """Return how far a tile is from the middle of the view, in network pixels."""
        total = 0.0
        for axis, part in zip("zyx"[-len(tile.write) :], tile.write, strict=True):
            at = self._at.get(axis, 0.0) / self._zoom[axis]
            beside = max(part.start - at, at - (part.stop - 1), 0.0)
            # Of those that hold it or are as far, the one whose middle is nearest.
            total += beside**2 + 1e-6 * ((part.start + part.stop) / 2 - at) ** 2
        return total

    @property
    def _zoom(self) -> dict[str, float]:
        given = self._plan.input
        names = "zyx"[-given.ndim :]
        return {a: n / m for a, n, m in zip(names, given.shape, given.seen, strict=True)}

    def _tell(self, maps: npt.NDArray[np.float32], task: TileTask) -> None:
        """Bring maps of a plane ``(channel, y, x)`` to the image's pixels."""
        place = [
            slice(round(part.start * self._zoom[a]), round(part.stop * self._zoom[a]))
            for a, part in zip("yx", task.tile.write, strict=True)
        ]
        lengths = tuple(part.stop - part.start for part in place)
        if maps.shape[1:] != lengths:
            maps = resize(maps, lengths)
        t, z = self._unit
        where = {"t": slice(t, t + 1), "z": slice(z, z + 1), "y": place[0], "x": place[1]}
        box = tuple(where[a] for a in self._plan.axes)
        self._new.append(self._part(maps.reshape(len(maps), *(b.stop - b.start for b in box)), box))

    def _part(self, values: npt.NDArray[np.float32], where: tuple[slice, ...]) -> FinishedPart:
        outputs, ndim = self._plan.checkpoint.outputs, self._plan.input.ndim
        maps = Maps(data=values, axes="c" + self._plan.axes, outputs=outputs, ndim=ndim)
        return FinishedPart(answer=maps, where=where)


class _Telling:
    """Hands everything on, and tells what was written of all channels."""

    def __init__(self, sink: Sink, into: InView) -> None:
        self._sink, self._into = sink, into
        self._held: list[npt.NDArray[np.float32]] = []

    def write(self, where: tuple[slice, ...], values: npt.NDArray[np.float32]) -> None:
        self._sink.write(where, values)
        if where[0].start == 0:
            self._held = []
        self._held.append(values)
        if where[0].stop == self._into.channels:
            self._into.wrote(where, np.concatenate(self._held))
            self._held = []

    def finish(self) -> object:
        return self._sink.finish()


def _pixels(tile: Tile) -> int:
    """Return how many the network sees of a tile."""
    return math.prod(part.stop - part.start for part in tile.frame)

"""TileTask: one tile of a run, as a value that another process can work on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from napari_segnet.image import Image
from napari_segnet.plan.input import NetworkInput, UnitInput
from napari_segnet.tiles import Frame, Tile, Tiling

__all__ = ["TaskReader", "TileTask", "batches", "read_task", "tile_tasks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TileTask:
    """What one worker reads, shows to the network, and keeps of its answer.

    Attributes
    ----------
    unit : UnitInput
        The plane or volume: its channels and fitted normalisation, its size in the image and in
        the eyes of the network.
    tile : Tile
        The boxes, in network pixels.
    frame : Frame
        What the tile was cut from.
    mirrored : bool
        Whether it is also shown turned over along y, x and both, and the answers averaged.
    """

    unit: UnitInput
    tile: Tile
    frame: Frame
    mirrored: bool = False

    @property
    def offset(self) -> tuple[int, ...]:
        """Return where it begins in the frame ``([z,] y, x)``, in pixels."""
        return tuple(part.start for part in self.tile.frame)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Return the size of what the network sees ``([z,] y, x)``, in pixels."""
        return tuple(part.stop - part.start for part in self.tile.frame)


class TaskReader:
    """Reads the pixels of tasks of one image.

    Where an image is shown at another scale, a plane (volume) is resampled as a whole, so that
    tiles agree where they meet; that of the last task is kept for the next one.

    Parameters
    ----------
    image : Image
        The image of the plan.

    Attributes
    ----------
    image : Image
        The same.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self._seen: tuple[int, int] | None = None
        self._pixels: npt.NDArray[np.float32] | None = None

    def read(self, task: TileTask) -> npt.NDArray[np.float32]:
        """Return what the network sees of a task: ``(c, *task.lengths)`` float32."""
        unit, tile = task.unit, task.tile
        if unit.seen == unit.shape:
            return tile.fill(unit.read(self.image, tile.read), task.frame)
        if self._pixels is None or self._seen != (unit.t, unit.z):
            self._pixels = None  # before the next one takes as much
            self._pixels, self._seen = unit.read_seen(self.image), (unit.t, unit.z)
        return tile.fill(self._pixels[(slice(None), *tile.read)], task.frame)


def read_task(task: TileTask, image: Image) -> npt.NDArray[np.float32]:
    """Return what the network sees of a task of an image: ``(c, *task.lengths)`` float32."""
    return TaskReader(image).read(task)


def tile_tasks(
    given: NetworkInput, tiling: Tiling, t: int, z: int, *, mirrored: bool = False
) -> tuple[TileTask, ...]:
    """Return the tasks of one plane, or volume (``z`` is 0), in raster order."""
    unit = given.unit(t, z)
    return tuple(
        TileTask(unit=unit, tile=tile, frame=tiling.frame, mirrored=mirrored)
        for tile in tiling.tiles
    )


def batches(tasks: Sequence[TileTask], most: int) -> Iterator[list[TileTask]]:
    """Cut tasks into batches of neighbours that have one size."""
    for _, same in groupby(tasks, key=lambda task: task.lengths):
        group = list(same)
        for first in range(0, len(group), most):
            yield group[first : first + most]

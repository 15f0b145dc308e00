"""Tiles of maps become one: written side by side where they are exact, else blended."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_segnet.engines import AnswersParts, Engine
from napari_segnet.engines.apart._there import mean_of_mirrors
from napari_segnet.engines.cluster import WorksAhead
from napari_segnet.image import Image
from napari_segnet.plan.precision import PrecisionChoice
from napari_segnet.plan.tasks import TaskReader, TileTask, batches, read_task
from napari_segnet.prepare.scale import BAND_PX, resize, resize_in_bands
from napari_segnet.progress import check_cancelled
from napari_segnet.sinks import Sink, large_array
from napari_segnet.sinks.file import in_memory_bytes
from napari_segnet.stitch.ahead import answers_ahead

__all__ = [
    "Apart",
    "BlendedSink",
    "KeptMaps",
    "ScaledSink",
    "Seams",
    "UnitSink",
    "blend_weight",
    "run_task",
    "stitch_maps",
]

GAUSSIAN_SHARE = 1 / 8
"""Sigma of the blending weight, as a share of the tile's edge (nnU-Net, MONAI)."""


class KeptMaps(Protocol):
    """What tiles of one plane or volume say, kept by their number while the run goes on."""

    def get(self, tile: int) -> npt.NDArray[np.float32] | None:
        """Return the maps ``(channel, [z,] y, x)`` of a tile, if they are known."""

    def put(self, tile: int, maps: npt.NDArray[np.float32]) -> None:
        """Keep the maps of a tile."""


def run_task(
    engine: Engine, task: TileTask, image: Image, precision: str = "fp32"
) -> npt.NDArray[np.float32]:
    """Answer one task, wherever it is run.

    Returns
    -------
    ndarray
        ``(channel, [z,] y, x)`` float32: the maps of ``task.tile.write``.
    """
    maps = _answer(engine, [task], read_task(task, image)[None], precision)[0]
    kept: npt.NDArray[np.float32] = maps[(slice(None), *task.tile.keep)]
    return kept


def stitch_maps(
    engine: Engine,
    tasks: Sequence[TileTask],
    reader: TaskReader,
    sink: Sink,
    precision: PrecisionChoice[npt.NDArray[np.float32]],
    batch: int = 1,
    known: KeptMaps | None = None,
) -> Iterator[int]:
    """Answer all tasks of one plane or volume and hand the kept parts to a sink.

    Parameters
    ----------
    engine : Engine
        The network.
    tasks : sequence of TileTask
        In the order in which they are answered.
    reader : TaskReader
        Of their image.
    sink : Sink
        Receives ``(channel, [z,] y, x)``; a :class:`BlendedSink` where tiles overlap.
    precision : PrecisionChoice
        What to compute in.
    batch : int
        Tiles that the network sees at once, if they have one size.
    known : KeptMaps, optional
        What an earlier part of the run kept; the network does not see these tiles again.

    Yields
    ------
    int
        How many tiles are done.
    """
    if isinstance(engine, WorksAhead):
        yield from _stitch_ahead(engine, tasks, reader, sink, precision, known)
        return
    done = 0
    for group in batches(tasks, 1 if engine.depends_on_offset else batch):
        check_cancelled()
        for task, kept in zip(
            group, _kept_parts(engine, group, done, reader, precision, known), strict=True
        ):
            sink.write((slice(0, len(kept)), *task.tile.write), kept)
        done += len(group)
        yield done


def _stitch_ahead(
    engine: Any,
    tasks: Sequence[TileTask],
    reader: TaskReader,
    sink: Sink,
    precision: PrecisionChoice[npt.NDArray[np.float32]],
    known: KeptMaps | None,
) -> Iterator[int]:
    """Do the same where the engine takes many tiles at once, in the precision of the first."""

    def here(task: TileTask, how: str) -> npt.NDArray[np.float32]:
        maps = _answer(engine, [task], reader.read(task)[None], how)[0]
        kept: npt.NDArray[np.float32] = maps[(slice(None), *task.tile.keep)]
        return kept

    def put(number: int, maps: npt.NDArray[np.float32]) -> None:
        if known is not None:
            known.put(number, maps)

    lacking = [n for n in range(len(tasks)) if known is None or known.get(n) is None]
    first: dict[int, npt.NDArray[np.float32]] = {}
    if lacking and precision.chosen is None:
        first[lacking[0]] = precision.answer(engine, partial(here, tasks[lacking[0]]))
        put(lacking[0], first[lacking[0]])
    sent = precision.chosen or "fp32"
    ahead = answers_ahead(engine, [tasks[n] for n in lacking if n not in first], reader, sent)
    for number, task in enumerate(tasks):
        part = first.pop(number, None)
        if part is None and known is not None:
            part = known.get(number)
        if part is None:
            _, said = next(ahead)
            # Where half precision overflowed, it is answered again in full.
            part = precision.answer(engine, partial(_as_sent, said, sent, partial(here, task)))
            put(number, part)
        sink.write((slice(0, len(part)), *task.tile.write), part)
        yield number + 1


def _as_sent(
    said: npt.NDArray[np.float32],
    sent: str,
    again: Callable[[str], npt.NDArray[np.float32]],
    precision: str,
) -> npt.NDArray[np.float32]:
    return said if precision == sent else again(precision)


def _kept_parts(
    engine: Engine,
    group: list[TileTask],
    first: int,
    reader: TaskReader,
    precision: PrecisionChoice[npt.NDArray[np.float32]],
    known: KeptMaps | None,
) -> list[npt.NDArray[np.float32]]:
    """Return what each tile of a batch says of what it writes; ``first`` is the first's number."""
    if known is not None:
        # All of a batch or none: what stands beside a tile in it may move its last digits.
        found = [one for n in range(len(group)) if (one := known.get(first + n)) is not None]
        if len(found) == len(group):
            return found
    blocks = np.stack([reader.read(task) for task in group])
    if len(group) == 1 and not group[0].mirrored and isinstance(engine, AnswersParts):
        keep = group[0].tile.keep
        parts = list(precision.answer(engine, partial(_part, engine, blocks, keep)))
    else:
        answer = precision.answer(engine, partial(_answer, engine, group, blocks))
        parts = [
            maps[(slice(None), *task.tile.keep)] for task, maps in zip(group, answer, strict=True)
        ]
    if known is not None:
        for number, part in enumerate(parts, first):
            known.put(number, part)
    return parts


def _part(
    engine: AnswersParts,
    blocks: npt.NDArray[np.float32],
    keep: tuple[slice, ...],
    precision: str,
) -> npt.NDArray[np.float32]:
    return engine.part(blocks, keep, precision=precision)


def _answer(
    engine: Engine, tasks: Sequence[TileTask], blocks: npt.NDArray[np.float32], precision: str
) -> npt.NDArray[np.float32]:
    first = tasks[0]
    maps = partial(engine.maps, precision=precision, whole=first.frame.size)
    if first.mirrored:
        return mean_of_mirrors(maps, blocks, first.offset, first.frame.size)
    return maps(blocks, offset=first.offset)


def blend_weight(shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return the weight of each pixel of a tile: a Gaussian that is highest in its middle.

    Never below a thousandth, so that a corner which only one tile sees is kept.
    """
    weight = np.ones((1,) * len(shape), np.float32)
    for axis, length in enumerate(shape):
        middle = (length - 1) / 2
        sigma = max(length * GAUSSIAN_SHARE, 0.5)
        bell = np.exp(-0.5 * ((np.arange(length) - middle) / sigma) ** 2)
        weight = weight * np.expand_dims(
            bell.astype(np.float32), [a for a in range(len(shape)) if a != axis]
        )
    return np.maximum(weight, 1e-3)


class Seams:
    """How far neighbouring tiles differ on the pixels that both answer.

    Attributes
    ----------
    worst : float
        The largest 99th percentile of the difference between a tile and what the tiles
        before it say, 0 to 1 for probabilities.
    """

    def __init__(self) -> None:
        self.worst = 0.0

    def see(self, difference: npt.NDArray[np.float32]) -> None:
        """Take the absolute differences of one tile into account."""
        if difference.size:
            self.worst = max(self.worst, float(np.percentile(difference, 99)))


class Apart:
    """How far apart the tiles of one unit are in one channel, pixel by pixel.

    Parameters
    ----------
    into : Sink
        Receives the unit ``(1, *shape)``, 0 where only one tile answers.
    shape : tuple of int
        ``([z,] y, x)``.
    channel : int
        Which one.
    """

    def __init__(self, into: Sink, shape: tuple[int, ...], channel: int) -> None:
        self._into, self._channel = into, channel
        self._array: npt.NDArray[np.float16] = large_array(shape, np.float16)
        self._array[...] = 0

    def see(
        self,
        box: tuple[slice, ...],
        both: npt.NDArray[np.bool_],
        difference: npt.NDArray[np.float32],
    ) -> None:
        """Take the differences ``(channel, n)`` of a tile from those before it, where it has any.

        ``both`` tells which pixels of ``box`` these are; of several differences the largest counts.
        """
        part = self._array[box]
        # What agrees to the last digit is told from what one tile alone has answered.
        least = np.finfo(np.float16).tiny
        new = np.clip(np.nan_to_num(difference[self._channel]), least, 1).astype(np.float16)
        part[both] = np.maximum(part[both], new)

    def finish(self) -> None:
        """Hand it on."""
        whole = tuple(slice(0, n) for n in self._array.shape)
        rows = max(1, BAND_PX // math.prod(self._array.shape[1:]))
        for start in range(0, len(self._array), rows):
            part = slice(start, min(start + rows, len(self._array)))
            self._into.write(
                (slice(0, 1), part, *whole[1:]), self._array[part][None].astype(np.float32)
            )
        self._into.finish()


class UnitSink:
    """One plane or volume of an answer, as a sink of its own.

    Parameters
    ----------
    sink : Sink
        Of the whole answer ``(channel, [t,] [z,] y, x)``.
    place : tuple of slice
        Which plane (volume): one slice of length 1 for each axis between the channel and the
        axes of the unit.
    """

    def __init__(self, sink: Sink, place: tuple[slice, ...]) -> None:
        self._sink, self._place = sink, place

    def write(self, where: tuple[slice, ...], values: npt.NDArray[np.float32]) -> None:
        """Keep a box ``(channel, [z,] y, x)``."""
        lengths = (len(values), *(1,) * len(self._place), *values.shape[1:])
        self._sink.write((where[0], *self._place, *where[1:]), values.reshape(lengths))

    def finish(self) -> None:
        """Do nothing: the answer may have more units."""


class ScaledSink:
    """Receives a unit at the network's pixels and hands it on at those of the image.

    Parameters
    ----------
    into : Sink
        Receives the whole unit ``(channel, *shape)`` at once.
    channels : int
        Of the maps.
    seen, shape : tuple of int
        ``([z,] y, x)`` in network and image pixels.
    """

    def __init__(
        self, into: Sink, channels: int, seen: tuple[int, ...], shape: tuple[int, ...]
    ) -> None:
        self._into, self._shape = into, shape
        self._array: npt.NDArray[np.float32] = large_array((channels, *seen), np.float32)

    def write(self, where: tuple[slice, ...], values: npt.NDArray[np.float32]) -> None:
        """Keep a box ``(channel, [z,] y, x)`` in network pixels."""
        self._array[where] = values

    def finish(self) -> None:
        """Resample the unit and hand it on: a large one band by band."""
        channels, *seen = self._array.shape
        whole = tuple(slice(0, n) for n in (channels, *self._shape))
        if 4 * math.prod((channels, *self._shape)) <= in_memory_bytes():
            self._into.write(whole, resize(self._array, self._shape))
        else:
            for rows, block in resize_in_bands(self._rows, channels, tuple(seen), self._shape):
                self._into.write((whole[0], rows, *whole[2:]), block)
        self._into.finish()

    def _rows(self, rows: slice) -> npt.NDArray[np.float32]:
        return self._array[:, rows]


class BlendedSink:
    """Weighs overlapping tiles of one unit against each other and hands on their mean.

    Parameters
    ----------
    into : Sink
        Receives the unit ``shape``, channel by channel.
    shape : tuple of int
        ``(channel, [z,] y, x)``.
    seams : Seams, optional
        Collects how far the tiles differ.
    apart : Apart, optional
        Collects where they do.
    """

    def __init__(
        self,
        into: Sink,
        shape: tuple[int, ...],
        seams: Seams | None = None,
        apart: Apart | None = None,
    ) -> None:
        self._into, self._seams, self._apart = into, seams or Seams(), apart
        self._sum: npt.NDArray[np.float32] = large_array(shape, np.float32)
        self._weight: npt.NDArray[np.float32] = large_array(shape[1:], np.float32)
        self._sum[...] = 0
        self._weight[...] = 0

    def write(self, where: tuple[slice, ...], values: npt.NDArray[np.float32]) -> None:
        """Add the answer of a tile, all of its channels."""
        weight = blend_weight(values.shape[1:])
        box = where[1:]
        before = self._weight[box]
        both = before > 0
        said = self._sum[where][:, both] / before[both]
        difference = np.abs(said - values[:, both])
        self._seams.see(difference)
        if self._apart is not None:
            self._apart.see(box, both, difference)
        self._sum[where] += values * weight
        self._weight[box] += weight

    def finish(self) -> None:
        """Divide by the weights and hand on, channel by channel and band by band."""
        across = tuple(slice(0, n) for n in self._weight.shape[1:])
        rows = max(1, BAND_PX // math.prod(self._weight.shape[1:]))
        for channel, total in enumerate(self._sum):
            for start in range(0, len(total), rows):
                part = slice(start, min(start + rows, len(total)))
                mean = total[part] / self._weight[part]
                self._into.write((slice(channel, channel + 1), part, *across), mean[None])
        self._into.finish()
        if self._apart is not None:
            self._apart.finish()

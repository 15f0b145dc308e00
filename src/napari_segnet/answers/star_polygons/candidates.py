"""What may be an object is picked out of the maps of tiles as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.plan.kept import KeptRun
from napari_segnet.plan.tasks import TileTask
from napari_segnet.segmentation import Maps, StarPolygons
from napari_segnet.sinks import Sink
from napari_segnet.star import Rays, circle, rays_from_json

__all__ = ["CandidateSink", "Candidates", "Star", "WholeSink", "star_of", "stars_of_maps"]

Floats = npt.NDArray[np.float32]
LEAST_DISTANCE = 1e-3
"""As StarDist has it: no edge is nearer."""
BORDER = 2
"""So many places of the grid along the edge of the image begin no object, as in StarDist."""
LEAST_SCORE = 0.05
"""Below, nothing is kept: so low a threshold was chosen for no network that finds objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Star:
    """What a checkpoint says of the objects that its network answers with.

    Attributes
    ----------
    grid : tuple of int
        Every how many pixels along each axis it says something.
    rays : Rays
        Along which it measures.
    least : float
        Lowest score that is kept.
    """

    grid: tuple[int, ...]
    rays: Rays
    least: float


def star_of(checkpoint: Checkpoint) -> Star:
    """Return what a checkpoint says under ``star`` of its ``hparams``."""
    said: Mapping[str, Any] = checkpoint.hparams["star"]
    rays = said.get("rays")
    threshold = float(checkpoint.card.get("label", {}).get("threshold", 0.5))
    return Star(
        grid=tuple(int(n) for n in said["grid"]),
        rays=circle(int(said["n_rays"])) if rays is None else rays_from_json(rays),
        least=min(LEAST_SCORE, threshold / 2),
    )


@dataclass(slots=True, kw_only=True, eq=False)
class Candidates:
    """Rows of one plane or volume; see :class:`napari_segnet.segmentation.StarPolygons`."""

    points: npt.NDArray[np.int32]
    distances: Floats
    scores: Floats
    classes: npt.NDArray[np.int64]

    @classmethod
    def joined(cls, parts: list[Candidates], star: Star) -> Candidates:
        """Return the rows of all tiles in the order of their places, however they were cut."""
        ndim, count = star.rays.ndim, len(star.rays)
        points = np.concatenate([np.zeros((0, ndim), np.int32), *(p.points for p in parts)])
        order = np.lexsort(points.T[::-1])
        distances = np.concatenate([np.zeros((0, count), "f4"), *(p.distances for p in parts)])
        scores = np.concatenate([np.zeros(0, np.float32), *(p.scores for p in parts)])
        classes = np.concatenate([np.zeros(0, np.int64), *(p.classes for p in parts)])
        return cls(
            points=points[order],
            distances=distances[order],
            scores=scores[order],
            classes=classes[order],
        )


class CandidateSink:
    """Receives the maps of tiles of one unit, in network pixels.

    Parameters
    ----------
    star : Star
        Of the network.
    lengths : tuple of int
        ``([z,] y, x)`` of what the network sees, padded.
    into : Sink
        Receives the first map.
    """

    def __init__(self, star: Star, lengths: tuple[int, ...], into: Sink) -> None:
        self._star, self._lengths, self._into = star, lengths, into
        self.parts: list[Candidates] = []

    def write(self, where: tuple[slice, ...], values: Floats) -> None:
        """Pick out what may be objects of a box ``(channel, [z,] y, x)``: all channels."""
        grid, count = self._star.grid, len(self._star.rays)
        self._into.write((slice(0, 1), *where[1:]), values[:1])
        first = [-part.start % g for part, g in zip(where[1:], grid, strict=True)]
        maps = values[(slice(None), *_on_grid(where[1:], grid))]
        start = [(w.start + a) // g for w, a, g in zip(where[1:], first, grid, strict=True)]
        maybe = maps[0] > self._star.least
        for axis, (low, g, n) in enumerate(zip(start, grid, self._lengths, strict=True)):
            at = low + np.arange(maybe.shape[axis])
            inside = (at >= BORDER) & (at < n // g - BORDER)
            maybe &= np.expand_dims(inside, [a for a in range(maybe.ndim) if a != axis])
        rows: tuple[Any, ...] = np.nonzero(maybe)
        points = (np.stack(rows, axis=1) + start) * grid
        distances = maps[1 : 1 + count][(slice(None), *rows)].T
        classes = maps[1 + count :][(slice(None), *rows)]
        self.parts.append(
            Candidates(
                points=points.astype(np.int32),
                distances=np.maximum(distances, LEAST_DISTANCE).astype(np.float32),
                scores=maps[0][rows].astype(np.float32),
                classes=1 + classes[1:].argmax(0)
                if len(classes) > 1
                else np.ones(len(points), np.int64),
            )
        )

    def finish(self) -> None:
        """Let the first map be finished."""
        self._into.finish()


class StarBlocks:
    """What tiles of one unit say, kept on the disk by their number; see ``stitch.maps.KeptMaps``.

    The first map is kept whole, the others where an object may begin: a :class:`CandidateSink`
    asks no more.

    Parameters
    ----------
    run : KeptRun
        All that is kept.
    unit : int
        The plane or volume.
    star : Star
        Of the network.
    tasks : sequence of TileTask
        Of the unit.
    """

    def __init__(self, run: KeptRun, unit: int, star: Star, tasks: Sequence[TileTask]) -> None:
        self._run, self._unit, self._star, self._tasks = run, unit, star, tasks

    def get(self, tile: int) -> Floats | None:
        """Return the maps ``(channel, [z,] y, x)`` of a tile, 0 where no object may begin."""
        found = self._run.get(self._unit, tile)
        if found is None:
            return None
        first, said = found["first"], found["said"]
        maps: Floats = np.zeros((1 + len(said), *first.shape), np.float32)
        maps[0] = first
        inside = maps[1:][(slice(None), *self._box(tile))]  # a view
        inside[:, found["maybe"]] = said
        return maps

    def put(self, tile: int, maps: Floats) -> None:
        """Keep the maps of a tile."""
        maybe = maps[0][self._box(tile)] > self._star.least
        said = maps[1:][(slice(None), *self._box(tile))][:, maybe]
        self._run.put(self._unit, tile, first=maps[0], maybe=maybe, said=said)

    def _box(self, tile: int) -> tuple[slice, ...]:
        return _on_grid(self._tasks[tile].tile.write, self._star.grid)


def _on_grid(where: Sequence[slice], grid: Sequence[int]) -> tuple[slice, ...]:
    """Return which pixels of a box lie on the grid of a network."""
    return tuple(slice(-w.start % g, None, g) for w, g in zip(where, grid, strict=True))


class WholeSink:
    """Collects channels that come one by one, and hands them on together.

    Parameters
    ----------
    into : Sink
        Receives the whole unit at once.
    shape : tuple of int
        ``(channel, [z,] y, x)``.
    """

    def __init__(self, into: Sink, shape: tuple[int, ...]) -> None:
        self._into, self._array = into, np.empty(shape, np.float32)

    def write(self, where: tuple[slice, ...], values: Floats) -> None:
        """Keep a box."""
        self._array[where] = values

    def finish(self) -> None:
        """Hand all of it on."""
        self._into.write(tuple(slice(0, n) for n in self._array.shape), self._array)
        self._into.finish()


class _Nowhere:
    """A sink for what is there already."""

    def write(self, where: tuple[slice, ...], values: Floats) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


def stars_of_maps(data: Floats, checkpoint: Checkpoint) -> StarPolygons:
    """Return the objects that the maps ``(channel, [z,] y, x)`` of one picture say."""
    star, lengths = star_of(checkpoint), data.shape[1:]
    sink = CandidateSink(star, lengths, _Nowhere())
    sink.write(tuple(slice(0, n) for n in data.shape), data)
    found = Candidates.joined(sink.parts, star)
    axes = "zyx"[-len(lengths) :]
    maps = Maps(
        data=data[:1], axes=f"c{axes}", outputs=checkpoint.outputs[:1], ndim=checkpoint.ndim
    )
    return StarPolygons(
        points=found.points,
        distances=found.distances,
        scores=found.scores,
        classes=found.classes,
        unit=np.zeros(len(found.points), np.int64),
        vertices=star.rays.vertices,
        faces=star.rays.faces,
        zoom=(1.0,) * len(lengths),
        seen=tuple(lengths),
        maps=maps,
    )

"""Tiles of maps become one: written side by side where they are exact, else blended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.progress import check_cancelled
from napari_segnet.tiles import Tile, Tiling

__all__ = ["Answer", "Seams", "blend_weight", "stitch_maps"]

Answer = Callable[[npt.NDArray[np.float32], tuple[int, ...]], npt.NDArray[np.float32]]
"""Batch ``(n, c, [z,] y, x)`` and where it begins in the frame -> ``(n, channel, ...)``."""

GAUSSIAN_SHARE = 1 / 8
"""Sigma of the blending weight, as a share of the tile's edge (nnU-Net, MONAI)."""


def stitch_maps(
    tiling: Tiling,
    read: Callable[[Tile], npt.NDArray[np.float32]],
    answer: Answer,
    out: npt.NDArray[Any],
    batch: int = 1,
    one_place: bool = False,
    seams: Seams | None = None,
) -> Iterator[int]:
    """Answer all tiles of one plane or volume and write them into ``out``.

    Parameters
    ----------
    tiling : Tiling
        The tiles.
    read : callable
        Returns the prepared pixels of ``tile.read``: ``(c, [z,] y, x)`` float32.
    answer : callable
        The network, see :data:`Answer`.
    out : ndarray
        ``(channel, [z,] y, x)``; float16 or float32, may be a memory map.
    batch : int
        Tiles that the network sees at once, if they have one size.
    one_place : bool
        True if tiles of one batch must begin at the same place: then one at a time.
    seams : Seams, optional
        Collects how far neighbouring tiles differ, where they are blended.

    Yields
    ------
    int
        How many tiles are done.
    """
    done = 0
    blended = None if tiling.exact else _Blended(out, seams or Seams())
    for tiles in _batches(tiling.tiles, 1 if one_place else batch):
        check_cancelled()
        blocks = np.stack([tile.fill(read(tile), tiling.frame) for tile in tiles])
        begin = tuple(part.start for part in tiles[0].frame)
        for tile, maps in zip(tiles, answer(blocks, begin), strict=True):
            kept = maps[(slice(None), *tile.keep)]
            if blended is None:
                out[(slice(None), *tile.write)] = kept
            else:
                blended.add(kept, tile.write)
        done += len(tiles)
        yield done
    if blended is not None:
        blended.finish()


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


class _Blended:
    """Weighted sum of overlapping answers."""

    def __init__(self, out: npt.NDArray[Any], seams: Seams) -> None:
        self._out, self._seams = out, seams
        self._sum = np.zeros(out.shape, np.float32)
        self._weight = np.zeros(out.shape[1:], np.float32)

    def add(self, maps: npt.NDArray[np.float32], where: tuple[slice, ...]) -> None:
        weight = blend_weight(maps.shape[1:])
        before = self._weight[where]
        both = before > 0
        said = self._sum[(slice(None), *where)][:, both] / before[both]
        self._seams.see(np.abs(said - maps[:, both]))
        self._sum[(slice(None), *where)] += maps * weight
        self._weight[where] += weight

    def finish(self) -> None:
        for channel, total in zip(self._out, self._sum, strict=True):
            channel[...] = total / self._weight


def _batches(tiles: Sequence[Tile], batch: int) -> Iterator[list[Tile]]:
    """Cut into batches of neighbours that have one size."""
    for _, same in groupby(tiles, key=_shape):
        group = list(same)
        for first in range(0, len(group), batch):
            yield group[first : first + batch]


def _shape(tile: Tile) -> tuple[int, ...]:
    return tuple(part.stop - part.start for part in tile.frame)

"""The image as a network may have been shown its own: tiles of a part, under a hypothesis."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.image import Image
from napari_segnet.prepare import (
    ArrayStatistics,
    ChannelMap,
    Normalization,
    fit,
    map_channels,
    parse_normalizer,
)
from napari_segnet.prepare.scale import resize, scaled_lengths

__all__ = ["Part", "Tile", "Way", "part_of"]

MOST_EDGE_PX = 1536
"""Of the middle of a plane, in which tiles are looked for: enough for some hundred cells, and
quick to measure for each normalisation."""
LIMITS = (5.0, 25.0, 50.0, 75.0, 95.0)
"""Percentiles of a part, below which a set of tiles should have as many pixels."""
TRIED_SETS = 48
"""Of tiles; the set that looks most like the whole part is shown."""
Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to show an image to a network, in the words of the settings of a run.

    Attributes
    ----------
    normalize, over, channels, invert : str
        As in ``PredictSettings``; nothing is left open, but ``channels`` may be ``auto``.
    scale : float
        Image pixels per network pixel.
    """

    normalize: str
    over: str = "volume"
    channels: str = "auto"
    invert: str = "no"
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Tile:
    """A square of a part, in image pixels ``(y, x)``."""

    top: int
    left: int
    height: int
    width: int


class Part:
    """The middle of an image in memory, of which tiles are read under many hypotheses.

    Parameters
    ----------
    image : Image
        In memory; one time point, and for a network of planes one plane.
    channels, ndim : int
        What the network takes.
    depth : int
        Planes of a tile, for a network of volumes.
    corner : tuple of int
        Where its first pixel lies in the plane, ``(y, x)``.
    """

    def __init__(
        self,
        image: Image,
        channels: int,
        ndim: int,
        depth: int = 1,
        corner: tuple[int, int] = (0, 0),
    ) -> None:
        self.image, self._channels, self.ndim = image, channels, ndim
        self.corner = corner
        self._depth = depth if ndim == 3 else 1
        self._maps: dict[tuple[str, str], ChannelMap] = {}
        self._fitted: dict[tuple[str, str, str, str], Normalization] = {}
        self._raw: dict[tuple[ChannelMap, Tile], npt.NDArray[np.generic]] = {}
        sizes = image.sizes
        self.shape = sizes["y"], sizes["x"]
        self._middle = image.read(t=0, z=sizes["z"] // 2)[0, :, 0]  # (c, y, x)

    def map(self, way: Way) -> ChannelMap:
        """Return which channels a way takes."""
        key = (way.channels, way.invert)
        if key not in self._maps:
            self._maps[key] = map_channels(
                self.image, self._channels, way.channels, invert=way.invert == "yes"
            )
        return self._maps[key]

    def fitted(self, way: Way) -> Normalization:
        """Return the normalisation of a way, measured on the part."""
        key = (way.normalize, way.over, way.channels, way.invert)
        if key not in self._fitted:
            how = parse_normalizer(way.normalize)
            self._fitted[key] = fit(self.image, self.map(way), how, way.over)
        return self._fitted[key]

    def tiles(self, edge: int, scale: float, count: int) -> tuple[Tile, ...]:
        """Return the tiles that together look most like the whole part.

        Parameters
        ----------
        edge : int
            In network pixels.
        scale : float
            Image pixels per network pixel.
        count : int
            How many at most; fewer where they would cover the part several times.
        """
        height, width = (min(n, max(1, round(edge * scale))) for n in self.shape)
        most = max(1, round(1.5 * self.shape[0] * self.shape[1] / (height * width)))
        return self._likest(height, width, min(count, most))

    def grid(self, edge: int, scale: float, most: int) -> tuple[tuple[Tile, ...], ...]:
        """Return rows of tiles laid out evenly over the part, no more than ``most`` in all."""
        height, width = (min(n, max(1, round(edge * scale))) for n in self.shape)
        rows, columns = (
            max(1, round(n / m)) for n, m in zip(self.shape, (height, width), strict=True)
        )
        while rows * columns > most:
            rows, columns = (rows - 1, columns) if rows >= columns else (rows, columns - 1)
        return tuple(
            tuple(Tile(top, left, height, width) for left in _starts(self.shape[1], width, columns))
            for top in _starts(self.shape[0], height, rows)
        )

    def read(self, way: Way, tiles: Sequence[Tile], edge: int) -> Pixels:
        """Return tiles as the network would be shown them.

        ``(n, c, [z,] edge, edge)`` float32; a tile of a small part is mirrored at its ends.
        """
        channels, fitted = self.map(way), self.fitted(way)
        deep = self.image.sizes["z"]
        first = max(0, (deep - self._depth) // 2)
        planes = slice(first, min(deep, first + self._depth))
        made = []
        for tile in tiles:
            key = (channels, tile)
            if key not in self._raw:
                y = slice(tile.top, tile.top + tile.height)
                x = slice(tile.left, tile.left + tile.width)
                self._raw[key] = channels.read(self.image, 0, planes, y, x)
            raw = self._raw[key]  # (c, z, y, x)
            block = np.empty(raw.shape, np.float32)
            for z in range(raw.shape[1]):
                affines = fitted.affines(0, planes.start + z)
                for c, affine in enumerate(affines):
                    affine.apply(raw[c, z], out=block[c, z])
            made.append(_squared(block, way.scale, edge))
        stack = np.stack(made)
        return np.ascontiguousarray(stack if self.ndim == 3 else stack[:, :, 0])

    def _likest(self, height: int, width: int, count: int) -> tuple[Tile, ...]:
        tops, lefts = _drawn(self.shape, (height, width), count)
        unlike = np.zeros(TRIED_SETS)
        for figure in _figures(self._middle):
            # Neighbours are a column fewer than pixels.
            across = width - (self.shape[1] - figure.shape[1])
            if across:
                seen = _means(figure, tops, lefts, height, across)
                unlike += np.abs(seen.mean(axis=1) - figure.mean())
        best = int(unlike.argmin())
        return tuple(
            Tile(int(top), int(left), height, width)
            for top, left in zip(tops[best], lefts[best], strict=True)
        )


@functools.lru_cache(maxsize=8)
def _drawn(
    shape: tuple[int, int], edges: tuple[int, int], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return tops and lefts of all sets ``(sets, count)``, the same for images of one size."""
    rng = np.random.default_rng(0)
    drawn = [
        rng.integers(0, most - edge + 1, count)
        for _ in range(TRIED_SETS)
        for most, edge in zip(shape, edges, strict=True)
    ]
    return np.stack(drawn[::2]), np.stack(drawn[1::2])


def part_of(image: Image, channels: int, ndim: int, depth: int = 1) -> Part:
    """Return the middle of an image, read into memory.

    Parameters
    ----------
    image : Image
        The image; of a series the middle time point, of a stack for a network of planes the
        middle plane, of a large plane its middle.
    channels, ndim : int
        What the network takes.
    depth : int
        Planes of a tile, for a network of volumes.
    """
    where = []
    for axis, length in zip(image.axes, image.data.shape, strict=True):
        want = {"y": MOST_EDGE_PX, "x": MOST_EDGE_PX, "t": 1, "z": depth if ndim == 3 else 1}
        keep = min(int(length), want.get(axis, int(length)))
        first = (int(length) - keep) // 2
        where.append(slice(first, first + keep))
    pixels = np.asarray(image.data[tuple(where)])
    corner = where[image.axes.index("y")].start, where[image.axes.index("x")].start
    return Part(replace(image, data=pixels, levels=()), channels, ndim, depth, corner)


def _figures(channels: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.generic]]:
    """Yield what the mean of tiles should be like, of the mean of some channels ``(c, y, x)``.

    Which pixels are below each of five limits; how much neighbours differ.
    """
    wide = channels.astype(np.float32)
    plane: Pixels = wide[0] if len(wide) == 1 else wide.mean(axis=0)
    if channels.dtype.kind == "f":
        plane = np.nan_to_num(plane, posinf=0.0, neginf=0.0)
    limits = _limits(channels, plane)
    for limit in limits:
        yield plane <= limit
    if plane.shape[1] > 1:
        spread = max(limits[-1] - limits[0], 1e-6)
        yield np.abs(np.diff(plane, axis=1)).astype(np.float64) * (5 / spread)


def _limits(channels: npt.NDArray[Any], plane: Pixels) -> tuple[float, ...]:
    """Return percentiles of a plane; where they can be counted, in a tenth of numpy's time."""
    if len(channels) == 1 and channels.dtype.kind in "iu" and channels.dtype.itemsize <= 2:
        return ArrayStatistics(channels).percentiles(*LIMITS)
    return tuple(np.percentile(plane, LIMITS).tolist())


def _means(
    figure: npt.NDArray[np.generic],
    tops: npt.NDArray[np.int64],
    lefts: npt.NDArray[np.int64],
    height: int,
    width: int,
) -> npt.NDArray[np.float64]:
    """Return the mean in each box, by sums from the corner on: each pixel is looked at once."""
    if figure.dtype == bool and tops.size < figure.shape[1]:
        return _shares(figure, tops, lefts, height, width)
    # Counts of a part's pixels are exact in float32, and quick to add.
    dtype = np.float32 if figure.dtype == bool else np.float64
    down: npt.NDArray[Any] = np.zeros((figure.shape[0] + 1, figure.shape[1]), dtype)
    figure.cumsum(0, dtype, out=down[1:])
    # Along rows only where boxes begin or end: one pixel after the other, that takes longest.
    rows, at = np.unique(np.stack([tops, tops + height]), return_inverse=True)
    first, last = at.reshape(2, *tops.shape)
    sums: npt.NDArray[Any] = np.zeros((rows.size, figure.shape[1] + 1), dtype)
    down[rows].cumsum(1, out=sums[:, 1:])
    right = lefts + width
    found = sums[last, right] - sums[first, right] - sums[last, lefts] + sums[first, lefts]
    means: npt.NDArray[np.float64] = found / np.float64(height * width)
    return means


def _shares(
    figure: npt.NDArray[np.generic],
    tops: npt.NDArray[np.int64],
    lefts: npt.NDArray[np.int64],
    height: int,
    width: int,
) -> npt.NDArray[np.float64]:
    """Return the same where boxes are few: sums down the columns of boxes, not of all pixels."""
    across = np.zeros((figure.shape[0], figure.shape[1] + 1), np.int32)
    figure.cumsum(1, out=across[:, 1:])
    flat = lefts.ravel()
    down = np.zeros((figure.shape[0] + 1, flat.size), np.int32)
    (across[:, flat + width] - across[:, flat]).cumsum(0, out=down[1:])
    boxes = np.arange(flat.size)
    counts = down[tops.ravel() + height, boxes] - down[tops.ravel(), boxes]
    shares: npt.NDArray[np.float64] = (counts / np.float64(height * width)).reshape(tops.shape)
    return shares


def _squared(block: Pixels, scale: float, edge: int) -> Pixels:
    """Return ``(c, z, edge, edge)``: resized, then mirrored or cut at its ends."""
    lengths = scaled_lengths(block.shape[2:], (scale, scale))
    if lengths != block.shape[2:]:
        flat = block.reshape(-1, *block.shape[2:])
        block = resize(flat, lengths).reshape(*block.shape[:2], *lengths)
    block = block[..., :edge, :edge]
    short = [(0, edge - n) for n in block.shape[2:]]
    if any(after for _, after in short):
        block = np.pad(block, [(0, 0), (0, 0), *short], mode="symmetric")
    return block


def _starts(length: int, edge: int, count: int) -> list[int]:
    if count == 1:
        return [(length - edge) // 2]
    return [int(at) for at in np.linspace(0, length - edge, count).round()]

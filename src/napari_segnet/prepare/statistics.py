"""Figures of an image, computed piece by piece and exactly.

Whole numbers of up to 16 bits are counted in a histogram. Other types are read once for
mean and extremes; percentiles of few values are sorted in memory, those of many found by
counting the leading 16 bits of each value, then the next 16 bits of those that share the
leading ones, and so on: exact however large the image, at the price of reading it again
(twice for float32).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import ImageError
from napari_segnet.image import Image
from napari_segnet.prepare.channels import ChannelMap
from napari_segnet.progress import check_cancelled

__all__ = ["ArrayStatistics", "ImageStatistics", "blocks"]

BLOCK_PIXELS = 2**21
"""Pixels read at once: 16 MB as float64, 48 MB with what is computed from them."""

SORTED_PIXELS = 2**23
"""Up to so many values are kept and sorted for percentiles: 64 MB as float64."""

Blocks = Callable[[], Iterable[npt.NDArray[Any]]]
Scope = tuple[Sequence[int], slice]
"""Time points, and planes within each."""


class Figures:
    """Figures over all finite values of some blocks, each computed once.

    Parameters
    ----------
    blocks : callable
        Returns the pixels block by block, the same at each call.
    name : str
        What they are, for messages.
    """

    def __init__(self, blocks: Blocks, name: str) -> None:
        self._blocks = blocks
        self._name = name
        self.min_max = functools.cache(self._min_max)
        self.mean_std = functools.cache(self._mean_std)
        self._percentile_of: dict[float, float] = {}

    def percentiles(self, *q: float) -> tuple[float, ...]:
        """Return percentiles (0 to 100), between values linear as numpy has them."""
        missing = sorted(set(q) - set(self._percentile_of))
        if missing:
            self._percentile_of.update(zip(missing, self._percentiles(missing), strict=True))
        return tuple(self._percentile_of[p] for p in q)

    # ---- What is known after one reading ----

    @functools.cached_property
    def _first_look(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]] | _Moments:
        """Return values and how often each occurs, or the moments of the blocks."""
        counts: npt.NDArray[np.int64] | None = None
        moments = _Moments()
        dtype = np.dtype(np.uint8)
        for block in self._blocks():
            if block.dtype.kind in "iu" and block.dtype.itemsize <= 2:
                dtype = block.dtype
                found = _count(block)
                counts = found if counts is None else counts + found
            else:
                moments.add(_finite(block))
        if counts is None:
            if moments.n == 0:
                raise ImageError(
                    f"{self._name} has no finite pixel: all are NaN or infinite. Check how it "
                    "was saved."
                )
            return moments
        used = np.flatnonzero(counts)
        return used + int(np.iinfo(dtype).min), counts[used]

    def _min_max(self) -> tuple[float, float]:
        look = self._first_look
        if isinstance(look, _Moments):
            return look.low, look.high
        return float(look[0][0]), float(look[0][-1])

    def _mean_std(self, low: float = -math.inf, high: float = math.inf) -> tuple[float, float]:
        look = self._first_look
        if isinstance(look, _Moments):
            if low <= look.low and high >= look.high:
                return look.mean, look.std
            clipped = _Moments()
            for block in self._blocks():
                clipped.add(np.clip(_finite(block), low, high))
            return clipped.mean, clipped.std
        values, counts = np.clip(look[0].astype(np.float64), low, high), look[1]
        mean = float(np.average(values, weights=counts))
        variance = float(np.average((values - mean) ** 2, weights=counts))
        return mean, math.sqrt(variance)

    def _percentiles(self, q: list[float]) -> list[float]:
        look = self._first_look
        if isinstance(look, _Moments):
            if look.n <= SORTED_PIXELS:
                # float64: numpy subtracts neighbours in their own type, and int32 overflows.
                parts = [_finite(block).ravel().astype(np.float64) for block in self._blocks()]
                values = np.concatenate(parts)
                return [float(p) for p in np.percentile(values, q, overwrite_input=True)]
            return _interpolated(q, look.n, lambda ranks: _select(self._blocks, ranks))
        numbers, ends = look[0], np.cumsum(look[1])
        return _interpolated(
            q,
            int(ends[-1]),
            lambda ranks: {
                r: float(numbers[np.searchsorted(ends, r, side="right")]) for r in ranks
            },
        )


class ArrayStatistics:
    """The figures of one array, as one channel of its own.

    Parameters
    ----------
    pixels : ndarray
        Any shape.
    name : str
        What it is, for messages.
    """

    def __init__(self, pixels: npt.NDArray[Any], name: str = "the image") -> None:
        self.dtype: np.dtype[Any] = pixels.dtype
        figures = Figures(lambda: (pixels,), name)
        self.min_max = self.pooled_min_max = figures.min_max
        self.percentiles = self.pooled_percentiles = figures.percentiles
        self.mean_std = self.pooled_mean_std = figures.mean_std


class ImageStatistics:
    """The figures of one channel of an image over one scope.

    Parameters
    ----------
    image : Image
        The image.
    channel : int or str
        Channel number or ``"luminance"``.
    scope : (sequence of int, slice)
        Time points, and planes within each.
    pooled : Figures
        The figures of all channels that the network sees, over the same scope.
    """

    def __init__(
        self, image: Image, channel: int | str, scope: Scope, pooled: Figures | None = None
    ) -> None:
        self.dtype: np.dtype[Any] = image.dtype
        own = scope_figures(image, (channel,), scope)
        pooled = pooled or own
        self.min_max, self.percentiles, self.mean_std = own.min_max, own.percentiles, own.mean_std
        self.pooled_min_max, self.pooled_percentiles = pooled.min_max, pooled.percentiles
        self.pooled_mean_std = pooled.mean_std


def scope_figures(image: Image, channels: tuple[int | str, ...], scope: Scope) -> Figures:
    """Return the figures of several channels together over a scope; nothing is read yet."""
    computed = any(isinstance(channel, str) for channel in channels)

    def read() -> Iterator[npt.NDArray[Any]]:
        for channel in channels:
            for block in blocks(image, channel, scope):
                # One type for all, where a luminance stands beside plain channels.
                yield block.astype(np.float32, copy=False) if computed else block

    which = "" if len(channels) != 1 or image.sizes["c"] == 1 else f", channel {channels[0]},"
    return Figures(read, image.name + which)


def blocks(image: Image, channel: int | str, scope: Scope) -> Iterator[npt.NDArray[Any]]:
    """Read one channel over a scope in boxes of bounded size, whole rows each."""
    sizes = image.sizes
    times, planes = scope
    rows = max(1, BLOCK_PIXELS // sizes["x"])
    if rows > 256:
        rows -= rows % 256  # whole tiles of the usual edges, so that none is decoded twice
    together = max(1, BLOCK_PIXELS // (sizes["x"] * sizes["y"]))
    first, last, _ = planes.indices(sizes["z"])
    one = ChannelMap(channels=(channel,))
    for t in times:
        for z in range(first, last, together):
            for y in range(0, sizes["y"], rows):
                check_cancelled()
                where = slice(z, min(z + together, last)), slice(y, y + rows)
                yield one.read(image, t, *where)[0]


class _Moments:
    """Count, extremes, mean and spread of a growing set of values, in float64."""

    def __init__(self) -> None:
        self.n = 0
        self.low, self.high = math.inf, -math.inf
        self.mean = 0.0
        self._squares = 0.0

    def add(self, values: npt.NDArray[Any]) -> None:
        """Join a block: Chan, Golub, LeVeque 1979, "Updating formulae", eq. 2.1."""
        if values.size == 0:
            return
        wide = values.astype(np.float64)
        mean = float(wide.mean())
        wide -= mean
        squares = float(np.square(wide, out=wide).sum())
        total = self.n + values.size
        step = mean - self.mean
        self.mean += step * values.size / total
        self._squares += squares + step * step * self.n * values.size / total
        self.n = total
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))

    @property
    def std(self) -> float:
        """Population standard deviation; exactly 0 where all values are equal."""
        return math.sqrt(self._squares / self.n) if self.high > self.low else 0.0


def _finite(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the finite values, flat where any is missing."""
    if block.dtype.kind != "f":
        return block
    good = np.isfinite(block)
    return block if good.all() else block[good]


def _count(block: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Count each value of whole numbers of up to 16 bits, the lowest possible first."""
    low = int(np.iinfo(block.dtype).min)
    length = 2 ** (8 * block.dtype.itemsize)
    flat = block.ravel()
    if low:
        flat = flat.astype(np.int32) - low
    return np.bincount(flat, minlength=length)


# ---- Percentiles of many values ----


def _interpolated(
    q: list[float], n: int, select: Callable[[list[int]], dict[int, float]]
) -> list[float]:
    """Percentiles from order statistics, linear between neighbours (numpy's default)."""
    places = [p / 100 * (n - 1) for p in q]
    ranks = sorted({r for place in places for r in (math.floor(place), math.ceil(place))})
    value = select(ranks)
    found = []
    for place in places:
        below = math.floor(place)
        a, b = value[below], value[math.ceil(place)]
        found.append(a + (b - a) * (place - below))
    return found


def _select(blocks: Blocks, ranks: list[int]) -> dict[int, float]:
    """Return the values at some ranks of all finite values, 16 bits a reading."""
    bits = 0
    dtype = np.dtype(np.float64)
    # Rank -> the leading bits of its value found so far, its rank among those that share them.
    state: dict[int, tuple[int, int]] = {rank: (0, rank) for rank in ranks}
    while bits < 8 * dtype.itemsize:
        counts = {prefix: np.zeros(2**16, np.int64) for prefix, _ in state.values()}
        for block in blocks():
            dtype = block.dtype
            values = np.ascontiguousarray(_finite(block)).reshape(-1)
            raw = values.view(f"u{dtype.itemsize}")
            rest = 8 * dtype.itemsize - bits
            for prefix, count in counts.items():
                mine = raw if bits == 0 else raw[raw >> rest == prefix]
                digits = (mine >> (rest - 16)).astype(np.intp) & 0xFFFF
                count += np.bincount(digits, minlength=2**16)
        for rank, (prefix, within) in state.items():
            order = _digit_order(dtype, prefix, bits)
            ends = np.cumsum(counts[prefix][order])
            place = int(np.searchsorted(ends, within, side="right"))
            before = int(ends[place - 1]) if place else 0
            state[rank] = (prefix << 16 | int(order[place]), within - before)
        bits += 16
    unsigned = np.dtype(f"u{dtype.itemsize}")
    return {r: float(np.array([b], unsigned).view(dtype)[0]) for r, (b, _) in state.items()}


def _digit_order(dtype: np.dtype[Any], prefix: int, bits: int) -> npt.NDArray[np.intp]:
    """Return the 65,536 digits after some leading bits in the order of their values.

    The bits of positive numbers sort as the numbers do. Those of negative whole numbers
    (two's complement) do so among themselves, those of negative IEEE floats the other way
    round; the sign is the first bit.
    """
    digits = np.arange(2**16)
    positive, negative = digits[: 2**15], digits[2**15 :]
    if dtype.kind == "u":
        return digits
    if bits == 0:
        return np.concatenate([negative[:: -1 if dtype.kind == "f" else 1], positive])
    is_negative = prefix >> (bits - 1)
    return digits[::-1] if dtype.kind == "f" and is_negative else digits

"""Windows of one size over a whole volume, weighed by a bell and turned over: nnU-Net's way.

Exact tiles equal the network's answer to the whole; windows are what the network saw in its
training. https://github.com/MIC-DKFZ/nnUNet/blob/master/nnunetv2/inference (Apache-2.0)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from napari_segnet.engines import Engine
from napari_segnet.plan.precision import PrecisionChoice
from napari_segnet.progress import check_cancelled

__all__ = ["Windows", "turns", "window_starts", "window_weight"]

STEP = 0.5
"""Of a window's edge: how far the next one begins behind it, at most."""
SHARE = 1 / 8
"""Sigma of the bell, as a share of a window's edge."""
PEAK = 10.0
"""Of the bell; with it half of the range of half precision lies above 1, as there."""

Floats = npt.NDArray[np.float32]


def window_starts(length: int, edge: int, step: float = STEP) -> tuple[int, ...]:
    """Return where windows begin along an axis that is at least as long as they are."""
    count = int(np.ceil((length - edge) / (edge * step))) + 1
    if count == 1:
        return (0,)
    return tuple(int(np.round((length - edge) / (count - 1) * n)) for n in range(count))


def window_weight(window: Sequence[int]) -> Floats:
    """Return the weight of each pixel of a window, in the digits of half precision."""
    from scipy.ndimage import gaussian_filter

    delta = np.zeros(tuple(window))
    delta[tuple(n // 2 for n in window)] = 1
    bell = gaussian_filter(delta, [n * SHARE for n in window], 0, mode="constant", cval=0)
    half = (bell / (bell.max() / PEAK)).astype(np.float16)
    half[half == 0] = half[half != 0].min()
    weight: Floats = half.astype(np.float32)
    return weight


def turns(mirror: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return all sets of axes along which a window is turned over, none at first."""
    return tuple(
        axes for count in range(len(mirror) + 1) for axes in itertools.combinations(mirror, count)
    )


class Windows:
    """The windows of one volume.

    Parameters
    ----------
    pixels : ndarray
        ``(c, *)`` float32, three axes: what the network sees. Padded with 0 on all sides where it
        is smaller than a window.
    window : tuple of int
        Size of a window; two for a network of planes, which lie along the first axis.
    mirror : sequence of int
        The window's axes along which it is turned over.
    """

    def __init__(self, pixels: Floats, window: tuple[int, ...], mirror: Sequence[int]) -> None:
        self.window, self.turns = window, turns(mirror)
        self._planes = len(window) == 2
        full = (1, *window) if self._planes else window
        lack = [max(0, edge - n) for edge, n in zip(full, pixels.shape[1:], strict=True)]
        self._inside = tuple(
            slice(n // 2, n // 2 + own) for n, own in zip(lack, pixels.shape[1:], strict=True)
        )
        self._pixels = np.pad(pixels, [(0, 0), *((n // 2, n - n // 2) for n in lack)])
        self.boxes = tuple(
            itertools.product(
                *(
                    [slice(first, first + edge) for first in window_starts(length, edge)]
                    if edge > 1 or not self._planes
                    else [slice(n, n + 1) for n in range(length)]
                    for length, edge in zip(self._pixels.shape[1:], full, strict=True)
                )
            )
        )

    def answer(
        self,
        engine: Engine,
        precision: PrecisionChoice[npt.NDArray[np.float32]],
        into: npt.NDArray[np.float16],
        batch: int = 1,
    ) -> Iterator[int]:
        """Add the network's answer to ``into`` ``(channel, *)``, of the size of ``pixels``.

        Yields how many windows are done. ``engine`` answers with raw maps. Sums have half
        precision, as there: where two classes are as likely, labels depend on it.
        """
        weight = window_weight(self.window)
        total = np.zeros((len(into), *self._pixels.shape[1:]), np.float16)
        weights = np.zeros(self._pixels.shape[1:], np.float16)
        for first in range(0, len(self.boxes), batch):
            check_cancelled()
            group = self.boxes[first : first + batch]
            blocks = np.stack([self._block(box) for box in group])
            for box, maps in zip(group, self._turned(engine, precision, blocks), strict=True):
                lengths = tuple(part.stop - part.start for part in box)
                total[(slice(None), *box)] += (maps * weight).reshape(-1, *lengths)
                weights[box] += weight.reshape(lengths)
            yield first + len(group)
        inside = (slice(None), *self._inside)
        into += (total[inside] / weights[self._inside]).astype(np.float16)

    def _block(self, box: tuple[slice, ...]) -> Floats:
        block = self._pixels[(slice(None), *box)]
        return block[:, 0] if self._planes else block

    def _turned(self, engine: Engine, precision: PrecisionChoice[Floats], blocks: Floats) -> Floats:
        """Return the mean of the answers to windows ``(n, c, *)`` turned over and back."""
        total: Floats | None = None
        for axes in self.turns:
            where = tuple(axis + 2 for axis in axes)
            shown = np.ascontiguousarray(np.flip(blocks, where))
            answer = precision.answer(engine, partial(_maps, engine, shown))
            back = np.flip(answer, where)
            total = back.copy() if total is None else total + back
        assert total is not None
        return total / np.float32(len(self.turns))


def _maps(engine: Engine, blocks: Floats, precision: str) -> Floats:
    size = blocks.shape[2:]
    return engine.maps(blocks, precision=precision, offset=(0,) * len(size), whole=size)

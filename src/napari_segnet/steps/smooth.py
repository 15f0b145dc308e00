"""Outlines are smoothed."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.progress import check_cancelled
from napari_segnet.sinks import large_array
from napari_segnet.steps._bands import bands

if TYPE_CHECKING:
    from napari_segnet.steps._types import LabelSettings

__all__ = ["Smooth"]

BAND_PX = 2**20
"""Pixels smoothed at once: where all lie at borders, each takes 100 bytes, in volumes 250."""


class Smooth:
    """Each pixel takes the label that more than half of its 3 × 3 (× 3) pixels have.

    Where none has, it keeps its own. Spikes and bites of one pixel go; so do objects
    thinner than two pixels. Beyond the image's edge its last pixels are repeated.
    """

    name = "smooth"

    def refine(
        self, labels: npt.NDArray[np.int32], settings: LabelSettings
    ) -> npt.NDArray[np.int32]:
        """Return smoothed labels, int32, the same shape; the input stays as it is."""
        out: npt.NDArray[np.int32] = large_array(labels.shape, np.int32)
        across = ((1, 1),) * (labels.ndim - 1)
        for part in bands(labels.shape, BAND_PX):
            check_cancelled()
            low, high = int(part.start > 0), int(part.stop < len(labels))
            rows = labels[part.start - low : part.stop + high]
            out[part] = _smoothed(np.pad(rows, ((1 - low, 1 - high), *across), mode="edge"))
        return out


def _smoothed(padded: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the inner pixels of labels with a margin of one, smoothed."""
    out = padded[(slice(1, -1),) * padded.ndim].astype(np.int32)
    # Only pixels with a different neighbour can change.
    mixed = np.flatnonzero(_mixed(padded))
    windows = _windows(padded, np.unravel_index(mixed, out.shape))
    windows.sort(axis=0)
    # If one value fills more than half of a sorted window, it stands in its middle.
    middle = windows[windows.shape[0] // 2]
    wins = (windows == middle).sum(axis=0) > windows.shape[0] / 2
    out.reshape(-1)[mixed[wins]] = middle[wins]
    return out


def _mixed(padded: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    own = padded[(slice(1, -1),) * padded.ndim]
    mixed = np.zeros(own.shape, bool)
    for offset in itertools.product((0, 1, 2), repeat=padded.ndim):
        there = tuple(slice(o, o + n) for o, n in zip(offset, own.shape, strict=True))
        mixed |= padded[there] != own
    return mixed


def _windows(
    padded: npt.NDArray[np.int32], where: tuple[npt.NDArray[np.intp], ...]
) -> npt.NDArray[np.int32]:
    """Return ``(9 or 27, n)``: the pixels around each place."""
    offsets = itertools.product((0, 1, 2), repeat=padded.ndim)
    return np.stack(
        [padded[tuple(w + o for w, o in zip(where, offset, strict=True))] for offset in offsets]
    )

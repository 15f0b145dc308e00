"""Outlines are smoothed."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_segnet.steps._types import LabelSettings

__all__ = ["Smooth"]


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
        out = np.array(labels, dtype=np.int32, order="C")
        padded = np.pad(out, 1, mode="edge")
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

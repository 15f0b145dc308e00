"""Large arrays band by band: connected pieces, and whatever else holds Python's lock.

cc3d holds Python's lock while it works, 4 to 13 ns per pixel here: the window would stand
still for a second while a volume of 100 million pixels is labelled, and could not cancel it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.progress import check_cancelled
from napari_segnet.sinks import large_array
from napari_segnet.steps._union import joined

__all__ = ["bands", "join_bands"]

BAND_PX = 2**22
"""Pixels of a band: 20 to 50 ms of work."""

Labels = npt.NDArray[np.int32]


def bands(shape: tuple[int, ...], band_px: int | None = None) -> list[slice]:
    """Return the bands of an array along its first axis, in order; equally thick, or nearly."""
    thick = max(1, (band_px or BAND_PX) // max(1, int(np.prod(shape[1:], dtype=np.int64))))
    ends = np.linspace(0, shape[0], -(-shape[0] // thick) + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(ends)]


def join_bands(
    classes: npt.NDArray[Any], parts: list[slice], pieces: Callable[[npt.NDArray[Any]], Labels]
) -> Labels:
    """Label the connected pieces of each band, and join those that meet at the seams.

    Parameters
    ----------
    classes : ndarray
        bool or integer; pieces have equal values, 0 is background.
    parts : list of slice
        What :func:`bands` returned.
    pieces : callable
        Labels one band, neighbours sharing an edge or a face; ids 1..n in raster order of
        first pixels.

    Returns
    -------
    ndarray
        int32; the same ids as without bands.
    """
    labels: Labels = large_array(classes.shape, np.int32)
    pairs: list[npt.NDArray[np.int32]] = []
    used = 0
    for part in parts:
        check_cancelled()
        found = pieces(classes[part])
        np.add(found, used, out=found, where=found > 0)
        labels[part] = found
        used = max(used, int(found.max(initial=0)))
        if part.start:
            pairs.append(_meeting(classes, labels, part.start))
    meeting = np.concatenate(pairs)
    if meeting.size:
        numbers = _joined_numbers(meeting, used)
        for part in parts:
            check_cancelled()
            labels[part] = numbers[labels[part]]
    return labels


def _meeting(classes: npt.NDArray[Any], labels: Labels, start: int) -> npt.NDArray[np.int32]:
    """Return ``(n, 2)`` pairs of ids above and below a seam that belong together.

    A pair that is that of the pixel before it is left out: of a background nearly all are.
    """
    same = (classes[start - 1] == classes[start]) & (labels[start] > 0)
    pairs = np.stack([labels[start - 1][same], labels[start][same]], axis=1)
    new = np.ones(len(pairs), bool)
    new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return pairs[new]


def _joined_numbers(pairs: npt.NDArray[np.int32], used: int) -> npt.NDArray[np.int32]:
    """Return the new id of each old one.

    A piece takes the place of its smallest id: that one holds its first pixel, so the order
    stays that of the raster.
    """
    # Only what lies at a seam meets anything: few of millions.
    at_seams, pair = np.unique(pairs, return_inverse=True)
    above, below = pair.reshape(pairs.shape).T
    _, group = joined(at_seams.size, above, below)
    _, smallest = np.unique(group, return_index=True)
    taken = at_seams[smallest[group]]
    numbers = np.ones(used + 1, np.int32)
    numbers[0] = 0
    numbers[at_seams[taken != at_seams]] = 0
    np.cumsum(numbers, out=numbers)
    numbers[at_seams] = numbers[taken]
    return numbers

"""Objects of neighbouring planes that overlap become one."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import SettingsError
from napari_segnet.steps.ids import look_up, relabel_raster
from napari_segnet.steps.overlap import overlaps

__all__ = ["LINKS", "MIN_IOU", "link"]

LINKS = ("none", "z", "t", "tz")
"""The values of the setting ``link``."""

MIN_IOU = 0.25
"""Least overlap (intersection over union) of two objects that are linked. A sphere of
radius r cut at steps of r/3 has neighbouring sections of IoU > 0.25 down to a cap of
radius r/3; unrelated neighbours touch with far less."""


def link(
    labels: npt.NDArray[np.int32], axes: str, along: str, min_iou: float = MIN_IOU
) -> npt.NDArray[np.int32]:
    """Give objects of consecutive planes that overlap the same id.

    Of all pairs in two consecutive planes, the one with the highest IoU is linked first,
    then the next among those not yet linked, and so on (greedy): each object has at most
    one predecessor and one successor. Nothing is linked across a gap.

    Parameters
    ----------
    labels : ndarray
        int32 in the order of ``axes``; ids unique over the whole array (see
        ``offset_unique``). Changed in place where it is C-contiguous.
    axes : str
        One letter per dimension out of ``tzyx``, such as ``"zyx"`` or ``"tzyx"``.
    along : str
        ``none``, ``z``, ``t`` (volumes of consecutive times are compared where there is
        also a z axis), or ``tz`` (first along z, then the linked volumes along t). An axis
        that the image lacks is left out.
    min_iou : float
        Least IoU of two linked objects.

    Returns
    -------
    ndarray
        int32, ids 1..n in raster order over the whole array.

    Raises
    ------
    SettingsError
        If ``along`` is not one of ``LINKS``.
    """
    if along not in LINKS:
        raise SettingsError(f"link={along!r} is not known. Choose one of: {', '.join(LINKS)}.")
    if "z" in along and "z" in axes:
        series = labels if "t" in axes else labels[np.newaxis]
        labels = _merge(labels, [_matches(planes, min_iou) for planes in series])
    if "t" in along and "t" in axes:
        labels = _merge(labels, [_matches(labels, min_iou)])
    return relabel_raster(labels)


Pairs = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


def _matches(planes: npt.NDArray[np.int32], min_iou: float) -> Pairs:
    """Return the ids linked between each plane and the next, in order."""
    return [_match(a, b, min_iou) for a, b in itertools.pairwise(planes)]


def _match(
    before: npt.NDArray[np.int32], after: npt.NDArray[np.int32], min_iou: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    table = overlaps(before, after)
    iou = table.pixels / table.unions
    order = np.lexsort((table.second, table.first, -iou))
    order = order[iou[order] >= min_iou]
    taken_a: set[int] = set()
    taken_b: set[int] = set()
    kept = []
    pairs = zip(table.first[order].tolist(), table.second[order].tolist(), strict=True)
    for i, (a, b) in enumerate(pairs):
        if a not in taken_a and b not in taken_b:
            taken_a.add(a)
            taken_b.add(b)
            kept.append(order[i])
    rows = np.asarray(kept, np.int64)
    return table.first_ids[table.first[rows]], table.second_ids[table.second[rows]]


def _merge(labels: npt.NDArray[np.int32], all_pairs: list[Pairs]) -> npt.NDArray[np.int32]:
    table = np.arange(int(labels.max(initial=0)) + 1, dtype=np.int32)
    for pairs in all_pairs:
        for before, after in pairs:
            table[after] = table[before]  # what comes before has its final id already
    return look_up(labels, table)

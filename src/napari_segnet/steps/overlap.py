"""Which objects of two label images overlap, and by how much; sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Overlaps", "overlaps"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlaps:
    """The overlaps of two label images; background (0) is left out everywhere.

    Attributes
    ----------
    first_ids, second_ids : ndarray
        ``(n,)`` and ``(m,)`` int64: the ids of each image, rising.
    first_areas, second_areas : ndarray
        ``(n,)`` and ``(m,)`` int64: their pixels.
    first, second : ndarray
        ``(k,)`` int64: for each pair that overlaps, its places in ``first_ids`` and
        ``second_ids``; sorted by ``first``, then ``second``.
    pixels : ndarray
        ``(k,)`` int64: the pixels that the pair shares.
    """

    first_ids: npt.NDArray[np.int64]
    first_areas: npt.NDArray[np.int64]
    second_ids: npt.NDArray[np.int64]
    second_areas: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]

    @property
    def unions(self) -> npt.NDArray[np.int64]:
        """``(k,)`` int64: the pixels that belong to either object of each pair."""
        return self.first_areas[self.first] + self.second_areas[self.second] - self.pixels


def overlaps(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Overlaps:
    """Count the pixels that each object of one image shares with each of another.

    Parameters
    ----------
    first, second : ndarray
        Integer labels of the same shape, none negative, below 2**63.
    """
    values_a, values_b, lengths = _runs(first.reshape(-1), second.reshape(-1))
    ids_a, place_a, areas_a = _areas(values_a, lengths)
    ids_b, place_b, areas_b = _areas(values_b, lengths)
    both = (values_a > 0) & (values_b > 0)
    key = place_a[both] * np.int64(ids_b.size + 1) + place_b[both]
    pairs, where = np.unique(key, return_inverse=True)
    pixels = np.bincount(where, weights=lengths[both], minlength=pairs.size).astype(np.int64)
    place_first, place_second = np.divmod(pairs, np.int64(ids_b.size + 1))
    # The background, where it occurs, stands first in the sorted ids: leave it out.
    zero_a, zero_b = int(0 in ids_a[:1]), int(0 in ids_b[:1])
    return Overlaps(
        first_ids=ids_a[zero_a:],
        first_areas=areas_a[zero_a:],
        second_ids=ids_b[zero_b:],
        second_areas=areas_b[zero_b:],
        first=place_first - zero_a,
        second=place_second - zero_b,
        pixels=pixels,
    )


def _runs(
    a: npt.NDArray[Any], b: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the values and lengths of runs along which both images stay the same.

    Objects are many pixels wide, so there are far fewer runs to sort than pixels.
    """
    if a.size == 0:
        none = np.zeros(0, np.int64)
        return none, none, none
    changes = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    starts = np.concatenate(([0], np.flatnonzero(changes) + 1))
    lengths = np.diff(starts, append=a.size)
    return a[starts].astype(np.int64), b[starts].astype(np.int64), lengths


def _areas(
    values: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    ids, place = np.unique(values, return_inverse=True)
    areas = np.bincount(place, weights=lengths, minlength=ids.size).astype(np.int64)
    return ids, place.astype(np.int64), areas

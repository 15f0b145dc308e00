"""A value for each label, in two arrays: a mapping for millions of objects.

A dict takes some 100 bytes for each entry, these arrays 8 to 12.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["ByLabel", "values_of"]

Value = TypeVar("Value", int, float)
PART = 2**14
"""Entries that are Python's own numbers at once: some 60 bytes each."""


@dataclass(frozen=True, slots=True, eq=False)
class ByLabel(Mapping[int, Value]):
    """Values by label; equal to a dict that holds the same.

    Attributes
    ----------
    labels : ndarray
        ``(n,)`` integer, rising.
    found : ndarray
        ``(n,)`` the value of each.
    """

    labels: npt.NDArray[np.integer[Any]]
    found: npt.NDArray[Any]

    def __getitem__(self, label: object) -> Value:
        """Return the value of a label; a KeyError tells that it has none."""
        if not isinstance(label, int | np.integer) or not self.labels.size:
            raise KeyError(label)
        at = int(label) - int(self.labels[0])  # where no label lacks
        if not (0 <= at < self.labels.size and self.labels[at] == label):
            at = int(np.searchsorted(self.labels, label))
            if at == self.labels.size or self.labels[at] != label:
                raise KeyError(label)
        value: Value = self.found[at].item()
        return value

    def __iter__(self) -> Iterator[int]:
        """Return the labels, rising."""
        for part in _parts(self.labels.size):
            yield from self.labels[part].tolist()

    def __len__(self) -> int:
        """Return how many labels there are."""
        return int(self.labels.size)

    def __repr__(self) -> str:
        """Return what a dict shows, of many labels the first."""
        shown = dict(zip(self.labels[:10].tolist(), self.found[:10].tolist(), strict=True))
        return f"{shown}" if len(self) <= len(shown) else f"{f'{shown}'[:-1]}, ... {len(self)}}}"

    def alike(self, other: ByLabel[Any]) -> bool:
        """Tell if another has values for the same labels."""
        return self.labels is other.labels or np.array_equal(self.labels, other.labels)

    def items(self) -> ItemsView[int, Value]:
        """Return labels and values, as a dict does."""
        return _Items(self)

    def values(self) -> ValuesView[Value]:
        """Return the values in the order of labels, as a dict does."""
        return _Values(self)


def values_of(
    known: Mapping[int, Any], labels: npt.NDArray[np.integer[Any]], lacking: float
) -> npt.NDArray[Any]:
    """Return the value of each label.

    Parameters
    ----------
    known : mapping of int to number
        Any mapping; a :class:`ByLabel` makes no number of Python's.
    labels : ndarray
        ``(n,)`` integer, in any order.
    lacking : float
        The value of those that have none.

    Returns
    -------
    ndarray
        ``(n,)`` of the type of ``lacking``: int64 or float64.
    """
    if not isinstance(known, ByLabel):
        return np.array([known.get(one, lacking) for one in labels.tolist()], type(lacking))
    if not len(known):
        return np.full(labels.shape, lacking)
    at = np.minimum(np.searchsorted(known.labels, labels), len(known) - 1)
    return np.where(known.labels[at] == labels, known.found[at], lacking).astype(type(lacking))


class _Items(ItemsView[int, Any]):
    _mapping: ByLabel[Any]

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        mapping = self._mapping
        for part in _parts(len(mapping)):
            yield from zip(mapping.labels[part].tolist(), mapping.found[part].tolist(), strict=True)


class _Values(ValuesView[Any]):
    _mapping: ByLabel[Any]

    def __iter__(self) -> Iterator[Any]:
        for part in _parts(len(self._mapping)):
            yield from self._mapping.found[part].tolist()


def _parts(size: int) -> Iterator[slice]:
    for start in range(0, size, PART):
        yield slice(start, start + PART)

"""The features table of a layer in its journal: the whole of it once, then the rows that change.

In the document of a journal, ``features`` holds columns, ``{name: [value of each row]}``. What
has changed since lies in ``rows``, ``{id: [value of each other column]}`` or ``{id: null}`` for a
row that is gone: an edit of one object of 100,000 is one row. A table without rising ids in a
column ``index`` is written as a whole each time, as earlier versions wrote all tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.journal import Patch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PLAIN", "WrittenTable", "table_in"]

Columns = dict[str, npt.NDArray[Any]]

INDEX = "index"
MOST = 4
"""A table of which more than one row in so many has changed is written as a whole."""
FEW = 64
"""Rows that are written one by one however short the table is."""
BLOCK = 1024
"""Values of a column of texts that are compared at once."""
PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types of values that JSON has."""


class WrittenTable:
    """What a journal says of a features table by now."""

    def __init__(self, document: Mapping[str, Any] | None = None) -> None:
        """Begin with nothing, or with what the document of a journal says."""
        self._columns: Columns = {}
        table = table_in(document) if document is not None else None
        if table is not None:
            import pandas as pd

            self._columns = _columns(pd.DataFrame(table))

    def patch(self, table: pd.DataFrame) -> Patch:
        """Return what makes the table of the journal this one; from now on it is.

        Parameters
        ----------
        table : DataFrame
            The features of the layer.
        """
        before, self._columns = self._columns, _columns(table)
        after = self._columns
        if before.keys() != after.keys() or list(before) != list(after):
            return _whole(after)
        if not (_has_ids(before) and _has_ids(after)):
            same = all(_alike(before[name], after[name]).all() for name in after)
            return [] if same else _whole(after)
        gone, new = _changed(before, after)
        if gone.size + new.size > max(FEW, after[INDEX].size // MOST):
            return _whole(after)
        others = [_plain_values(after[name][new]) for name in after if name != INDEX]
        rows = zip(*others, strict=True) if others else ((),) * new.size
        removed: Patch = [[["rows", str(one)], None] for one in before[INDEX][gone].tolist()]
        kept = zip(after[INDEX][new].tolist(), rows, strict=True)
        return removed + [[["rows", str(one)], list(row)] for one, row in kept]


def table_in(document: Mapping[str, Any]) -> dict[str, list[Any]] | None:
    """Return the table that a journal of this or an earlier version tells, as columns.

    Values of a wrong kind, as in a damaged file, are left out.
    """
    table = document.get("features")
    if not isinstance(table, Mapping) or not table:
        return None
    columns = {str(name): values for name, values in table.items() if isinstance(values, list)}
    if len({len(values) for values in columns.values()}) != 1:
        return None
    others = [name for name in columns if name != INDEX]
    rows = document.get("rows")
    changed: dict[int, Sequence[Any] | None] = {}
    for one, row in rows.items() if isinstance(rows, Mapping) else ():
        is_row = row is None or (isinstance(row, list) and len(row) == len(others))
        if is_row and str(one).removeprefix("-").isdecimal():
            changed[int(one)] = row
    if not changed or any(type(one) is not int for one in columns.get(INDEX, [None])):
        return columns
    kept = [place for place, one in enumerate(columns[INDEX]) if one not in changed]
    found = {name: [values[place] for place in kept] for name, values in columns.items()}
    for one, row in changed.items():
        if row is not None:
            found[INDEX].append(one)
            for name, value in zip(others, row, strict=True):
                found[name].append(value)
    order = sorted(range(len(found[INDEX])), key=found[INDEX].__getitem__)
    return {name: [values[place] for place in order] for name, values in found.items()}


def _plain_values(values: npt.NDArray[Any]) -> list[Any]:
    """Return the values of a column as JSON has them; what is none of these, as text."""
    found: list[Any] = values.tolist()
    if set(map(type, found)) <= PLAIN:
        return found
    return [one if type(one) in PLAIN else _plain(one) for one in found]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, str | int | float | bool) else str(value)


def _columns(table: pd.DataFrame) -> Columns:
    """Return copies of the columns: a script may set values in place, without an event."""
    return {str(name): np.array(column) for name, column in table.items()}


def _whole(columns: Columns) -> Patch:
    table = {name: _plain_values(values) for name, values in columns.items()}
    return [[["features"], table], [["rows"]]]


def _has_ids(columns: Columns) -> bool:
    ids = columns.get(INDEX)
    return ids is not None and ids.dtype.kind in "iu" and bool((ids[1:] > ids[:-1]).all())


def _changed(before: Columns, after: Columns) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the rows of ``before`` that are gone, and those of ``after`` that are others."""
    old, new = before[INDEX], after[INDEX]
    stay = np.isin(old, new, assume_unique=True)
    same = known = np.isin(new, old, assume_unique=True)
    for name in after:
        if name != INDEX:  # ids rise in both, so that what both have stands in the same order
            same = same.copy()
            same[known] &= _alike(_chosen(before[name], stay), _chosen(after[name], known))
    return np.flatnonzero(~stay), np.flatnonzero(~same)


def _chosen(values: npt.NDArray[Any], rows: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    return values if rows.all() else values[rows]


def _alike(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which values are the same; what is missing is like what is missing."""
    if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
        return np.zeros(other.shape, np.bool_)
    if one.dtype.kind != "O":
        same = np.asarray(one == other, np.bool_)
        if one.dtype.kind in "fcmM" and not same.all():
            others = np.flatnonzero(~same)
            same[others] = _alike_one_by_one(one[others], other[others])
        return same
    same = np.ones(other.shape, np.bool_)
    for start in range(0, other.size, BLOCK):
        part = slice(start, start + BLOCK)
        if not _are_equal(one[part].tolist(), other[part].tolist()):
            same[part] = _alike_one_by_one(one[part], other[part])
    return same


def _are_equal(one: list[Any], other: list[Any]) -> bool:
    """Tell if lists are equal; Python compares what is one and the same by that alone."""
    try:
        return one == other
    except (TypeError, ValueError):  # of values that cannot be told: a missing one, an array
        return False


def _alike_one_by_one(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    import pandas as pd

    lacks, lacks_too = pd.isna(one), pd.isna(other)
    both = ~(lacks | lacks_too)
    same = lacks & lacks_too
    same[both] = (one[both] == other[both]).astype(np.bool_)
    return np.asarray(same, np.bool_)

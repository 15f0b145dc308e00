"""Rows of a layer's features table, one per object: id, score, class, class name.

A layer without such a table (no column ``index``) gets one when a class is given; a table of
another kind is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.correct import Edit
from napari_segnet.widgets.layers.record import record_of

if TYPE_CHECKING:
    import napari.layers
    import pandas as pd

__all__ = [
    *("Row", "Rows", "classes_of", "highest_class", "highest_id", "put_rows"),
    *("row_of", "rows_after", "rows_of", "scores_of", "table_arrays"),
]

INDEX = "index"
Row = Mapping[str, Any]
"""Column -> value, without ``index``."""
Rows = Mapping[int, tuple[Row | None, Row | None]]
"""Id -> its row before and after; None: not in the table."""


def classes_of(layer: napari.layers.Labels, ids: Collection[int] | None = None) -> dict[int, int]:
    """Return the class of each object that has one, or of these objects alone."""
    there, classes = table_arrays(layer, "class", ids)
    return dict(zip(there.tolist(), map(int, classes.tolist()), strict=True))


def scores_of(layer: napari.layers.Labels) -> dict[int, float]:
    """Return the score of each object that has one."""
    there, scores = table_arrays(layer, "score")
    return dict(zip(there.tolist(), map(float, scores.tolist()), strict=True))


def highest_class(layer: napari.layers.Labels) -> int:
    """Return the highest class that an object has; 0 where none has one."""
    return int(table_arrays(layer, "class")[1].max(initial=0))


def highest_id(layer: napari.layers.Labels) -> int:
    """Return the highest id that has a class; 0 where none has one."""
    return int(table_arrays(layer, "class")[0].max(initial=0))


def table_arrays(
    layer: napari.layers.Labels, name: str, ids: Collection[int] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Return the ids ``(n,)`` that have a value in a column, and these values ``(n,)``.

    Parameters
    ----------
    layer : Labels
        The layer; without the column, nobody has one.
    name : str
        Of a column of numbers; what is none in it, such as a text of another plugin, is no value.
    ids : collection of int, optional
        Only these.
    """
    import pandas as pd

    table = layer.features
    if INDEX not in table or name not in table:
        return np.empty(0, np.int64), np.empty(0)
    rows = slice(None) if ids is None else _are_rows_of(table, ids)
    columns = table[INDEX], table[name]
    if all(isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu" for column in columns):
        there, values = (column.to_numpy()[rows] for column in columns)
        return there.astype(np.int64, copy=False), values
    found = table[[INDEX, name]][rows].apply(pd.to_numeric, errors="coerce").dropna()
    return found[INDEX].to_numpy().astype(np.int64), found[name].to_numpy()


def put_rows(layer: napari.layers.Labels, rows: Mapping[int, Row | None]) -> None:
    """Set or remove rows of the table."""
    import pandas as pd

    table = layer.features
    new = [{"index": one, **row} for one, row in rows.items() if row is not None]
    if "index" not in table:
        if new and not len(table.columns):
            layer.features = pd.DataFrame(new)
        return
    stay = ~_are_rows_of(table, rows)
    kept = table if stay.all() else table[stay]
    if new:
        added = pd.DataFrame(new).reindex(columns=list(table.columns.union(new[0], sort=False)))
        kept = pd.concat([kept, added]) if len(kept) else added
    if not kept["index"].is_monotonic_increasing:
        kept = kept.sort_values("index", kind="stable")  # fast, as nearly all are in order
    layer.features = kept.reset_index(drop=True)


def _are_rows_of(table: pd.DataFrame, ids: Collection[int]) -> npt.NDArray[np.bool_]:
    """Return which rows of a table are those of some objects."""
    column = table[INDEX]
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu":
        return np.isin(column.to_numpy(), np.array(list(ids), np.int64))  # of few: without a hash
    return np.asarray(column.isin(list(ids)), np.bool_)


def rows_after(
    layer: napari.layers.Labels,
    edits: Sequence[Edit],
    is_gone: Callable[[int], bool],
    given: Mapping[int, Row | None],
) -> Rows:
    """Return how the table must change with edits whose pixels are set already.

    Parameters
    ----------
    layer : Labels
        With the table of before.
    edits : sequence of Edit
        What was done.
    is_gone : callable
        Tells if no pixel of an object is left.
    given : mapping
        Rows that are known without looking at pixels.
    """
    rows: dict[int, tuple[Row | None, Row | None]] = {}
    table = layer.features
    if "index" in table:
        pixels = [(edit.before[edit.changed], edit.after[edit.changed]) for edit in edits]
        there = {one for pair in pixels for side in pair for one in np.unique(side).tolist()}
        known, gone = set(table["index"][_are_rows_of(table, there)]), list[int]()
        for before, after in pixels:
            for one in np.unique(after[after != 0]).tolist():
                if one not in known and one not in given:
                    rows[one] = (None, _row_of_new(layer, before[after == one]))
            for one in np.unique(before[before != 0]).tolist():
                if one in known and one not in given and is_gone(one):
                    gone.append(one)
        rows |= {one: (row, None) for one, row in rows_of(layer, gone).items()}
    for edit in edits:
        for one, (_, new_class) in edit.classes.items():
            was = row_of(layer, one)
            named = _with_class(layer, was or {}, new_class) if new_class is not None else None
            rows[one] = (was, named)
    before_given = rows_of(layer, list(given))
    return rows | {one: (before_given[one], after) for one, after in given.items()}


def _row_of_new(layer: napari.layers.Labels, over: Any) -> Row:
    """Return the row of an object that is new where ``over`` was; it has its parent's class."""
    row: dict[str, Any] = {"score": np.nan}
    parents, counts = np.unique(over[over != 0], return_counts=True)
    if parents.size:
        parent = int(parents[counts.argmax()])
        found = classes_of(layer, [parent]).get(parent, 1)
    else:
        classes = table_arrays(layer, "class")[1]
        found = int(classes.min()) if classes.size else 1
    return _with_class(layer, row, found)


def _with_class(layer: napari.layers.Labels, row: Row, new_class: int) -> Row:
    names = record_of(layer).class_names
    named = {**row, "class": new_class}
    if "class name" in layer.features or names:
        named["class name"] = names[new_class] if new_class < len(names) else f"class {new_class}"
    return named


def row_of(layer: napari.layers.Labels, one: int) -> Row | None:
    """Return the row of an object, without its id; None if it has none."""
    table = layer.features
    if "index" not in table:
        return None
    found = table[_are_rows_of(table, [one])]
    if not len(found):
        return None
    return {name: value for name, value in found.iloc[0].items() if name != "index"}


def rows_of(layer: napari.layers.Labels, ids: Sequence[int]) -> dict[int, Row | None]:
    """Return the rows of many objects at once, as :func:`row_of` does of one."""
    found: dict[int, Row | None] = dict.fromkeys(ids)
    table = layer.features
    if "index" in table and ids:
        for row in table[_are_rows_of(table, ids)].to_dict("records"):
            found[int(row.pop("index"))] = {str(name): value for name, value in row.items()}
    return found

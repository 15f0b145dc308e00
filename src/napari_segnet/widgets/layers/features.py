"""Rows of a layer's features table, one per object: id, score, class, class name.

A layer without such a table (no column ``index``) gets one when a class is given; a table of
another kind is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet.correct import Edit
from napari_segnet.widgets.layers.record import record_of

if TYPE_CHECKING:
    import napari.layers

__all__ = ["Row", "Rows", "classes_of", "put_rows", "row_of", "rows_after", "rows_of", "scores_of"]

Row = Mapping[str, Any]
"""Column -> value, without ``index``."""
Rows = Mapping[int, tuple[Row | None, Row | None]]
"""Id -> its row before and after; None: not in the table."""


def classes_of(layer: napari.layers.Labels) -> dict[int, int]:
    """Return the class of each object that has one."""
    return _column(layer, "class", int)


def scores_of(layer: napari.layers.Labels) -> dict[int, float]:
    """Return the score of each object that has one."""
    return _column(layer, "score", float)


def put_rows(layer: napari.layers.Labels, rows: Mapping[int, Row | None]) -> None:
    """Set or remove rows of the table."""
    import pandas as pd

    table = layer.features
    new = [{"index": one, **row} for one, row in rows.items() if row is not None]
    if "index" not in table:
        if new and not len(table.columns):
            layer.features = pd.DataFrame(new)
        return
    kept = table[~table["index"].isin(list(rows))]
    if new:
        added = pd.DataFrame(new).reindex(columns=list(table.columns.union(new[0], sort=False)))
        kept = pd.concat([kept, added]) if len(kept) else added
    layer.features = kept.sort_values("index").reset_index(drop=True)


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
        known = set(table["index"])
        for edit in edits:
            changed = edit.changed
            before, after = edit.before[changed], edit.after[changed]
            for one in np.unique(after[after != 0]).tolist():
                if one not in known and one not in given:
                    rows[one] = (None, _row_of_new(layer, before[after == one]))
            for one in np.unique(before[before != 0]).tolist():
                if one in known and one not in given and is_gone(one):
                    rows[one] = (row_of(layer, one), None)
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
    classes = classes_of(layer)
    if parents.size:
        found = classes.get(int(parents[counts.argmax()]))
    else:
        found = min(classes.values(), default=1)
    return _with_class(layer, row, found if found is not None else 1)


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
    found = table[table["index"] == one]
    if not len(found):
        return None
    return {name: value for name, value in found.iloc[0].items() if name != "index"}


def rows_of(layer: napari.layers.Labels, ids: Sequence[int]) -> dict[int, Row | None]:
    """Return the rows of many objects at once, as :func:`row_of` does of one."""
    found: dict[int, Row | None] = dict.fromkeys(ids)
    table = layer.features
    if "index" in table and ids:
        for row in table[table["index"].isin(list(ids))].to_dict("records"):
            found[int(row.pop("index"))] = {str(name): value for name, value in row.items()}
    return found


def _column(layer: napari.layers.Labels, name: str, kind: Callable[[Any], Any]) -> dict[int, Any]:
    table = layer.features
    if "index" not in table or name not in table:
        return {}
    pairs = zip(table["index"].tolist(), table[name].tolist(), strict=True)
    return {int(one): kind(value) for one, value in pairs if value == value}  # NaN: unknown

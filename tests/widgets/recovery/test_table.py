"""A features table in a journal: written once, then row by row."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.journal import apply_patch
from napari_segnet.widgets.recovery.table import WrittenTable, table_in


def table(count: int = 1000) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "index": np.arange(1, count + 1),
            "score": np.where(np.arange(count) % 7, np.linspace(0, 1, count), np.nan),
            "class": 1,
            "class name": "cell",
        }
    )


def written(*tables: pd.DataFrame) -> tuple[dict, list[int]]:
    """Return the document behind these tables, and how large each patch was."""
    document: dict = {}
    kept, sizes = WrittenTable(), []
    for one in tables:
        text = json.dumps(kept.patch(one))
        sizes.append(len(text))
        apply_patch(document, json.loads(text))
    return document, sizes


def same(document: dict, expected: pd.DataFrame) -> bool:
    return pd.DataFrame(table_in(document)).equals(expected)


def test_an_edit_of_one_object_is_a_row():
    first = table()
    gone = first[first["index"] != 500].reset_index(drop=True)
    another = gone.copy()
    another.loc[3, "class"] = 2
    another.loc[3, "class name"] = "nucleus"
    new = pd.DataFrame({"index": [1001], "score": [np.nan], "class": [1], "class name": ["cell"]})
    more = pd.concat([another, new], ignore_index=True)
    back = pd.concat([first[first["index"] == 500], more]).sort_values("index", ignore_index=True)
    for number, expected in enumerate([first, gone, another, more, back]):
        document, sizes = written(*[first, gone, another, more, back][: number + 1])
        assert same(document, expected)
        assert all(size < 70 for size in sizes[1:])


values = st.sampled_from([np.nan, None, pd.NA, "a", "bb", 1, 1.0, True])
rows = st.tuples(st.floats(0, 1) | st.just(np.nan), st.integers(0, 2), values)
tables = st.dictionaries(st.integers(1, 9), rows, min_size=1)


@settings(max_examples=30)
@given(st.lists(tables, min_size=1, max_size=4))
def test_any_rows_can_change(all_rows):
    """Whatever stands in a column, as of another plugin: what is read is what was there last."""
    shown = [
        pd.DataFrame(
            {
                "index": sorted(found),
                "score": [found[one][0] for one in sorted(found)],
                "class": [found[one][1] for one in sorted(found)],
                "note": pd.Series([found[one][2] for one in sorted(found)], dtype=object),
            }
        )
        for found in all_rows
    ]
    document, _ = written(*shown)
    whole, _ = written(shown[-1])
    one, other = table_in(document), table_in(whole)
    for name in one:
        # A value that is missing may be written as that of before, which is missing, too.
        assert [named(value) for value in one[name]] == [named(value) for value in other[name]]


def named(value):
    return "missing" if str(value) in ("nan", "None", "<NA>") else value


def test_the_same_table_is_no_patch():
    kept = WrittenTable()
    assert kept.patch(table())
    assert kept.patch(table()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.assign(area=3.0),
        lambda one: one.drop(columns="index"),
        lambda one: one.sort_values("index", ascending=False, ignore_index=True),
        lambda one: one.assign(score=one["score"] / 2),
        lambda one: one[["class", "index", "score", "class name"]],
        lambda one: one.assign(index=one["index"].astype(str)),
    ],
    ids=["column", "no ids", "order", "all", "columns", "text"],
)
def test_any_other_table_is_written_as_a_whole(change):
    first, other = table(), change(table())
    assert same(written(first, other)[0], other)
    assert same(written(other, first)[0], first)
    assert same(written(first, first[5:].reset_index(drop=True), other)[0], other)


def test_a_journal_of_an_earlier_version_is_read_and_goes_on():
    first = table(9)
    document = {"features": json.loads(json.dumps({k: v.tolist() for k, v in first.items()}))}
    assert same(document, first)
    fewer = first[first["index"] != 4].reset_index(drop=True)
    patch = WrittenTable(document).patch(fewer)
    assert patch == [[["rows", "4"], None]]
    apply_patch(document, patch)
    assert same(document, fewer)


def test_what_is_missing_and_what_json_has_not_is_written():
    odd = pd.DataFrame(
        {
            "index": [1, 2, 3],
            "name": pd.array(["a", None, "b"], dtype="string"),
            "when": pd.to_datetime(["2020-01-01", None, "2021-01-01"]),
        }
    )
    changed = odd.assign(name=pd.array(["a", "c", None], dtype="string"))
    document, _ = written(odd, changed)
    told = table_in(document)
    assert told["index"] == [1, 2, 3]
    assert told["name"][:2] == ["a", "c"]
    assert told["when"][0].startswith("2020-01-01")


@pytest.mark.parametrize("rows", [3, {"1": 4}, {"1": [1]}, {"1": [1, 2, 3, 4]}, {"x": None}])
def test_damaged_rows_are_left_out(rows):
    document, _ = written(table(5))
    assert same({**document, "rows": rows}, table(5))


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"index": [1, 2], "score": 3}, {"index": [2]}),
        ({"index": [1, 2], "score": [3]}, None),
        ({"index": [None, 2]}, {"index": [None, 2]}),
    ],
    ids=["no column", "another length", "no ids"],
)
def test_damaged_columns_are_left_out(features, expected):
    assert table_in({"features": features, "rows": {"1": None}}) == expected

"""A dict that knows from which earlier one it was made."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet import versioned
from napari_segnet.journal import apply_patch, difference
from napari_segnet.versioned import VersionedDict, keys_that_differ

keys = st.sampled_from("abcdef")
changes = st.tuples(st.dictionaries(keys, st.integers(0, 2), max_size=3), st.sets(keys, max_size=3))


def chain(first: dict, steps: list) -> list[VersionedDict]:
    made = [VersionedDict(first)]
    for values, removed in steps:
        made.append(made[-1].with_changes(values, removed - values.keys()))
    return made


@settings(max_examples=30)
@given(st.dictionaries(keys, st.integers(0, 2)), st.lists(changes, max_size=6), st.data())
def test_it_is_as_if_all_were_compared(first, steps, data):
    made = chain(first, steps)
    one, other = (data.draw(st.sampled_from(made)) for _ in range(2))
    plain, other_plain = dict(one), dict(other)
    assert (one == other) == (plain == other_plain)
    assert (one != other) == (plain != other_plain)
    differing = {key for key in plain.keys() | other_plain if plain.get(key) != other.get(key)}
    assert differing <= set(keys_that_differ(one, other))
    document = {"states": copy.deepcopy(one)}
    apply_patch(document, json.loads(json.dumps(difference({"states": one}, {"states": other}))))
    assert document == {"states": other_plain}


def test_only_what_was_changed_is_looked_at():
    first = VersionedDict({str(n): "unseen" for n in range(10)})
    second = first.with_changes({"3": "accepted"}, ["4"])
    third = second.with_changes({"20": "fixed"})
    assert third.changed_since(first) == {"3", "4", "20"}
    assert keys_that_differ(first, third)[0] == "4"
    assert set(keys_that_differ(first, third)) == {"3", "4", "20"}
    assert first["3"] == "unseen"
    assert first.changed_since(third) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.__setitem__("a", 5),
        lambda d: d.__delitem__("a"),
        lambda d: d.update(a=5),
        lambda d: d.pop("a"),
        lambda d: d.popitem(),
        lambda d: d.setdefault("z", 5),
        lambda d: d.clear(),
        lambda d: d.__ior__({"a": 5}),
    ],
    ids=["set", "del", "update", "pop", "popitem", "setdefault", "clear", "ior"],
)
@pytest.mark.parametrize("which", [0, 1])
def test_a_change_in_place_is_seen(change, which):
    made = chain({"a": 1, "b": 2}, [({"c": 3}, set())])
    version = made[which].version
    change(made[which])
    assert made[which].version is not version
    assert made[1].changed_since(made[0]) is None
    assert (made[0] == made[1]) == (dict(made[0]) == dict(made[1]))


def test_a_large_or_a_long_change_is_compared_as_a_whole(monkeypatch):
    monkeypatch.setattr(versioned, "MOST_KEYS", 2)
    monkeypatch.setattr(versioned, "MOST_STEPS", 3)
    made = chain({"a": 1}, [({"b": 1}, set())] * 5)
    assert made[-1].changed_since(made[-4]) == {"b"}
    assert made[-1].changed_since(made[-5]) is None
    assert made[0].with_changes(dict.fromkeys("xyz", 1)).changed_since(made[0]) is None


def test_types_are_those_of_all_that_it_holds():
    first = VersionedDict({"a": 1})
    assert first.kinds == ({str}, {int})
    assert first.with_changes({"b": None}).kinds == ({str}, {int, type(None)})
    assert first.with_changes({2: 1.5}, ["a"]).kinds[0] >= {int}


def test_copies_are_plain():
    made = chain({"a": 1}, [({"b": 2}, set())])[-1]
    assert type(copy.deepcopy(made)) is dict
    assert type(copy.copy(made)) is dict
    assert pickle.loads(pickle.dumps(made)) == {"a": 1, "b": 2}
    assert json.dumps(made) == '{"a": 1, "b": 2}'


@pytest.mark.parametrize("value", [1, None, True, 1.0])
def test_of_strangers_every_other_object_counts(value):
    same = object()
    before, after = {"a": same, "b": 1, "gone": 2}, {"b": value, "a": same, "new": None}
    assert keys_that_differ(before, after)[0] == "gone"
    differ = set(keys_that_differ(before, after))
    assert differ == {"gone", "new"} | ({"b"} if value is not before["b"] else set())

"""The mark ``sample``: some cases of a test always run, the others are long."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from support.sample import outside_samples


def cases(test: str, count: int, sample: int | None):
    mark = None if sample is None else pytest.mark.sample(sample).mark
    return [
        SimpleNamespace(nodeid=f"{test}[{i}]", get_closest_marker={"sample": mark}.get)
        for i in range(count)
    ]


def test_so_many_cases_of_each_test_stay():
    items = cases("a", 20, 5) + cases("b", 3, 5) + cases("c", 9, 2) + cases("d", 9, None)
    left = {item.nodeid for item in items} - {item.nodeid for item in outside_samples(items)}
    counts = {test: sum(name.startswith(f"{test}[") for name in left) for test in "abcd"}
    assert counts == {"a": 5, "b": 3, "c": 2, "d": 9}


def test_the_sample_does_not_follow_the_order():
    items = cases("a", 40, 10)
    left = outside_samples(items)
    assert left == outside_samples(items[::-1])
    chosen = [item not in left for item in items]
    assert 0 < sum(chosen[:20]) < 10

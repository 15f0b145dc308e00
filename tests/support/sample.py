"""The mark ``sample(n)``: n cases of a test run always, the others with ``-m long``."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

import pytest


def outside_samples(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Return the cases that are not in the sample of their test.

    The sample is drawn by a checksum of the names of the cases: it is the same in every run and
    on every machine, and it does not follow the order of the parameters.
    """
    cases: defaultdict[tuple[int, str], list[pytest.Item]] = defaultdict(list)
    for item in items:
        mark = item.get_closest_marker("sample")
        if mark is not None and item.get_closest_marker("long") is None:
            cases[int(mark.args[0]), item.nodeid.partition("[")[0]].append(item)
    return [item for (count, _), members in cases.items() for item in drawn_last(members, count)]


def drawn_last(members: list[pytest.Item], count: int) -> list[pytest.Item]:
    """Return all but ``count`` cases; those named like the test alone count as one."""
    return sorted(members, key=lambda item: checksum(item.nodeid))[count:]


def checksum(name: str) -> str:
    """Return a number that has nothing to do with the order of names."""
    return hashlib.sha256(name.encode()).hexdigest()

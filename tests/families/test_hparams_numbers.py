"""Numbers that a user tells of a network, as values or as text from the command line."""

from __future__ import annotations

from typing import Any

import pytest
from support.networks import weights_of

from napari_segnet.errors import SettingsError
from napari_segnet.families.kit.hparams import Choice, list_of, numbers_of, settle

EPS = Choice(name="eps", between=(0.0, 0.1), default=1e-5, why="usual")
COUNT = Choice(name="count", between=(1, 50), default=None, why="chosen later")


@pytest.mark.parametrize(
    ("told", "value"),
    [
        (3, 3),
        ("0.5", 0.5),
        ("8,16", [8, 16]),
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ((1, "2"), [1, 2]),
        (True, None),
        ("many", None),
        ([1, "x"], None),
        ({"a": 1}, None),
    ],
)
def test_numbers_are_taken_from_values_and_text(told: Any, value: Any) -> None:
    assert numbers_of(told) == value


def test_what_is_told_wins_over_what_is_assumed() -> None:
    hparams, known = settle((EPS, COUNT), {}, weights_of({}), {"eps": "1e-3"}, "a network")
    assert hparams == {"eps": 1e-3, "count": None}
    assert known["eps"].source == "told"
    assert known["count"].source == "assumed"
    assert known["count"].why == "chosen later"


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"eps": 0.2}, "eps must be a number from 0 to 0.1, not 0.2"),
        ({"eps": "nan"}, "eps must be a number from 0 to 0.1, not 'nan'"),
        ({"eps": float("nan")}, "eps must be a number from 0 to 0.1, not nan"),
        ({"count": 1.5}, "count must be a whole number from 1 to 50, not 1.5"),
        ({"count": [3]}, r"count must be a whole number from 1 to 50, not \[3\]"),
    ],
)
def test_values_out_of_range_are_refused(told: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settle((EPS, COUNT), {}, weights_of({}), told, "a network")


@pytest.mark.parametrize("told", ["5", [], [0], [[1], []], "1,inf", "1,Infinity", None])
def test_lists_hold_positive_numbers(told: Any) -> None:
    with pytest.raises(SettingsError, match="sizes must be a list of positive numbers"):
        list_of("sizes", told)

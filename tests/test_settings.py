"""Text and JSON to settings: what is right comes in, everything else is refused in words."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_segnet.errors import SettingsError
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.settings import field_names, parse_pairs, settings_from, suggestion


@dataclass(frozen=True, kw_only=True)
class Toy:
    name: str = "auto"
    number: float = 0.5
    maybe: float | None = None
    count: int = 3
    limit: int | None = None
    flag: bool = False
    perhaps: bool | None = None
    edges: tuple[int, ...] = field(default=())
    words: tuple[str, ...] = ()
    span: tuple[float, float] = (0.6, 1.6)


def test_names_are_those_of_the_class_in_order():
    assert field_names(Toy)[:3] == ("name", "number", "maybe")


def test_pairs_are_split_at_the_first_equals_sign():
    assert parse_pairs(["a=1", " b = x=y ", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    assert parse_pairs(["a=1", "a=2"]) == {"a": "2"}


@pytest.mark.parametrize("pair", ["threshold", "=0.4", " =", ""])
def test_pairs_without_key_or_equals_are_refused(pair):
    with pytest.raises(SettingsError, match="Write KEY=VALUE, for example --set thr"):
        parse_pairs([pair])


@pytest.mark.parametrize(
    ("name", "value", "means"),
    [
        ("name", "percentile:1,99", "percentile:1,99"),
        ("name", [0, 2], "0,2"),
        ("name", 1, "1"),
        ("number", "0.25", 0.25),
        ("number", 1, 1.0),
        ("number", "auto", 0.5),
        ("maybe", "0.25", 0.25),
        ("maybe", "none", None),
        ("maybe", "Auto", None),
        ("maybe", None, None),
        ("count", "7", 7),
        ("count", 7.0, 7),
        ("count", " auto ", 3),
        ("limit", "null", None),
        ("limit", "12", 12),
        ("flag", "TRUE", True),
        ("flag", "off", False),
        ("flag", 1, True),
        ("perhaps", "no", False),
        ("perhaps", "auto", None),
        ("edges", "32, 256,256", (32, 256, 256)),
        ("edges", "(64)", (64,)),
        ("edges", 64, (64,)),
        ("edges", [64, 32.0], (64, 32)),
        ("edges", "auto", ()),
        ("edges", "", ()),
        ("words", "smooth,clear", ("smooth", "clear")),
        ("words", ["smooth"], ("smooth",)),
        ("span", "0.5,2", (0.5, 2.0)),
        ("span", "auto", (0.6, 1.6)),
    ],
)
def test_texts_and_json_values_that_mean_something(name, value, means):
    found = getattr(settings_from(Toy, {name: value}), name)
    assert found == means
    assert type(found) is type(means)


@pytest.mark.parametrize(
    ("name", "value", "is_not"),
    [
        ("name", None, "a text"),
        ("name", True, "a text"),
        ("name", {"a": 1}, "a text"),
        ("number", "much", "a number"),
        ("number", "nan", "a number"),
        ("number", float("inf"), "a number"),
        ("number", "-Infinity", "a number"),
        ("number", True, "a number"),
        ("number", [1], "a number"),
        ("number", None, "a number"),
        ("number", "none", "a number"),
        ("maybe", "x", "a number"),
        ("count", "1.5", "a whole number"),
        ("count", 1.5, "a whole number"),
        ("count", "1e3", "a whole number"),
        ("count", "9" * 5000, "a whole number"),
        ("count", 10**400, "a whole number"),
        ("count", float("nan"), "a whole number"),
        ("count", True, "a whole number"),
        ("number", 10**400, "a number"),
        ("flag", "maybe", "true or false"),
        ("flag", 2, "true or false"),
        ("flag", None, "true or false"),
        ("edges", "a,b", "a list of whole numbers, such as 1,2"),
        ("edges", [True], "a list of whole numbers"),
        ("edges", {"y": 1}, "a list of whole numbers"),
        ("words", [["smooth"], None], "a list of names, such as smooth"),
        ("span", "1", "a list of 2 numbers, such as 0.5,2"),
        ("span", "1,2,3", "a list of 2 numbers"),
    ],
)
def test_what_is_no_value_is_refused(name, value, is_not):
    with pytest.raises(SettingsError, match=f"^{name}=.* is not {is_not}.* Correct the setting"):
        settings_from(Toy, {name: value})


def test_a_refusal_is_no_longer_than_a_line():
    with pytest.raises(SettingsError) as refusal:
        settings_from(Toy, {"count": "7" * 10_000})
    assert len(str(refusal.value)) < 200


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(SettingsError, match=r"no setting 'nubmer' \(did you mean 'number'\?\)"):
        settings_from(Toy, {"nubmer": 1})


def test_suggestions_do_not_look_at_capitals():
    assert suggestion("THRESHOLD", ["threshold"]) == " (did you mean 'threshold'?)"
    assert suggestion("zzz", ["threshold"]) == ""


@pytest.mark.parametrize("cls", [PredictSettings, LabelSettings])
def test_settings_survive_json(cls):
    settings = cls()
    assert settings_from(cls, dataclasses.asdict(settings)) == settings


@given(st.text(max_size=20))
def test_any_text_is_a_value_or_a_refusal_in_words(text):
    for name in field_names(Toy):
        try:
            settings_from(Toy, {name: text})
        except SettingsError as error:
            assert str(error).startswith(f"{name}=")

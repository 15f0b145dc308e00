"""What a user may tell of a network, and in which words."""

from __future__ import annotations

import pytest
from support.networks import weights_of

from napari_segnet.errors import SettingsError
from napari_segnet.families._told import Choice, settle

PADDING = Choice(name="padding", values=(False, True), default=False, why="the author's default")
LEVELS = Choice(name="levels", values=(3, 4), default=4, why="so in the paper")
POOLING = Choice(name="pooling", values=("max", "average"), default="max", why="usual")
READ = {"depth": 5, "features": [4, 8], "bilinear": True, "names": "conv"}


def settled(told, metadata=None):
    choices = (PADDING, LEVELS, POOLING)
    return settle(choices, READ, weights_of({}, metadata), told, "the U-Net of somebody")


def test_nothing_told_is_assumed_and_says_why():
    hparams, known = settled({})
    assert {**READ, "padding": False, "levels": 4, "pooling": "max"} == hparams
    assert ("assumed", "the author's default") == (known["padding"].source, known["padding"].why)
    assert known["depth"].source == "read"


@pytest.mark.parametrize("word", [True, "true", " Yes", "on", "1", 1])
def test_words_for_true(word):
    hparams, known = settled({"padding": word})
    assert hparams["padding"] is True
    assert known["padding"].source == "told"


@pytest.mark.parametrize("word", [False, "false", "No", "off", "0", 0])
def test_words_for_false(word):
    assert settled({"padding": word})[0]["padding"] is False


def test_numbers_and_words_come_as_text():
    hparams, _ = settled({"levels": "3", "pooling": "Average"})
    assert (3, "average") == (hparams["levels"], hparams["pooling"])


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"padding": "maybe"}, "padding must be false or true, not 'maybe'"),
        ({"levels": "7"}, "levels must be 3 or 4, not '7'"),
        ({"pooling": "min"}, "pooling must be max or average, not 'min'"),
        ({"pading": "true"}, "no hyper-parameter 'pading'.*padding .false or true., levels"),
    ],
)
def test_wrong_names_and_values_are_refused(told, message):
    with pytest.raises(SettingsError, match=message):
        settled(told)


@pytest.mark.parametrize(
    "told",
    [
        {"depth": 5},
        {"depth": "5"},
        {"features": "[4, 8]"},
        {"features": (4, 8)},
        {"bilinear": "true"},
        {"names": "conv"},
    ],
)
def test_telling_what_the_file_says_changes_nothing(told):
    hparams, known = settled(told)
    assert settled({}) == (hparams, known)


def test_what_contradicts_the_tensors_is_refused():
    with pytest.raises(SettingsError, match="say bilinear = true, but false was told"):
        settled({"bilinear": "False"})


def test_a_value_recorded_beside_the_tensors_is_read():
    hparams, known = settled({}, {"hyper_parameters": {"padding": True, "lr": 0.1}})
    assert hparams["padding"] is True
    assert "read" == known["padding"].source
    assert "hyper_parameters" in known["padding"].why


def test_the_user_knows_better_than_the_record():
    hparams, _ = settled({"padding": "no"}, {"hyper_parameters": {"padding": True}})
    assert hparams["padding"] is False


@pytest.mark.parametrize("value", [1, "same", None, [True]])
def test_a_recorded_value_of_another_meaning_is_ignored(value):
    _, known = settled({}, {"hyper_parameters": {"padding": value}})
    assert known["padding"].source == "assumed"

"""What a user may tell of a network, and in which words."""

from __future__ import annotations

import pytest
from support.networks import weights_of

from napari_segnet.errors import SettingsError
from napari_segnet.families.kit.hparams import Choice, settle

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


EPS = Choice(name="eps", default=1e-5, between=(0.0, 0.1), why="torch's default", also=("bn_eps",))
FUNCTION = Choice(
    name="nonlinearity",
    values=("relu", "leaky_relu", "none"),
    default="relu",
    numbers={"leaky_relu": 0.01},
    why="usual",
    only_by_user=("none",),
)


def settled_of(choice, metadata=None, told=None, layers=None):
    hparams, known = settle((choice,), {}, weights_of({}, metadata), told or {}, "it", layers)
    return hparams[choice.name], known[choice.name]


@pytest.mark.parametrize(
    ("metadata", "where"),
    [
        ({"padding": True}, "recorded in the file"),
        ({"hyper_parameters": {"padding": True}}, "recorded in the file's hyper_parameters"),
        ({"config": {"model": {"padding": True}}}, "recorded in the file's config.model"),
        ({"args": {"net": {"kwargs": {"padding": True}}}}, "the file's args.net.kwargs"),
    ],
)
def test_what_a_file_records_is_read_wherever_it_stands(metadata, where):
    value, known = settled_of(PADDING, metadata)
    assert (value, known.source) == (True, "read")
    assert where in known.why


@pytest.mark.parametrize(
    "metadata", [{"padding": 1}, {"augmentation": {"padding": True}}, {"padding": "same"}]
)
def test_what_may_mean_something_else_is_not_read(metadata):
    assert settled_of(PADDING, metadata)[1].source == "assumed"


def test_two_records_that_differ_are_said():
    value, known = settled_of(PADDING, {"padding": True, "config": {"padding": False}})
    assert (value, known.source) == (False, "assumed")
    assert "records several values: true, false" in known.why


@pytest.mark.parametrize(
    ("told", "value"), [("leaky_relu:0.2", "leaky_relu:0.2"), ("LEAKY_RELU", "leaky_relu:0.01")]
)
def test_a_word_may_have_a_number(told, value):
    assert settled_of(FUNCTION, told={"nonlinearity": told})[0] == value


def test_words_of_training_programs_are_understood():
    assert settled_of(FUNCTION, {"nonlinearity": "LeakyReLU"})[0] == "leaky_relu:0.01"
    assert settled_of(FUNCTION, {"nonlinearity": "none"})[1].source == "assumed"
    assert settled_of(FUNCTION, told={"nonlinearity": "none"})[1].source == "told"


def test_a_number_between_two_others():
    assert settled_of(EPS, {"config": {"bn_eps": 1e-3}})[0] == 1e-3
    assert settled_of(EPS, told={"eps": "0.01"})[0] == 0.01
    with pytest.raises(SettingsError, match=r"eps must be a number from 0 to 0\.1, not '2'"):
        settled_of(EPS, told={"eps": "2"})


def test_the_layers_of_a_pickled_module_are_stronger():
    value, known = settled_of(POOLING, {"pooling": "max"}, layers={"pooling": "average"})
    assert (value, known.source) == ("average", "read")
    with pytest.raises(SettingsError, match="layers in the file say pooling = average, but max"):
        settled_of(POOLING, told={"pooling": "max"}, layers={"pooling": "average"})

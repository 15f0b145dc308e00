"""A run as a command line: what it says is what the command reads."""

import shlex
from pathlib import Path

import pytest

from napari_segnet.builtin import builtin_models
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.repeat import command_line, setting_text
from napari_segnet.settings import parse_pairs, settings_from


def parsed(line):
    words = shlex.split(line)
    pairs = parse_pairs(words[i + 1] for i, word in enumerate(words) if word == "--set")
    return words, pairs


def test_defaults_are_not_named():
    line = command_line("cells.tif", "unet.pth", PredictSettings(), LabelSettings())
    assert line == "napari-segnet segment cells.tif -c unet.pth"


def test_a_built_in_network_is_called_by_its_name():
    line = command_line("cells.tif", builtin_models()["nuclei"])
    assert shlex.split(line)[-2:] == ["-c", "nuclei"]


def test_spaces_are_quoted():
    words, _ = parsed(command_line("my cells.tif", Path("a folder") / "unet.pth"))
    assert "my cells.tif" in words
    assert str(Path("a folder") / "unet.pth") in words


@pytest.mark.parametrize(
    "settings",
    [
        PredictSettings(normalize="percentile:2,98", tile_px=(32, 256, 256), scale=1.5),
        PredictSettings(channels="0,2", device="cpu", batch_size=3),
        LabelSettings(threshold=0.35, fill_holes=False, clear_border=True, steps=("smooth",)),
        LabelSettings(min_size_px=40, link="tz", seed_threshold=0.0),
    ],
)
def test_settings_come_back(settings):
    _, pairs = parsed(command_line("a.tif", "b.pth", settings))
    assert settings_from(type(settings), pairs) == settings


def test_axes_and_facts_are_told():
    _, pairs = parsed(command_line("a.tif", "b.pth", axes="tyx", overrides={"sigmoid": True}))
    assert pairs == {"axes": "tyx", "sigmoid": "true"}


def test_what_is_left_open_is_auto():
    assert setting_text(None) == "auto"

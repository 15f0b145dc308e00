"""Settings with no gaps, and refusals in words."""

import re

import pytest

from napari_segnet.checkpoint import Output
from napari_segnet.errors import SettingsError
from napari_segnet.steps import (
    LabelSettings,
    labeler_of,
    resolve,
    resolve_classes,
    resolve_instances,
)


def outputs(*roles):
    return tuple(
        Output(role=role, channels=n, activation=activation) for role, n, activation in roles
    )


FOREGROUND = ("foreground", 1, "sigmoid")
BOUNDARY = ("boundary", 1, "sigmoid")
DISTANCE = ("distance", 1, "none")


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ([FOREGROUND], "components"),
        ([("class", 1, "sigmoid")], "components"),
        ([("class", 2, "softmax")], "components"),
        ([("class", 2, "none")], "components"),
        ([("class", 2, "sigmoid")], "none"),
        ([("class", 3, "softmax")], "none"),
        ([FOREGROUND, BOUNDARY], "watershed"),
        ([FOREGROUND, DISTANCE], "watershed"),
        ([BOUNDARY], "watershed"),
        ([("class", 5, "softmax"), BOUNDARY], "watershed"),
        ([("other", 4, "none")], "none"),
        ([("class", 5, "softmax"), ("foreground", 2, "softmax"), ("offset", 2, "none")], "offsets"),
    ],
)
def test_auto_follows_the_outputs(roles, expected):
    assert resolve_instances(outputs(*roles), "auto") == expected


@pytest.mark.parametrize("name", ["none", "components", "watershed"])
def test_a_name_means_itself(name):
    assert resolve_instances(outputs(BOUNDARY), name) == name
    assert labeler_of(name).name == name


def test_defaults_fill_the_gaps():
    settings = resolve(LabelSettings(), outputs(FOREGROUND), {}, "semantic")
    assert settings == LabelSettings(
        threshold=0.5,
        instances="components",
        min_size_px=0,
        fill_holes=True,
        seed_threshold=0.1,
        flow_threshold=0.4,
        mask_overlap=1.0,
        nms=0.5,
    )


def test_classes_keep_their_holes():
    assert (
        resolve(LabelSettings(), outputs(("class", 4, "softmax")), {}, "semantic").fill_holes
        is False
    )


def test_the_card_goes_before_the_defaults_and_the_user_before_the_card():
    card = {"threshold": 0.3, "min_size_px": 20, "seed_threshold": 0.2, "batch": "ignored"}
    settings = resolve(
        LabelSettings(threshold=0.7), outputs(FOREGROUND, BOUNDARY), card, "semantic"
    )
    assert (settings.threshold, settings.min_size_px, settings.seed_threshold) == (0.7, 20, 0.2)


def test_the_card_may_name_the_labeler():
    card = {"instances": "watershed"}
    assert resolve(LabelSettings(), outputs(FOREGROUND), card, "semantic").instances == "watershed"
    told = LabelSettings(instances="none")
    assert resolve(told, outputs(FOREGROUND), card, "semantic").instances == "none"


def test_a_distance_alone_is_cut_low():
    assert resolve(LabelSettings(), outputs(DISTANCE), {}, "semantic").threshold == 0.1


def test_instance_networks_need_no_labeler():
    settings = resolve(LabelSettings(), (), {"min_size_px": 5}, "instance")
    assert (settings.instances, settings.fill_holes, settings.min_size_px) == ("auto", False, 5)


def test_a_network_that_learned_from_labels_says_how_far_objects_may_overlap():
    card = {"mask_overlap": 0.5}
    assert resolve(LabelSettings(), (), {}, "instance").mask_overlap == 1
    assert resolve(LabelSettings(), (), card, "instance").mask_overlap == 0.5
    assert resolve(LabelSettings(mask_overlap=0.9), (), card, "instance").mask_overlap == 0.9


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"threshold": 1.5}, "threshold=1.5 is out of range. Give a number from 0 to 1."),
        ({"threshold": float("nan")}, "threshold=nan is out of range"),
        ({"threshold": "high"}, "threshold is 'high', but must be a number"),
        ({"seed_threshold": -0.1}, "seed_threshold=-0.1 is out of range"),
        ({"score": 2}, "score=2 is out of range"),
        ({"nms": True}, "nms is True, but must be a number"),
        ({"mask_threshold": -1}, "mask_threshold=-1 is out of range"),
        ({"mask_overlap": 2}, "mask_overlap=2 is out of range"),
        ({"min_size_px": -3}, "min_size_px=-3 is out of range. Give a whole number, 0 or more."),
        ({"min_size_px": 2.5}, "min_size_px is 2.5, but must be a whole number"),
        ({"max_objects": -1}, "max_objects=-1 is out of range"),
        ({"max_objects": float("inf")}, "max_objects is inf, but must be a whole number"),
        (
            {"overlap": "largest"},
            "overlap='largest' is not known. Choose one of: score, probability.",
        ),
        ({"classes": ("2", "0")}, "classes='0' is the background; 1 is the first class."),
        ({"link": "x"}, "link='x' is not known. Choose one of: none, z, t, tz."),
        (
            {"instances": "magic"},
            "instances='magic' is not known. Choose one of: auto, none, components, watershed, "
            "flows, offsets.",
        ),
        (
            {"steps": ("smooth", "polish")},
            "The step 'polish' is not known. Choose of: fill_holes, min_size, clear_border",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["semantic", "instance"])
def test_wrong_settings_are_refused_by_name(own, message, kind):
    with pytest.raises(SettingsError, match=re.escape(message)):
        resolve(LabelSettings(**own), outputs(FOREGROUND), {}, kind)


def test_wrong_advice_is_refused_too():
    with pytest.raises(SettingsError, match="threshold=7 is out of range"):
        resolve(LabelSettings(), outputs(FOREGROUND), {"threshold": 7}, "semantic")


NAMES = ("background", "Cell", "nucleus")


@pytest.mark.parametrize(
    ("wanted", "names", "chosen"),
    [
        ((), NAMES, None),
        (("cell",), NAMES, {1}),
        (("NUCLEUS ", "1"), NAMES, {1, 2}),
        (("7",), (), {7}),
    ],
)
def test_classes_are_known_by_name_or_number(wanted, names, chosen):
    assert resolve_classes(wanted, names) == chosen


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (NAMES, "classes='dog' is no class of this network. Choose of its classes: Cell, nucleus."),
        ((), "classes='dog' is no class of this network. Choose of a number, such as 1."),
    ],
)
def test_a_class_that_is_not_there_is_refused(names, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        resolve_classes(("dog",), names)

"""Classes and components."""

import numpy as np
import pytest

from napari_segnet.checkpoint import Output
from napari_segnet.errors import MismatchError
from napari_segnet.steps import LabelSettings, Unit, labeler_of, resolve


def labels_of(outputs, maps, **own):
    unit = Unit(maps=np.asarray(maps, np.float16), outputs=outputs, pixel_size=(1.0, 1.0))
    settings = resolve(LabelSettings(**own), outputs, {}, "semantic")
    return labeler_of(settings.instances).label(unit, settings).tolist()


def one(role, channels, activation):
    return (Output(role=role, channels=channels, activation=activation),)


SOFTMAX = one("class", 3, "softmax")
SIGMOID = one("class", 2, "sigmoid")


def test_exclusive_classes_take_the_most_probable():
    maps = [[[0.5, 0.2, 0.3]], [[0.3, 0.4, 0.3]], [[0.2, 0.4, 0.4]]]
    assert labels_of(SOFTMAX, maps) == [[0, 1, 2]]


def test_independent_classes_take_the_most_probable_above_the_threshold():
    maps = [[[0.4, 0.6, 0.7]], [[0.3, 0.9, 0.6]]]
    assert labels_of(SIGMOID, maps) == [[0, 2, 1]]
    assert labels_of(SIGMOID, maps, threshold=0.8) == [[0, 2, 0]]


@pytest.mark.parametrize(
    ("outputs", "channel"),
    [
        (one("foreground", 1, "sigmoid"), 0),
        (one("class", 1, "sigmoid"), 0),
        (one("class", 2, "softmax"), 1),
        (one("boundary", 1, "sigmoid"), 0),
        (one("boundary", 1, "sigmoid") + one("foreground", 1, "sigmoid"), 1),
        (one("affinity", 2, "sigmoid") + one("class", 1, "sigmoid"), 2),
    ],
)
def test_one_class_is_what_lies_above_the_threshold(outputs, channel):
    maps = np.zeros((sum(output.channels for output in outputs), 1, 3))
    maps[channel] = [[0.5, 0.6, 0.9]]
    assert labels_of(outputs, maps, instances="none") == [[0, 1, 1]]
    assert labels_of(outputs, maps, instances="none", threshold=0.7) == [[0, 0, 1]]


def test_the_threshold_is_compared_in_full_precision():
    """The float16 next to 0.7 is 0.7002: above 0.7, though float16 calls them equal."""
    assert labels_of(one("class", 1, "sigmoid"), [[[0.7]]], threshold=0.7) == [[1]]


def test_classes_before_foreground_for_classes_and_after_it_for_objects():
    outputs = one("foreground", 1, "sigmoid") + SOFTMAX
    maps = [[[1, 1, 0]], [[0, 0, 1]], [[1, 0, 0]], [[0, 1, 0]]]
    assert labels_of(outputs, maps, instances="none") == [[1, 2, 0]]
    assert labels_of(outputs, maps, instances="components") == [[1, 1, 0]]


def test_components_of_each_class_are_objects():
    maps = [[[0, 0, 1, 0]], [[1, 0, 0, 1]], [[0, 1, 0, 0]]]
    assert labels_of(SOFTMAX, maps, instances="components") == [[1, 2, 0, 3]]


def test_components_of_a_network_of_boundaries_are_what_they_enclose():
    outputs = one("boundary", 1, "sigmoid")
    assert labels_of(outputs, [[[0, 0.9, 0.1]]], instances="components") == [[1, 0, 2]]


def test_many_rows_at_once_or_few_make_no_difference(monkeypatch):
    from napari_segnet.steps import _channels

    maps = np.random.default_rng(0).random((3, 20, 7))
    whole = labels_of(SOFTMAX, maps)
    monkeypatch.setattr(_channels, "CHUNK_PX", 50)
    assert labels_of(SOFTMAX, maps) == whole


def test_what_cannot_be_labelled_is_refused_with_its_roles():
    with pytest.raises(MismatchError, match=r"this one has: affinity\. Tell what"):
        labels_of(one("affinity", 2, "sigmoid"), np.zeros((2, 3, 3)))


def test_settings_with_gaps_are_a_mistake_of_the_caller():
    unit = Unit(maps=np.zeros((1, 2, 2)), outputs=one("class", 1, "sigmoid"), pixel_size=(1, 1))
    with pytest.raises(ValueError, match="threshold is None"):
        labeler_of("none").label(unit, LabelSettings())

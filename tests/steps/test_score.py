"""Scores and classes of labels."""

import numpy as np

from napari_segnet.checkpoint import Output
from napari_segnet.steps import Unit, ids, score_labels

LABELS = np.int32([[1, 1, 0], [3, 3, 3]])


def score(maps, *roles, labels=LABELS, kind="instance"):
    outputs = tuple(Output(role=r, channels=n, activation=a) for r, n, a in roles)
    maps = np.asarray(maps, np.float16)
    unit = Unit(maps=maps, outputs=outputs, pixel_size=(1.0,) * (maps.ndim - 1))
    return [part.tolist() for part in score_labels(labels, unit, kind)]


FOREGROUND = ("foreground", 1, "sigmoid")
P = [[0.5, 1, 0], [0.25, 0.5, 0.75]]
Q = [[0.25, 0, 0], [0.5, 0.5, 0.5]]


def test_the_score_is_the_mean_foreground():
    assert score([P], FOREGROUND) == [[1, 3], [0.75, 0.5], [1, 1]]


def test_of_two_exclusive_classes_the_second_is_the_foreground():
    assert score([Q, P], ("class", 2, "softmax")) == [[1, 3], [0.75, 0.5], [1, 1]]


def test_the_class_is_the_most_probable_on_average_never_the_background():
    nine = np.full((2, 3), 0.9)
    assert score([nine, Q, P], ("class", 3, "softmax"))[2] == [2, 1]
    assert score([Q, P], ("class", 2, "sigmoid")) == [[1, 3], [0.75, 0.5], [2, 1]]


def test_foreground_gives_the_score_where_classes_give_the_class():
    found = score([P, 1 - np.float16(Q), Q], FOREGROUND, ("class", 2, "sigmoid"))
    assert found == [[1, 3], [0.75, 0.5], [1, 1]]


def test_a_boundary_counts_against_an_object():
    assert score([P], ("boundary", 1, "sigmoid"))[1] == [0.25, 0.5]


def test_of_classes_the_id_is_the_class():
    labels = np.int32([[2, 2, 0], [1, 1, 1]])
    found = score([P, Q, P], ("class", 3, "softmax"), labels=labels, kind="semantic")
    assert found == [[1, 2], [0.5, 0.75], [1, 2]]


def test_what_is_not_a_number_counts_as_zero():
    assert score([[[np.nan, 1, 0], [0, 0, 0]]], FOREGROUND)[1] == [0.5, 0]


def test_no_objects_no_scores():
    assert score([P], FOREGROUND, labels=np.zeros((2, 3), np.int32)) == [[], [], []]
    empty = np.zeros((2, 3), np.int32)
    assert score([P, P, P], ("class", 3, "softmax"), labels=empty) == [[], [], []]


def test_a_volume_in_many_chunks_scores_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 9, (3, 5, 7)).astype(np.int32)
    maps = rng.random((1, 3, 5, 7))
    whole = score(maps, FOREGROUND, labels=labels)
    monkeypatch.setattr(ids, "CHUNK_PX", 10)
    np.testing.assert_allclose(score(maps, FOREGROUND, labels=labels), whole, rtol=1e-6)
    expected = [np.float16(maps[0])[labels == i].astype(float).mean() for i in range(1, 9)]
    np.testing.assert_allclose(whole[1], expected, rtol=1e-6)

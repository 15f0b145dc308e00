"""Networks that answer alike are shown once."""

from types import SimpleNamespace

import torch

from napari_segnet.evidence._answers import distinct

ANSWERS = {
    "first": torch.arange(16.0).reshape(1, 1, 4, 4),
    "alike": torch.arange(16.0).reshape(1, 1, 4, 4) + 1e-4,
    "other": torch.arange(16.0).reshape(1, 1, 4, 4).flip(-1),
    "small": torch.zeros(1, 1, 2, 2),
    "impossible": None,
}
MEASURE = SimpleNamespace(
    answer=ANSWERS.get, answers=lambda graphs: [ANSWERS[graph] for graph in graphs]
)


def shown(*names, most=4):
    found = distinct([SimpleNamespace(graph=name) for name in names], MEASURE, most)
    return [one.graph for one in found]


def test_of_those_that_answer_alike_the_first_stays():
    assert shown("first", "alike", "other", "small") == ["first", "other", "small"]


def test_one_that_cannot_answer_is_left_out():
    assert shown("first", "impossible", "other") == ["first", "other"]
    assert shown("impossible", "first") == ["impossible", "first"]


def test_no_more_are_run_than_are_shown():
    assert shown("first", "other", "alike", most=2) == ["first", "other", "alike"]

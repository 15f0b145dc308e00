"""Likely mistakes come first, and the reason is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_segnet import mistakes
from napari_segnet.items import items_of
from napari_segnet.mistakes import (
    likelihoods,
    measures_of,
    uncertainty_by_both,
    uncertainty_by_measures,
)
from napari_segnet.shapes import shapes_of

SIDE = 30


def field(rows=5, columns=6):
    """Return discs that lie apart, ids from 1."""
    y, x = np.mgrid[: rows * SIDE, : columns * SIDE]
    disc = (y % SIDE - 15) ** 2 + (x % SIDE - 15) ** 2 < 100
    return np.where(disc, y // SIDE * columns + x // SIDE + 1, 0).astype(np.int32)


def merged(labels):
    """Return labels in which 8 and 9 are one, with a bridge."""
    made = np.where(labels == 9, 8, labels)
    made[SIDE + 10 : SIDE + 20, SIDE + 15 : 2 * SIDE + 15] = 8
    return made


def doubted(labels, **said):
    items = items_of(labels)
    return uncertainty_by_measures(items, shapes_of(items, labels), **said)


def why(items, label):
    return items.why[items.row_of(label)]


def test_a_merge_comes_first_and_says_so():
    found = doubted(merged(field()))
    assert found.ids[np.argmax(found.uncertainty)] == 8
    assert why(found, 8).startswith("looks like two: ")
    assert "nothing unusual" == why(found, 1)


def test_the_reason_has_the_number():
    labels = merged(field())
    items = items_of(labels)
    shapes = shapes_of(items, labels)
    found = uncertainty_by_measures(items, shapes)
    said = {
        f"looks like two: solidity {shapes.solidity[items.row_of(8)]:.2f}",
        f"looks like two: {np.exp(shapes.size[items.row_of(8)]):.2g} times the median area",
        f"looks like two: {np.exp(shapes.nearby[items.row_of(8)]):.2g} times the area of its "
        "neighbours",
    }
    assert why(found, 8) in said


def test_halves_are_parts():
    labels = field()
    labels[:, 45:][labels[:, 45:] == 8] = 99
    found = doubted(labels)
    assert {8, 99} == set(found.ids[np.argsort(-found.uncertainty)[:2]].tolist())
    assert "looks like a part" in why(found, 8) or why(found, 8).startswith("small: ")


def test_what_is_small_is_doubted():
    labels = field()
    labels[labels == 4] = 0
    labels[10:14, 100:104] = 4
    found = doubted(labels)
    assert 4 == found.ids[np.argmax(found.uncertainty)]
    assert why(found, 4).startswith("small: 0.0")


def test_a_network_that_is_undecided_or_sees_a_border_is_heard():
    labels = field()
    undecided, border = np.full(30, 0.1), np.zeros(30)
    undecided[4], border[6] = 0.9, 1.0
    found = doubted(labels, undecided=undecided, border=border)
    assert 5 == found.ids[np.argmax(found.uncertainty)]
    assert why(found, 5) == "the network is undecided: entropy 0.90 bit"
    assert found.uncertainty[6] > found.uncertainty[7]
    big = doubted(merged(labels), undecided=np.full(29, 0.1), border=np.eye(29)[7])
    assert (
        big.uncertainty[7]
        > doubted(merged(labels), undecided=np.full(29, 0.1), border=np.zeros(29)).uncertainty[7]
    )


def test_the_likelihood_is_logistic():
    labels = field()
    items = items_of(labels)
    measures = {n: np.zeros(2) for n in measures_of(shapes_of(items, labels))}
    measures["notched"] = np.array([0.0, 0.5])
    merge, other = likelihoods(measures)
    odds = mistakes.MERGE["always"] + 0.5 * mistakes.MERGE["notched"]
    np.testing.assert_allclose(merge[1] / (1 - merge[1]), np.exp(odds))
    np.testing.assert_allclose(other, 1 / (1 + np.exp(-mistakes.OTHER["always"])))


def test_every_weight_has_a_measure():
    labels = field()
    items = items_of(labels)
    every = measures_of(shapes_of(items, labels), np.zeros(30), np.zeros(30))
    for weights in (
        mistakes.MERGE,
        mistakes.MERGE_WITH_BORDER,
        mistakes.OTHER,
        mistakes.OTHER_WITH_MAPS,
    ):
        assert set(weights) - {"always"} <= set(every)


def test_the_worst_piece_of_an_object_counts():
    flat = field()
    stack = np.stack([flat, merged(flat), flat])
    items = items_of(stack)
    found = uncertainty_by_measures(items, shapes_of(items, stack))
    assert len(found) == 30 and 8 == found.ids[np.argmax(found.uncertainty)]


def test_two_looks_are_joined():
    items = items_of(field(1, 3))
    one = replace(items, uncertainty=np.array([0.5, 0.0, 0.2]), why=("a", "a", "a"))
    two = replace(items, uncertainty=np.array([0.5, 0.3, 0.1]), why=("b", "b", "b"))
    both = uncertainty_by_both(one, two)
    np.testing.assert_allclose([0.75, 0.3, 0.28], both.uncertainty)
    assert ("a", "b", "a") == both.why


@pytest.mark.parametrize("labels", [np.zeros((4, 4), np.int32), np.ones((4, 4), np.int32)])
def test_no_object_and_one_alone(labels):
    found = doubted(labels)
    assert len(found) == len(found.why) == int(labels.max())
    assert np.isfinite(found.uncertainty).all()

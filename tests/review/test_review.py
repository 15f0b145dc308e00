"""What a user says of objects, and which pixels may be taught from."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.review import Review, State


@pytest.fixture
def labels():
    labels = np.zeros((20, 30), np.int32)
    labels[5:10, 5:10] = 1
    labels[5:10, 10:15] = 2
    labels[14:18, 20:25] = 3
    return labels


def test_a_state_is_told_and_taken_back():
    review = Review().with_state([1, 2], State.ACCEPTED).with_state([2], State.UNSEEN)
    assert {1: State.ACCEPTED} == review.states
    assert review.state(2) is State.UNSEEN


def test_a_review_goes_through_json():
    review = (
        Review()
        .with_state([1], State.FIXED)
        .with_state([2], State.WRONG)
        .with_locked([3, 1])
        .with_unlocked([1])
        .with_region((slice(0, 4), slice(2, 9)))
        .with_dismissed((3, 4))
    )
    assert review == Review.from_json(json.loads(json.dumps(review.to_json())))
    assert Review() == Review.from_json({})
    assert [3] == review.to_json()["locked"]


def test_an_object_in_a_reviewed_region_was_looked_at_unless_it_is_marked():
    review = Review().with_region((slice(0, 12), slice(0, 20)))
    inside, across = (slice(5, 10), slice(5, 10)), (slice(5, 10), slice(15, 25))
    assert review.is_seen(1, inside)
    assert not review.is_seen(2, across)
    assert not review.with_state([1], State.WRONG).is_seen(1, inside)
    assert (1, 2) == review.progress([1, 2], {1: inside, 2: across})


def test_trusted_are_seen_objects_and_the_background_at_their_outline(labels):
    trusted = Review().with_state([1], State.ACCEPTED).trusted(labels)
    assert trusted[labels == 1].all()
    assert not trusted[labels == 2].any()
    assert not trusted[labels == 3].any()
    assert trusted[4, 7]
    assert trusted[2, 7]
    assert not trusted[1, 7]


def test_a_region_is_trusted_as_a_whole_but_for_what_is_wrong(labels):
    review = Review().with_region((slice(0, 12), slice(0, 20))).with_state([2], State.WRONG)
    trusted = review.trusted(labels)
    np.testing.assert_array_equal(labels[:12, :20] != 2, trusted[:12, :20])
    assert not trusted[12:].any()


def test_there_is_something_to_learn_where_a_pixel_is_trusted(labels, monkeypatch):
    monkeypatch.setattr("napari_segnet.review._review.PART_PX", 1)  # row by row
    assert not Review().is_informative(labels)
    assert Review().with_state([3], State.ACCEPTED).is_informative(labels)
    assert Review().with_state([3], State.ACCEPTED).is_informative(np.stack([0 * labels, labels]))
    assert not Review().with_state([3], State.WRONG).is_informative(labels)
    assert not Review().with_state([4], State.FIXED).is_informative(labels), "it was deleted"
    background = Review().with_region((slice(0, 3), slice(0, 9)))
    assert background.is_informative(labels)
    wrong = Review().with_region((slice(5, 10), slice(5, 10))).with_state([1], State.WRONG)
    assert not wrong.is_informative(labels)


def test_the_rim_stays_in_its_plane(labels):
    stack = np.stack([labels, np.zeros_like(labels)])
    trusted = Review().with_state([1], State.FIXED).trusted(stack)
    assert trusted[0].any()
    assert not trusted[1].any()


said = st.lists(
    st.tuples(st.sets(st.integers(1, 6), max_size=3), st.sampled_from(list(State))), max_size=6
)


@settings(max_examples=30)
@given(said, said)
def test_what_differs_is_all_that_is_written_and_taken_back(before, after):
    first = Review(locked=frozenset({3}))
    for labels, state in before:
        first = first.with_state(labels, state)
    stored, last = first.to_json(), first
    for labels, state in after:
        last = last.with_state(labels, state)
        stored = last.to_json((first, stored)) if labels == {6} else stored
        first = last if labels == {6} else first
    stored = last.to_json((first, stored))
    assert stored == last.to_json()
    assert Review.from_json(json.loads(json.dumps(stored))) == last
    assert first.instead_of(last).to(last) == first
    assert last.instead_of(first).to(first) == last
    apart = Review(states=dict(first.states), locked=first.locked)  # nothing is known of these
    assert apart.instead_of(last).to(last) == first
    assert State.UNSEEN not in last.states.values()


@pytest.mark.parametrize("states", [{"1": "fixed", "02": "wrong"}, {"1": "fixed", "2": "wrong"}])
def test_states_that_a_file_writes_otherwise_are_written_anew(states):
    stored = {"states": states}
    review = Review.from_json(stored)
    after = review.with_state([3], State.ACCEPTED).to_json((review, stored))
    assert after["states"] == {"1": "fixed", "2": "wrong", "3": "accepted"}
    assert list(stored["states"]) == list(states)

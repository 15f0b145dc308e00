"""A new prediction leaves alone what the user did."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.errors import MismatchError
from napari_segnet.review import Review, State, merge


def grid(rows=3, columns=4, side=8):
    ids = np.arange(1, rows * columns + 1, dtype=np.int32).reshape(rows, columns)
    labels = np.kron(ids, np.ones((side, side), np.int32))
    labels[::side] = labels[:, ::side] = 0
    return labels


def renamed(labels):
    """Return the same objects with other ids."""
    return np.where(labels > 0, labels % 12 + 1, 0).astype(np.int32)


def test_without_corrections_the_new_prediction_comes_with_old_ids():
    last = grid()
    new = renamed(last)
    new[new == 3] = 0
    merged = merge(last, last, new)
    expected = last.copy()
    expected[renamed(last) == 3] = 0
    np.testing.assert_array_equal(expected, merged.labels)
    assert not merged.kept
    assert not merged.conflicts


def test_edited_accepted_and_locked_objects_stay():
    last, mine = grid(), grid()
    mine[mine == 2] = 1  # merged by the user
    mine[1:3, 17:20] = 0  # a piece of 3 taken away
    new = np.zeros_like(last)
    review = Review().with_state([5], State.ACCEPTED).with_locked([6])
    merged = merge(last, mine, new, review)
    for label in (1, 3, 5, 6):
        np.testing.assert_array_equal(mine == label, merged.labels == label)
    assert {1, 3, 5, 6} == merged.kept == set(merged.conflicts)
    assert set(np.unique(merged.labels)) == {0, 1, 3, 5, 6}


def test_what_was_deleted_stays_deleted():
    last, mine = grid(), grid()
    mine[mine == 4] = 0
    merged = merge(last, mine, renamed(last))
    np.testing.assert_array_equal(mine, merged.labels)


def test_an_empty_part_of_a_reviewed_region_stays_empty():
    last = grid()
    last[last == 4] = 0
    new = grid()
    region = (slice(0, 9), slice(20, 32))
    assert (merge(last, last, new).labels[region] > 0).sum() > 40
    merged = merge(last, last, new, Review().with_region(region))
    np.testing.assert_array_equal(last[region], merged.labels[region])


def test_new_objects_get_ids_that_nobody_had():
    last, mine = grid(), grid()
    mine[mine == 12] = 0
    new = np.zeros((3 * 8, 5 * 8), np.int32)
    last, mine = (np.pad(x, ((0, 0), (0, 8))) for x in (last, mine))
    new[2:7, 34:39] = 1
    merged = merge(last, mine, new, highest_id=40)
    assert {1: 41} == merged.renumbered
    assert 41 == merged.highest_id == merged.labels.max() == merged.base.max()


def test_three_of_one_shape_are_needed():
    with pytest.raises(MismatchError, match="Three label images of one shape are needed"):
        merge(grid(), grid(), grid(2))


@given(st.integers(0, 10**9))
@settings(max_examples=40)
def test_no_pixel_of_a_kept_object_moves_and_no_id_means_two_things(seed):
    rng = np.random.default_rng(seed)

    def noise():
        return np.kron(rng.integers(0, 9, (5, 6)), np.ones((3, 3))).astype(np.int32)

    last, new = noise(), noise()
    mine = np.where(np.kron(rng.uniform(size=(5, 6)) < 0.2, np.ones((3, 3))) > 0, noise(), last)
    review = Review().with_state(rng.integers(1, 9, 2).tolist(), State.ACCEPTED)
    merged = merge(last, mine, new, review)
    for label in merged.kept:
        np.testing.assert_array_equal(mine == label, merged.labels == label)
    assert not set(merged.renumbered.values()) & merged.kept
    assert len(set(merged.renumbered.values())) == len(merged.renumbered)
    assert merged.labels.max() <= merged.highest_id
    again = merge(merged.base, merged.labels, new, review, merged.highest_id)
    np.testing.assert_array_equal(merged.labels, again.labels)

"""Which of two networks is better is told with a probability, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segnet.evaluate import score_objects
from napari_segnet.train._comparison import (
    Parts,
    compare_parts,
    parts_of_objects,
    parts_of_pixels,
)


def squares(*corners, shape=(40, 40), edge=6):
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(corners, start=1):
        labels[y : y + edge, x : x + edge] = number
    return labels


def held(found, false=0, images=1):
    """Return the parts of images with these objects found, some false ones beside the first."""
    found = np.asarray(found, float)
    bottom = np.ones(found.size)
    bottom[0] += false
    one = Parts(top=found, bottom=bottom, objects=found.size)
    return {str(i): (one,) for i in range(images)}


def test_parts_make_the_score_that_is_reported():
    rng = np.random.default_rng(0)
    truth = squares((1, 1), (1, 20), (20, 1), (30, 30))
    labels = squares((2, 1), (1, 24), (20, 1), (9, 9), (33, 5))
    parts = parts_of_objects(labels, truth)
    scores = score_objects(labels, truth)
    assert parts.top.sum() / parts.bottom.sum() == scores.ap50
    assert parts.top.tolist() == [1, 0, 1, 0]
    # (1, 24) covers a part of the second; (9, 9) and (33, 5) are next to the first and third.
    assert parts.bottom.tolist() == [2, 2, 2, 1]
    pixels = parts_of_pixels(labels, truth)
    assert pixels.top.sum() / pixels.bottom.sum() == pytest.approx(scores.dice)
    assert parts_of_pixels(rng.integers(0, 2, (3, 130, 70)), np.ones((3, 130, 70))).top.size == 6


def test_an_image_without_objects_counts_by_what_is_false():
    parts = parts_of_objects(squares((1, 1), (20, 20)), squares())
    assert (parts.top.tolist(), parts.bottom.tolist(), parts.objects) == ([0], [2], 0)


def test_many_gained_objects_are_better_and_the_other_way_round_worse():
    old, new = held([0] * 20 + [1] * 20, images=2), held([1] * 35 + [0] * 5, images=2)
    found = compare_parts(old, new)
    assert found.verdict == "better"
    assert found.chance > 0.97
    low, gain, high = found.gain
    assert gain == pytest.approx(15 / 40)
    assert 0 < low < gain < high
    assert "The new network is better than the old one with a probability of " in found.sentence()
    back = compare_parts(new, old)
    assert back.verdict == "worse"
    assert back.chance == pytest.approx(1 - found.chance, abs=0.02)


def test_two_objects_that_happen_to_be_gained_are_too_few():
    found = compare_parts(held([0, 0, 1, 1, 0, 0]), held([1, 1, 1, 1, 0, 0]))
    assert found.verdict == "unsure"
    assert 0.6 < found.chance < 0.9
    assert found.more > 0
    assert found.sentence().startswith(
        f"Too few objects to tell: 6; about {found.more} more needed (score +0.33, between "
    )
    assert found.to_json()["more_objects"] == found.more


def test_the_same_answers_are_as_good_as_each_other():
    same = held([1, 0] * 30)
    found = compare_parts(same, same)
    assert found.chance == pytest.approx(0.5, abs=0.03)
    assert (found.verdict, found.more) == ("unsure", None)
    assert found.sentence().startswith("Old and new network are about as good as each other")


def test_images_that_disagree_tell_less_than_objects_that_do():
    """The same gained and lost objects: spread over all images, or all lost in one of them."""
    old = {str(i): held([0] * 10 + [1] * 10)[str(0)] for i in range(4)}
    mixed = {str(i): held([1] * 6 + [0] * 4 + [1] * 8 + [0] * 2)["0"] for i in range(4)}
    apart = {**{str(i): held([1] * 8 + [0] * 2 + [1] * 10)["0"] for i in range(3)}}
    apart["3"] = held([0] * 10 + [1] * 2 + [0] * 8)["0"]
    alike, unlike = compare_parts(old, mixed), compare_parts(old, apart)
    assert alike.gain[1] == unlike.gain[1]
    assert unlike.chance < alike.chance


def test_a_single_image_tells_less_than_the_same_objects_in_two():
    old, new = [0] * 8 + [1] * 12, [1] * 13 + [0] + [1] * 6
    one = compare_parts(held(old * 2), held(new * 2))
    two = compare_parts(held(old, images=2), held(new, images=2))
    assert one.gain[1] == two.gain[1]
    assert (one.objects, one.images, two.images) == (40, 1, 2)
    assert one.chance < two.chance
    assert one.gain[2] - one.gain[0] > two.gain[2] - two.gain[0]


def test_nothing_held_out_tells_nothing():
    assert compare_parts({}, {}) is None
    empty = {"a": (Parts(top=np.zeros(1), bottom=np.zeros(1), objects=0),)}
    assert compare_parts(empty, empty) is None

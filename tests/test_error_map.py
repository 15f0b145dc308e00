"""Mistakes of labels: one hand-made case of each kind, and a slow second implementation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.error_map import KINDS, differences, draw
from napari_segnet.errors import MismatchError
from napari_segnet.evaluate import evaluate


def row(text):
    return np.asarray([[int(c) for c in text.replace(".", "0")]], np.int32)


def told(labels, truth):
    return [(d.kind, d.true_ids, d.pred_ids) for d in differences(row(labels), row(truth))]


@pytest.mark.parametrize(
    ("truth", "labels", "expected"),
    [
        ("11.22", "33.44", []),
        ("11.22", "33...", [("missed", (2,), ())]),
        ("11...", "33.44", [("false", (), (4,))]),
        ("11.22", "33333", [("merged", (1, 2), (3,))]),
        ("111111", "334455", [("split", (1,), (3, 4, 5))]),
        # One piece is good enough to be a match: the other is no split, but one too much.
        ("111111", "333345", [("false", (), (4,)), ("false", (), (5,))]),
        # Specks within an object that was not found do not split it.
        (
            "11111111",
            "3.....4.",
            [("missed", (1,), ()), ("false", (), (3,)), ("false", (), (4,))],
        ),
        # A wrong outline is one missed and one false, as in the scores.
        ("1111....", "..333333", [("missed", (1,), ()), ("false", (), (3,))]),
        # What takes part in a merger is not told again as missed.
        ("1111.22.", "333333.4", [("missed", (2,), ()), ("false", (), (4,))]),
    ],
)
def test_each_kind(truth, labels, expected):
    assert told(labels, truth) == expected


def test_a_box_is_around_all_that_take_part_and_the_area_is_of_the_subject():
    (merged,) = differences(row(".33333."), row(".11.22."))
    assert merged.box == (slice(0, 1), slice(1, 6))
    assert merged.area_px == 5
    (split,) = differences(row("..45.."), row(".1111."))
    assert split.kind == "split"
    assert split.box == (slice(0, 1), slice(1, 5))
    assert split.area_px == 4


def test_the_largest_of_a_kind_comes_first():
    found = differences(row("........"), row("1.222.33"))
    assert [d.true_ids[0] for d in found] == [2, 3, 1]


def test_drawn_mistakes_have_the_outline_of_their_subject():
    labels, truth = row("33333..4.55"), row("11.22.6.7.7")
    found = differences(labels, truth)
    by_kind = {kind: draw(found, labels, truth, kind) for kind in KINDS}
    for number, one in enumerate(found, start=1):
        subject = truth == one.true_ids[0] if one.kind in ("missed", "split") else None
        if subject is None:
            subject = labels == one.pred_ids[0]
        assert np.array_equal(by_kind[one.kind] == number, subject), one
    assert {one.kind for one in found} >= {"merged", "missed", "false"}


def test_ids_of_any_size():
    truth = np.zeros((4, 6), np.int64)
    truth[1, 1:3], truth[3, 2:6] = 2**40, 7
    first, second = differences(np.zeros_like(truth), truth)
    assert (first.true_ids, second.true_ids) == ((7,), (2**40,))
    assert first.box == (slice(3, 4), slice(2, 6))
    assert second.box == (slice(1, 2), slice(1, 3))


def test_shapes_must_agree():
    with pytest.raises(MismatchError, match="Choose two layers of the same image"):
        differences(np.zeros((3, 3), int), np.zeros((3, 4), int))


def slow(labels, truth):
    """The same by the words of the module, object by object."""
    trues = {int(t): truth == t for t in np.unique(truth[truth > 0])}
    preds = {int(p): labels == p for p in np.unique(labels[labels > 0])}
    right_true, right_pred = set(), set()
    for t, a in trues.items():
        for p, b in preds.items():
            if 2 * (a & b).sum() >= (a | b).sum() and t not in right_true and p not in right_pred:
                right_true.add(t)
                right_pred.add(p)
    merged = {}
    for p in preds.keys() - right_pred:
        inside = [t for t, a in trues.items() if 2 * (a & preds[p]).sum() >= a.sum()]
        if len(inside) > 1:
            merged[p] = inside
    split = {}
    for t in trues.keys() - right_true:
        inside = [p for p, b in preds.items() if 2 * (b & trues[t]).sum() >= b.sum()]
        covered = sum((preds[p] & trues[t]).sum() for p in inside)
        if len(inside) > 1 and 2 * covered >= trues[t].sum():
            split[t] = inside
    in_merged = {t for ts in merged.values() for t in ts}
    in_split = {p for ps in split.values() for p in ps}
    return (
        {("missed", (t,), ()) for t in trues.keys() - right_true - in_merged - split.keys()}
        | {("false", (), (p,)) for p in preds.keys() - right_pred - in_split - merged.keys()}
        | {("merged", tuple(sorted(ts)), (p,)) for p, ts in merged.items()}
        | {("split", (t,), tuple(sorted(ps))) for t, ps in split.items()}
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_equals_the_definition(seed):
    rng = np.random.default_rng(seed)
    blocks = [np.kron(rng.integers(0, 5, (3, 4)), np.ones((2, 2), int)) for _ in range(2)]
    labels, truth = (np.where(rng.random(b.shape) < 0.1, 0, b) for b in blocks)
    found = differences(labels, truth)
    assert {(d.kind, d.true_ids, d.pred_ids) for d in found} == slow(labels, truth)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_difference_means_a_perfect_score(seed):
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 4, (3, 3)), np.ones((2, 2), int))
    labels = truth.copy()
    if seed % 2:
        labels[rng.integers(0, 6), rng.integers(0, 6)] = rng.integers(0, 4)
    scores = evaluate(labels, truth)
    wrong = scores.n_true + scores.n_pred - 2 * scores.tp[0]
    assert (not differences(labels, truth)) == (wrong == 0)

"""Pairs of boxes and non-maximum suppression, against the slow and certain way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet import boxes as boxes_module
from napari_segnet.boxes import overlapping_pairs, pairwise_iou, suppress


def some_boxes(seed: int, n: int) -> Any:
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 40, (n, 2))
    return np.concatenate((low, low + rng.integers(1, 15, (n, 2))), axis=1).astype(np.float32)


def overlap(one: Any, two: Any) -> bool:
    return bool((np.minimum(one[2:], two[2:]) > np.maximum(one[:2], two[:2])).all())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(0, 40), at_once=st.sampled_from([1, 7, 10**6]))
def test_pairs_are_those_that_share_area(seed: int, n: int, at_once: int) -> None:
    boxes = some_boxes(seed, n)
    groups = np.arange(n) % 3
    before = boxes_module._PAIRS_AT_ONCE
    boxes_module._PAIRS_AT_ONCE = at_once
    try:
        found = overlapping_pairs(boxes, groups)
    finally:
        boxes_module._PAIRS_AT_ONCE = before
    expected = {
        (i, j)
        for j in range(n)
        for i in range(j)
        if groups[i] == groups[j] and overlap(boxes[i], boxes[j])
    }
    assert len(found) == len(expected)
    assert {tuple(sorted(pair)) for pair in found.tolist()} == expected


def test_iou_of_known_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 5, 5], [3, 3, 3, 3]])
    iou = pairwise_iou(boxes, np.array([[0, 1], [0, 2], [0, 0], [3, 3]]))
    np.testing.assert_allclose(iou, [1 / 3, 0.25, 1, 0])


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(0, 60),
    iou=st.sampled_from([0.0, 0.1, 0.25, 0.3, 1 / 3, 0.5, 0.6, 2 / 3, 0.7, 0.9]),
)
def test_suppression_equals_torchvisions(seed: int, n: int, iou: float) -> None:
    # Boxes of whole pixels often overlap by just such a share: rounding has to be the same.
    torch = pytest.importorskip("torch")
    ops = pytest.importorskip("torchvision.ops")
    boxes = some_boxes(seed, n)
    rng = np.random.default_rng(seed)
    scores = rng.permutation(n).astype(np.float32) / max(n, 1)
    groups = rng.integers(0, 3, n)
    expected = ops.batched_nms(
        torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(groups), iou
    )
    assert suppress(boxes, scores, groups, iou).tolist() == expected.tolist()


def test_an_overlap_of_one_removes_nothing() -> None:
    boxes = np.array([[0, 0, 4, 4]] * 3, np.float32)
    assert suppress(boxes, np.array([0.1, 0.3, 0.3]), np.zeros(3, np.int64), 1.0).tolist() == [
        1,
        2,
        0,
    ]

"""Outlines with holes: exact, simple, and in the right order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_segnet.outlines import rings


def inside(loops, shape):
    """Fill by counting edges to the left of each pixel's middle: even-odd."""
    crossed = np.zeros(shape, int)
    middles = np.arange(shape[1]) + 0.5
    for loop in loops:
        for (x0, y0), (x1, y1) in zip(loop, [*loop[1:], loop[0]], strict=True):
            assert x0 == x1 or y0 == y1, "edges of pixels only"
            if x0 == x1:
                crossed[min(y0, y1) : max(y0, y1)] += middles > x0
    return crossed % 2 == 1


def area(loop):
    x, y = np.array(loop, float).T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_rings_cover_exactly_the_mask(mask):
    from scipy import ndimage

    parts = rings(mask)
    loops = [loop for part in parts for loop in part]
    assert np.array_equal(inside(loops, mask.shape), mask)
    for loop in loops:
        assert len(set(loop)) == len(loop) >= 4, "a corner is visited twice"
    assert len(parts) == ndimage.label(mask)[1]
    for outer, *holes in parts:
        assert area(outer) > 0
        assert all(area(hole) < 0 for hole in holes)


def test_a_hole_that_touches_the_outline_at_a_corner_is_a_hole():
    mask = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)
    ((outer, hole),) = rings(mask)
    assert set(hole) == {(1, 1), (2, 1), (2, 2), (1, 2)}
    assert area(outer) + area(hole) == mask.sum()


@pytest.mark.parametrize("mask", [np.zeros((3, 3), bool), np.zeros((0, 4), bool)])
def test_nothing_has_no_outline(mask):
    assert rings(mask) == []

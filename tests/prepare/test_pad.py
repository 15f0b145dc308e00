"""pad: as numpy and torch reflect, edge where too short, and crop undoes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.prepare.pad import crop, pad, pad_tensor

AXIS = st.tuples(st.integers(1, 9), st.integers(0, 12), st.integers(0, 12))


@given(axes=st.lists(AXIS, min_size=2, max_size=3))
@settings(max_examples=80, deadline=None)
def test_padding_equals_numpy_and_crop_undoes_it(axes: list[tuple[int, int, int]]) -> None:
    lengths, before, after = (tuple(x) for x in zip(*axes, strict=True))
    array = np.random.default_rng(0).random((2, *lengths)).astype(np.float32)
    expected = array
    for i, (n, b, a) in enumerate(axes, start=1):
        width = [(0, 0)] * expected.ndim
        width[i] = (b, a)
        expected = np.pad(expected, width, mode="reflect" if max(a, b) <= n - 1 else "edge")
    padded = pad(array, before, after)
    np.testing.assert_array_equal(padded, expected)
    np.testing.assert_array_equal(crop(padded, before, lengths), array)
    tensor = pad_tensor(torch.from_numpy(array), before, after)
    np.testing.assert_array_equal(tensor.numpy(), expected)
    np.testing.assert_array_equal(crop(tensor, before, lengths).numpy(), array)


@pytest.mark.parametrize("ndim", [2, 3])
def test_reflection_is_that_of_torch(ndim: int) -> None:
    tensor = torch.randn(1, 2, *(5, 6, 7)[:ndim])
    before, after = (1, 3, 2)[:ndim], (4, 0, 6)[:ndim]
    widths = [w for b, a in zip(before[::-1], after[::-1], strict=True) for w in (b, a)]
    expected = torch.nn.functional.pad(tensor, widths, mode="reflect")
    assert torch.equal(pad_tensor(tensor, before, after), expected)


def test_nothing_to_add_costs_nothing() -> None:
    array = np.zeros((1, 4, 5))
    assert pad(array, (0, 0), (0, 0)) is array

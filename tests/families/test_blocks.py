"""Up-sampling of a cut-out as if the whole were there."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from napari_segnet.families.kit.blocks import PlacedUpsample, place, unplace


def whole_and_part(shape, offset, length, dtype):
    """Return the whole up-sampled and cut, and the cut-out up-sampled in its place."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(1, 2, *shape, generator=generator, dtype=torch.float64).to(dtype)
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    whole = interpolate(x, scale_factor=2, mode=mode, align_corners=True)
    cut = tuple(slice(o, o + n) for o, n in zip(offset, length, strict=True))
    fine = tuple(slice(2 * s.start, 2 * s.stop) for s in cut)
    layer = PlacedUpsample((1,) * len(shape))
    layer.offset, layer.whole = tuple(offset), tuple(shape)
    return whole[(..., *fine)], layer(x[(..., *cut)])


def inner(x, offset, length, shape):
    """Cut away the one pixel at each side where the cut-out lacks a neighbour."""
    where = [
        slice(0 if o == 0 else 2, None if o + n == s else -2)
        for o, n, s in zip(offset, length, shape, strict=True)
    ]
    return x[(..., *where)]


@st.composite
def cuts(draw, ndim):
    shape, offset, length = [], [], []
    for _ in range(ndim):
        n = draw(st.integers(1, 24 if ndim == 2 else 12))
        o = draw(st.integers(0, n - 1))
        shape.append(n)
        offset.append(o)
        length.append(draw(st.integers(1, n - o)))
    return shape, offset, length


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
@pytest.mark.parametrize("ndim", [2, 3])
@settings(max_examples=25)
@given(data=st.data())
def test_a_cut_out_is_up_sampled_as_in_the_whole(ndim, dtype, tolerance, data):
    shape, offset, length = data.draw(cuts(ndim))
    expected, answer = whole_and_part(shape, offset, length, dtype)
    assert expected.shape == answer.shape
    gap = inner(expected - answer, offset, length, shape)
    assert gap.numel() == 0 or gap.abs().max() <= tolerance * 4


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-12)])
def test_far_from_the_origin_it_still_agrees(dtype, tolerance):
    shape, offset, length = (3, 40_001), (0, 31_007), (3, 64)
    expected, answer = whole_and_part(shape, offset, length, dtype)
    assert inner(expected - answer, offset, length, shape).abs().max() < tolerance


def test_up_sampled_by_itself_a_cut_out_is_wrong():
    """Else none of this would be needed."""
    shape, offset, length = (40, 40), (20, 20), (20, 20)
    expected, _ = whole_and_part(shape, offset, length, torch.float32)
    x = torch.randn(1, 2, *shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    alone = PlacedUpsample((1, 1))(x[..., 20:, 20:].float())
    assert inner(expected - alone, offset, length, shape).abs().max() > 0.3


def test_the_whole_is_up_sampled_as_torch_does():
    x = torch.randn(2, 3, 5, 7)
    expected = interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    assert torch.equal(expected, PlacedUpsample((1, 1))(x))


def test_half_precision_keeps_its_dtype():
    layer = PlacedUpsample((1, 1))
    layer.offset, layer.whole = (3, 0), (9, 4)
    assert layer(torch.ones(1, 1, 4, 4, dtype=torch.float16)).dtype == torch.float16


def test_place_counts_in_pixels_of_each_layer():
    network = torch.nn.Sequential(PlacedUpsample((8, 4)), torch.nn.ReLU(), PlacedUpsample((2, 2)))
    place(network, (16, 24), (100, 99))
    assert [(2, 6), (8, 12)] == [m.offset for m in network if isinstance(m, PlacedUpsample)]
    assert [(12, 24), (50, 49)] == [m.whole for m in network if isinstance(m, PlacedUpsample)]
    unplace(network)
    assert [None, None] == [m.offset for m in network if isinstance(m, PlacedUpsample)]
    assert [None, None] == [m.whole for m in network if isinstance(m, PlacedUpsample)]


def test_a_cut_between_pooling_windows_is_refused():
    network = torch.nn.Sequential(PlacedUpsample((8, 8)))
    with pytest.raises(ValueError, match=r"multiple of \(8, 8\) pixels, not at \(8, 12\)"):
        place(network, (8, 12), (100, 100))

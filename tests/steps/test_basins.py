"""Basins against scikit-image's reconstruction and flooding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.measure import label as components
from skimage.morphology import h_maxima, reconstruction
from skimage.segmentation import watershed

from napari_segnet.steps._basins import basins


def landscape(shape, seed, sigma):
    """Distinct whole numbers that vary smoothly: no two pixels are equally high."""
    noise = gaussian_filter(np.random.default_rng(seed).random(shape), sigma)
    ranks = np.empty(noise.size, np.int64)
    ranks[np.argsort(noise, axis=None)] = np.arange(noise.size)
    return ranks.reshape(shape)


def same_partition(a, b):
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return pairs.shape[1] == np.unique(a).size == np.unique(b).size


shapes = st.sampled_from([(1, 1), (1, 40), (17, 23), (40, 31), (5, 11, 9)])
seeds_ = st.integers(0, 2**31)


def peaks(ranks, depth):
    """Label the peaks that rise by ``depth``, as scikit-image finds them."""
    if depth > np.ptp(ranks):  # it then calls nothing a peak; we, the highest pixel
        return (ranks == ranks.max()).astype(int)
    # Room below: near the lowest whole number of a type it loses peaks.
    tops = h_maxima(ranks + 2 * depth, depth, footprint=np.ones((3,) * ranks.ndim))
    return components(tops, connectivity=ranks.ndim)


@settings(max_examples=40)
@given(seed=seeds_, shape=shapes, sigma=st.sampled_from([0.0, 0.7, 2.0]))
def test_pieces_of_all_peaks_are_what_flooding_gives(seed, shape, sigma):
    ranks = landscape(shape, seed, sigma)
    pieces, count = basins(ranks.astype(np.float32), np.ones(shape, np.int32), depth=1)
    tops = peaks(ranks, 1)
    assert count == tops.max()
    assert same_partition(pieces, watershed(-ranks, tops, connectivity=len(shape)))


@settings(max_examples=40)
@given(
    seed=seeds_,
    shape=shapes,
    sigma=st.sampled_from([0.0, 0.7, 2.0]),
    depth=st.sampled_from([5, 40, 200, 10_000]),
)
def test_each_piece_has_one_h_maximum_and_the_best_way_to_it(seed, shape, sigma, depth):
    ranks = landscape(shape, seed, sigma)
    pieces, count = basins(ranks.astype(np.float32), np.ones(shape, np.int32), depth=depth)
    tops = peaks(ranks, depth)
    # More seeds than these would only make the test slow.
    assert count == tops.max()
    if count > 40:
        return
    best = np.full(shape, -1)
    own = np.full(shape, -1)
    for seed_number in range(1, count + 1):
        start = tops == seed_number
        piece = np.unique(pieces[start])
        assert piece.size == 1
        marker = np.where(start, ranks, -1)
        way = reconstruction(marker, ranks, footprint=np.ones((3,) * len(shape)))
        best = np.maximum(best, way)
        own = np.where(pieces == piece[0], way, own)
    np.testing.assert_array_equal(own, best)


def test_each_region_is_cut_for_itself():
    height = np.float32([[3, 1, 3, 3, 1, 3]])
    region = np.int32([[1, 1, 1, 2, 2, 2]])
    pieces, count = basins(height, region, depth=1)
    assert count == 4
    assert pieces[0, 2] != pieces[0, 3]


@pytest.mark.parametrize(("depth", "expected"), [(0.0, 2), (1.0, 2), (2.0, 2), (2.5, 1)])
def test_a_peak_is_a_seed_if_it_rises_by_the_depth(depth, expected):
    height = np.float32([[5, 1, 3]])
    assert basins(height, np.ones((1, 3), np.int32), depth=depth)[1] == expected


def test_a_plateau_is_one_object_at_any_depth():
    assert basins(np.ones((9, 9), np.float32), np.ones((9, 9), np.int32), depth=0)[1] == 1


def test_a_seed_between_two_others_ties_them_not_together():
    """The middle rises over neither side: it joins one of them, the sides stay apart."""
    height = np.float32([[9, 4, 5, 4, 9]])
    pieces, count = basins(height, np.ones((1, 5), np.int32), depth=2)
    assert count == 2
    assert pieces[0, 0] != pieces[0, -1]


def test_peaks_no_higher_than_the_floor_are_no_seeds():
    height = np.float32([[9, 0, 3]])
    assert basins(height, np.ones((1, 3), np.int32), depth=1, floor=3)[1] == 1
    pieces, count = basins(height, np.ones((1, 3), np.int32), depth=1, floor=9)
    assert (count, pieces.max()) == (0, 0)


def test_peaks_above_the_flood_line_are_one_seed():
    height = np.float32([[9, 6, 9, 2, 9]])
    pieces, count = basins(height, np.ones((1, 5), np.int32), depth=1, flooded=5)
    assert count == 2
    assert pieces[0, 0] == pieces[0, 2] != pieces[0, 4]

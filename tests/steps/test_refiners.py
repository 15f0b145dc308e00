"""Holes, small objects, objects at the edge, outlines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_fill_holes, generate_binary_structure, label

from napari_segnet.steps import LabelSettings, refine, resolve
from napari_segnet.steps.clear_border import ClearBorder
from napari_segnet.steps.fill_holes import FillHoles
from napari_segnet.steps.min_size import MinSize
from napari_segnet.steps.smooth import Smooth


def told(**own):
    own.setdefault("fill_holes", False)
    return resolve(LabelSettings(instances="components", **own), (), {}, "semantic")


def picture(*rows):
    return np.asarray([[int(c) for c in row.replace(".", "0")] for row in rows], np.int32)


def filled(labels):
    return FillHoles().refine(labels.copy(), told())


def test_a_hole_becomes_part_of_its_object():
    labels = picture("......", ".1111.", ".1..1.", ".1111.", "......")
    expected = picture("......", ".1111.", ".1111.", ".1111.", "......")
    np.testing.assert_array_equal(filled(labels), expected)


def test_a_gap_between_objects_is_no_hole():
    labels = picture("112", "1.2", "332")
    np.testing.assert_array_equal(filled(labels), labels)


def test_each_of_several_objects_fills_its_own_holes_around_others():
    ring = picture("1111111", "1..1..1", "1.21.21", "1111111")
    ring[2, 5] = 3
    rings = [np.where(ring, ring + 3 * n, 0) for n in range(4)]
    labels = np.block([[rings[0], rings[2]], [rings[3], rings[1]]]).astype(np.int32)
    whole = np.block(
        [
            [np.full_like(r, r[0, 0]) for r in row]
            for row in ((rings[0], rings[2]), (rings[3], rings[1]))
        ]
    )
    expected = np.where(labels > 0, labels, whole)
    np.testing.assert_array_equal(filled(labels), expected)


def test_an_object_in_a_hole_stays():
    labels = picture("11111", "1...1", "1.2.1", "1...1", "11111")
    expected = picture("11111", "11111", "11211", "11111", "11111")
    np.testing.assert_array_equal(filled(labels), expected)


def test_a_bay_that_the_edge_closes_stays_open():
    labels = picture("1.1", "1.1", "111")
    np.testing.assert_array_equal(filled(labels), labels)


def test_a_cavity_of_a_volume_is_filled_and_a_tunnel_is_not():
    labels = np.zeros((5, 5, 5), np.int32)
    labels[:] = 1
    labels[2, 2, 2] = 0
    assert (filled(labels) == 1).all()
    labels[:, 2, 2] = 0
    np.testing.assert_array_equal(filled(labels), labels)


def test_a_volume_of_one_plane_is_filled_like_a_plane():
    labels = picture("111", "1.1", "111")[np.newaxis]
    assert (filled(labels) == 1).all()


def slowly_filled(labels):
    """Fill each object's holes by itself, piece by piece of background that it touches."""
    out = labels.copy()
    cross = generate_binary_structure(labels.ndim, 1)
    background, _ = label(labels == 0, cross)
    for own in np.unique(labels[labels > 0]):
        hole = binary_fill_holes(labels == own) & (labels == 0)
        for piece in np.unique(background[hole]):
            where = background == piece
            grown = np.zeros_like(where)
            for axis in range(labels.ndim):
                for step in (-1, 1):
                    grown |= np.roll(where, step, axis)
            if (grown & (labels == own)).any():
                out[where] = own
    return out


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    shape=st.sampled_from([(7, 9), (12, 12), (4, 6, 6)]),
    objects=st.integers(1, 4),
)
def test_filling_equals_the_slow_way(seed, shape, objects):
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, objects + 1, shape).astype(np.int32)
    labels[rng.random(shape) < rng.uniform(0.1, 0.6)] = 0
    # Objects of one piece each, as every labeler makes them.
    from napari_segnet.steps.components import connected

    labels = connected(labels)
    np.testing.assert_array_equal(filled(labels), slowly_filled(labels))


def test_objects_with_fewer_pixels_go():
    labels = picture("11.", "1.2", "3.2")
    expected = picture("11.", "1.2", "..2")
    refined = MinSize().refine(labels.copy(), told(min_size_px=2))
    np.testing.assert_array_equal(refined, expected)
    assert not MinSize().refine(labels, told(min_size_px=4)).any()


def test_objects_at_the_edge_go():
    labels = picture("1....", ".22..", "....3", ".....")
    expected = picture(".....", ".22..", ".....", ".....")
    np.testing.assert_array_equal(ClearBorder().refine(labels, told()), expected)


def test_the_first_plane_of_a_volume_is_no_edge():
    labels = np.zeros((2, 3, 3), np.int32)
    labels[:, 1, 1] = 1
    np.testing.assert_array_equal(ClearBorder().refine(labels.copy(), told()), labels)


def test_smoothing_takes_spikes_and_fills_bites():
    labels = picture(".......", "..1....", ".11111.", ".11.11.", ".11111.", ".11111.", ".......")
    smooth = Smooth().refine(labels, told())
    assert smooth[1, 2] == 0
    assert smooth[3, 3] == 1


def test_smoothing_keeps_a_straight_border_of_two_objects():
    labels = np.repeat(np.int32([[1, 1, 1, 2, 2, 2]]), 6, axis=0)
    np.testing.assert_array_equal(Smooth().refine(labels, told()), labels)


def test_all_together_are_renumbered_in_raster_order():
    labels = picture("7.55555", "..5...5", "..5...5", "..55555", ".......", ".999...", ".999...")
    settings = told(fill_holes=True, min_size_px=2, steps=("fill_holes",))
    refined = refine(labels, settings)
    expected = picture("..11111", "..11111", "..11111", "..11111", ".......", ".222...", ".222...")
    np.testing.assert_array_equal(refined, expected)


def test_classes_keep_their_numbers():
    """Of classes, each connected piece is refined for itself."""
    labels = picture("222....", "2.2.3..", "222....", "......2")
    settings = told(fill_holes=True, min_size_px=2)
    expected = picture("222....", "222....", "222....", ".......")
    np.testing.assert_array_equal(refine(labels, settings, "semantic"), expected)


def test_ids_with_large_gaps_cost_nothing():
    labels = np.zeros((4, 4), np.int32)
    labels[1, 1:3] = 2**31 - 1
    assert refine(labels, told(min_size_px=2)).max() == 1


@pytest.mark.parametrize("kind", ["instance", "semantic"])
def test_nothing_to_do_changes_nothing(kind):
    labels = picture("1.2", "1..")
    np.testing.assert_array_equal(refine(labels.copy(), told(), kind), labels)

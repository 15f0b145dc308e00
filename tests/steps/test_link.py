"""Ids in order, unique over planes, and the same for what overlaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segnet.errors import SettingsError
from napari_segnet.steps import link, offset_unique, relabel_raster
from napari_segnet.steps.ids import boxes, count_pixels
from napari_segnet.steps.overlap import overlaps


def rows(*texts):
    """One plane per text, one row each."""
    return np.asarray([[[int(c) for c in text.replace(".", "0")]] for text in texts], np.int32)


def linked(labels, along="z", axes="zyx", **own):
    return link(labels.copy(), axes, along, **own)


def test_what_overlaps_gets_one_id():
    labels = rows("111.22", ".333.4", "..5...")
    expected = rows("111.22", ".111.2", "..1...")
    np.testing.assert_array_equal(linked(labels), expected)


def test_the_best_overlap_wins_and_the_other_begins_anew():
    labels = rows("11111", "23333")
    np.testing.assert_array_equal(linked(labels), rows("11111", "21111"))


def test_too_little_overlap_does_not_link():
    labels = rows("1111..", "...222")
    np.testing.assert_array_equal(linked(labels), labels)
    np.testing.assert_array_equal(linked(labels, min_iou=1 / 6), rows("1111..", "...111"))


def test_nothing_is_linked_across_a_gap():
    labels = rows("11", "..", "22")
    np.testing.assert_array_equal(linked(labels), labels)


def test_none_only_numbers_in_order():
    np.testing.assert_array_equal(linked(rows("5.3", "..9"), "none"), rows("1.2", "..3"))


def test_an_axis_that_is_missing_is_left_out():
    labels = rows("11", "22")
    np.testing.assert_array_equal(linked(labels, "t"), labels)
    np.testing.assert_array_equal(linked(labels, "t", "tyx"), rows("11", "11"))


@pytest.mark.parametrize(
    ("along", "expected"),
    [
        ("z", ["11.", "11.", "22.", "22."]),
        ("t", ["11.", "22.", "11.", "22."]),
        ("tz", ["11.", "11.", "11.", "11."]),
    ],
)
def test_time_and_depth(along, expected):
    labels = rows("11.", "22.", "33.", "44.").reshape(2, 2, 1, 3)
    found = linked(labels, along, "tzyx")
    np.testing.assert_array_equal(found, rows(*expected).reshape(2, 2, 1, 3))


def test_an_unknown_axis_is_refused():
    with pytest.raises(SettingsError, match=r"link='c' is not known. Choose one of: none, z"):
        linked(rows("1"), "c")


def test_ids_go_on_from_plane_to_plane():
    labels = rows("1.2", "...", "1..")
    used = 0
    for plane in labels:
        used = offset_unique(plane, used)
    assert used == 3
    np.testing.assert_array_equal(labels, rows("1.2", "...", "3.."))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    shape=st.sampled_from([(0,), (1, 1), (7, 9), (3, 4, 5)]),
    highest=st.sampled_from([1, 5, 2**31 - 1]),
)
def test_relabelled_ids_stand_in_raster_order(seed, shape, highest):
    labels = np.random.default_rng(seed).integers(0, highest, shape, endpoint=True)
    labels = (labels * (labels % 3 > 0)).astype(np.int32)
    found = relabel_raster(labels.copy())
    order = {0: 0}
    expected = [order.setdefault(value, len(order)) for value in labels.ravel().tolist()]
    assert found.dtype == np.int32
    assert found.ravel().tolist() == expected


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), highest=st.sampled_from([1, 6, 400]))
def test_overlaps_areas_and_boxes_are_counted_right(seed, highest):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, highest, (9, 11), endpoint=True).astype(np.int32)
    b = rng.integers(0, 4, (9, 11)).astype(np.uint16)
    table = overlaps(a, b)
    assert table.first_ids.tolist() == sorted(set(a[a > 0].tolist()))
    assert table.first_areas.tolist() == [(a == i).sum() for i in table.first_ids]
    assert table.second_areas.tolist() == [(b == i).sum() for i in table.second_ids]
    found = {
        (int(table.first_ids[i]), int(table.second_ids[j])): (int(n), int(union))
        for i, j, n, union in zip(
            table.first, table.second, table.pixels, table.unions, strict=True
        )
    }
    expected = {}
    for i in np.unique(a[a > 0]).tolist():
        for j in np.unique(b[b > 0]).tolist():
            if ((a == i) & (b == j)).any():
                both, either = (a == i) & (b == j), (a == i) | (b == j)
                expected[i, j] = (int(both.sum()), int(either.sum()))
    assert found == expected
    assert count_pixels(a).tolist() == np.bincount(a.ravel()).tolist()
    first, last = (ends.T for ends in boxes(a))
    for i in table.first_ids.tolist():
        where = np.nonzero(a == i)
        assert first[i - 1].tolist() == [w.min() for w in where]
        assert last[i - 1].tolist() == [w.max() for w in where]

"""Edits one by one: what they do, what they leave alone, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segnet.correct import (
    Edit,
    at_border,
    box_of,
    copy_slice,
    delete,
    delete_each,
    fill_holes,
    find_places,
    grow,
    ids_along,
    interpolate,
    merge,
    mostly_inside,
    new_object,
    outline,
    redraw,
    scored_below,
    separate,
    set_class,
    shrink,
    smaller_than,
    smooth,
    split_at,
    split_by_line,
)
from napari_segnet.errors import EditError
from napari_segnet.progress import run

YX = (0, 1)


@pytest.fixture
def labels():
    """Two discs that touch, a disc with a hole, and a speck."""
    y, x = np.mgrid[:60, :80]
    labels = np.zeros((60, 80), np.int32)
    labels[np.hypot(y - 20, x - 15) < 10] = 3
    labels[(np.hypot(y - 20, x - 33) < 10) & (labels == 0)] = 7
    labels[np.hypot(y - 42, x - 55) < 12] = 9
    labels[np.hypot(y - 42, x - 55) < 4] = 0
    labels[2, 70:72] = 5
    return labels


def done(labels, edit):
    """Apply an edit to a copy; see that it says the truth about where and what."""
    out = labels.copy()
    np.testing.assert_array_equal(edit.before, labels[edit.where])
    edit.apply(out)
    np.testing.assert_array_equal(edit.after, out[edit.where])
    back = out.copy()
    edit.inverse().apply(back)
    np.testing.assert_array_equal(labels, back)
    again = back.copy()
    edit.inverse().inverse().apply(again)
    np.testing.assert_array_equal(out, again)
    return out


def test_merge_keeps_the_first_id(labels):
    edit = merge(labels, [7, 3])
    assert edit.what == "merge 3 into 7"
    assert edit.ids == (3, 7)
    out = done(labels, edit)
    np.testing.assert_array_equal(np.isin(labels, (3, 7)), out == 7)
    assert edit.where == box_of(labels, [3]), "no larger than the pixels that change"


def test_merge_refuses_one_object(labels):
    with pytest.raises(EditError, match="Two objects or more"):
        merge(labels, [3, 3])


def test_delete(labels):
    out = done(labels, delete(labels, [5]))
    assert 5 not in out
    np.testing.assert_array_equal(labels[labels != 5], out[labels != 5])


def test_what_is_not_there_is_refused(labels):
    with pytest.raises(EditError, match=r"Objects 4 and 6 are not there"):
        delete(labels, [4, 6])
    with pytest.raises(EditError, match=r"Object 4 is not there"):
        merge(labels, [3, 4], box=box_of(labels, [3, 7]))
    with pytest.raises(EditError, match="only background"):
        delete(labels, [0])


def test_a_line_cuts_in_two_and_the_larger_part_keeps_its_id(labels):
    merged = done(labels, merge(labels, [3, 7]))
    edit = split_by_line(merged, 3, [(5, 26), (40, 26)], 10, axes=YX)
    assert edit.what == "split 3 into 2"
    out = done(merged, edit)
    sizes = [int((out == one).sum()) for one in (3, 10)]
    assert sizes[0] >= sizes[1] > 200
    np.testing.assert_array_equal(merged == 3, np.isin(out, (3, 10)))
    np.testing.assert_array_equal(merged, done(out, merge(out, [3, 10])))


def test_a_short_line_is_carried_on(labels):
    short = split_by_line(labels, 9, [(34, 40), (34, 47)], 10, axes=YX)
    assert (done(labels, short) == 10).sum() > 5
    middle = split_by_line(labels, 3, [(18, 15), (22, 15)], 10, axes=YX)
    out = done(labels, middle)
    assert (out == 10).sum() > 100


def test_a_ring_is_not_cut_by_one_line_through_one_side(labels):
    with pytest.raises(EditError, match="does not cut object 9 in two"):
        split_by_line(labels, 9, [(42, 56), (42, 70)], 10, axes=YX)


def test_a_line_beside_the_object_is_refused(labels):
    with pytest.raises(EditError, match="does not cut object 3 in two"):
        split_by_line(labels, 3, [(50, 2), (55, 2)], 10, axes=YX)


def test_a_grazing_line_makes_no_crumbs(labels):
    merged = done(labels, merge(labels, [3, 7]))
    rng = np.random.default_rng(0)
    trembling = [(y, 24 + rng.uniform(-0.7, 0.7)) for y in range(5, 40)]
    out = done(merged, split_by_line(merged, 3, trembling, 10, axes=YX))
    assert set(np.unique(out)) == {0, 3, 5, 9, 10}


def test_one_click_per_part_cuts_at_the_waist(labels):
    merged = done(labels, merge(labels, [3, 7]))
    edit = split_at(merged, 3, [(25, 12), (18, 38)], 10, axes=YX)
    out = done(merged, edit)
    wrong = (out == 10) != (labels == 7)
    wrong = min(wrong.sum(), ((out == 3) != (labels == 7))[labels > 0].sum())
    assert wrong < 25


def test_clicks_without_a_waist_halve_the_object(labels):
    out = done(labels, split_at(labels, 3, [(20, 10), (20, 20)], 10, axes=YX))
    small, large = sorted(int((out == one).sum()) for one in (3, 10))
    assert small > 0.7 * large


def test_clicks_follow_the_maps_where_there_are_any(labels):
    maps = np.ones(labels.shape, np.float32)
    maps[:, 12] = 0.1
    edit = split_at(labels, 3, [(20, 8), (20, 20)], 10, axes=YX, maps=maps)
    out = done(labels, edit)
    assert set(out[20, 6:12]) == {10}
    assert set(out[20, 13:24]) == {3}


def test_one_click_is_no_split(labels):
    with pytest.raises(EditError, match="at least two parts of object 3"):
        split_at(labels, 3, [(20, 15), (20, 60)], 10, axes=YX)


def test_separate_gives_every_piece_an_id(labels):
    labels[50:55, 2:8] = 3
    labels[1, 1] = 3
    out = done(labels, separate(labels, 3, 20))
    assert (out[50:55, 2:8] == 20).all()
    assert out[1, 1] == 21
    with pytest.raises(EditError, match="in one piece"):
        separate(out, 3, 22)


def test_new_object_leaves_others_alone(labels):
    box, mask = outline([(0, 0), (0, 40), (59, 40), (59, 0)], YX, labels.shape)
    out = done(labels, new_object(labels, 10, box, mask))
    np.testing.assert_array_equal(labels[labels > 0], out[labels > 0])
    assert (out == 10).sum() > 1500
    with pytest.raises(EditError, match="Other objects lie everywhere"):
        new_object(out, 11, *outline([(18, 10), (18, 18), (24, 14)], YX, labels.shape))


def test_an_outline_takes_pixels_whose_centre_it_holds():
    box, mask = outline([(1.6, 1.6), (1.6, 4.4), (3.4, 4.4), (3.4, 1.6)], YX, (10, 10))
    here = np.zeros((10, 10), bool)
    here[box] = mask
    assert np.argwhere(here).tolist() == [[2, 2], [2, 3], [2, 4], [3, 2], [3, 3], [3, 4]]


def test_an_outline_elsewhere_is_refused():
    with pytest.raises(EditError, match="outside of the labels"):
        outline([(-9, -9), (-9, -2), (-2, -2)], YX, (10, 10))
    with pytest.raises(EditError, match="holds no pixel"):
        outline([(2.2, 2.2), (2.2, 2.4), (2.4, 2.4)], YX, (10, 10))


def test_redraw_replaces_the_shape(labels):
    box, mask = outline([(10, 5), (10, 40), (16, 40), (16, 5)], YX, labels.shape)
    out = done(labels, redraw(labels, 3, box, mask))
    assert not (out[20:] == 3).any()
    np.testing.assert_array_equal(labels == 7, out == 7)
    assert (out[11:16, 6:24][labels[11:16, 6:24] != 7] == 3).all()
    with pytest.raises(EditError, match="in the new outline of object 3"):
        redraw(labels, 3, (slice(18, 20), slice(33, 35)), np.ones((2, 2), bool))


def test_fill_holes(labels):
    out = done(labels, fill_holes(labels, [9], axes=YX))
    assert (out[40:45, 53:58] == 9).all()
    with pytest.raises(EditError, match="Object 3 has no hole"):
        fill_holes(labels, [3], axes=YX)
    labels[42, 55] = 11
    assert done(labels, fill_holes(labels, [9], axes=YX))[42, 55] == 11


def test_smooth_takes_spikes_and_bites(labels):
    labels[20, 43:49] = 7
    labels[20, 40:43] = 0
    out = done(labels, smooth(labels, [7], axes=YX, radius_px=1.5))
    assert not out[20, 45:49].any()
    assert (out[20, 38:41] == 7).all()
    np.testing.assert_array_equal(labels == 3, out == 3)
    with pytest.raises(EditError, match="Object 5 would be smoothed away"):
        smooth(labels, [5], axes=YX)


def test_smooth_keeps_straight_borders_at_the_end_of_the_image():
    labels = np.zeros((30, 30), np.int32)
    labels[:, :10] = 1
    with pytest.raises(EditError, match="as smooth as can be"):
        smooth(labels, [1], axes=YX)


def test_grow_and_shrink(labels):
    out = done(labels, grow(labels, [9], axes=YX, by_px=2))
    y, x = np.mgrid[:60, :80]
    assert (out[np.abs(np.hypot(y - 42, x - 55) - 12.5) < 0.5] == 9).all()
    assert not (out == 9)[np.hypot(y - 42, x - 55) > 14.5].any()
    np.testing.assert_array_equal(labels == 5, out == 5)
    back = done(out, shrink(out, [9], axes=YX, by_px=2))
    assert ((back == 9) != (labels == 9)).sum() < 40


def test_grow_over_neighbours_never(labels):
    out = done(labels, grow(labels, [3], axes=YX, by_px=8))
    np.testing.assert_array_equal(labels == 7, out == 7)
    full = np.full((4, 4), 2, np.int32)
    with pytest.raises(EditError, match="no background around object 2"):
        grow(full, [2], axes=YX)


def test_shrink_takes_nothing_off_at_the_end_of_the_image(labels):
    flat = np.zeros((20, 20), np.int32)
    flat[:6] = 4
    out = done(flat, shrink(flat, [4], axes=YX, by_px=1))
    assert (out[:5] == 4).all()
    assert not out[5:].any()
    with pytest.raises(EditError, match="Object 5 would be gone"):
        shrink(labels, [5], axes=YX)


def test_anisotropic_pixels_grow_less_along_thick_slices():
    volume = np.zeros((9, 21, 21), np.int32)
    volume[3:6, 8:13, 8:13] = 1
    grown = done(volume, grow(volume, [1], axes=(0, 1, 2), by_px=2, pixel_size=(3, 1, 1)))
    assert not grown[:3].any()
    assert (grown[4, 6:15, 10] == 1).all()


def test_locked_objects_never_change(labels):
    for act in (
        lambda: delete(labels, [3], locked=[3]),
        lambda: merge(labels, [7, 3], locked=[3]),
        lambda: split_by_line(labels, 3, [(5, 15), (40, 15)], 10, axes=YX, locked=[3]),
        lambda: grow(labels, [3], axes=YX, locked=[3]),
        lambda: set_class([3], 2, {}, locked=[3]),
    ):
        with pytest.raises(EditError, match=r"Object 3 is locked.*Unlock"):
            act()


def test_set_class_changes_the_table_and_no_pixel(labels):
    edit = set_class([3, 7, 9], 2, {3: 1, 7: 2})
    assert edit.classes == {3: (1, 2), 9: (None, 2)}
    assert edit.inverse().classes == {3: (2, 1), 9: (2, None)}
    assert not edit.changed.any()
    assert edit.ids == (3, 9)
    done(labels[0, :1], edit)
    with pytest.raises(EditError, match="already: class 2"):
        set_class([7], 2, {7: 2})
    with pytest.raises(EditError, match="numbered from 1"):
        set_class([7], 0, {})


def test_a_lasso_means_what_lies_mostly_inside(labels):
    box, mask = outline([(0, 0), (0, 30), (40, 30), (40, 0)], YX, labels.shape)
    assert mostly_inside(labels, box, mask) == [3]
    places = run(find_places(labels))
    assert mostly_inside(labels, box, mask, places=places) == [3]
    assert mostly_inside(labels, *outline([(50, 2), (50, 9), (58, 9)], YX, labels.shape)) == []


def test_rules_find_objects(labels):
    places = run(find_places(labels))
    assert smaller_than(labels, 3, places) == [5]
    labels[30, 0] = 12
    assert at_border(labels, YX) == [12]
    assert scored_below({3: 0.9, 7: 0.2, 9: float("nan")}, 0.5) == [7]


def test_many_are_deleted_each_in_its_own_box(labels):
    places = run(find_places(labels))
    edits = delete_each(labels, [3, 5, 9], places, locked=[9])
    assert [edit.what for edit in edits] == ["delete object 3", "delete object 5"]
    assert edits[1].after.size == 2
    with pytest.raises(EditError, match="No object is meant"):
        delete_each(labels, [9], places, locked=[9])


def test_ids_along_a_line(labels):
    along = ids_along(labels, [(20, -5), (20, 50)])
    assert list(dict.fromkeys(along)) == [0, 3, 7]
    assert ids_along(labels, [(-5, -5), (-9, -9)]) == []


def test_types_that_cannot_count_so_far(labels):
    box, mask = outline([(50, 2), (50, 9), (58, 9)], YX, labels.shape)
    with pytest.raises(EditError, match=r"uint8, which counts to 255"):
        new_object(labels.astype(np.uint8), 256, box, mask)
    with pytest.raises(EditError, match=r"hold the number 5000000000"):
        merge(np.array([[1, 2, 5_000_000_000]]), [1, 2], box=(slice(0, 1), slice(0, 3)))


def test_an_edit_writes_only_what_changes():
    labels = np.array([[1, 1, 2, 2]], np.int32)
    edit = merge(labels, [1, 2])
    labels[0, 0] = 9
    edit.apply(labels)
    assert labels.tolist() == [[9, 1, 1, 1]]


# ---- From slice to slice ----


@pytest.fixture
def stack():
    y, x = np.mgrid[:30, :50]
    stack = np.zeros((7, 30, 50), np.int32)
    stack[1][np.hypot(y - 15, x - 12) < 6] = 4
    stack[5][np.hypot(y - 15, x - 32) < 8] = 4
    stack[3, 10:20, 20:22] = 6
    return stack


def test_interpolate_moves_from_shape_to_shape(stack):
    out = done(stack, interpolate(stack, 4, 0))
    sizes = [(out[z] == 4).sum() for z in range(7)]
    assert sizes[0] == sizes[6] == 0
    assert sizes[1] <= sizes[2] < sizes[4] <= sizes[5]
    assert abs(np.argwhere(out[2] == 4).mean(axis=0)[1] - 17) < 0.7
    np.testing.assert_array_equal(stack == 6, out == 6)
    with pytest.raises(EditError, match="no empty slice between"):
        interpolate(out, 4, 0)


def test_copy_to_the_next_slice(stack):
    out = done(stack, copy_slice(stack, 4, 0, 1, 2))
    np.testing.assert_array_equal(out[1] == 4, out[2] == 4)
    with pytest.raises(EditError, match="there already"):
        copy_slice(out, 4, 0, 1, 2)
    with pytest.raises(EditError, match="not in this slice"):
        copy_slice(stack, 4, 0, 0, 1)
    with pytest.raises(EditError, match="no slice behind"):
        copy_slice(stack, 4, 0, 6, 7)


def test_a_line_cuts_a_volume_straight_through():
    z, y, x = np.mgrid[:12, :30, :40]
    volume = np.zeros(z.shape, np.int32)
    volume[((z - 6) / 5) ** 2 + ((y - 15) / 12) ** 2 + ((x - 20) / 15) ** 2 < 1] = 2
    line = [(6, 2, 20), (6, 28, 20)]
    out = done(volume, split_by_line(volume, 2, line, 9, axes=(1, 2)))
    assert abs((out == 2).sum() - (out == 9).sum()) < 0.25 * (volume == 2).sum()
    assert set(np.unique(out[:, :, :19])) & {2, 9} != set(np.unique(out[:, :, 22:])) & {2, 9}
    box = box_of(volume, [2])
    one = split_by_line(volume, 2, line, 9, axes=(1, 2), box=(slice(6, 7), *box[1:]))
    out = done(volume, one)
    assert {*np.argwhere(out == 9)[:, 0]} == {6}


def test_holes_of_planes_and_hollows_of_volumes():
    volume = np.zeros((5, 9, 9), np.int32)
    volume[:, 2:7, 2:7] = 1
    volume[:, 4, 4] = 0  # a pipe, open above and below
    with pytest.raises(EditError, match="has no hole"):
        fill_holes(volume, [1], axes=(0, 1, 2))
    assert (done(volume, fill_holes(volume, [1], axes=(1, 2)))[:, 4, 4] == 1).all()


def test_edits_of_zarr_read_boxes_only(labels):
    zarr = pytest.importorskip("zarr")
    store = zarr.create_array({}, shape=labels.shape, chunks=(16, 16), dtype="i4")
    store[:] = labels

    class Watched:
        shape, dtype, chunks = store.shape, store.dtype, store.chunks
        most = 0

        def __getitem__(self, box):
            region = store[box]
            self.most = max(self.most, region.size)
            return region

    watched = Watched()
    places = run(find_places(store))
    edit = merge(watched, [3, 7], box=places.box([3, 7]))
    assert watched.most < 1000
    edit.apply(store)
    np.testing.assert_array_equal(done(labels, merge(labels, [3, 7])), store[:])


def test_an_edit_is_a_value(labels):
    edit = delete(labels, [5])
    with pytest.raises(AttributeError):
        edit.what = "other"
    assert isinstance(edit, Edit)
    assert edit.before.dtype == edit.after.dtype == np.int32

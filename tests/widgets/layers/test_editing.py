"""Edits in layers: napari's own undo takes them back, and nothing falls out of step."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_segnet.correct import (
    delete,
    delete_each,
    find_places,
    merge,
    new_object,
    outline,
    set_class,
    split_by_line,
)
from napari_segnet.errors import EditError
from napari_segnet.progress import run
from napari_segnet.widgets.layers.editing import (
    apply_edit,
    editing_of,
    locked_ids,
    next_id,
    set_locked,
)

YX = (0, 1)


def cells():
    labels = np.zeros((60, 80), np.int32)
    labels[5:15, 5:15], labels[5:15, 15:30], labels[30:50, 40:60] = 3, 7, 9
    return labels


def make(viewer, data=None, **kwargs):
    layer = viewer.add_labels(cells() if data is None else data, **kwargs)
    look(layer)
    return layer


def look(layer):
    kept = editing_of(layer)
    data = kept.begin_looking()
    kept.found(data, run(find_places(data)))
    return kept


@pytest.fixture
def layer():
    features = {
        "index": [3, 7, 9],
        "score": [0.9, 0.8, 0.7],
        "class": [1, 2, 1],
        "class name": ["cell", "debris", "cell"],
    }
    names = {"segnet": {"class_names": ["background", "cell", "debris"]}}
    return make(ViewerModel(), features=features, metadata=names)


def table(layer):
    return [tuple(row) for row in layer.features[["index", "class name"]].to_numpy().tolist()]


def test_an_edit_is_one_step_of_undo(layer):
    before, rows = layer.data.copy(), table(layer)
    told = []
    layer.events.paint.connect(lambda event: told.append(event.value))
    apply_edit(layer, merge(layer.data, [3, 7]))
    assert len(told) == 1
    merged, fewer = layer.data.copy(), table(layer)
    assert (merged == 3).sum() == 250
    assert fewer == [(3, "cell"), (9, "cell")]
    layer.undo()
    np.testing.assert_array_equal(before, layer.data)
    assert rows == table(layer)
    layer.redo()
    np.testing.assert_array_equal(merged, layer.data)
    assert fewer == table(layer)


def test_a_part_takes_the_class_of_the_whole_and_no_score(layer):
    new = next_id(layer)
    assert new == 10
    apply_edit(layer, split_by_line(layer.data, 7, [(3, 20), (18, 20)], new, axes=YX))
    assert (10, "debris") in table(layer)
    row = layer.features[layer.features["index"] == 10]
    assert np.isnan(row["score"]).all()
    assert row["class"].tolist() == [2]


def test_many_edits_are_one_step(layer):
    before = layer.data.copy()
    places = editing_of(layer).places
    apply_edit(layer, delete_each(layer.data, [3, 9], places))
    assert set(np.unique(layer.data)) == {0, 7}
    assert table(layer) == [(7, "debris")]
    layer.undo()
    np.testing.assert_array_equal(before, layer.data)
    assert len(table(layer)) == 3


def test_a_class_is_changed_and_undone_between_strokes(layer):
    before = layer.data.copy()
    layer.paint((55, 5), 20)
    painted = layer.data.copy()
    apply_edit(layer, set_class([7, 20], 1, {3: 1, 7: 2, 9: 1}))
    np.testing.assert_array_equal(painted, layer.data)
    assert table(layer) == [(3, "cell"), (7, "cell"), (9, "cell"), (20, "cell")]
    layer.undo()
    assert table(layer) == [(3, "cell"), (7, "debris"), (9, "cell")]
    np.testing.assert_array_equal(painted, layer.data)
    layer.undo()
    np.testing.assert_array_equal(before, layer.data)
    layer.redo()
    layer.redo()
    assert (20, "cell") in table(layer)
    np.testing.assert_array_equal(painted, layer.data)


def test_undo_in_a_hidden_layer_is_followed(layer):
    apply_edit(layer, delete(layer.data, [7]))
    layer.visible = False
    layer.undo()
    editing_of(layer).history.look()
    assert (7, "debris") in table(layer)
    assert editing_of(layer).box([7]) == (slice(5, 15), slice(15, 30))


def test_a_history_that_napari_forgets_brings_no_row_back(layer):
    apply_edit(layer, delete(layer.data, [7]))
    layer.editable = False
    layer.editable = True
    editing_of(layer).history.look()
    assert table(layer) == [(3, "cell"), (9, "cell")]
    layer.undo()  # there is nothing to undo
    assert table(layer) == [(3, "cell"), (9, "cell")]
    assert set(np.unique(layer.data)) == {0, 3, 9}
    apply_edit(layer, delete(layer.data, [3]))
    layer.undo()
    assert table(layer) == [(3, "cell"), (9, "cell")]


def test_more_steps_between_two_looks_than_napari_keeps_bring_no_row_back(layer):
    apply_edit(layer, delete(layer.data, [7]))
    with layer.events.paint.blocker(), layer.events.set_data.blocker():
        for n in range(110):
            layer.data_setitem((np.array([55]), np.array([n % 70])), n + 20)
    editing_of(layer).history.look()
    assert table(layer) == [(3, "cell"), (9, "cell")]
    assert next_id(layer) == 130


@pytest.mark.parametrize("before", ["nothing", "an edit", "a new history"])
def test_more_steps_between_two_looks_than_napari_keeps_are_looked_for(layer, before):
    if before != "nothing":
        apply_edit(layer, delete(layer.data, [9]))
    if before == "a new history":
        layer.editable = False
        layer.editable = True
    with layer.events.paint.blocker(), layer.events.set_data.blocker():
        layer.data_setitem((np.array([58]), np.array([1])), 3)  # which napari forgets
        layer.data_setitem((np.array([58]), np.array([2])), 200)
        for n in range(110):
            layer.data_setitem((np.array([55]), np.array([n % 70])), 7)
    assert editing_of(layer).box([3]) == (slice(5, 59), slice(1, 15))
    assert next_id(layer) == 201
    apply_edit(layer, delete(layer.data, [3], box=editing_of(layer).box([3])))
    assert not (layer.data == 3).any()


def test_rows_of_deleted_objects_go_where_nobody_has_looked_for_objects_yet():
    layer = ViewerModel().add_labels(cells(), features={"index": [3, 7], "score": [0.5, 0.9]})
    apply_edit(layer, delete(layer.data, [3]))
    assert layer.features["index"].tolist() == [7]
    layer.undo()
    assert layer.features["index"].tolist() == [3, 7]


def test_rows_that_the_caller_knows_better_go_with_the_step(layer):
    edit = delete(layer.data, [3])
    row = {"score": 0.4, "class": 2, "class name": "debris"}
    apply_edit(layer, edit, rows={9: row})
    assert table(layer) == [(7, "debris"), (9, "debris")]
    layer.undo()
    assert table(layer) == [(3, "cell"), (7, "debris"), (9, "cell")]
    layer.redo()
    assert table(layer) == [(7, "debris"), (9, "debris")]


def test_nothing_to_do_is_no_step(layer):
    steps = []
    layer.events.paint.connect(steps.append)
    apply_edit(layer, [], rows={9: None})
    assert not steps
    assert table(layer) == [(3, "cell"), (7, "debris")]


def test_the_journal_gets_an_edit_as_it_is(layer):
    told = []

    class Follower:
        def step(self, step):
            told.append(step)

    follower = Follower()
    editing_of(layer).history.follow(follower.step)
    before = layer.data.copy()
    edits = delete_each(layer.data, [3, 9], editing_of(layer).places)
    apply_edit(layer, edits)
    (step,) = told
    assert [change.box for change in step.known] == [edit.where for edit in edits]
    for change in step.changes():
        change.apply(before)
    np.testing.assert_array_equal(layer.data, before)
    layer.undo()
    for change in told[1].changes():
        change.apply(before)
    np.testing.assert_array_equal(layer.data, before)


def test_a_layer_that_is_not_editable_says_so(layer):
    layer.editable = False
    with pytest.raises(EditError, match=r"“Labels” is not editable: .* Set layer\.editable = True"):
        apply_edit(layer, delete(layer.data, [3]))


def test_an_id_is_never_used_again(layer):
    assert next_id(layer) == 10
    apply_edit(layer, delete(layer.data, [9]))
    assert next_id(layer) == 10
    layer.paint((55, 5), 40)
    assert next_id(layer) == 41
    layer.undo()
    assert next_id(layer) == 41
    box, mask = outline([(52, 52), (52, 58), (58, 58)], YX, layer.data.shape)
    apply_edit(layer, new_object(layer.data, 41, box, mask))
    layer.undo()
    assert next_id(layer) == 42
    layer.data = cells()
    look(layer)
    assert next_id(layer) == 42


def test_places_follow_strokes_undo_and_redo(layer):
    kept = editing_of(layer)
    layer.brush_size = 6
    layer.paint((50, 10), 3)
    assert kept.box([3]) == (slice(5, 54), slice(5, 15))
    layer.undo()
    layer.fill((10, 10), 12)
    assert kept.box([12]) == (slice(5, 15), slice(5, 15))
    layer.undo()
    layer.redo()
    apply_edit(layer, merge(layer.data, [9, 12], box=kept.box([9, 12])))
    assert (layer.data == 9).sum() == 500


def test_a_full_history_is_followed(layer):
    for number in range(130):
        layer.paint((55, number % 70), 100 + number)
    assert next_id(layer) == 230
    for _ in range(3):
        layer.undo()
    apply_edit(layer, delete(layer.data, [9]))
    assert len(table(layer)) == 2
    layer.undo()
    assert len(table(layer)) == 3


def test_labels_without_a_table_get_none_until_a_class_is_given():
    layer = make(ViewerModel())
    apply_edit(layer, merge(layer.data, [3, 7]))
    assert not len(layer.features.columns)
    apply_edit(layer, set_class([9], 2, {}))
    assert layer.features.to_dict("list") == {"index": [9], "class": [2]}
    layer.undo()
    assert not len(layer.features)
    layer.redo()
    assert layer.features["class"].tolist() == [2]


def test_a_table_of_another_kind_is_left_alone():
    layer = make(ViewerModel(), features={"area": [0.0, 1.0, 2.0]})
    apply_edit(layer, delete(layer.data, [3]))
    assert layer.features["area"].tolist() == [0, 1, 2]


def test_columns_of_others_stay():
    features = {"index": [3, 7, 9], "class": [1, 1, 1], "area": [100, 150, 400]}
    layer = make(ViewerModel(), features=features)
    apply_edit(layer, delete(layer.data, [3]))
    layer.undo()
    assert layer.features["area"].tolist() == [100, 150, 400]


def test_labels_that_changed_meanwhile_are_not_overwritten(layer):
    edit = delete(layer.data, [7])
    layer.data[6, 20] = 9
    with pytest.raises(EditError, match="changed meanwhile"):
        apply_edit(layer, edit)
    assert (layer.data == 7).any()


def test_what_is_not_known_yet_is_said():
    layer = ViewerModel().add_labels(cells())
    with pytest.raises(EditError, match="objects are still being located"):
        next_id(layer)
    with pytest.raises(EditError, match="objects are still being located"):
        editing_of(layer).box([3])


def test_strokes_while_places_are_looked_for(layer):
    kept = editing_of(layer)
    data = kept.begin_looking()
    places = run(find_places(data))
    kept.places = None
    layer.paint((55, 70), 77)
    kept.found(data, places)
    assert kept.box([77]) is not None
    kept.places = None
    old = kept.begin_looking()
    layer.data = cells()
    kept.found(old, places)
    assert kept.places is None


def test_locks_are_kept_in_the_review(layer):
    layer.metadata["segnet"]["review"] = {"states": {"3": "accepted"}}
    set_locked(layer, [3, 9], True)
    set_locked(layer, [9], False)
    assert locked_ids(layer) == {3}
    assert layer.metadata["segnet"]["review"] == {"states": {"3": "accepted"}, "locked": [3]}


def test_in_a_stack_other_planes_than_the_one_shown():
    stack = np.stack([cells(), cells() + (cells() > 0) * 10])
    layer = make(ViewerModel(), stack)
    apply_edit(layer, merge(layer.data, [13, 17]))
    assert (layer.data[1] == 13).sum() == 250
    layer.undo()
    np.testing.assert_array_equal(stack, layer.data)


def test_zarr_is_edited_in_place():
    zarr = pytest.importorskip("zarr")
    store = zarr.create_array({}, shape=(60, 80), chunks=(16, 16), dtype="i4")
    store[:] = cells()
    layer = make(ViewerModel(), store)
    apply_edit(layer, merge(store, [3, 7], box=editing_of(layer).box([3, 7])))
    assert (store[:] == 3).sum() == 250
    np.testing.assert_array_equal(store[:], layer._slice.image.raw)
    layer.undo()
    np.testing.assert_array_equal(cells(), store[:])
    layer.redo()
    assert (store[:] == 3).sum() == 250


def test_layers_that_cannot_be_edited_say_so():
    da = pytest.importorskip("dask.array")
    viewer = ViewerModel()
    lazy = viewer.add_labels(da.from_array(cells()), name="lazy")
    edit = delete(cells(), [3])
    with pytest.raises(EditError, match=r"“lazy” are computed on request \(dask\)"):
        apply_edit(lazy, edit)
    pyramid = viewer.add_labels([cells(), cells()[::2, ::2]], name="levels")
    with pytest.raises(EditError, match=r"“levels” is an image pyramid"):
        apply_edit(pyramid, edit)


def test_a_hidden_layer_is_not_edited_unseen(layer):
    layer.visible = False
    with pytest.raises(EditError, match=r"“Labels” is hidden\. Show it"):
        apply_edit(layer, delete(layer.data, [3]))


def test_a_layer_is_not_kept_alive():
    layer = Labels(cells())
    look(layer)
    apply_edit(layer, delete(layer.data, [3]))
    gone = weakref.ref(layer)
    del layer
    gc.collect()
    assert gone() is None

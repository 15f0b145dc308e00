"""The Review tab: find what is doubtful, go through it by keys, and say what is so."""

from __future__ import annotations

import time

import dask.array
import numpy as np
import pytest
import zarr
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import QPoint
from support import hand, painter
from support.hand import until

from napari_segnet.builtin import builtin_models
from napari_segnet.plan.settings import PredictSettings
from napari_segnet.progress import job, run
from napari_segnet.review import Review, State
from napari_segnet.samples import nuclei_2d
from napari_segnet.simple import segment_image
from napari_segnet.widgets.layers.subject import bind
from napari_segnet.widgets.recovery import recorded_layer
from napari_segnet.widgets.recovery.recorder import keep_journal
from napari_segnet.widgets.recovery.reviews import reviews
from napari_segnet.widgets.review import jobs
from napari_segnet.widgets.review.panel import KEYS, ReviewPanel

SOON_S = 60


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path / "data"))


@pytest.fixture
def layer(viewer):
    return viewer.add_labels(painter.objects(), name="nuclei")


@pytest.fixture
def panel(viewer, layer, qtbot):
    panel = ReviewPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Review")
    return panel


def looked_at(panel, choice="none"):
    """Let the panel find doubts; return it."""
    panel.network.setCurrentIndex(panel.network.findData(choice))
    assert panel.network.currentData() == choice
    panel.run()
    until(lambda: not panel._runner.busy, SOON_S)
    assert panel.message.isHidden(), panel.message.text.text()
    return panel


def cell(panel, row, column):
    return panel.model.data(panel.model.index(row, column))


def current(panel):
    return panel.model.label(panel.current())


def test_labels_of_zarr_and_dask_are_copied_piece_by_piece(monkeypatch):
    monkeypatch.setattr(jobs, "COPY_PX", 100)
    labels = painter.objects()
    for lazy in (dask.array.from_array(labels, chunks=(7, 16)), zarr.array(labels, chunks=(7, 16))):
        assert np.array_equal(run(job(jobs._copied)(lazy)), labels)


# ---- Reviews ----


def test_what_is_said_goes_with_the_layer_and_can_be_unsaid(viewer, layer):
    kept, told = reviews(viewer), []
    kept.changed.connect(told.append)
    assert reviews(viewer) is kept
    assert kept.of(layer) == Review()
    kept.change(layer, Review().with_state([3], State.ACCEPTED))
    kept.change(layer, kept.of(layer).with_locked([4]))
    assert {"3": "accepted"} == layer.metadata["segnet"]["review"]["states"]
    assert [4] == layer.metadata["segnet"]["review"]["locked"]
    assert kept.undo(layer)
    assert kept.undo(layer)
    assert not kept.undo(layer)
    assert kept.of(layer) == Review()
    assert kept.redo(layer)
    assert {3: State.ACCEPTED} == kept.of(layer).states
    assert [layer] * 5 == told


def test_what_is_edited_counts_as_looked_at_until_it_is_undone(viewer, layer):
    kept = reviews(viewer)
    kept.change(layer, Review().with_state([1], State.WRONG))
    layer.fill((5, 5), 2)
    assert {1: State.FIXED, 2: State.FIXED} == kept.of(layer).states
    layer.undo()
    assert {1: State.WRONG} == kept.of(layer).states
    layer.redo()
    assert {1: State.FIXED, 2: State.FIXED} == kept.of(layer).states


def test_a_mark_is_an_act_also_in_the_moment_in_which_the_image_is_identified(
    viewer, layer, monkeypatch
):
    known = []
    monkeypatch.setattr(recorded_layer, "digest_if_known", lambda _: known[-1] if known else None)
    keeper, kept = keep_journal(viewer), reviews(viewer)
    bind(layer, viewer.add_image(painter.image()))
    kept.change(layer, Review().with_state([3], State.ACCEPTED))
    known.append("0" * 32)
    kept.change(layer, Review().with_state([3, 4], State.ACCEPTED))
    assert keeper.acts(layer) == 2
    keeper.look()
    assert keeper.acts(layer) == 2, "the digest is no act"


def test_a_review_comes_back_after_a_crash(viewer, layer):
    keeper, kept = keep_journal(viewer), reviews(viewer)
    viewer.add_image(painter.image())
    kept.change(layer, Review().with_state([3], State.ACCEPTED).with_locked([5]))
    layer.fill((5, 5), 2)
    kept.undo(layer)
    expected = kept.of(layer)
    assert 3 == keeper.acts(layer), "what an edit marks as fixed is no act of its own"
    keeper.flush()
    viewer.layers.clear()
    viewer.add_image(painter.image())
    again = keeper.recover(keeper.offers[0])
    assert expected == kept.of(again)


# ---- The panel ----


def test_without_a_network_it_says_so_and_sizes_count(panel, layer):
    layer.data[1:39, 1:30] = 0
    looked_at(panel)
    assert "no network was chosen" in panel.said.text()
    assert 1 == current(panel) == layer.selected_label
    assert "0 of 20 reviewed · uneven outline: solidity 0.44" == panel.progress.text()


def test_accept_goes_on_and_the_camera_with_it(panel, viewer, layer):
    looked_at(panel)
    first = current(panel)
    panel.accept()
    second = current(panel)
    assert first != second
    assert State.ACCEPTED is panel.reviews.of(layer).state(first)
    assert "accepted" == cell(panel, panel.model.row_of(first), 5)
    assert panel.progress.text().startswith("1 of 20")
    middle = np.argwhere(layer.data == second).mean(axis=0)
    np.testing.assert_allclose(middle, viewer.scene.camera.center[-2:], atol=1)
    panel.previous()
    assert current(panel) != first
    panel.undo()
    assert Review() == panel.reviews.of(layer)
    panel.redo()
    assert State.ACCEPTED is panel.reviews.of(layer).state(first)


def test_to_fix_stays_open_and_delete_goes_on(panel, layer):
    looked_at(panel)
    first = current(panel)
    panel.fix()
    assert current(panel) == first
    assert "wrong" == cell(panel, panel.model.row_of(first), 5)
    panel.delete()
    assert not (layer.data == first).any()
    assert -1 == panel.model.row_of(first)
    assert current(panel) != first
    assert panel.model.rowCount() == 19
    layer.undo()
    assert panel.model.rowCount() == 20
    assert State.WRONG is panel.reviews.of(layer).state(first)


def test_what_is_deleted_in_the_review_goes_from_the_table_and_comes_back(viewer, qtbot):
    """Formerly its row stayed, and then “Delete many” refused everything."""
    from napari_segnet.widgets.correct.edit_panel import EditPanel

    ids = list(range(1, 21))
    scores = [0.3 if one in (3, 8) else 0.9 for one in ids]
    layer = viewer.add_labels(painter.objects(), features={"index": ids, "score": scores})
    review, edits = ReviewPanel(viewer), EditPanel(viewer)
    viewer.window.add_dock_widget(review, name="Review")
    viewer.window.add_dock_widget(edits, name="Correct")
    looked_at(review)
    review.select(review.model.row_of(3))
    review.delete()
    assert not (layer.data == 3).any()
    assert set(layer.features["index"]) == set(ids) - {3}
    edits.many.least_score.setValue(0.5)
    edits.many.delete_scored.click()
    assert edits.message.isHidden(), edits.message.text.text()
    assert edits.said.text() == "Done: deleted 1 object"
    assert set(np.unique(layer.data)) - {0} == set(ids) - {3, 8} == set(layer.features["index"])
    layer.undo()
    layer.undo()
    assert set(np.unique(layer.data)) - {0} == set(ids) == set(layer.features["index"])


def test_objects_that_a_brush_has_painted_over_are_left_out_of_many(viewer, qtbot):
    from napari_segnet.widgets.correct.edit_panel import EditPanel

    features = {"index": [3, 8], "score": [0.3, 0.3]}
    layer = viewer.add_labels(painter.objects(), features=features)
    edits = EditPanel(viewer)
    viewer.window.add_dock_widget(edits, name="Correct")
    layer.data_setitem((layer.data == 3).nonzero(), 0)
    edits.many.least_score.setValue(0.5)
    edits.many.delete_scored.click()
    assert edits.said.text() == "Done: deleted 1 object"
    assert not (layer.data == 8).any()


def test_a_layer_that_cannot_be_edited_is_left_alone(panel, layer):
    looked_at(panel)
    layer.visible = False
    before = layer.data.copy()
    panel.delete()
    assert "is hidden. Show it" in panel.message.text.text()
    np.testing.assert_array_equal(before, layer.data)


def test_locked_objects_stay(panel, layer):
    looked_at(panel)
    first = current(panel)
    panel.lock()
    panel.delete()
    assert (layer.data == first).any()
    assert "Locked objects stay" in panel.message.text.text()
    panel.lock()
    panel.delete()
    assert not (layer.data == first).any()


def test_a_rectangle_says_that_all_in_it_is_right(panel, viewer, layer):
    looked_at(panel)
    panel.region()
    assert "There is no rectangle" in panel.message.text.text()
    viewer.add_shapes([[[0, 0], [0, 82], [82, 82], [82, 0]]])
    panel.region()
    assert panel.layer is layer
    assert [(slice(0, 83), slice(0, 83))] == list(panel.reviews.of(layer).regions)
    assert panel.progress.text().startswith("4 of 20")
    panel.undo()
    assert panel.progress.text().startswith("0 of 20")


def test_a_rectangle_counts_for_the_plane_that_is_shown(viewer, qtbot):
    stack = np.stack([painter.objects(), painter.objects() + 100 * (painter.objects() > 0)])
    layer = viewer.add_labels(stack)
    panel = ReviewPanel(viewer)
    viewer.window.add_dock_widget(panel)
    viewer.add_shapes([[[0, 0], [0, 82], [82, 82], [82, 0]]])
    viewer.dims.set_point(0, 1)
    panel.region()
    (box,) = panel.reviews.of(layer).regions
    assert slice(1, 2) == box[0]


def test_the_plane_of_an_object_is_shown(viewer, qtbot):
    stack = np.zeros((5, 40, 40), np.int32)
    stack[3, 10:20, 10:20] = 6
    viewer.add_labels(stack)
    panel = ReviewPanel(viewer)
    viewer.window.add_dock_widget(panel)
    looked_at(panel)
    assert viewer.dims.current_step[0] == 3


def test_a_network_that_made_the_labels_doubts_by_its_maps(viewer, qtbot):
    pytest.importorskip("torch")
    from napari_segnet.widgets.plugin.docks import SegmentDock

    pixels = np.asarray(nuclei_2d().data)[:128, :128]
    viewer.add_image(pixels, name="cells")
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock)
    dock.choose_weights("nuclei")
    until(lambda: dock.checkpoint is not None, SOON_S)
    dock.run()
    until(lambda: not dock._runner.busy, SOON_S)
    panel = ReviewPanel(viewer)
    viewer.window.add_dock_widget(panel)
    assert panel.layer is dock.result
    looked_at(panel, "own")
    assert "entropy" in panel.said.text()
    assert cell(panel, 0, 2)


def test_a_missing_object_can_be_added_or_dismissed(viewer, qtbot):
    pytest.importorskip("torch")
    from napari_segnet.samples import true_nuclei_2d

    truth = np.array(true_nuclei_2d())[:160, :160]
    viewer.add_image(np.asarray(nuclei_2d().data)[:160, :160], name="cells")
    ids, areas = np.unique(truth[truth > 0], return_counts=True)
    gone = ids[np.argsort(areas)][-2:]
    layer = viewer.add_labels(np.where(np.isin(truth, gone), 0, truth), name="nuclei")
    panel = ReviewPanel(viewer)
    viewer.window.add_dock_widget(panel)
    looked_at(panel, "nuclei")
    missing = [i for i in panel.model.items.ids.tolist() if i < 0]
    assert len(missing) >= 2
    rows = [row for row in range(panel.model.rowCount()) if panel.model.label(row) < 0]
    assert "missing?" == cell(panel, rows[0], 0)
    panel.select(rows[0])
    panel.fix()
    fresh = int(layer.data.max())
    assert fresh > truth.max()
    assert (layer.data == fresh).sum() > 50
    assert State.FIXED is panel.reviews.of(layer).state(fresh)
    before = layer.data.copy()
    (row,) = [r for r in range(panel.model.rowCount()) if panel.model.label(r) == missing[1]]
    panel.select(row)
    panel.accept()
    np.testing.assert_array_equal(before, layer.data)
    assert panel.model.seen[panel.model.items.row_of(missing[1])]


def test_an_image_of_another_size_is_refused(panel, viewer, layer):
    viewer.add_image(np.zeros((20, 20)))
    viewer.layers.selection.active = layer
    panel.network.setCurrentIndex(panel.network.findData("nuclei"))
    panel.run()
    assert "they do not match" in panel.message.text.text()


def test_labels_without_an_image_need_no_network(panel, viewer, layer):
    panel.network.setCurrentIndex(panel.network.findData("nuclei"))
    panel.run()
    assert "The image of “nuclei” is not open" in panel.message.text.text()


def test_keys_are_bound_while_it_is_seen(panel, viewer):
    panel.bind_keys()
    bound = [coerce_keybinding(key) in viewer.keymap for key in KEYS]
    assert all(bound)
    panel.unbind_keys()
    assert not any(coerce_keybinding(key) in viewer.keymap for key in KEYS)


@pytest.mark.long
def test_ten_thousand_objects_are_no_trouble(viewer, qtbot):
    ids = np.arange(1, 10_001, dtype=np.int32).reshape(100, 100)
    labels = np.kron(ids, np.ones((40, 40), np.int32))
    labels[::40] = labels[:, ::40] = 0
    labels = np.pad(labels, ((0, 96), (0, 96)))
    layer = viewer.add_labels(labels)
    panel = ReviewPanel(viewer)
    viewer.window.add_dock_widget(panel)
    looked_at(panel)
    assert panel.model.rowCount() == 10_000

    def seconds(do):
        begun = time.perf_counter()
        do()
        return time.perf_counter() - begun

    items = panel.model.items
    limit = 0.4  # 0.1 on a machine that does nothing else
    assert min(seconds(lambda: panel.model.show(items, Review())) for _ in range(3)) < limit
    assert min(seconds(panel.next) for _ in range(5)) < limit
    assert min(seconds(panel.accept) for _ in range(5)) < limit
    layer.visible = False
    assert min(seconds(panel.delete) for _ in range(5)) < limit


@pytest.mark.skipif(bool(hand.missing()), reason=hand.missing())
def test_accept_and_next_by_the_keyboard(make_viewer):
    viewer = make_viewer(show=True)
    layer = viewer.add_labels(painter.objects())
    panel = ReviewPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Review")
    user = hand.Hand()
    looked_at(panel)
    first = current(panel)
    glass = viewer.window._qt_viewer.canvas.native
    user.click(glass, glass.rect().center() + QPoint(30, 30))
    user.key("o")
    until(lambda: State.ACCEPTED is panel.reviews.of(layer).state(first), 10)
    second = current(panel)
    assert second != first
    user.key("n")
    until(lambda: current(panel) != second, 10)
    third = current(panel)
    user.key("Delete")
    until(lambda: not (layer.data == third).any(), 10)
    user.key("u")
    until(lambda: State.UNSEEN is panel.reviews.of(layer).state(first), 10)


@pytest.mark.subprocess
def test_labels_of_another_session_are_compared_with_the_network_that_made_them(
    viewer, layer, panel, qtbot
):
    assert panel.network.currentData() == "nuclei"
    pixels = np.asarray(nuclei_2d().data)[:96, :96]
    image = viewer.add_image(pixels.max() - pixels, name="dark")
    made = segment_image("nuclei", image.data, invert="yes")
    found = viewer.add_labels(made.labels, metadata={"segnet": {"origin": made.origin.to_json()}})
    bind(found, image)
    assert panel.layer is found
    assert panel.network.currentData() == "nuclei"
    panel.network.setCurrentIndex(panel.network.findData("nuclei-dark"))
    viewer.layers.selection.active = image
    assert panel.network.currentData() == "nuclei-dark", "the user chose it for these labels"
    viewer.layers.selection.active = layer
    viewer.layers.selection.active = found
    assert panel.network.currentData() == "nuclei"
    looked_at(panel, "nuclei")
    assert "compared with" in panel.said.text()
    assert (panel.model.items.ids > 0).all(), "run without inversion, it would miss objects"


def test_a_network_that_ran_on_another_machine_runs_on_this_one(viewer, layer):
    image = viewer.add_image(np.zeros(layer.data.shape, np.uint8))
    predict = {"invert": "yes", "device": "cuda:7", "precision": "float16", "threads": 64}
    origin = {"checkpoint": {"path": str(builtin_models()["nuclei"])}, "predict": predict}
    found = viewer.add_labels(layer.data, metadata={"segnet": {"origin": origin}})
    bind(found, image)
    given = jobs.network_input(found, viewer, "nuclei")
    assert given.predict == PredictSettings(invert="yes", multiscale="no")


def test_a_network_that_is_gone_is_not_proposed(viewer, panel, tmp_path):
    path = tmp_path / "mine.pth"
    origin = {"checkpoint": {"path": str(path)}}
    viewer.add_labels(painter.objects(), metadata={"segnet": {"origin": origin}})
    assert panel.network.findData(str(path)) == -1
    path.touch()
    viewer.add_labels(painter.objects(), metadata={"segnet": {"origin": origin}})
    assert panel.network.currentData() == str(path)

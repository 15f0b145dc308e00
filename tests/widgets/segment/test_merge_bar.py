"""A second run on a corrected layer: merged into it, or beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Labels
from support.hand import until

from napari_segnet import cache
from napari_segnet.review import State
from napari_segnet.samples import nuclei_2d
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.plugin.docks import SegmentDock
from napari_segnet.widgets.recovery.reviews import reviews

SOON_S = 60


@pytest.fixture
def dock(viewer, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path))
    cache.predictions.clear()
    viewer.add_image(np.asarray(nuclei_2d().data)[:160, :160], name="cells")
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock)
    dock.choose_weights("nuclei")
    until(lambda: dock.checkpoint is not None, SOON_S)
    run(dock)
    yield dock
    cache.predictions.clear()


def run(dock):
    dock.run()
    until(lambda: not dock._runner.busy, SOON_S)
    assert dock.message.isHidden(), dock.message.text.text()


def labels_of(viewer):
    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


def corrected(viewer, dock):
    """Delete one object, merge two, accept a third; return the layer and these."""
    layer = dock.result
    ids, areas = np.unique(layer.data[layer.data > 0], return_counts=True)
    gone, one, other, right = (int(i) for i in ids[np.argsort(-areas)][:4])
    layer.data_setitem(np.nonzero(layer.data == gone), 0)
    layer.data_setitem(np.nonzero(layer.data == other), one)
    kept = reviews(viewer)
    kept.change(layer, kept.of(layer).with_state([right], State.ACCEPTED))
    return layer, gone, one, right


def test_corrections_stay_and_the_rest_follows(viewer, dock):
    layer, gone, one, right = corrected(viewer, dock)
    mine, before = layer.data.copy(), dock.shown.results.base(layer)
    assert (before == gone).any()
    run(dock)
    assert len(labels_of(viewer)) == 2
    assert not dock.merge.isHidden()
    assert "has your corrections and does not change" in dock.merge.text.text()
    steps = len(layer._undo_history)
    dock.merge.button.click()
    until(lambda: dock.merge.isHidden(), SOON_S)
    assert [layer] == labels_of(viewer)
    # The same network says the same: nothing may have moved.
    np.testing.assert_array_equal(mine, layer.data)
    assert len(layer._undo_history) == steps
    review = reviews(viewer).of(layer)
    assert review.state(right) is State.ACCEPTED
    assert review.state(one) is State.CONFLICT
    assert "The network contradicts one of yours" in dock.message.text.text()
    assert set(np.unique(layer.data)) - {0} == set(layer.features["index"])
    assert dock.result is layer


def test_what_is_merged_can_be_undone_and_merged_again(viewer, dock):
    layer, _, one, right = corrected(viewer, dock)
    mine, rows = layer.data.copy(), set(layer.features["index"])
    from dataclasses import replace

    dock.labels.set_value(replace(dock.labels.value(), threshold=0.9))
    run(dock)
    dock.merge.button.click()
    until(lambda: dock.merge.isHidden(), SOON_S)
    assert (layer.data != mine).any()
    for label in (one, right):
        np.testing.assert_array_equal(mine == label, layer.data == label)
    fixed = [i for i, s in reviews(viewer).of(layer).states.items() if s is State.FIXED]
    assert len(fixed) <= 3, "what the network changed is nobody's edit"
    merged = layer.data.copy()
    assert set(np.unique(merged)) - {0} == set(layer.features["index"])
    layer.undo()
    np.testing.assert_array_equal(mine, layer.data)
    assert rows == set(layer.features["index"])
    layer.redo()
    np.testing.assert_array_equal(merged, layer.data)
    assert set(np.unique(merged)) - {0} == set(layer.features["index"])
    run(dock)
    dock.merge.button.click()
    until(lambda: dock.merge.isHidden(), SOON_S)
    np.testing.assert_array_equal(merged, layer.data)


@pytest.mark.long
def test_both_can_be_kept(viewer, dock):
    layer, *_ = corrected(viewer, dock)
    mine = layer.data.copy()
    run(dock)
    dock.merge.withdraw()
    assert dock.merge.isHidden()
    assert len(labels_of(viewer)) == 2
    np.testing.assert_array_equal(mine, layer.data)


@pytest.mark.long
def test_a_stroke_during_the_merge_is_not_lost(viewer, dock):
    layer, *_ = corrected(viewer, dock)
    run(dock)
    dock.merge.button.click()
    layer.paint((3, 3), 999)
    until(lambda: "has changed meanwhile" in dock.merge.text.text(), SOON_S)
    assert (layer.data == 999).any()
    dock.merge.button.click()
    until(lambda: dock.merge.isHidden(), SOON_S)
    assert (layer.data == 999).any()


@pytest.mark.long
def test_after_fine_tuning_the_new_answer_can_be_merged_too(viewer, dock, tmp_path):
    """The network is another file then; what is merged is of the same image."""
    import shutil

    from napari_segnet.builtin import weights_path

    layer, *_ = corrected(viewer, dock)
    mine = layer.data.copy()
    tuned = tmp_path / "nuclei-taught-1.safetensors"
    shutil.copy(weights_path("nuclei"), tuned)
    dock.choose_weights(str(tuned))
    until(lambda: dock.checkpoint is not None and dock.checkpoint.path == tuned, SOON_S)
    run(dock)
    assert not dock.merge.isHidden()
    assert f"“{layer.name}” has your corrections" in dock.merge.text.text()
    dock.merge.button.click()
    until(lambda: dock.merge.isHidden(), SOON_S)
    assert [layer] == labels_of(viewer)
    np.testing.assert_array_equal(mine, layer.data)
    assert "nuclei-taught-1" in record_of(layer).command


@pytest.mark.long
def test_classes_are_not_merged_into_objects(viewer, dock):
    corrected(viewer, dock)
    dock.labels.set_value(replace(dock.labels.value(), instances="none"))
    dock.shown.live.pause()
    run(dock)
    assert record_of(dock.result).kind == "semantic"
    assert dock.merge.isHidden()

"""The training set follows the review, and knows what nobody has looked at."""

from __future__ import annotations

import numpy as np
import pytest
from support.teaching import objects, photograph

from napari_segnet.dataset import Dataset
from napari_segnet.review import State
from napari_segnet.widgets.dataset.panel import DatasetPanel
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of
from napari_segnet.widgets.recovery.reviews import reviews

SHAPE = (40, 48)


@pytest.fixture
def panel(viewer, tmp_path, monkeypatch, qtbot):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path / "journals"))
    panel = DatasetPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Training set")
    panel.choose_folder(tmp_path / "set")
    finished(qtbot, panel)
    return panel


def finished(qtbot, panel):
    qtbot.waitUntil(lambda: not panel._runner.busy, timeout=10_000)


def result(viewer, seed=0):
    """Add an image and labels that say they are a network's answer."""
    labels = objects(SHAPE, seed=seed)
    viewer.add_image(photograph(labels, seed=seed), name=f"cells {seed}")
    made = metadata_of(LayerRecord(origin={"sha256": "0" * 64}, kind="instance", axes="yx"))
    return viewer.add_labels(labels, name=f"labels {seed}", metadata=made)


def accept(viewer, layer, *ids):
    kept = reviews(viewer)
    kept.change(layer, kept.of(layer).with_state(ids, State.ACCEPTED))


def test_what_is_reviewed_is_proposed_at_once(viewer, panel):
    layer = result(viewer)
    assert panel.whole.isChecked()
    assert not panel.only_reviewed.isEnabled()
    accept(viewer, layer, 1)
    assert panel.only_reviewed.isEnabled()
    assert panel.only_reviewed.isChecked()
    panel.whole.click()
    accept(viewer, layer, 2)
    assert panel.whole.isChecked(), "what the user has said stays"
    for _ in range(2):
        assert reviews(viewer).undo(layer)
    assert panel.whole.isChecked()
    assert not panel.only_reviewed.isEnabled()
    assert reviews(viewer).redo(layer)
    assert panel.only_reviewed.isChecked()


def test_another_layer_is_another_question(viewer, panel):
    first, second = result(viewer, 0), result(viewer, 1)
    for layer in (first, second):
        accept(viewer, layer, 1)
    panel.whole.click()
    viewer.layers.selection.active = first
    assert panel.only_reviewed.isChecked()


def test_a_stroke_is_a_review(viewer, panel, qtbot):
    layer = result(viewer)
    layer.paint((5, 5), 1)
    qtbot.waitUntil(panel.only_reviewed.isChecked, timeout=5_000)
    layer.undo()
    qtbot.waitUntil(panel.whole.isChecked, timeout=5_000)


def test_after_a_deletion_alone_there_is_nothing_to_propose(viewer, panel, qtbot):
    layer = result(viewer)
    layer.data_setitem(np.nonzero(layer.data == 1), 0)
    qtbot.waitUntil(panel.only_reviewed.isEnabled, timeout=5_000)
    qtbot.waitUntil(panel.whole.isChecked, timeout=5_000)
    accept(viewer, layer, 2)
    assert panel.only_reviewed.isChecked()
    layer.data_setitem(np.nonzero(layer.data == 2), 0)
    qtbot.waitUntil(panel.whole.isChecked, timeout=5_000)


def test_an_untouched_answer_goes_in_as_such_and_is_told_of(viewer, panel, qtbot):
    layer = result(viewer)
    panel.add_button.click()
    finished(qtbot, panel)
    (sample,) = Dataset.open(panel.folder).samples
    assert sample.untouched
    assert panel.message.text.text().startswith("These labels are the network's own output")
    assert ", not reviewed\n" in panel.list.item(0).text()

    accept(viewer, layer, 1)
    panel.whole.click()
    panel.add_button.click()
    finished(qtbot, panel)
    (sample,) = Dataset.open(panel.folder).samples
    assert not sample.untouched
    assert panel.message.isHidden()
    assert "not reviewed" not in panel.list.item(0).text()


def test_labels_of_another_program_are_nobodys_answer(viewer, panel, qtbot):
    labels = objects(SHAPE)
    viewer.add_image(photograph(labels))
    viewer.add_labels(labels)
    panel.add_button.click()
    finished(qtbot, panel)
    (sample,) = Dataset.open(panel.folder).samples
    assert not sample.untouched
    assert panel.message.isHidden()


def test_all_that_is_left_out_of_a_folder_is_named(panel, qtbot, tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / "other" / folder).mkdir(parents=True)
    from support.teaching import write

    for name in "abc":
        write(tmp_path / "other" / "images" / f"{name}.tif", photograph(objects(SHAPE)))
    write(tmp_path / "other" / "labels" / "a.tif", objects(SHAPE).astype(np.int32))
    panel.choose_folder(tmp_path / "other")
    finished(qtbot, panel)
    said = panel.message.text.text().splitlines()
    problems = Dataset.open(tmp_path / "other").problems
    assert len(problems) == 2
    assert said == [f"Left out: {problem}" for problem in problems]


def test_opened_again_it_is_still_an_answer(viewer, panel, qtbot):
    result(viewer)
    panel.add_button.click()
    finished(qtbot, panel)
    panel.list.item(0).setSelected(True)
    panel.open_again()
    assert viewer.layers.selection.active.name != "labels 0"
    panel.add_button.click()
    finished(qtbot, panel)
    (sample,) = Dataset.open(panel.folder).samples
    assert sample.untouched

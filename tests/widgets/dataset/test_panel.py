"""The training set in the window: corrected layers go in, and come out again."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import tifffile
from support.teaching import objects, photograph

from napari_segnet.dataset import Dataset, read_labels
from napari_segnet.errors import DatasetError
from napari_segnet.export import Report
from napari_segnet.formats import FORMATS
from napari_segnet.readers import open_image
from napari_segnet.widgets.dataset.jobs import report_lines
from napari_segnet.widgets.dataset.pair import image_of, open_again, training_pair
from napari_segnet.widgets.dataset.panel import DatasetPanel

SHAPE = (24, 30)


class Review:
    """As ``napari_segnet.review`` has it: the JSON lists the accepted labels."""

    def __init__(self, ids=()):
        self.ids = ids
        self.states = dict.fromkeys(ids, "accepted")
        self.regions = ()

    @classmethod
    def from_json(cls, kept):
        return cls(kept["accepted"])

    def trusted(self, labels):
        return np.isin(labels, self.ids)

    def is_informative(self, labels):
        return bool(self.trusted(labels).any())


@pytest.fixture
def reviewing(monkeypatch):
    module = ModuleType("napari_segnet.review")
    module.Review = Review
    monkeypatch.setitem(sys.modules, "napari_segnet.review", module)
    monkeypatch.setattr("napari_segnet.widgets.layers.reviewed.Review", Review)


@pytest.fixture
def panel(viewer, qtbot, tmp_path):
    panel = DatasetPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Training set")
    panel.choose_folder(tmp_path / "set")
    finished(qtbot, panel)
    return panel


def finished(qtbot, panel):
    qtbot.waitUntil(lambda: not panel._runner.busy, timeout=10_000)


def layers(viewer, seed=0, name="cells", **how):
    labels = objects(SHAPE, seed=seed)
    image = viewer.add_image(photograph(labels, seed=seed), name=name)
    return image, viewer.add_labels(labels, name=f"{name} labels", **how)


def added(qtbot, panel):
    panel.add_button.click()
    finished(qtbot, panel)
    assert not panel.message.isVisibleTo(panel), panel.message.text.text()
    return Dataset.open(panel.folder)


def shown(panel):
    return [panel.list.item(i).text() for i in range(panel.list.count())]


def test_selected_labels_go_in_with_their_image(panel, viewer, qtbot):
    image, labels = layers(viewer)
    dataset = added(qtbot, panel)
    (sample,) = dataset.samples
    np.testing.assert_array_equal(image.data, tifffile.imread(sample.image))
    np.testing.assert_array_equal(labels.data, tifffile.imread(sample.labels))
    assert sample.trusted is None
    count = len(np.unique(labels.data)) - 1
    assert shown(panel) == [f"cells\n{count} objects\nfor training"]
    assert panel.summary.text().startswith(f"1 image with {count} objects: 1 for training, 0 held")


def test_only_what_was_reviewed(panel, viewer, qtbot, reviewing):
    _, labels = layers(viewer, metadata={"segnet": {"review": {"accepted": [1, 2]}}})
    assert panel.only_reviewed.isChecked()
    (sample,) = added(qtbot, panel).samples
    np.testing.assert_array_equal(np.isin(labels.data, [1, 2]), tifffile.imread(sample.trusted) > 0)
    assert "% reviewed" in shown(panel)[0]


def test_a_review_that_has_only_begun_does_not_leave_everything_out(panel, viewer, reviewing):
    layers(viewer, metadata={"segnet": {"review": {"accepted": []}}})
    assert panel.whole.isChecked()
    assert not panel.only_reviewed.isEnabled()


def test_nothing_reviewed_is_said(panel, viewer, qtbot, reviewing):
    layers(viewer, metadata={"segnet": {"review": {"accepted": [99]}}})
    assert panel.whole.isChecked()  # of an object that was deleted there is nothing to learn
    panel.only_reviewed.setChecked(True)
    panel.add_button.click()
    assert "Nothing of “cells labels” is marked as reviewed" in panel.message.text.text()
    assert not (panel.folder / "dataset.json").exists()


def test_without_a_review_there_is_no_such_choice(panel, viewer):
    layers(viewer)
    assert not panel.only_reviewed.isEnabled()
    assert panel.whole.isChecked()


def test_added_again_it_is_replaced(panel, viewer, qtbot):
    _, labels = layers(viewer)
    added(qtbot, panel)
    labels.data_setitem((np.array([0]), np.array([0])), 99)
    (sample,) = added(qtbot, panel).samples
    assert tifffile.imread(sample.labels)[0, 0] == 99
    assert (panel.folder / "history").is_dir()


def test_opened_again_and_corrected_it_takes_its_own_place(panel, viewer, qtbot):
    layers(viewer)
    added(qtbot, panel)
    viewer.layers.clear()
    panel.list.item(0).setSelected(True)
    panel.open_button.click()
    labels = viewer.layers.selection.active
    assert [layer.name for layer in viewer.layers] == ["cells", "cells labels"]
    labels.data_setitem((np.array([0]), np.array([0])), 99)
    (sample,) = added(qtbot, panel).samples
    assert tifffile.imread(sample.labels)[0, 0] == 99


def test_held_out_and_back(panel, viewer, qtbot):
    layers(viewer)
    added(qtbot, panel)
    for expected, button in (("val", "Train on it"), ("train", "Hold out")):
        panel.list.item(0).setSelected(True)
        panel.side_button.click()
        finished(qtbot, panel)
        assert Dataset.open(panel.folder).samples[0].split == expected
        panel.list.item(0).setSelected(True)
        assert panel.side_button.text() == button


def test_removed(panel, viewer, qtbot):
    layers(viewer)
    added(qtbot, panel)
    panel.list.item(0).setSelected(True)
    panel.remove_button.click()
    finished(qtbot, panel)
    assert shown(panel) == []
    assert panel.summary.text() == "The training set is empty."
    assert list((panel.folder / "history").rglob("cells.tif"))
    added(qtbot, panel)
    assert len(shown(panel)) == 1


def test_a_damaged_sample_is_named_and_the_others_are_shown(panel, viewer, qtbot):
    for i in range(2):
        viewer.layers.clear()
        layers(viewer, seed=i, name=f"c{i}")
        added(qtbot, panel)
    (panel.folder / "labels" / "c0.tif").write_bytes(b"II*\0 nothing")
    panel.choose_folder(panel.folder)
    finished(qtbot, panel)
    first, second = shown(panel)
    assert first == "c0\ncannot be read"
    assert "c0.tif" in panel.list.item(0).toolTip()
    assert second.startswith("c1\n")


@pytest.mark.long
def test_a_missing_file_is_said(panel, viewer, qtbot):
    for i in range(2):
        viewer.layers.clear()
        layers(viewer, seed=i, name=f"c{i}")
        added(qtbot, panel)
    (panel.folder / "labels" / "c0.tif").unlink()
    panel.choose_folder(panel.folder)
    finished(qtbot, panel)
    assert "c0.tif is missing" in panel.message.text.text()


def test_labels_that_do_not_fit(panel, viewer):
    viewer.add_image(np.zeros((9, 9), np.uint8), name="other")
    viewer.add_labels(np.zeros((4, 5), np.int32), name="mine")
    panel.add_button.click()
    said = panel.message.text.text()
    assert "“mine” has 4 x 5 pixels and “other” has 9 x 9: they do not belong together" in said


def test_a_new_dock_shows_the_last_folder(panel, viewer, qtbot):
    layers(viewer)
    added(qtbot, panel)
    second = DatasetPanel(viewer)
    viewer.window.add_dock_widget(second, name="Another")
    finished(qtbot, second)
    assert second.folder == panel.folder
    assert shown(second) == shown(panel)


# ---- Layers of many kinds ----


def test_a_part_of_an_image_is_cut_out_and_named(viewer):
    whole = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)
    image = viewer.add_image(whole, name="stack")
    own = {"image_layer": "stack", "offset_px": [1, 4, 5], "region": "rectangle"}
    labels = viewer.add_labels(np.ones((1, 10, 12), np.int32), metadata={"segnet": own})
    assert image_of(viewer, labels) is image
    pair = training_pair(image, labels, only_reviewed=False)
    np.testing.assert_array_equal(whole[1:2, 4:14, 5:17], pair.image.read()[0, 0])
    assert pair.plane == "z=1 y=4:14 x=5:17"
    again = training_pair(image, labels, only_reviewed=False)
    assert again.source == pair.source
    assert pair.source.startswith("stack ")


def test_parts_of_one_image_share_their_source_and_images_of_one_name_do_not(viewer):
    rng = np.random.default_rng(0)
    first = viewer.add_image(rng.integers(0, 99, (20, 30)), name="a")
    labels = viewer.add_labels(np.ones((20, 30), np.int32))
    one = training_pair(first, labels, only_reviewed=False).source
    first.data = rng.integers(0, 99, (20, 30))
    assert training_pair(first, labels, only_reviewed=False).source != one


@pytest.mark.sample(1)
@pytest.mark.parametrize("how", ["rgb", "channels first", "channels between"])
def test_channels_have_no_labels_of_their_own(viewer, tmp_path, how):
    from napari_segnet.dataset import add

    labels = objects((20, 24), seed=1)
    pixels = photograph(labels, channels=3)
    if how == "rgb":
        image = viewer.add_image(np.moveaxis(pixels, 0, -1), rgb=True, name="a")
        made = viewer.add_labels(labels)
    elif how == "channels first":
        image = viewer.add_image(pixels, name="a", axis_labels=("c", "y", "x"))
        made = viewer.add_labels(labels)
    else:
        stack = np.stack([pixels, pixels])
        image = viewer.add_image(stack, name="a", axis_labels=("z", "c", "y", "x"))
        made = viewer.add_labels(np.stack([labels, labels])[:, None])
    pair = training_pair(image, made, only_reviewed=False)
    sample = add(tmp_path, pair.image, pair.labels, source=pair.source)
    again = open_image(sample.image)
    np.testing.assert_array_equal(pixels, again.read()[0, :, 0])
    found = read_labels(sample.labels, again)
    np.testing.assert_array_equal(labels, found[0, -1])
    layer = open_again(viewer, sample, ())
    np.testing.assert_array_equal(labels, layer.data.reshape(-1, 20, 24)[-1])


def test_classes_of_objects_go_along(viewer):
    image, _ = layers(viewer)
    labels = viewer.add_labels(
        objects(SHAPE),
        features={"index": [1, 2, 3], "class": [1, 2, 1]},
        metadata={"segnet": {"kind": "instance", "class_names": ["background", "a", "b"]}},
    )
    pair = training_pair(image, labels, only_reviewed=False)
    assert pair.classes == {1: 1, 2: 2, 3: 1}
    assert pair.class_names == ("background", "a", "b")


def test_another_number_of_dimensions(viewer):
    image = viewer.add_image(np.zeros((3, 9, 9), np.uint8), name="stack")
    labels = viewer.add_labels(np.zeros((9, 9), np.int32), name="flat")
    with pytest.raises(DatasetError, match="“flat” has 9 x 9 pixels and “stack” has 3 x 9 x 9"):
        training_pair(image, labels, only_reviewed=False)


def chosen_in_dialogs(monkeypatch, path):
    from napari_segnet.widgets.dataset import exchange

    monkeypatch.setattr(exchange.QFileDialog, "getExistingDirectory", lambda *a: str(path))
    monkeypatch.setattr(exchange.QFileDialog, "getOpenFileName", lambda *a: (str(path), ""))


def pressed(button, title):
    (action,) = [one for one in button.menu().actions() if one.text() == title]
    action.trigger()


@pytest.mark.sample(4)
@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_exported_and_imported_again(panel, viewer, qtbot, tmp_path, monkeypatch, kind):
    assert not panel.exchange.export_button.isEnabled()
    _, labels = layers(viewer)
    added(qtbot, panel)
    (tmp_path / "out").mkdir()
    chosen_in_dialogs(monkeypatch, tmp_path / "out")
    pressed(panel.exchange.export_button, kind.title)
    finished(qtbot, panel)
    assert panel.message.text.text().startswith(f"1 image written to {tmp_path / 'out'}.")
    panel.choose_folder(tmp_path / "another")
    finished(qtbot, panel)
    pressed(panel.exchange.import_button, "A folder…")
    finished(qtbot, panel)
    assert panel.message.text.text().startswith("1 image added from out.")
    (sample,) = Dataset.open(tmp_path / "another").samples
    # What nnU-Net keeps is the class of each pixel.
    count = 1 if kind.name == "nnunet" else len(np.unique(labels.data)) - 1
    again = read_labels(sample.labels, open_image(sample.image))
    assert len(np.unique(again)) - 1 == count
    assert f"{count} object" in shown(panel)[0]


def test_what_an_import_leaves_out_is_told(panel, qtbot, tmp_path, monkeypatch):
    for folder in ("images", "labels"):
        (tmp_path / "in" / folder).mkdir(parents=True)
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / "in" / "images" / f"{name}.tif", np.zeros(SHAPE, np.uint8))
    tifffile.imwrite(tmp_path / "in" / "labels" / "a.tif", objects(SHAPE, seed=0))
    chosen_in_dialogs(monkeypatch, tmp_path / "in")
    pressed(panel.exchange.import_button, "A folder…")
    finished(qtbot, panel)
    said = panel.message.text.text()
    assert said.startswith("1 image added from in.")
    assert said.splitlines()[1:2] == ["1 of 2 images failed:"]
    assert "b.tif has no label image of the same name" in said


def test_a_folder_that_is_not_understood_is_refused(panel, qtbot, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    chosen_in_dialogs(monkeypatch, tmp_path / "empty")
    pressed(panel.exchange.import_button, "A folder…")
    finished(qtbot, panel)
    assert "holds no images with labels that are understood" in panel.message.text.text()


def test_an_export_leaves_what_lies_there(panel, viewer, qtbot, tmp_path, monkeypatch):
    layers(viewer)
    added(qtbot, panel)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    chosen_in_dialogs(monkeypatch, tmp_path / "full")
    pressed(panel.exchange.export_button, FORMATS[0].title)
    finished(qtbot, panel)
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == [
        "mine.txt",
        f"set-{FORMATS[0].name}",
    ]


def test_a_long_report_is_cut(panel):
    notes = tuple(f"note {n}" for n in range(30))
    lines = report_lines(Report(done=("a", "b"), notes=notes), "added from in")
    assert lines[0] == "2 images added from in."
    assert lines[-1] == "And 19 more lines; the command line shows them all."
    assert len(lines) == 13

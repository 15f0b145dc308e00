"""The Evaluate dock: real clicks, known figures, mistakes that can be found again."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from support import hand
from tifffile import imwrite

from napari_segnet.evaluate import evaluate
from napari_segnet.widgets.evaluate.dock import EvaluateDock
from napari_segnet.widgets.evaluate.mistakes import in_words
from napari_segnet.widgets.layers.camera import look_at

WAIT_MS = 8_000


def squares(*corners, side=8, shape=(64, 64)):
    """Return labels with one square object for each corner."""
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(corners, start=1):
        labels[..., y : y + side, x : x + side] = number
    return labels


TRUTH = squares((4, 4), (4, 30), (30, 4), (50, 50))
FOUND = squares((4, 4), (30, 5), (40, 40))  # one right, one nearly, one false; two are missed


@pytest.fixture
def dock(make_viewer, qtbot):
    viewer = make_viewer(show=True)
    dock = EvaluateDock(viewer)
    viewer.window.add_dock_widget(dock, name="Evaluate")
    return dock


def compare(dock, qtbot):
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)


def shown(dock):
    """Return the figures that the dock shows, by name."""
    table = dock.figures
    cells = [
        (table.item(row, column), table.item(row, column + 1))
        for column in (0, 2)
        for row in range(table.rowCount())
    ]
    return {name.text(): value.text() for name, value in cells if name is not None}


def mistakes(dock):
    return {
        x.metadata["segnet"]["evaluated"]: x for x in dock.viewer.layers if "segnet" in x.metadata
    }


def test_labels_and_a_truth_are_needed(dock):
    assert not dock.run_box.button.isEnabled()
    assert "needs a Labels layer to judge" in dock.run_box.button.toolTip()
    dock.viewer.add_labels(FOUND)
    assert not dock.run_box.button.isEnabled()
    assert "two Labels layers, an Image layer" in dock.run_box.button.toolTip()
    dock.viewer.add_labels(TRUTH)
    assert dock.run_box.button.isEnabled()


def test_figures_are_those_of_the_core(dock, qtbot):
    dock.viewer.add_labels(FOUND, name="found")
    dock.viewer.add_labels(TRUTH, name="truth")
    compare(dock, qtbot)
    scores = evaluate(FOUND, TRUTH)
    said = shown(dock)
    assert said["AP 50"] == f"{scores.ap50:.3f}" == "0.400"
    assert said["PQ"] == f"{scores.pq:.3f}"
    assert (said["true objects"], said["labels"]) == ("4", "3")
    (line,) = dock.plot.lines
    assert list(line.y) == [scores.ap_at(percent) for percent in range(50, 100, 5)]


def test_what_our_network_made_is_judged(dock):
    dock.viewer.add_labels(TRUTH, name="truth")
    dock.viewer.add_labels(FOUND, name="found", metadata={"segnet": {"key": "x"}})
    assert dock.labels.currentText() == "found"
    assert dock.truth.currentText() == "truth"


def test_of_several_results_the_newest_is_judged_by_the_oldest(dock, qtbot):
    one = squares((4, 4), (4, 30), (30, 4))
    dock.viewer.add_labels(one, name="corrected", metadata={"segnet": {"key": "x"}})
    assert dock.labels.currentText() == "corrected"
    dock.viewer.add_labels(squares((4, 4), (4, 30)), name="new", metadata={"segnet": {"key": "y"}})
    assert (dock.labels.currentText(), dock.truth.currentText()) == ("new", "corrected")
    compare(dock, qtbot)
    assert dock.run_box.words.text() == "1 mistake"


def test_results_of_other_images_are_no_truth(dock, qtbot):
    """A folder of JPEGs was segmented: each result is judged by one of its own image."""

    def result(name, image):
        record = {"key": name, "image_id": image, "image_layer": image}
        return dock.viewer.add_labels(FOUND, name=name, metadata={"segnet": record})

    result("old 1", "one")
    result("old 2", "two")
    assert (dock.labels.currentText(), dock.truth.currentText()) == ("old 2", "")
    assert "needs the truth" in dock.run_box.button.toolTip()
    result("new 1", "one")
    assert (dock.labels.currentText(), dock.truth.currentText()) == ("new 1", "old 1")
    compare(dock, qtbot)
    assert dock.message.isHidden()
    assert dock.labels.currentText() == "new 1"
    qtbot.keyClick(dock.labels, Qt.Key.Key_Up)
    assert (dock.labels.currentText(), dock.truth.currentText()) == ("old 2", "")
    qtbot.keyClick(dock.truth, Qt.Key.Key_Down)
    assert dock.truth.currentText() == "old 1"
    compare(dock, qtbot)
    said = dock.message.text.text()
    assert said.startswith("“old 2” and “old 1” belong to different image layers.")


def test_results_of_channels_of_one_file_judge_each_other(dock):
    for name, file in (("a", "cells.tif"), ("b", "cells.tif"), ("c", "others.tif")):
        record = {"key": name, "image_id": name, "origin": {"image": {"source": file}}}
        dock.viewer.add_labels(FOUND, name=name, metadata={"segnet": record})
    assert (dock.labels.currentText(), dock.truth.currentText()) == ("c", "")
    dock.labels.setCurrentText("b")
    assert dock.truth.currentText() == "a"


def test_what_the_user_has_chosen_stays(dock, qtbot):
    for name in ("a", "b"):
        dock.viewer.add_labels(TRUTH, name=name)
    assert (dock.labels.currentText(), dock.truth.currentText()) == ("a", "b")
    qtbot.keyClick(dock.labels, Qt.Key.Key_Down)
    qtbot.keyClick(dock.truth, Qt.Key.Key_Up)
    dock.viewer.add_labels(FOUND, name="c", metadata={"segnet": {"key": "x"}})
    assert (dock.labels.currentText(), dock.truth.currentText()) == ("b", "a")


def test_mistakes_lie_where_their_objects_are(dock, qtbot):
    place = {"scale": (0.5, 0.5), "translate": (10, 20)}
    dock.viewer.add_labels(FOUND, name="found", **place)
    dock.viewer.add_labels(TRUTH, name="truth", **place)
    compare(dock, qtbot)
    layers = mistakes(dock)
    assert layers.keys() == {"missed", "false"}
    assert np.array_equal(layers["missed"].data > 0, np.isin(TRUTH, (2, 4)))
    assert np.array_equal(layers["false"].data > 0, FOUND == 3)
    assert all(np.allclose(x.translate, (10, 20)) for x in layers.values())
    assert "2 mistakes" not in dock.run_box.words.text()
    assert dock.run_box.words.text() == "3 mistakes"


@pytest.mark.long
def test_comparing_again_replaces_the_layers_of_before(dock, qtbot):
    found = dock.viewer.add_labels(FOUND.copy(), name="found")
    dock.viewer.add_labels(TRUTH, name="truth")
    compare(dock, qtbot)
    found.data = TRUTH.copy()
    compare(dock, qtbot)
    assert not mistakes(dock)
    assert dock.run_box.words.text() == "no mistake"
    assert not dock.mistakes.isVisible()


def test_next_leads_from_mistake_to_mistake(dock, qtbot):
    dock.viewer.add_labels(FOUND, name="found", scale=(2, 2))
    dock.viewer.add_labels(TRUTH, name="truth", scale=(2, 2))
    compare(dock, qtbot)
    centers = []
    for _ in range(4):
        qtbot.mouseClick(dock.mistakes.after, Qt.MouseButton.LeftButton)
        centers.append(tuple(dock.viewer.scene.camera.center[-2:]))
    middles = [(4 + 3.5, 30 + 3.5), (50 + 3.5, 50 + 3.5), (40 + 3.5, 40 + 3.5)]
    expected = [(2 * y, 2 * x) for y, x in middles]
    assert np.allclose(centers, [*expected, expected[0]])


def test_one_kind_alone_can_be_walked_through(dock, qtbot):
    dock.viewer.add_labels(FOUND, name="found")
    dock.viewer.add_labels(TRUTH, name="truth")
    compare(dock, qtbot)
    kinds = [dock.mistakes.kind.itemText(i) for i in range(dock.mistakes.kind.count())]
    assert kinds == ["all mistakes (3)", "missed (2)", "false (1)", "merged (0)", "split (0)"]
    dock.mistakes.kind.setCurrentIndex(2)
    model = dock.mistakes.table.model()
    assert model.rowCount() == 1
    assert [model.data(model.index(0, column)) for column in range(3)] == ["false", "3", "64"]
    assert "no true object" in model.data(model.index(0, 0), Qt.ItemDataRole.ToolTipRole)


def test_each_kind_is_said_in_words(dock, qtbot):
    truth, found = TRUTH.copy(), np.zeros_like(TRUTH)
    found[4:12, 4:38] = 1  # merges 1 and 2
    found[30:34, 4:12], found[34:38, 4:8], found[34:38, 8:12] = 2, 3, 4
    truth[30:34, 4:12] = 3
    dock.viewer.add_labels(found, name="found")
    dock.viewer.add_labels(truth, name="truth")
    compare(dock, qtbot)
    said = [in_words(one) for one in dock.mistakes._rows.all]
    assert "Label 1 holds the true objects 1, 2." in said
    assert "True object 4 was not found." in said


@pytest.mark.long
def test_planes_of_a_stack_whose_numbers_begin_anew(dock, qtbot):
    truth = np.stack([TRUTH, squares((20, 20))])
    found = np.stack([TRUTH, squares((20, 20), (40, 40))])
    dock.viewer.add_labels(found, name="found")
    dock.viewer.add_labels(truth, name="truth")
    assert dock.sides.objects.isVisible()
    dock.sides.objects.setCurrentIndex(1)
    compare(dock, qtbot)
    assert (shown(dock)["true objects"], shown(dock)["labels"]) == ("5", "6")
    qtbot.mouseClick(dock.mistakes.after, Qt.MouseButton.LeftButton)
    assert dock.viewer.dims.current_step[0] == 1
    assert np.argwhere(mistakes(dock)["false"].data)[:, 0].tolist() == [1] * 64


def test_layers_of_different_images_are_refused_in_words(dock, qtbot):
    dock.viewer.add_labels(FOUND, name="found")
    dock.viewer.add_labels(TRUTH[:50], name="truth")
    qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)
    assert "“found” has 64 x 64 pixels, “truth” has 50 x 64" in dock.message.text.text()
    assert dock.run_box.button.isEnabled()


def test_a_layer_is_not_compared_with_itself(dock, qtbot):
    for name in ("a", "b"):
        dock.viewer.add_labels(FOUND, name=name)
    dock.truth.setCurrentIndex(dock.labels.currentIndex())
    qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)
    assert "was chosen twice" in dock.message.text.text()


@pytest.mark.long
def test_layers_may_go_while_they_are_compared(dock, qtbot):
    found = dock.viewer.add_labels(FOUND, name="found")
    dock.viewer.add_labels(TRUTH, name="truth")
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        dock.run()
        dock.viewer.layers.remove(found)
    assert shown(dock)["AP 50"] == "0.400"
    assert not mistakes(dock)
    qtbot.mouseClick(dock.mistakes.after, Qt.MouseButton.LeftButton)  # nowhere to go


def test_a_mask_among_objects_and_a_doubled_name_are_said(dock, qtbot, tmp_path):
    truth = np.zeros((20, 60), np.uint8)
    for number, x in enumerate((2, 22, 42), start=1):
        truth[5:12, x : x + 9] = number
    for name in ("ours/a.tif", "truth/a.tif", "ours/b.tif", "truth/b.tif", "truth/b.ome.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        mask = (truth > 0).astype(np.uint8) * np.uint8(255)
        imwrite(tmp_path / name, mask if name == "ours/a.tif" else truth)
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        dock.compare_folders(tmp_path / "ours", tmp_path / "truth")
    assert dock.scores.ap50 == 0
    said = dock.message.text.text()
    assert "1 image: The prediction has one number, 255, in several separate pieces" in said
    assert "Left out: Several files could be the labels of b" in said


def test_folders(dock, qtbot, tmp_path):
    for name, pairs in {"a": (FOUND, TRUTH), "b": (TRUTH, TRUTH)}.items():
        for folder, labels in zip(("ours", "truth"), pairs, strict=True):
            (tmp_path / folder).mkdir(exist_ok=True)
            imwrite(tmp_path / folder / f"{name}.tif", labels)
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        dock.compare_folders(tmp_path / "ours", tmp_path / "truth")
    rows = [[dock.images.item(row, c).text() for c in range(4)] for row in range(2)]
    assert rows == [["a", "0.400", "4", "3"], ["b", "1.000", "4", "4"]]  # the worst first
    dock.copy_figures()
    table = [line.split("\t") for line in QApplication.clipboard().text().splitlines()]
    assert "dice_foreground" in table[0] or "dice_1" in table[0]
    assert [line[0] for line in table] == ["image", "a", "b", "all"]
    assert table[1][1] == "0.4"
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        dock.images.cellDoubleClicked.emit(0, 0)
    assert {"a labels", "a truth"} <= {layer.name for layer in dock.viewer.layers}
    assert dock.run_box.words.text() == "3 mistakes"


@pytest.mark.skipif(bool(hand.missing()), reason=hand.missing())
def test_a_picture_is_the_truth(dock, qtbot):
    """By hand: the truth is an Image layer of numbers, here as floats."""
    truth = np.kron(np.array([[1, 0, 2, 0, 1, 0, 2, 0]]), np.ones((8, 8))).astype(np.float32)
    found = np.roll(truth, 1, axis=1).astype(np.uint8)
    place = {"scale": (0.5, 0.5), "units": ("um", "um")}
    dock.viewer.add_image(truth, name="annotation", **place)
    dock.viewer.add_image(truth, name="cells", **place)
    dock.viewer.add_labels(found, name="found", **place)
    assert dock.truth.currentText() == "annotation"
    dock.sides.choose(dock.viewer.layers["found"], dock.viewer.layers["cells"])
    user = hand.Hand()
    hand.until(lambda: dock.truth.isVisible(), 10)
    user.click(dock.truth)
    user.key("Up", "Return")
    hand.until(lambda: dock.truth.currentText() == "annotation", 10)
    user.click(dock.run_box.button)
    hand.until(lambda: dock.classes.rowCount() == 3, 10)
    cells = [[dock.classes.item(row, c).text() for c in range(4)] for row in range(3)]
    one = evaluate(found, truth.astype(int)).classes[0]
    assert cells[0] == ["1", f"{one.dice:.3f}", f"{one.iou:.3f}", "0.5 µm"]
    assert [row[0] for row in cells] == ["1", "2", "mean"]


@pytest.mark.long
def test_a_truth_of_a_part_is_compared_where_it_lies(dock, qtbot):
    truth, found = TRUTH[24:, :60], FOUND
    dock.viewer.add_labels(found, name="found", scale=(2, 2), translate=(10, 0))
    dock.viewer.add_image(truth, name="truth", scale=(2, 2), translate=(10 + 48, 0))
    compare(dock, qtbot)
    scores = evaluate(found[24:, :60], truth)
    assert shown(dock)["AP 50"] == f"{scores.ap50:.3f}"
    layer = mistakes(dock)["false"]
    assert layer.data.shape == truth.shape
    assert np.allclose(layer.translate, (58, 0))
    qtbot.mouseClick(dock.mistakes.after, Qt.MouseButton.LeftButton)
    at = [part.start for part in dock.mistakes._rows.shown[0].box]
    size = [part.stop - part.start for part in dock.mistakes._rows.shown[0].box]
    middle = np.array([at[0] + 24, at[1]]) + (np.array(size) - 1) / 2
    assert np.allclose(dock.viewer.scene.camera.center[-2:], 2 * middle + (10, 0))


def test_a_rectangle_and_chosen_classes(dock, qtbot):
    dock.viewer.add_labels(FOUND, name="found")
    dock.viewer.add_labels(TRUTH, name="truth")
    dock.viewer.add_shapes([[[0, 0], [0, 63], [20, 63], [20, 0]]])
    dock.sides.where.setCurrentIndex(1)
    dock.sides.classes.setEditText("1, 2")
    compare(dock, qtbot)
    scores = evaluate(FOUND[:21], TRUTH[:21], classes=(1, 2))
    assert shown(dock)["true objects"] == "2"
    assert dock.classes.item(0, 1).text() == f"{scores.classes[0].dice:.3f}"
    assert dock.classes.item(1, 3).text() == "none"
    dock.sides.classes.setEditText("liver")
    qtbot.mouseClick(dock.run_box.button, Qt.MouseButton.LeftButton)
    assert "“liver” names no classes" in dock.message.text.text()


def test_truth_from_a_file(dock, qtbot, tmp_path):
    dock.viewer.add_labels(FOUND[None], name="found", scale=(3, 2, 2))
    imwrite(tmp_path / "truth.tif", TRUTH.astype(np.uint8))
    dock.sides.open_truth(tmp_path / "truth.tif")
    assert dock.truth.currentText() == "truth.tif (truth)"
    compare(dock, qtbot)
    assert shown(dock)["AP 50"] == "0.400"
    imwrite(tmp_path / "small.tif", TRUTH[:9].astype(np.uint8))
    dock.sides.open_truth(tmp_path / "small.tif")
    assert "small.tif has 9 x 64 pixels, “found” has 1 x 64 x 64" in dock.message.text.text()


def test_a_picture_of_fractions_is_no_truth(dock, qtbot):
    dock.viewer.add_labels(FOUND, name="found")
    dock.viewer.add_image(np.full((64, 64), 0.5), name="probability mask")
    compare(dock, qtbot)
    assert "The truth has broken numbers (float64)" in dock.message.text.text()


def test_a_folder_that_does_not_fit_is_said(dock, qtbot, tmp_path):
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        dock.compare_folders(tmp_path / "gone", tmp_path)
    assert "There is no file or folder" in dock.message.text.text()


@pytest.mark.long
def test_the_plot_follows_the_theme(dock, qtbot):
    dock.viewer.add_labels(FOUND)
    dock.viewer.add_labels(TRUTH)
    compare(dock, qtbot)

    def ink():
        return dock.plot._canvas.figure.axes[0].xaxis.label.get_color()

    dark = ink()
    dock.viewer.theme = "light"
    assert ink() != dark


@pytest.mark.subprocess
def test_matplotlib_is_not_loaded_with_the_dock(root):
    import subprocess
    import sys

    code = (
        "import sys, napari_segnet.widgets.evaluate.dock\n"
        "late = {'matplotlib', 'torch', 'scipy', 'skimage'} & set(sys.modules)\n"
        "print(sorted(late))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "matplotlib" not in done.stdout, done.stderr
    assert "torch" not in done.stdout


def test_a_near_view_is_kept_and_a_far_one_is_not(make_viewer):
    viewer = make_viewer(show=True)
    layer = viewer.add_labels(np.zeros((3, 2000, 2000), np.int32))
    look_at(viewer, layer, (slice(2, 3), slice(100, 110), slice(500, 520)))
    assert viewer.dims.current_step[0] == 2
    near = viewer.scene.camera.zoom
    look_at(viewer, layer, (slice(0, 1), slice(900, 912), slice(50, 75)))
    assert viewer.scene.camera.zoom == near
    look_at(viewer, layer, (slice(0, 1), slice(0, 1500), slice(0, 1500)))
    assert viewer.scene.camera.zoom < near / 4


def test_a_pair_that_cannot_be_compared_does_not_end_the_others(dock, qtbot, tmp_path):
    for folder in ("ours", "truth"):
        (tmp_path / folder).mkdir()
        for name in ("a", "b", "c"):
            imwrite(tmp_path / folder / f"{name}.tif", TRUTH)
    imwrite(tmp_path / "truth" / "b.tif", TRUTH[:10])
    (tmp_path / "ours" / "c.tif").write_bytes(b"cut off")
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        dock.compare_folders(tmp_path / "ours", tmp_path / "truth")
    assert [dock.images.item(row, 0).text() for row in range(dock.images.rowCount())] == ["a"]
    said = dock.message.text.text().splitlines()
    assert [line.split(": ")[:2] for line in said] == [["Left out", "b"], ["Left out", "c"]]
    assert "c.tif" in said[1]


def test_where_no_pair_can_be_compared_the_reason_is_told(dock, qtbot, tmp_path):
    for folder, labels in (("ours", TRUTH), ("truth", TRUTH[:10])):
        (tmp_path / folder).mkdir()
        imwrite(tmp_path / folder / "a.tif", labels)
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        dock.compare_folders(tmp_path / "ours", tmp_path / "truth")
    assert dock.message.text.text().startswith("a: ")
    assert dock.scores is None

"""Objects asked for in the window: gestures, undo, shapes, stacks, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qtpy.QtCore import Qt
from support.blobseer import BlobLook, blobs_in, field
from support.engines import put_first
from support.maskrcnns import small_maskrcnn

from napari_segnet import cache
from napari_segnet.samples import nuclei_2d
from napari_segnet.segmentation import Detected
from napari_segnet.widgets.plugin.docks import SegmentDock

WAIT_MS = 60_000
CENTRES = [(40, 50), (100, 120), (30, 130)]
SHAPE = (150, 170)


@pytest.fixture(autouse=True)
def no_answers_of_before():
    cache.predictions.clear()
    yield
    cache.predictions.clear()


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A Mask R-CNN for one channel, nuclei and cells."""
    path = tmp_path_factory.mktemp("weights") / "maskrcnn.pth"
    torch.manual_seed(0)
    module = small_maskrcnn(classes=3)
    module.backbone.body.conv1 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    torch.save(module.state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def sees_blobs(monkeypatch):
    """Instance networks that see bright blobs, of class 1."""

    def look(picture, **_):
        return BlobLook(np.stack([picture[0], np.ones_like(picture[0])]))

    def objects(batch, **_):
        pairs = [np.stack([each[0], np.ones_like(each[0])]) for each in batch]
        return [Detected(instances=blobs_in(pair)) for pair in pairs]

    put_first(
        monkeypatch, detect=objects, look=look, runs_it=lambda network: network.task == "instance"
    )


@pytest.fixture
def dock(viewer, qtbot):
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    return dock


def choose(dock, qtbot, choice, normalize="none"):
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights(str(choice))
    assert dock.checkpoint is not None, dock.message.text.text()
    from dataclasses import replace

    dock.main.set_value(replace(dock.main.value(), normalize=normalize, device="cpu"))


def switch_on(dock, qtbot):
    dock.asking.expand()
    qtbot.mouseClick(dock.ask.switch, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.ask.runner.busy, timeout=WAIT_MS)


def labels_of(viewer):
    from napari.layers import Labels

    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


class Event:
    """What napari tells of the mouse."""

    def __init__(self, position):
        self.type, self.button, self.position = "mouse_press", 1, tuple(position)


def drag(dock, qtbot, layer, start, end):
    """Press at one place of the world, move, release at another; wait for the answer."""
    event = Event(start)
    callback = layer.mouse_drag_callbacks[-1]
    steps = callback(layer, event)
    next(steps)
    event.type = "mouse_move"
    for part in (0.3, 1.0):
        event.position = tuple(a + part * (b - a) for a, b in zip(event.position, end, strict=True))
        next(steps)
    event.position, event.type = tuple(end), "mouse_release"
    with pytest.raises(StopIteration):
        next(steps)
    wait(dock, qtbot)


def click(dock, qtbot, layer, at):
    event = Event(at)
    callback = layer.mouse_drag_callbacks[-1]
    steps = callback(layer, event)
    next(steps)
    event.type = "mouse_release"
    with pytest.raises(StopIteration):
        next(steps)
    wait(dock, qtbot)


def wait(dock, qtbot):
    qtbot.waitUntil(
        lambda: not dock.ask.runner.busy and not dock.ask._waiting and dock.ask._now is None,
        timeout=WAIT_MS,
    )


def near(labels, one, centre, radius=12.0):
    disc = field(labels.shape, [centre], radius) > 0.5
    mine = labels == one
    return (mine & disc).sum() / (mine | disc).sum() > 0.85


def test_a_dragged_box_becomes_an_object_and_undo_takes_it_back(viewer, dock, qtbot, weights):
    viewer.add_image(field(SHAPE, CENTRES), name="cells")
    choose(dock, qtbot, weights)
    switch_on(dock, qtbot)
    (layer,) = labels_of(viewer)
    assert viewer.layers.selection.active is layer
    assert not layer.mouse_pan
    drag(dock, qtbot, layer, (26, 36), (54, 64))
    assert near(layer.data, 1, CENTRES[0])
    table = layer.features.set_index("index")
    assert table.loc[1, "class"] == 1
    assert 0.5 < table.loc[1, "score"] <= 1
    assert "Object 1 made" in dock.ask.words.text()
    click(dock, qtbot, layer, (100, 120))
    assert near(layer.data, 2, CENTRES[1])
    layer.undo()
    assert set(np.unique(layer.data)) == {0, 1}
    layer.undo()
    assert not layer.data.any()
    assert 1 not in set(layer.features["index"])
    layer.redo()
    assert near(layer.data, 1, CENTRES[0])
    assert layer.features.set_index("index").loc[1, "score"] == table.loc[1, "score"]
    drag(dock, qtbot, layer, (86, 106), (114, 134))
    assert near(layer.data, 3, CENTRES[1]), "an id that was used is not used again"


def test_off_again_the_mouse_moves_the_view(viewer, dock, qtbot, weights):
    viewer.add_image(field(SHAPE, CENTRES), name="cells")
    choose(dock, qtbot, weights)
    switch_on(dock, qtbot)
    (layer,) = labels_of(viewer)
    asking = layer.mouse_drag_callbacks[-1]
    qtbot.mouseClick(dock.ask.switch, Qt.MouseButton.LeftButton)
    assert layer.mouse_pan
    assert asking not in layer.mouse_drag_callbacks
    switch_on(dock, qtbot)
    layer.mode = "paint"
    assert not dock.ask.switch.isChecked()
    assert asking not in layer.mouse_drag_callbacks
    switch_on(dock, qtbot)
    assert layer.mode == "pan_zoom"
    viewer.layers.selection.active = viewer.layers["cells"]
    assert not dock.ask.switch.isChecked()
    switch_on(dock, qtbot)
    assert labels_of(viewer) == [layer], "the layer that is there already is used"
    viewer.layers.remove(layer)
    assert not dock.ask.switch.isChecked()


def test_objects_join_those_of_a_run_and_a_wrong_one_is_asked_for_again(
    viewer, dock, qtbot, weights
):
    viewer.add_image(field(SHAPE, CENTRES), name="cells")
    choose(dock, qtbot, weights)
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        dock.run()
    (layer,) = labels_of(viewer)
    assert layer.data.max() == 3
    one = int(layer.data[40, 50])
    switch_on(dock, qtbot)
    layer.data_setitem((layer.data == one).nonzero(), 0)
    drag(dock, qtbot, layer, (26, 36), (54, 64))
    assert near(layer.data, 4, CENTRES[0])
    # A part of it is cut off; a click on the rest redraws it.
    rows, columns = (layer.data == 4).nonzero()
    half = rows < 36
    layer.data_setitem((rows[half], columns[half]), 0)
    assert not near(layer.data, 4, CENTRES[0])
    click(dock, qtbot, layer, (46, 50))
    assert near(layer.data, 4, CENTRES[0])
    layer.undo()
    assert not near(layer.data, 4, CENTRES[0])
    layer.selected_label = 4
    qtbot.mouseClick(dock.ask.again, Qt.MouseButton.LeftButton)
    wait(dock, qtbot)
    assert near(layer.data, 4, CENTRES[0])
    assert labels_of(viewer) == [layer]


def test_shapes_become_objects_on_a_turned_and_scaled_image(viewer, dock, qtbot, weights):
    image = viewer.add_image(
        field(SHAPE, CENTRES), name="cells", scale=(0.5, 0.5), rotate=20, translate=(30, -10)
    )
    choose(dock, qtbot, weights)
    boxes = [
        np.array([[y - 14, x - 14], [y - 14, x + 14], [y + 14, x + 14], [y + 14, x - 14]])
        for y, x in CENTRES
    ]
    world = [np.array([image.data_to_world(v) for v in box]) for box in boxes]
    viewer.add_shapes(world, shape_type="polygon", name="boxes")
    viewer.layers.selection.active = image
    qtbot.mouseClick(dock.ask.shapes, Qt.MouseButton.LeftButton)
    wait(dock, qtbot)
    assert dock.message.isHidden(), dock.message.text.text()
    (layer,) = labels_of(viewer)
    for number, centre in enumerate(CENTRES, start=1):
        assert near(layer.data, number, centre)
    np.testing.assert_allclose(layer.data_to_world((10, 20)), image.data_to_world((10, 20)))


def test_a_plane_of_a_stack_gets_its_own_objects(viewer, dock, qtbot, weights):
    stack = np.stack([field(SHAPE, [centre]) for centre in CENTRES])
    viewer.add_image(stack, name="stack")
    choose(dock, qtbot, weights)
    viewer.dims.set_point(0, 1)
    switch_on(dock, qtbot)
    (layer,) = labels_of(viewer)
    click(dock, qtbot, layer, (1, 100, 120))
    assert near(layer.data[1], 1, CENTRES[1])
    assert not layer.data[[0, 2]].any()
    viewer.dims.set_point(0, 0)
    click(dock, qtbot, layer, (0, 100, 120))
    assert "finds no object at this point" in dock.message.text.text()
    assert layer.data.max() == 1


def test_maps_answer_too_once_the_network_has_run(viewer, dock, qtbot):
    pixels = np.asarray(nuclei_2d().data)[:160, :160]
    viewer.add_image(pixels, name="cells")
    choose(dock, qtbot, "nuclei", normalize="auto")
    qtbot.mouseClick(dock.ask.again, Qt.MouseButton.LeftButton)
    assert "There is no object" in dock.message.text.text()
    switch_on(dock, qtbot)
    assert "Run it on the image first" in dock.message.text.text()
    for layer in labels_of(viewer):
        viewer.layers.remove(layer)
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        dock.run()
    (layer,) = labels_of(viewer)
    sizes = np.bincount(layer.data.ravel())
    one = int(sizes[1:].argmax()) + 1
    right = layer.data == one
    y, x = (int(v[len(v) // 2]) for v in right.nonzero())
    switch_on(dock, qtbot)
    layer.data_setitem(right.nonzero(), 0)
    click(dock, qtbot, layer, (y, x))
    assert dock.message.isHidden(), dock.message.text.text()
    np.testing.assert_array_equal(layer.data == layer.data[y, x], right)


def test_labels_of_another_place_are_refused(viewer, dock, qtbot, weights):
    viewer.add_image(field(SHAPE, CENTRES), name="cells")
    choose(dock, qtbot, weights)
    viewer.add_labels(np.zeros((20, 20), np.int32), name="other")
    switch_on(dock, qtbot)
    assert "“other” does not lie exactly over “cells”" in dock.message.text.text()
    assert not dock.ask.switch.isChecked()
    mine = viewer.add_labels(np.zeros(SHAPE, np.int32), name="mine")
    switch_on(dock, qtbot)
    click(dock, qtbot, mine, (100, 120))
    assert near(mine.data, 1, CENTRES[1])


def test_what_is_missing_is_said(viewer, dock, qtbot, weights):
    qtbot.mouseClick(dock.ask.switch, Qt.MouseButton.LeftButton)
    assert "Choose a network first" in dock.message.text.text()
    choose(dock, qtbot, weights)
    qtbot.mouseClick(dock.ask.switch, Qt.MouseButton.LeftButton)
    assert "Open an image first" in dock.message.text.text()
    viewer.add_image(field(SHAPE, CENTRES), name="cells")
    qtbot.mouseClick(dock.ask.shapes, Qt.MouseButton.LeftButton)
    assert "There are no shapes" in dock.message.text.text()


def test_locked_objects_keep_their_pixels(viewer, dock, qtbot, weights):
    from napari_segnet.widgets.layers.editing import set_locked

    viewer.add_image(field(SHAPE, CENTRES), name="cells")
    choose(dock, qtbot, weights)
    switch_on(dock, qtbot)
    (layer,) = labels_of(viewer)
    click(dock, qtbot, layer, (100, 120))
    set_locked(layer, [1], True)
    before = layer.data.copy()
    click(dock, qtbot, layer, (100, 120))
    np.testing.assert_array_equal(layer.data, before)
    assert "locked" in dock.message.text.text()

"""What the dimensions of a layer are: its file says it, else the dock asks, once."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.layers._source import layer_source
from qtpy.QtWidgets import QApplication
from support import hand
from support.hand import Hand, bring_into_view, until

from napari_segnet.errors import ImageError
from napari_segnet.progress import run
from napari_segnet.readers import open_image
from napari_segnet.widgets.correct.pointer import view_of
from napari_segnet.widgets.dataset.pair import training_pair
from napari_segnet.widgets.layers.axes import guess_axes, said_axes
from napari_segnet.widgets.layers.convert import region_of, source_of
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of, record_of
from napari_segnet.widgets.layers.subject import axes_of
from napari_segnet.widgets.plugin.docks import CorrectDock, SegmentDock
from napari_segnet.widgets.recovery.dialogs import save_labels
from napari_segnet.widgets.review.jobs import look_at, network_input

SOON_S = 30


def pixels(*shape):
    return (np.arange(np.prod(shape)) % 251).astype(np.uint8).reshape(shape)


def from_file(path, data, kind=Image, **how):
    with layer_source(path=str(path)):
        return kind(data, **how)


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("axes", "shape"), [("CYX", (2, 20, 24)), ("TYX", (3, 20, 24)), ("ZCYX", (3, 2, 20, 24))]
)
def test_a_layer_has_the_axes_that_its_file_says(viewer, tmp_path, axes, shape):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, pixels(*shape), imagej=True, metadata={"axes": axes})
    (layer,) = viewer.open(path, plugin="napari")
    assert layer.data.shape == shape
    assert said_axes(layer) == guess_axes(layer) == axes.lower() == open_image(path).axes


@pytest.mark.parametrize(
    ("index", "axes"),
    [
        (np.s_[:, 0], "tzyx"),  # one layer a channel
        (np.s_[:, :, 0], None),  # a plane of several: nobody knows which
        (np.s_[:1], None),
        (np.s_[:], "tczyx"),
    ],
)
def test_a_reader_may_give_each_channel_a_layer(tmp_path, index, axes):
    data = pixels(2, 3, 4, 20, 24)
    path = tmp_path / "all.ome.tif"
    tifffile.imwrite(path, data, metadata={"axes": "TCZYX"})
    assert said_axes(from_file(path, data[index])) == axes


def test_what_is_said_counts_in_the_order_of_who_says_it(tmp_path):
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, pixels(3, 20, 24), imagej=True, metadata={"axes": "TYX"})
    data = tifffile.imread(path)
    assert said_axes(from_file(path, data, axis_labels=("depth", "y", "x"))) == "zyx"
    assert said_axes(from_file(path, data, axis_labels=("", "y", "x"))) == "tyx"
    told = {"segnet": {"axes": "cyx"}}
    assert said_axes(from_file(path, data, axis_labels=("depth", "y", "x"), metadata=told)) == "cyx"
    assert said_axes(from_file(path, data, metadata={"segnet": {"axes": "czyx"}})) == "tyx"
    assert said_axes(from_file(tmp_path / "gone.tif", data)) is None
    assert said_axes(Image(data)) is None
    assert guess_axes(Image(data)) == "zyx"
    assert said_axes(Image(pixels(20, 24))) == "yx"
    assert said_axes(Image(pixels(20, 24, 3), rgb=True)) == "yxc"


@pytest.fixture
def dock(viewer, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path))
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    return dock


def test_the_dock_takes_what_the_file_says(viewer, dock, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", pixels(2, 20, 24), imagej=True, metadata={"axes": "CYX"})
    viewer.open(tmp_path / "a.tif", plugin="napari")
    assert dock.image_box.letters() == "cyx"
    assert dock.axes_question.text() == ""
    assert dock.axes_question.isHidden()


def test_the_dock_asks_once_what_nothing_says(viewer, dock):
    movie = viewer.add_image(pixels(3, 20, 24), name="movie")
    assert dock.image_box.letters() == "zyx"
    assert dock.axes_question.text() == (
        "The dimensions of “movie” are not named. They are read as z-stack, rows, columns. If this "
        "is wrong, choose another entry in “dimensions”; the choice stays with this layer."
    )
    assert not dock.axes_question.isHidden()
    dock.image_box.choose_axes("tyx")
    assert dock.axes_question.isHidden()
    viewer.add_image(pixels(20, 24), name="plane")
    assert dock.axes_question.isHidden()
    viewer.layers.selection.active = movie
    assert dock.image_box.letters() == "tyx"
    assert dock.axes_question.isHidden()
    labels = viewer.add_labels(np.ones((3, 20, 24), np.int32))
    pair = training_pair(movie, labels, only_reviewed=False)
    assert pair.image.axes == "tyx", "the training set is told the same"


def test_what_was_proposed_can_be_chosen(viewer, dock):
    stack = viewer.add_image(pixels(3, 20, 24))
    dock.axes.activated.emit(dock.axes.currentIndex())
    assert record_of(stack).axes == "zyx"
    assert dock.axes_question.isHidden()


@pytest.mark.skipif(bool(hand.missing()), reason=hand.missing())
def test_axes_are_chosen_with_mouse_and_keys(make_viewer, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path))
    viewer = make_viewer(show=True)
    viewer.window._qt_window.setGeometry(0, 0, 1280, 720)
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    movie = viewer.add_image(pixels(3, 20, 24), name="movie")
    user = Hand()
    until(lambda: dock.axes_question.isVisible(), SOON_S)
    bring_into_view(dock.axes)
    user.click(dock.axes)
    until(lambda: QApplication.activePopupWidget() is not None, SOON_S)
    user.key("Down", "Return")
    until(lambda: record_of(movie).axes == "tyx", SOON_S)
    until(lambda: not dock.axes_question.isVisible(), SOON_S)


@pytest.mark.sample(1)
@pytest.mark.parametrize("make", [SegmentDock, CorrectDock])
def test_a_layer_of_six_dimensions_is_told_of_and_ends_nothing(
    viewer, make, tmp_path, monkeypatch, qtbot
):
    """Napari calls the docks in its events: an error there would end the program."""
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path))
    dock = make(viewer)
    viewer.window.add_dock_widget(dock, name="dock")
    plate = viewer.add_image(np.zeros((1, 2, 1, 1, 32, 32), np.uint8), name="plate")
    if make is SegmentDock:
        said = "“plate” has 6 dimensions, but a network takes at most time, channels, depth, rows"
        assert dock.axes_question.text().startswith(said)
        with qtbot.waitSignal(dock._looker.finished, timeout=20_000):
            dock.choose_weights("nuclei")
        dock.run()
        assert dock.message.text.text().startswith(said)
    viewer.add_labels(np.zeros((1, 2, 1, 1, 32, 32), np.uint8))
    viewer.add_image(np.zeros((32, 32), np.uint8), name="plane")
    viewer.add_labels(np.zeros((32, 32), np.uint8))
    viewer.layers.selection.active = plate
    viewer.layers.selection.active = viewer.layers["plane"]
    if make is SegmentDock:
        assert dock.image_box.letters() == "yx"
        assert dock.axes_question.text() == ""


def test_labels_without_a_word_have_the_axes_of_their_image(viewer, tmp_path):
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, pixels(3, 20, 24), imagej=True, metadata={"axes": "TYX"})
    viewer.open(path, plugin="napari")
    labels = viewer.add_labels(
        np.ones((3, 20, 24), np.int32), scale=(1, 0.5, 0.5), units=("pixel", "um", "um")
    )
    assert axes_of(labels, viewer.layers) == "tyx"
    assert view_of(viewer, labels, one_plane=False).axes == (1, 2), "time is no depth"
    save_labels(labels, tmp_path / "labels.tif", viewer.layers)
    saved = open_image(tmp_path / "labels.tif")
    assert (saved.axes, saved.pixel_size_um) == ("tyx", {"y": 0.5, "x": 0.5})


def test_labels_of_channels_have_none(tmp_path):
    path = tmp_path / "two.tif"
    tifffile.imwrite(path, pixels(2, 3, 20, 24), metadata={"axes": "CTYX"}, ome=True)
    viewer = ViewerModel()
    viewer.add_layer(from_file(path, tifffile.imread(path)))
    labels = viewer.add_labels(np.ones((3, 20, 24), np.int32))
    assert axes_of(labels, viewer.layers) == "tyx"
    assert axes_of(Labels(np.ones((3, 20, 24), np.int32)), ()) == "zyx"


def test_what_a_file_says_of_its_pixels_is_said_with_the_result(viewer, tmp_path):
    """Napari shows the numbers as they are stored; the dock's own reader knows better."""
    path = tmp_path / "white.tif"
    tifffile.imwrite(path, pixels(20, 24), photometric="miniswhite")
    (note,) = open_image(path).notes
    (layer,) = viewer.open(path, plugin="napari")
    (said,) = source_of(layer, None, region_of("layer", layer, viewer)).image.notes
    assert said == (
        f"{note} (So white.tif is read where it is dropped on the Segment dock, and by the command "
        "line; napari has opened it as it is stored.)"
    )
    record = metadata_of(LayerRecord(path=str(path)))
    ours = viewer.add_image(np.asarray(open_image(path).data), metadata=record)
    assert source_of(ours, None, region_of("layer", ours, viewer)).image.notes == (note,)


def test_the_list_of_a_folder_run_says_what_a_file_lacks(viewer, dock, qtbot, tmp_path):
    tifffile.imwrite(tmp_path / "white.tif", pixels(32, 32), photometric="miniswhite")
    with qtbot.waitSignal(dock._looker.finished, timeout=20_000):
        dock.choose_weights("nuclei")
    dock.take_files([tmp_path / "white.tif"])
    qtbot.waitUntil(lambda: not dock.batch.busy, timeout=60_000)
    (note,) = open_image(tmp_path / "white.tif").notes
    assert dock.batch.table.item(0, 1).text().splitlines()[1:] == [note]


def test_labels_drawn_in_one_channel_belong_to_all(viewer):
    image = viewer.add_image(pixels(3, 20, 24), metadata={"segnet": {"axes": "cyx"}})
    labels = viewer.add_labels(np.zeros((3, 20, 24), np.int32), name="drawn")
    labels.data[1, 5:9, 5:9] = 7
    pair = training_pair(image, labels, only_reviewed=False)
    np.testing.assert_array_equal(pair.labels, labels.data[1])
    labels.data[2, 5:9, 5:8] = 7
    with pytest.raises(ImageError, match="“drawn” has other labels in each channel, but labels be"):
        training_pair(image, labels, only_reviewed=False)
    labels.data[2] = labels.data[1]
    given = network_input(labels, viewer, "nuclei")
    items = run(look_at(given, "", "", False))
    assert items.ids.tolist() == [7]
    assert labels.data[items.box(0)].shape == (3, 4, 4)

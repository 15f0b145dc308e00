"""The journal of a viewer: strokes, edits, undo and redo come back as they were."""

from __future__ import annotations

import gc
import os
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QApplication
from support import hand, painter
from support.owners import kill, owner

from napari_segnet.correct import delete, merge
from napari_segnet.errors import JournalError
from napari_segnet.journal import Act, Journal, difference, own, replay, summary
from napari_segnet.journal._format import (
    HEAD,
    MAGIC,
    pack_act,
    pack_box,
    pack_json,
    record,
)
from napari_segnet.widgets.layers.editing import apply_edit
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.recovery import recorded_layer as module
from napari_segnet.widgets.recovery.recorder import JournalKeeper, keep_journal, left_behind


@pytest.fixture
def keeper(viewer, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path))
    return keep_journal(viewer)


def journals(keeper):
    return sorted(keeper.folder.glob("*.journal"))


def same_as_written(keeper, layer):
    keeper.flush()
    (path,) = journals(keeper)
    state = replay(path)
    np.testing.assert_array_equal(np.asarray(layer.data), state.labels)
    return state


def leave(viewer, keeper):
    """Take all layers away, as if the window had been closed and opened."""
    viewer.layers.clear()
    assert not keeper.unsaved()


def test_there_is_one_keeper_for_a_viewer(viewer, keeper):
    assert keep_journal(viewer) is keeper


def test_a_layer_that_nobody_changes_leaves_no_file(viewer, keeper):
    layer = viewer.add_labels(painter.objects())
    layer.data = layer.data + 1
    layer.name = "other"
    keeper.flush()
    assert not journals(keeper)
    assert not keeper.unsaved()


@pytest.mark.long
@given(seed=st.integers(0, 10**9))
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_acts_replay_to_the_same_labels(viewer, keeper, seed):
    rng = np.random.default_rng(seed)
    shape = [(30, 40), (3, 20, 25)][seed % 2]
    layer = viewer.add_labels(rng.integers(0, 20, shape).astype(np.int32))
    if seed % 3 == 0:
        layer.visible = False  # then napari tells nothing of undo and redo
    for _ in range(25):
        painter.any_act(layer, rng)
        if rng.uniform() < 0.3:
            QApplication.processEvents()
    painter.stroke(layer, rng)  # random undo may have left nothing to write
    same_as_written(keeper, layer)
    keeper.forget(layer)
    viewer.layers.remove(layer)


@pytest.mark.long
def test_more_than_a_hundred_steps_are_kept(viewer, keeper):
    rng = np.random.default_rng(1)
    layer = viewer.add_labels(painter.objects())
    for _ in range(130):
        painter.scatter(layer, rng)
    for _ in range(40):
        layer.undo()
    for _ in range(15):
        layer.redo()
    painter.scatter(layer, rng)
    same_as_written(keeper, layer)


@pytest.mark.long
def test_a_look_that_comes_late_sees_it_all(viewer, keeper):
    """Where no event tells of undo, and the history is full, the steps are found all the same."""
    rng = np.random.default_rng(2)
    layer = viewer.add_labels(painter.objects())
    for _ in range(100):
        painter.scatter(layer, rng)
    keeper.look()
    with layer.events.paint.blocker(), layer.events.set_data.blocker():
        layer.undo()
        layer.undo()
        painter.scatter(layer, rng)
        painter.scatter(layer, rng)
        painter.scatter(layer, rng)
        painter.scatter(layer, rng)
    same_as_written(keeper, layer)


def test_labels_that_are_pasted_as_a_whole_are_written(viewer, keeper):
    rng = np.random.default_rng(3)
    layer = viewer.add_labels(painter.objects())
    painter.stroke(layer, rng)
    layer.data = np.roll(painter.objects(), 5)
    painter.stroke(layer, rng)
    layer.data = np.zeros((9, 11), np.int32)
    layer.paint((3, 3), 4)
    same_as_written(keeper, layer)


def test_a_stroke_in_the_middle_of_a_snapshot_is_no_part_of_it(viewer, keeper):
    layer = viewer.add_labels(np.zeros((60, 50), np.int32))
    layer.paint((5, 5), 1)
    before = layer.data.copy()
    with layer.block_history():
        layer.paint((20, 20), 2)
        layer.paint((22, 20), 3)
        assert (layer.data == 3).any()
        keeper.flush()
        (path,) = journals(keeper)
        np.testing.assert_array_equal(before, replay(path).labels)
    same_as_written(keeper, layer)


def test_zarr_labels_are_written_and_recovered(viewer, keeper, tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    monkeypatch.setattr(module, "OUTSIDE_BYTES", 10)
    data = zarr.open(
        str(tmp_path / "x.zarr"), mode="w", shape=(50, 40), chunks=(20, 20), dtype="i4"
    )
    data[:] = painter.objects()[:50, :40]
    layer = viewer.add_labels(data, name="large")
    layer.data_setitem((np.array([3, 4]), np.array([5, 6])), 9)
    keeper.flush()
    (path,) = journals(keeper)
    assert path.stat().st_size < 2000
    assert (1, False) == (summary(path).acts, summary(path).complete)
    onto = np.array(painter.objects()[:50, :40])
    np.testing.assert_array_equal(np.asarray(layer.data), replay(path, onto).labels)


def test_what_belongs_to_a_layer_comes_back(viewer, keeper):
    image = viewer.add_image(painter.image(), name="cells", scale=(0.5, 0.25))
    layer = viewer.add_labels(
        painter.objects(),
        name="nuclei",
        scale=(0.5, 0.25),
        translate=(3, 4),
        rotate=20,
        units=("micrometer", "micrometer"),
        axis_labels=("y", "x"),
        features={"index": [1, 2], "score": [0.5, np.nan], "class name": ["a", "b"]},
        metadata={"segnet": {"highest_id": 20, "origin": {"x": None, "shape": (1, 2)}}},
    )
    layer.paint((5, 5), 3)
    expected = layer.data.copy()
    layer.name = "nuclei, corrected"
    leave(viewer, keeper)
    viewer.add_image(image.data.copy(), name="cells")
    (offer,) = keeper.offers
    assert (1, "cells") == (offer.acts, offer.document["image"])
    again = keeper.recover(offer)
    np.testing.assert_array_equal(expected, again.data)
    assert again.name == "nuclei, corrected"
    np.testing.assert_allclose(layer.affine.affine_matrix, again.affine.affine_matrix)
    np.testing.assert_allclose(layer.rotate, again.rotate)
    np.testing.assert_allclose(layer.scale, again.scale)
    np.testing.assert_allclose(layer.translate, again.translate)
    assert (layer.units, layer.axis_labels) == (again.units, again.axis_labels)
    assert layer.features.equals(again.features)
    record = record_of(again)
    assert (20, {"x": None, "shape": [1, 2]}) == (record.highest_id, record.origin)
    assert not keeper.offers


def test_an_edit_writes_the_rows_that_it_changes(viewer, keeper):
    """And not the table of 3,000 objects, which a journal of before wrote each time."""
    labels = np.kron(np.arange(1, 3001).reshape(50, 60), np.ones((3, 3))).astype(np.int32)
    features = {"index": np.arange(1, 3001), "score": np.linspace(0, 1, 3000), "class": 1}
    image = labels.astype(np.uint8)
    viewer.add_image(image, name="cells")
    layer = viewer.add_labels(labels, features=features)
    apply_edit(layer, delete(labels, [7]))
    keeper.flush()
    (path,) = journals(keeper)
    before = path.stat().st_size
    apply_edit(layer, delete(labels, [9, 10]))
    apply_edit(layer, merge(labels, [20, 21]))
    layer.undo()
    keeper.flush()
    assert path.stat().st_size - before < 2500
    expected = layer.features.copy()
    assert len(expected) == 2997
    leave(viewer, keeper)
    viewer.add_image(image.copy(), name="cells")
    again = keeper.recover(keeper.offers[0])
    assert again.features.equals(expected)
    apply_edit(again, delete(again.data, [30]))
    expected = again.features.copy()
    leave(viewer, keeper)
    viewer.add_image(image.copy(), name="cells")
    assert keeper.recover(keeper.offers[0]).features.equals(expected)


def test_what_was_recovered_goes_on_in_the_same_journal(viewer, keeper):
    viewer.add_image(painter.image(), name="cells")
    layer = viewer.add_labels(painter.objects())
    layer.paint((5, 5), 3)
    leave(viewer, keeper)
    viewer.add_image(painter.image(), name="cells")
    layer = keeper.recover(keeper.offers[0])
    assert keeper.unsaved() == [layer]
    layer.paint((50, 50), 30)
    layer.undo()
    layer.paint((50, 70), 30)
    assert 4 == same_as_written(keeper, layer).acts
    leave(viewer, keeper)
    viewer.add_image(painter.image(), name="cells")
    assert [4] == [offer.acts for offer in keeper.offers]


def test_a_file_is_known_by_its_path_and_time(viewer, keeper, tmp_path):
    import tifffile

    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, painter.image())
    viewer.open(path, plugin="napari")
    viewer.add_labels(painter.objects()).paint((5, 5), 3)
    leave(viewer, keeper)
    tifffile.imwrite(path, painter.image()[::-1])
    viewer.open(path, plugin="napari")
    assert not keeper.offers
    viewer.layers.clear()
    tifffile.imwrite(path, painter.image())  # the same pixels, another time
    viewer.open(path, plugin="napari")
    assert [1] == [offer.acts for offer in keeper.offers]


def test_what_is_refused_stays_and_what_is_dropped_goes(viewer, keeper):
    viewer.add_image(painter.image())
    viewer.add_labels(painter.objects()).paint((5, 5), 3)
    leave(viewer, keeper)
    viewer.add_image(painter.image())
    (offer,) = keeper.offers
    keeper.refuse(offer)
    viewer.add_image(painter.image())
    assert not keeper.offers
    assert journals(keeper)
    keeper.drop(offer)
    assert not journals(keeper)


def test_a_journal_that_is_being_written_is_not_offered(viewer, keeper, tmp_path):
    viewer.add_image(painter.image())
    viewer.add_labels(painter.objects()).paint((5, 5), 3)
    keeper.flush()
    other = JournalKeeper(viewer, keeper.folder)
    assert not other.offers
    other.close()
    assert not list(left_behind(keeper.folder))


@pytest.mark.subprocess
def test_a_journal_of_another_process_is_its_own_until_that_is_killed(viewer, keeper):
    """The window is killed, its journal is free; a lock is what counts, not a number."""
    viewer.add_image(painter.image())
    viewer.add_labels(painter.objects()).paint((5, 5), 3)
    leave(viewer, keeper)
    (path,) = journals(keeper)
    with owner(path) as (process, _):
        viewer.add_image(painter.image())
        assert not keeper.offers
        kill(process)
        viewer.add_image(painter.image())
        assert [path] == [offer.path for offer in keeper.offers]


@pytest.mark.subprocess
def test_corrections_that_another_window_recovered_first_are_refused(viewer, keeper):
    viewer.add_image(painter.image())
    viewer.add_labels(painter.objects()).paint((5, 5), 3)
    leave(viewer, keeper)
    viewer.add_image(painter.image())
    (offer,) = keeper.offers
    with owner(offer.path):
        for act in (keeper.recover, keeper.drop):
            with pytest.raises(JournalError, match="are being written by another window"):
                act(offer)
    assert offer.path.exists()
    offer.path.unlink()
    for act in (keeper.recover, keeper.drop):
        with pytest.raises(JournalError, match="Another window has saved or discarded"):
            act(offer)


@pytest.mark.long
def test_a_second_window_of_one_program_recovers_nothing_that_the_first_did(viewer, keeper):
    viewer.add_image(painter.image())
    viewer.add_labels(painter.objects()).paint((5, 5), 3)
    leave(viewer, keeper)
    other = JournalKeeper(viewer, keeper.folder)
    viewer.add_image(painter.image())
    (mine,), (theirs,) = keeper.offers, other.offers
    keeper.recover(mine)
    with pytest.raises(JournalError, match="are being written by another window"):
        other.recover(theirs)
    other.close()


def test_what_lies_behind_a_damaged_act_is_recovered_and_the_loss_is_told(viewer, keeper):
    image = painter.image()
    viewer.add_image(image)
    layer = viewer.add_labels(np.zeros(image.shape, np.int32))
    layer.brush_size = 1
    for number in range(30):
        layer.paint((2 * number, 20), number + 1)
        if number == 0:
            keeper.flush()  # the snapshot is whole: it would hold the acts until then
    expected = layer.data.copy()
    leave(viewer, keeper)
    (path,) = journals(keeper)
    data, place, acts = bytearray(path.read_bytes()), len(MAGIC), []
    while place < len(data):
        length, _, kind = HEAD.unpack_from(data, place)
        acts += [place] if kind == b"A" else []
        place += HEAD.size + length
    data[acts[14] + 20] ^= 16
    path.write_bytes(data)
    viewer.add_image(image)
    (offer,) = keeper.offers
    assert (29, 1) == (offer.acts, offer.gaps)
    told = []
    keeper.noted.connect(told.append)
    layer = keeper.recover(offer)
    expected[expected == 15] = 0
    np.testing.assert_array_equal(expected, layer.data)
    assert len(told) == 1
    assert "is damaged in one place; what stood there is lost." in told[0]
    layer.paint((5, 90), 77)
    leave(viewer, keeper)
    assert (0, 30) == (summary(path).gaps, summary(path).acts), "it is written anew, and whole"


def test_corrections_whose_image_cannot_be_read_are_offered_by_shape(viewer, keeper):
    viewer.add_image(painter.image())
    layer = viewer.add_labels(painter.objects(), name="nuclei")
    layer.paint((5, 5), 3)
    expected = layer.data.copy()
    keeper.flush()
    (path,) = journals(keeper)
    data = bytearray(path.read_bytes())
    length, _, kind = HEAD.unpack_from(data, len(MAGIC))
    assert kind == b"P"
    leave(viewer, keeper)
    # Nothing is left of what the journal said of its layer and image.
    state = replay(path)
    acts = [pack_act(Act(what="edit", at=1.0, changes=()))]
    damaged = bytearray(MAGIC) + data[len(MAGIC) : len(MAGIC) + HEAD.size + length]
    damaged[len(MAGIC) + 12] ^= 16
    for body in (
        (b"S", pack_json({"shape": state.labels.shape, "dtype": "<i4"})),
        (b"C", pack_box((0, 0), state.labels)),
        (b"E", b""),
        (b"A", acts[0]),
    ):
        damaged += record(*body)
    path.write_bytes(damaged)
    viewer.add_image(painter.image()[:-3])
    assert not keeper.offers
    viewer.add_image(painter.image())
    (offer,) = keeper.offers
    np.testing.assert_array_equal(expected, keeper.recover(offer).data)


def test_a_full_disk_is_told_once(viewer, keeper, tmp_path, qtbot):
    (tmp_path / "journals").write_bytes(b"")
    layer = viewer.add_labels(painter.objects())
    told = []
    keeper.failed.connect(told.append)
    for at in (5, 50):
        layer.paint((at, 5), 3)
        keeper.flush()
    assert ["Corrections can no longer be kept safe"] == [str(error)[:38] for error in told]


def test_an_act_is_on_the_disk_within_a_second(viewer, keeper):
    layer = viewer.add_labels(np.zeros((2048, 2048), np.int32))
    layer.paint((500, 500), 3)
    until = time.monotonic() + 1
    while True:
        QApplication.processEvents()
        if journals(keeper) and summary(journals(keeper)[0]).complete:
            break
        assert time.monotonic() < until
    np.testing.assert_array_equal(layer.data, replay(journals(keeper)[0]).labels)


@pytest.mark.skipif(bool(hand.missing()), reason=hand.missing())
def test_a_stroke_of_the_mouse_is_one_act(make_viewer, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path))
    viewer = make_viewer(show=True)
    keeper = keep_journal(viewer)
    layer = viewer.add_labels(np.zeros((200, 200), np.int32))
    layer.mode, layer.selected_label = "paint", 6
    user, glass = hand.Hand(), viewer.window._qt_viewer.canvas.native
    middle = glass.rect().center()
    user.drag(glass, middle - QPoint(60, 0), middle + QPoint(60, 20))
    hand.until(lambda: keeper.acts(layer) == 1, 10)
    assert (layer.data == 6).sum() > 100
    user.key("ctrl+z")
    hand.until(lambda: keeper.acts(layer) == 2, 10)
    assert not layer.data.any()
    user.key("ctrl+shift+z")
    hand.until(lambda: keeper.acts(layer) == 3, 10)
    same_as_written(keeper, layer)


def abandoned():
    """Make a viewer, change its labels, and drop it; return the folder of its journals."""
    viewer = ViewerModel()
    folder = keep_journal(viewer).folder
    viewer.add_labels(painter.objects()).data_setitem((np.array([1]), np.array([1])), 7)
    return folder


def test_a_viewer_that_is_gone_without_being_closed_writes_no_more(qapp, tmp_path, monkeypatch):
    """Its thread ends; its corrections are offered to the next viewer of this program."""
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path))
    before = set(threading.enumerate())
    folder = abandoned()
    (writer,) = set(threading.enumerate()) - before
    gc.collect()
    writer.join(10)
    assert not writer.is_alive()
    (path,) = folder.glob("*.journal")
    assert path.stat().st_size > 0
    own(path).release()  # or it is refused as another window's


@pytest.mark.parametrize(("hours", "offered"), [(1, False), (30, True), (-1, False), (-30, True)])
def test_journals_of_another_computer_wait_a_day_by_any_clock(hours, offered, tmp_path):
    """Also where the time of the file is yet to come, since a clock was set back."""
    path = tmp_path / "cells.journal"
    journal = Journal(path)
    document = {"session": {"host": "another", "pid": 1, "begun": 0.0}, "pixels": "outside"}
    journal.document(difference({}, document))
    journal.act(lambda: Act(what="stroke", at=0.0, changes=(), patch=None))
    journal.close()
    then = time.time() - 3600 * hours
    os.utime(path, (then, then))
    assert [one.path for one in left_behind(tmp_path)] == ([path] if offered else [])

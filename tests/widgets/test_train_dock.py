"""The Train dock: teach a tiny network with real clicks, stop it, go on, judge it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from teaching import FOREGROUND, QUICK, fresh, write_dataset

from napari_segnet.families import TRAINABLE
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.network import identify
from napari_segnet.train import state_path
from napari_segnet.train._learner import Learner
from napari_segnet.widgets._learning_layers import LearningLayers
from napari_segnet.widgets._remembered import remember_training_set
from napari_segnet.widgets._train_work import Lesson, writes_as
from napari_segnet.widgets.train import FINE_TUNING, TrainDock

WAIT_MS = 60_000


@pytest.fixture
def weights(tmp_path):
    network = fresh(tmp_path / "tiny.safetensors", FOREGROUND)
    SegnetUNet().save(SegnetUNet().build(network).eval(), network, network.path)
    return network.path


@pytest.fixture
def folder(tmp_path):
    """Three images to learn from, one held out."""
    root = write_dataset(tmp_path / "set", count=4)
    rows = [
        {
            "image": f"images/{i}.tif",
            "labels": f"labels/{i}.tif",
            "source": str(i),
            "split": "val" if i == 3 else "train",
        }
        for i in range(4)
    ]
    (root / "dataset.json").write_text(json.dumps({"samples": rows}))
    return root


@pytest.fixture
def dock(make_viewer, qtbot):
    viewer = make_viewer(show=True)
    dock = TrainDock(viewer)
    viewer.window.add_dock_widget(dock, name="Train")
    return dock


def ready(dock, qtbot, weights, folder, **settings):
    how = replace(QUICK, **settings)
    dock.main.set_value(how)
    dock.more.set_value(how)
    dock.choose_weights(str(weights))
    dock.choose_folder(folder)
    qtbot.waitUntil(lambda: dock.run_box.button.isEnabled(), timeout=WAIT_MS)


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def train(dock, qtbot, button=None):
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        click(qtbot, button or dock.run_box.button)
    assert not dock.message.isVisible(), dock.message.text.text()


def after_epochs(dock, qtbot, count):
    """Let it train until so many epochs are done, then cancel."""
    click(qtbot, dock.run_box.button)
    qtbot.waitUntil(lambda: len(dock._lesson.log.epochs) >= count, timeout=WAIT_MS)
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        click(qtbot, dock.run_box.stop)


def test_what_the_dock_begins_with_is_allowed(dock):
    assert dock.settings() == FINE_TUNING
    assert not dock.run_box.button.isEnabled()


def test_it_says_what_is_in_the_training_set(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder)
    assert dock.summary.text() == "3 to learn from, 1 held out."
    assert dock.where.text() == "set"


def test_the_name_of_the_new_file_is_one_that_is_free(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder)
    assert dock.out == folder / "networks" / "tiny-taught-1.safetensors"
    dock.out.parent.mkdir()
    dock.out.touch()
    dock._suggest_out()
    assert dock.out.name == "tiny-taught-2.safetensors"


def test_a_network_is_taught_and_judged(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder, epochs=3)
    out = dock.out
    train(dock, qtbot)
    assert identify(out).family == "segnet-unet"
    assert dock.plot.lines[0].name == "loss"
    assert list(dock.plot.lines[0].x) == [1, 2, 3]
    names = [dock.figures.item(row, 0).text() for row in range(dock.figures.rowCount())]
    assert "AP 50" in names
    verdict = dock.verdict.text()
    assert ("is better" in verdict) == dock.taught.promoted
    assert ("NOT better" in verdict) != dock.taught.promoted
    assert dock.use.isVisible() != dock.taught.promoted


def test_only_a_better_network_is_chosen(dock, qtbot, weights, folder):
    from napari_segnet.widgets._drops import find_or_open_dock

    segment = find_or_open_dock(dock.viewer)
    ready(dock, qtbot, weights, folder)
    train(dock, qtbot)
    taught = dock.taught
    dock.use_new_network()
    qtbot.waitUntil(lambda: segment.checkpoint is not None, timeout=WAIT_MS)
    assert segment.checkpoint.path.name == taught.checkpoint.path.name
    segment.choose_weights(str(weights))
    qtbot.waitUntil(lambda: segment.checkpoint is not None, timeout=WAIT_MS)
    dock._learned(replace(taught, promoted=False))
    assert segment.checkpoint.path == weights
    assert dock.use.isVisible()


def test_a_held_out_crop_is_shown_beside_what_is_there(dock, qtbot, weights, folder):
    mine = dock.viewer.add_image(np.zeros((30, 40)), name="mine")
    ready(dock, qtbot, weights, folder)
    train(dock, qtbot)
    names = {layer.name for layer in dock.viewer.layers}
    assert {"learning · image", "learning · labels now", "learning · truth"} <= names
    assert dock.viewer.layers.selection.active is mine
    crop = dock.viewer.layers["learning · labels now"]
    assert crop.translate[1] > 40
    click(qtbot, dock.look)
    assert dock.viewer.scene.camera.center[-1] > 40
    count = len(dock.viewer.layers)
    train(dock, qtbot) if dock.run_box.button.isEnabled() else None
    assert len(dock.viewer.layers) == count


def test_the_crop_is_not_shown_to_who_does_not_want_it(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder)
    click(qtbot, dock.show_crop)
    train(dock, qtbot)
    assert not len(dock.viewer.layers)


def test_what_changed_is_shown(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder)
    click(qtbot, dock.show_crop)
    train(dock, qtbot)
    click(qtbot, dock.changes)
    (layer,) = dock.viewer.layers
    assert layer.rgb
    assert layer.data.shape[:2] == (40, 48)


def test_stopped_and_gone_on_with(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder, epochs=40)
    after_epochs(dock, qtbot, 1)
    assert dock.stopped.isVisible()
    assert dock.run_box.words.text() == "stopped"
    done = len(dock._lesson.log.epochs)
    dock._lesson = replace(dock._lesson, settings=replace(dock._lesson.settings, epochs=done + 1))
    train(dock, qtbot, dock.go_on)
    assert [one["epoch"] for one in dock._lesson.log.epochs] == [*range(1, done + 2)]
    assert not dock.stopped.isVisible()
    assert dock.taught is not None


def test_stopped_and_what_was_learned_is_kept(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder, epochs=40)
    out = dock.out
    after_epochs(dock, qtbot, 1)
    assert not out.exists()
    train(dock, qtbot, dock.keep_best)
    assert out.exists()
    assert not state_path(out).exists()
    assert dock.outcome.isVisible()


def test_stopped_and_the_old_network_is_kept(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder, epochs=40)
    out = dock.out
    after_epochs(dock, qtbot, 1)
    click(qtbot, dock.drop)
    assert not out.exists()
    assert not state_path(out).exists()
    assert dock.run_box.button.isEnabled()


def test_a_crash_ends_in_a_sentence(dock, qtbot, weights, folder, monkeypatch):
    ready(dock, qtbot, weights, folder)

    def crash(*_):
        raise RuntimeError("CUDA error: something")

    monkeypatch.setattr(Learner, "step", crash)
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        click(qtbot, dock.run_box.button)
    assert "CUDA error: something" in dock.message.text.text()
    assert dock.run_box.button.isEnabled()


def test_a_remembered_folder_that_has_gone_bad_is_no_error(make_viewer, qtbot, tmp_path):
    (tmp_path / "empty").mkdir()
    remember_training_set(tmp_path / "empty")
    dock = TrainDock(make_viewer())
    qtbot.addWidget(dock)
    qtbot.waitUntil(lambda: not dock._reader.busy, timeout=WAIT_MS)
    assert not dock.message.text.text()
    assert dock.where.text() == "Choose…"


def test_a_folder_that_is_no_training_set(dock, qtbot, weights, tmp_path):
    (tmp_path / "empty").mkdir()
    dock.choose_weights(str(weights))
    with qtbot.waitSignal(dock._reader.finished, timeout=WAIT_MS):
        dock.choose_folder(tmp_path / "empty")
    assert "holds no pair of files" in dock.message.text.text()
    assert not dock.run_box.button.isEnabled()


def test_a_network_that_cannot_be_taught_is_refused_before_anything(dock, weights, monkeypatch):
    others = tuple(family for family in TRAINABLE if family.name != "segnet-unet")
    monkeypatch.setattr("napari_segnet.widgets._train_work.TRAINABLE", others)
    dock._recognised(identify(weights))
    assert "cannot be taught here yet" in dock.message.text.text()
    assert dock.checkpoint is None


def test_it_is_said_how_a_network_is_written_back(weights):
    own = identify(weights)
    assert writes_as(own) == "U-Net written by napari-segnet"
    other = replace(own, family="milesial-unet")
    assert "its own program can load again" in writes_as(other)


def test_two_lessons_have_two_logs(weights, folder, tmp_path):
    one, two = (
        Lesson(network=identify(weights), dataset=folder, out=tmp_path / "x", settings=QUICK)
        for _ in range(2)
    )
    assert one.log is not two.log


def test_layers_of_a_training_that_the_user_removed_come_again(make_viewer):
    from napari_segnet.train import Look

    viewer = make_viewer()
    layers = LearningLayers(viewer)
    seen = Look(
        pixels=np.zeros((2, 8, 8), np.float32),
        labels=np.ones((8, 8), np.int32),
        truth=np.ones((8, 8), np.int32),
        trusted=np.ones((8, 8), bool),
    )
    layers.show(seen)
    viewer.layers.clear()
    layers.show(seen)
    assert len(viewer.layers) == 3
    layers.remove()
    assert not len(viewer.layers)


def test_opening_the_dock_loads_no_torch():
    code = "import sys, napari_segnet.widgets.train\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr

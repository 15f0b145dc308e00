"""The Train dock: teach a tiny network with real clicks, stop it, go on, judge it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QSpinBox
from safetensors.torch import load_file
from support.engines import SecondKind, put_first
from support.teaching import FOREGROUND, QUICK, fresh, write_dataset

from napari_segnet.builtin import builtin_models
from napari_segnet.dataset import Dataset
from napari_segnet.engines.torch import identify
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.progress import Progress, job, run
from napari_segnet.train import TrainSettings, state_path
from napari_segnet.train._learner import Learner
from napari_segnet.train._train import train as train_core
from napari_segnet.widgets.qt.recent import remember_training_set, training_set_news
from napari_segnet.widgets.train.dock import TrainDock
from napari_segnet.widgets.train.examples_window import ExamplesWindow
from napari_segnet.widgets.train.form import FINE_TUNING
from napari_segnet.widgets.train.hints import MAIN, MORE
from napari_segnet.widgets.train.jobs import (
    Log,
    TrainRequest,
    _logged,
    ended_early,
    learn,
    writes_as,
)
from napari_segnet.widgets.train.preview_layers import LearningLayers

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
    qtbot.waitUntil(lambda: len(dock.session.training.log.epochs) >= count, timeout=WAIT_MS)
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        click(qtbot, dock.run_box.stop)


def test_what_the_dock_begins_with_is_allowed(dock):
    assert dock.settings() == FINE_TUNING
    assert not dock.run_box.button.isEnabled()


def test_the_dock_follows_the_training_set_that_others_fill(dock, qtbot, folder, tmp_path):
    dock.choose_folder(folder)
    qtbot.waitUntil(lambda: dock.session.contents is not None, timeout=WAIT_MS)
    other = write_dataset(tmp_path / "other", count=2)
    remember_training_set(other)
    training_set_news().changed.emit()
    assert dock.folder == other
    qtbot.waitUntil(lambda: dock.session.contents is not None, timeout=WAIT_MS)
    assert dock.where.text() == "other"


def test_it_says_what_is_in_the_training_set(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder)
    assert dock.summary.text() == "3 for training, 1 held out."
    assert dock.where.text() == "set"


def test_the_name_of_the_new_file_is_one_that_is_free(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder)
    assert dock.out == folder / "networks" / "tiny-trained-1.safetensors"
    dock.out.parent.mkdir()
    dock.out.touch()
    dock.files.suggest_out()
    assert dock.out.name == "tiny-trained-2.safetensors"


@pytest.mark.trains
def test_a_network_is_taught_and_judged(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder, epochs=3)
    out = dock.out
    dock.files.choose_earlier(folder)
    train(dock, qtbot)
    assert identify(out).family == "segnet-unet"
    assert "On the earlier images: " in dock.outcome.verdict.text()
    (likely,) = dock.outcome.curve.lines
    images, score = dock.trained.forecast.images, dock.trained.forecast.score
    assert (likely.x[0], likely.y[0], likely.band[0][0]) == (images, score, score)
    assert likely.band[0][8] < likely.y[8] < likely.band[1][8] <= 1
    dock.files.no_earlier.click()
    assert dock.session.earlier is None
    assert dock.plot.lines[0].name == "loss"
    assert list(dock.plot.lines[0].x) == [1, 2, 3]
    names = [
        dock.outcome.figures.item(row, 0).text() for row in range(dock.outcome.figures.rowCount())
    ]
    assert "AP 50" in names
    verdict = dock.outcome.verdict.text()
    out = dock.trained.checkpoint.path
    assert dock.run_box.words.text() == f"{out.name} is written to {Path(*out.parent.parts[-2:])}."
    assert ("Segment dock uses it" in verdict) == dock.trained.promoted
    assert ("The Segment dock keeps the old one" in verdict) != dock.trained.promoted
    assert dock.outcome.use.isVisible() != dock.trained.promoted


@pytest.mark.trains
def test_only_a_better_network_is_chosen(dock, qtbot, weights, folder):
    from napari_segnet.widgets.plugin.drop_reader import find_or_open_dock

    segment = find_or_open_dock(dock.viewer)
    ready(dock, qtbot, weights, folder)
    train(dock, qtbot)
    trained = dock.trained
    dock.use_new_network()
    qtbot.waitUntil(lambda: segment.checkpoint is not None, timeout=WAIT_MS)
    assert segment.checkpoint.path.name == trained.checkpoint.path.name
    segment.choose_weights(str(weights))
    qtbot.waitUntil(lambda: segment.checkpoint is not None, timeout=WAIT_MS)
    dock._learned(replace(trained, promoted=False))
    assert segment.checkpoint.path == weights
    assert dock.outcome.use.isVisible()


@pytest.mark.trains
def test_a_held_out_crop_is_shown_beside_what_is_there_while_it_learns(
    dock, qtbot, weights, folder
):
    mine = dock.viewer.add_image(np.zeros((30, 40)), name="mine")
    before = tuple(dock.viewer.scene.camera.center), dock.viewer.scene.camera.zoom
    ready(dock, qtbot, weights, folder, epochs=40)
    click(qtbot, dock.run_box.button)
    qtbot.waitUntil(dock.look.isVisible, timeout=WAIT_MS)
    names = {layer.name for layer in dock.viewer.layers}
    assert {"learning · image", "learning · labels now", "learning · truth"} <= names
    assert dock.viewer.layers.selection.active is mine
    assert dock.viewer.layers["learning · labels now"].translate[1] > 40
    click(qtbot, dock.look)
    assert dock.viewer.scene.camera.center[-1] > 40
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        click(qtbot, dock.run_box.stop)
    # The result is not hidden by them when the training has ended.
    assert dock.viewer.layers[-1] is mine and len(dock.viewer.layers) == 4
    assert not any(layer.visible for layer in dock.viewer.layers[:-1])
    assert dock.viewer.layers.extent.world[1, -1] < 60
    assert dock.viewer.layers.selection.active is mine
    assert not dock.look.isVisible()
    assert (tuple(dock.viewer.scene.camera.center), dock.viewer.scene.camera.zoom) == before
    dock.keep_the_old()
    click(qtbot, dock.run_box.button)
    qtbot.waitUntil(dock.look.isVisible, timeout=WAIT_MS)
    tops = dock.viewer.layers[1:]
    assert [layer.name for layer in tops] == [
        *("learning · image", "learning · labels now", "learning · truth")
    ]
    assert all(layer.visible and layer.translate[1] > 40 for layer in tops)
    click(qtbot, dock.look)
    dock.viewer.scene.camera.zoom *= 2  # the user looks at something else now
    moved = dock.viewer.scene.camera.zoom
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        click(qtbot, dock.run_box.stop)
    assert dock.viewer.layers[-1] is mine and not dock.viewer.layers[0].visible
    assert dock.viewer.scene.camera.zoom == moved


@pytest.mark.long
@pytest.mark.trains
def test_the_crop_is_not_shown_to_who_does_not_want_it(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder)
    click(qtbot, dock.show_crop)
    train(dock, qtbot)
    assert not len(dock.viewer.layers)


@pytest.mark.long
@pytest.mark.trains
def test_what_changed_is_shown(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder)
    click(qtbot, dock.show_crop)
    train(dock, qtbot)
    click(qtbot, dock.outcome.changes)
    assert len(dock.viewer.layers) == len(dock.trained.after.labels)
    layer = dock.viewer.layers[0]
    assert layer.rgb
    assert layer.data.shape[1] == 48
    assert layer.data.shape[0] > 40, "a legend stands below the picture"


@pytest.mark.trains
def test_stopped_before_there_is_anything_to_keep(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder, epochs=40)
    click(qtbot, dock.run_box.button)
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        click(qtbot, dock.run_box.stop)
    assert not dock.stopped.isVisible()
    assert dock.run_box.words.text() == "stopped before the first epoch ended: nothing kept"


@pytest.mark.long
@pytest.mark.trains
def test_stopped_and_gone_on_with(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder, epochs=40)
    after_epochs(dock, qtbot, 1)
    assert dock.stopped.isVisible()
    assert dock.run_box.words.text() == "stopped"
    done = len(dock.session.training.log.epochs)
    dock.session.training = replace(
        dock.session.training, settings=replace(dock.session.training.settings, epochs=done + 1)
    )
    train(dock, qtbot, dock.stopped.go_on)
    assert [one["epoch"] for one in dock.session.training.log.epochs] == [*range(1, done + 2)]
    assert not dock.stopped.isVisible()
    assert dock.trained is not None


@pytest.mark.long
@pytest.mark.trains
def test_stopped_and_what_was_learned_is_kept(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder, epochs=40)
    out = dock.out
    after_epochs(dock, qtbot, 1)
    assert not out.exists()
    train(dock, qtbot, dock.stopped.keep_best)
    assert out.exists()
    assert not state_path(out).exists()
    assert dock.outcome.isVisible()


@pytest.mark.long
@pytest.mark.trains
def test_stopped_and_the_old_network_is_kept(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder, epochs=40)
    out = dock.out
    after_epochs(dock, qtbot, 1)
    click(qtbot, dock.stopped.drop)
    assert not out.exists()
    assert not state_path(out).exists()
    assert dock.run_box.button.isEnabled()


@pytest.mark.trains
def test_the_best_epoch_is_kept_of_a_training_that_was_stopped(
    weights, folder, tmp_path, monkeypatch
):
    """The scores are given: the second of three epochs is the best."""
    monkeypatch.setattr(Learner, "restate", lambda *_: ())  # it writes the same in other numbers
    given = iter([0.5, 0.9, 0.7, 0.9])  # the last is of what is kept
    monkeypatch.setattr(Learner, "score", lambda self, held: (("val_dice", next(given)),))
    monkeypatch.setattr(sys.modules["napari_segnet.train._train"], "look", lambda *_: ((), None))
    averages = []
    save = Learner.save_state

    def watched(self, path, epochs):
        averages.append({k: v.clone() for k, v in self._average.state_dict().items()})
        save(self, path, epochs)

    monkeypatch.setattr(Learner, "save_state", watched)
    out = tmp_path / "best.safetensors"
    how = replace(QUICK, epochs=40, average=0.0)
    asked = TrainRequest(network=identify(weights), dataset=folder, out=out, settings=how)
    for report in learn(asked):
        if (report.what, report.done) == ("epoch", 3):
            break
    run(learn(ended_early(asked)))
    found = load_file(out)
    assert all((found[key] == averages[1][key]).all() for key in found)
    assert not all((found[key] == averages[2][key]).all() for key in found)


def killed(weights, folder, name="tiny-trained-1.safetensors"):
    """Leave what a training leaves that is killed in its second epoch; return its file."""
    out = folder / "networks" / name
    out.parent.mkdir(exist_ok=True)
    how = replace(QUICK, epochs=3, batch_size=1, seed=7)
    for report in train_core(identify(weights), Dataset.open(folder), out, how):
        if (report.what, report.done) == ("epoch", 1):
            return out


@pytest.mark.trains
def test_a_killed_training_is_gone_on_with(dock, qtbot, weights, folder):
    out = killed(weights, folder)
    dock.choose_folder(folder)  # which network it began with, it knows by itself
    qtbot.waitUntil(dock.unfinished.isVisible, timeout=WAIT_MS)
    said = "A training of tiny.safetensors was interrupted after epoch 1 of 3. Nothing is lost."
    assert dock.unfinished.said.text() == said
    assert dock.unfinished.go_on_button.text() == "Resume from epoch 2"
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        click(qtbot, dock.unfinished.go_on_button)
    assert not dock.message.isVisible(), dock.message.text.text()
    assert dock.unfinished.isHidden()
    assert [one["epoch"] for one in dock.session.training.log.epochs] == [2, 3]
    assert (dock.settings().batch_size, dock.settings().seed) == (1, 7)
    assert out.exists() and not state_path(out).exists()


@pytest.mark.long
@pytest.mark.trains
def test_a_killed_training_is_begun_anew(dock, qtbot, weights, folder):
    out = killed(weights, folder)
    ready(dock, qtbot, weights, folder)
    qtbot.waitUntil(dock.unfinished.isVisible, timeout=WAIT_MS)
    assert dock.out.name == "tiny-trained-2.safetensors"  # nothing is overwritten unasked
    click(qtbot, dock.unfinished.anew_button)
    qtbot.waitUntil(lambda: not dock.unfinished.isVisible(), timeout=WAIT_MS)
    assert not state_path(out).exists()
    assert dock.out == out


@pytest.mark.trains
def test_a_state_that_is_damaged_is_named(dock, qtbot, weights, folder):
    state = state_path(killed(weights, folder))
    state.write_bytes(state.read_bytes()[:100])
    ready(dock, qtbot, weights, folder)
    assert "The saved state" in dock.summary.text()
    assert dock.unfinished.isHidden()


@pytest.mark.trains
def test_a_killed_training_whose_network_is_gone(dock, qtbot, weights, folder):
    killed(weights, folder)
    weights.unlink()
    dock.choose_folder(folder)
    qtbot.waitUntil(dock.unfinished.isVisible, timeout=WAIT_MS)
    click(qtbot, dock.unfinished.go_on_button)
    qtbot.waitUntil(dock.message.isVisible, timeout=WAIT_MS)
    assert "tiny.safetensors" in dock.message.text.text()
    assert not dock._runner.busy


def test_what_it_learns_from_is_shown(dock, qtbot, weights, folder):
    ready(dock, qtbot, weights, folder)
    click(qtbot, dock.examples)
    (window,) = dock.findChildren(ExamplesWindow)
    assert not window.pictures  # drawn in the background: the click has come back at once
    qtbot.waitUntil(lambda: len(window.pictures) > 0, timeout=WAIT_MS)
    assert window.titles == ["picture", "objects", "foreground"]
    assert len(window.pictures) == 3 * 8
    assert window.said.isHidden()
    first = window.pictures[0].pixmap().toImage()
    assert first.width() == first.height() == 140
    qtbot.waitUntil(window.others.isEnabled, timeout=WAIT_MS)
    shown = window.pictures
    click(qtbot, window.others)
    qtbot.waitUntil(lambda: window.pictures is not shown, timeout=WAIT_MS)
    assert window.pictures[0].pixmap().toImage() != first
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not dock.findChildren(ExamplesWindow), timeout=WAIT_MS)


def test_a_training_set_that_went_away_is_said_in_the_window_of_examples(
    dock, qtbot, weights, folder
):
    ready(dock, qtbot, weights, folder)
    for path in (folder / "images").iterdir():
        path.unlink()
    click(qtbot, dock.examples)
    (window,) = dock.findChildren(ExamplesWindow)
    qtbot.waitUntil(lambda: "image" in window.said.text(), timeout=WAIT_MS)
    qtbot.waitUntil(window.others.isEnabled, timeout=WAIT_MS)
    assert not window.pictures
    click(qtbot, window.close_button)


def test_every_setting_can_be_reached(dock, qtbot):
    names = [field.name for field in fields(TrainSettings)]
    assert sorted((*MAIN, *MORE)) == sorted(names)
    section = dock.more.parent()
    assert not dock.more.isVisible()
    click(qtbot, section.button)
    assert dock.more.isVisible()
    optimiser = dock.more.row("optimizer").findChild(QComboBox)
    optimiser.setFocus()
    qtbot.keyClicks(optimiser, "S")
    loss = dock.more.row("loss").findChild(QComboBox)
    loss.setFocus()
    qtbot.keyClicks(loss, "f")
    levels = dock.more.row("freeze_stages").findChild(QSpinBox)
    qtbot.keyClick(levels, Qt.Key.Key_Up)
    now = dock.settings()
    assert (now.optimizer, now.loss, now.freeze_stages) == ("sgd", "focal", 1)


@pytest.mark.long
@pytest.mark.trains
def test_memory_that_runs_out_ends_in_a_sentence_and_what_was_learned_is_offered(
    dock, qtbot, weights, folder, monkeypatch
):
    ready(dock, qtbot, weights, folder)
    step, count = Learner._step, iter(range(100))

    def crowded(self, *args):
        if next(count) >= QUICK.steps_per_epoch:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return step(self, *args)

    monkeypatch.setattr(Learner, "_step", crowded)
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        click(qtbot, dock.run_box.button)
    assert "Choose a smaller batch_size or crop_px" in dock.message.text.text()
    assert dock.stopped.isVisible()
    assert dock.run_box.button.isEnabled()
    monkeypatch.setattr(Learner, "_step", step)
    train(dock, qtbot, dock.stopped.keep_best)
    assert dock.outcome.isVisible()


@pytest.mark.trains
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
    qtbot.waitUntil(lambda: not dock.files.reader.busy, timeout=WAIT_MS)
    assert not dock.message.text.text()
    assert dock.where.text() == "Choose…"


def test_a_folder_that_is_no_training_set(dock, qtbot, weights, tmp_path):
    (tmp_path / "empty").mkdir()
    dock.choose_weights(str(weights))
    with qtbot.waitSignal(dock.files.reader.finished, timeout=WAIT_MS):
        dock.choose_folder(tmp_path / "empty")
    assert "holds no pair of files" in dock.message.text.text()
    assert not dock.run_box.button.isEnabled()


def test_a_network_that_cannot_be_taught_is_refused_before_anything(dock, weights, monkeypatch):
    monkeypatch.setattr("napari_segnet.widgets.train.jobs.family_of", lambda _: object())
    dock._recognised(identify(weights))
    assert "cannot be trained here yet" in dock.message.text.text()
    assert dock.checkpoint is None


def test_it_is_said_how_a_network_is_written_back(weights):
    own = identify(weights)
    assert writes_as(own) == "U-Net written by napari-segnet"
    other = replace(own, family="milesial-unet")
    assert "its own program can load again" in writes_as(other)


def test_two_lessons_have_two_logs(weights, folder, tmp_path):
    one, two = (
        TrainRequest(network=identify(weights), dataset=folder, out=tmp_path / "x", settings=QUICK)
        for _ in range(2)
    )
    assert one.log is not two.log


@pytest.mark.long
@pytest.mark.trains
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
    viewer.add_image(np.zeros((9, 9)), scale=(0.5, 0.5), units=("µm", "µm"))
    layers.show(seen)
    assert len(viewer.layers) == 4
    assert len({layer.units for layer in viewer.layers}) == 1  # napari warns of others
    assert all(layer.scale.tolist() == [0.5, 0.5] for layer in viewer.layers)
    layers.remove()
    assert len(viewer.layers) == 1


@pytest.mark.subprocess
def test_opening_the_dock_loads_no_torch():
    code = "import sys, napari_segnet.widgets.train.dock\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_what_is_odd_about_labels_is_no_file_that_was_left_out():
    def steps():
        yield Progress(what="sample", text="a.tif is damaged.")
        yield Progress(what="note", text="A mask.")
        yield Progress(what="note", text="A mask.")

    log = Log()
    assert len(list(_logged(steps(), log))) == 3
    assert (log.left_out, log.notes) == (["a.tif is damaged."], ["A mask."])


def test_settings_that_already_bring_most_are_tried_and_taken_with_one_click(
    dock, qtbot, weights, folder, monkeypatch
):
    put_first(monkeypatch, maps=lambda batch, **_: (batch[:, :1] < 0.3) * 0.8 + 0.1)
    ready(dock, qtbot, weights, folder)
    box = dock.begin_well
    assert box.take.isHidden() and box.ways.isHidden()
    with qtbot.waitSignal(box.runner.finished, timeout=WAIT_MS):
        click(qtbot, box.ask)
    assert box.words.text().startswith("Before any training, on ")
    assert "inversion" in box.words.text()
    assert box.ways.rowCount() > 3
    assert float(box.ways.item(0, 0).text()) > 0.3
    assert dock.settings().invert == "auto"
    click(qtbot, box.take)
    assert dock.settings().invert == "yes"
    assert "The training uses invert=yes" in box.words.text()
    click(qtbot, box.use)
    assert "Open the Segment dock, choose this network, and set invert=yes" in box.words.text()
    dock.seen_again()  # nothing was added
    qtbot.waitUntil(lambda: dock.session.contents is not None)
    assert box.words.isVisibleTo(box)
    (folder / "dataset.json").unlink()
    write_dataset(folder, count=5)  # one more
    dock.seen_again()
    qtbot.waitUntil(lambda: box.words.isHidden() and box.ways.isHidden())
    with qtbot.waitSignal(box.runner.finished, timeout=WAIT_MS):
        click(qtbot, box.ask)
    assert not box.ways.isHidden()
    dock.choose_folder(folder.parent)  # another training set: what was tried says nothing of it
    assert box.ways.isHidden() and box.words.isHidden()


def test_a_built_in_network_that_is_better_is_taken_with_one_click(
    dock, qtbot, weights, folder, monkeypatch
):
    def blank(batch, **_):
        return np.full_like(batch[:, :1], 0.1)

    def finds_dark(batch, **_):
        return np.concatenate(
            [(batch[:, :1] < 0.3) * 0.8 + 0.1, *2 * [np.full_like(batch, 0.1)]], 1
        )

    put_first(monkeypatch, maps=blank)
    built_in = builtin_models()["nuclei-dark"]
    put_first(monkeypatch, SecondKind(maps=finds_dark, runs_it=lambda c: c.path == built_in))
    ready(dock, qtbot, weights, folder, scale=45.0)
    box = dock.begin_well
    with qtbot.waitSignal(box.runner.finished, timeout=WAIT_MS):
        click(qtbot, box.ask)
    assert "The built-in network nuclei-dark has a score of " in box.words.text()
    rows = [box.ways.item(row, 1).text() for row in range(box.ways.rowCount())]
    assert rows[0] == "nuclei-dark, a built-in network"
    assert box.change.text() == "Begin with nuclei-dark"
    click(qtbot, box.change)
    qtbot.waitUntil(lambda: dock.run_box.button.isEnabled(), timeout=WAIT_MS)
    assert dock.session.checkpoint.path == built_in
    assert dock.settings().scale == 0, "it is shown images as its card says"
    assert box.words.isHidden(), "what was tried was another network"


@pytest.mark.long
@pytest.mark.trains
def test_of_few_images_further_trainings_are_offered_with_their_cost(
    dock, qtbot, weights, tmp_path
):
    few = write_dataset(tmp_path / "few", count=2)
    ready(dock, qtbot, weights, few, learning_rate=1e-9)
    train(dock, qtbot)
    box = dock.outcome.cross_fit
    assert box.isVisibleTo(dock.outcome)
    assert box.ask.text() == "Judge by all objects (2 trainings)"
    with qtbot.waitSignal(box.runner.finished, timeout=WAIT_MS):
        click(qtbot, box.ask)
        assert box.stop.isVisibleTo(box)
    assert box.words.text().startswith("Compared by 2 trainings, each on unseen images: ")
    assert not box.stop.isVisibleTo(box)


@pytest.mark.long
@pytest.mark.parametrize("act", ["a training begins", "the dock is closed"])
def test_trials_and_judging_end_when_a_training_begins_or_the_dock_is_closed(
    dock, qtbot, monkeypatch, act
):
    @job
    def endless():
        while True:
            yield Progress(what="training")
            time.sleep(0.01)

    runners = (dock.begin_well.runner, dock.outcome.cross_fit.runner)
    for runner in runners:
        runner.start(endless)
    if act == "the dock is closed":
        dock.closed()
    else:
        monkeypatch.setattr(dock.session, "begin", lambda training: endless)
        dock._start(None)
    qtbot.waitUntil(lambda: not any(runner.busy for runner in runners), timeout=3000)
    assert not dock.begin_well.ask.isEnabled()
    dock._runner.cancel()

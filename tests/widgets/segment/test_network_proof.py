"""A network is proven while the window works, and one click says which of several it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from qtpy.QtCore import QPoint, Qt
from support.bare_networks import BARE, settled

from napari_segnet import cache
from napari_segnet.recognition import identify
from napari_segnet.samples import nuclei_2d
from napari_segnet.sidecar import sidecar_path
from napari_segnet.widgets.plugin.docks import SegmentDock

WAIT_MS = 90_000


@pytest.fixture(autouse=True)
def nothing_known():
    cache.recognised.clear()
    yield
    cache.recognised.clear()


@pytest.fixture
def bare(tmp_path):
    path = tmp_path / "bare.pth"
    torch.manual_seed(0)
    torch.save(settled(BARE["resizing"][0]()).state_dict(), path)
    return path


@pytest.fixture
def dock(viewer):
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    return dock


def colours():
    grey = np.asarray(nuclei_2d().data)[:96, :96].astype(np.uint8)
    return np.stack([grey, grey[::-1], grey], axis=-1)


def choose(dock, qtbot, path):
    with qtbot.waitSignal(dock.proof.finished, timeout=WAIT_MS):
        dock.choose_weights(str(path))


def test_a_click_chooses_the_network_and_is_kept(viewer, dock, qtbot, bare):
    viewer.add_image(colours(), rgb=True, name="cells")
    with qtbot.waitSignal(dock.proof.comparer.finished, timeout=WAIT_MS):
        dock.choose_weights(str(bare))
    sheet = dock.proof.sheet
    assert not sheet.isHidden()
    assert dock.checkpoint.hparams["join"] == "up-skip"
    assert len(sheet.buttons) == 3
    assert sheet.buttons[1].text().startswith("skip connection joined first\n")
    assert all(not button.icon().isNull() for button in sheet.buttons)
    assert sheet.image.pixmap().width() > 0
    assert "Click the one that fits" in sheet.hint.text()
    assert "Assumed of the network" in dock.card.notes.text()
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        qtbot.mouseClick(sheet.buttons[1], Qt.MouseButton.LeftButton)
    assert dock.checkpoint.hparams["join"] == "skip-up"
    assert dock.checkpoint.known["join"].source == "told"
    assert sheet.isHidden()
    assert dock.message.text.text() == f"Your choice is kept in {sidecar_path(bare)}."
    assert not dock.message.isHidden()
    assert json.loads(sidecar_path(bare).read_text())["told"]["join"] == "skip-up"
    # The next time, nothing is asked.
    assert identify(bare).hparams["join"] == "skip-up"
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights(str(bare))
    assert dock.checkpoint.known["join"].why.startswith("chosen by you")
    assert not dock.proof.busy and sheet.isHidden()
    # A choice that was wrong is taken back.
    assert not dock.proof.rethink.isHidden()
    with qtbot.waitSignal(dock.proof.comparer.finished, timeout=WAIT_MS):
        qtbot.mouseClick(dock.proof.rethink, Qt.MouseButton.LeftButton)
    assert dock.checkpoint.hparams["join"] == "up-skip"
    assert not sheet.isHidden() and dock.proof.rethink.isHidden()
    assert not sidecar_path(bare).exists()


def test_on_a_small_screen_the_question_is_in_view(make_viewer, qtbot, bare):
    viewer = make_viewer(show=True)
    viewer.window._qt_window.resize(1280, 720)
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    viewer.add_image(colours(), rgb=True, name="cells")
    with qtbot.waitSignal(dock.proof.comparer.finished, timeout=WAIT_MS):
        dock.choose_weights(str(bare))
    sheet = dock.proof.sheet
    for part in (sheet.question, *sheet.buttons):
        qtbot.waitUntil(lambda part=part: part.visibleRegion().boundingRect() == part.rect())
    assert dock.card.notes.isVisibleTo(dock)
    assert sheet.mapTo(dock, QPoint()).y() < dock.card.notes.mapTo(dock, QPoint()).y()


def test_without_an_image_it_is_asked_in_words_and_compared_later(viewer, dock, qtbot, bare):
    choose(dock, qtbot, bare)
    sheet = dock.proof.sheet
    assert len(sheet.buttons) == 3 and not sheet.image.isVisibleTo(sheet)
    assert "Open an image to compare their output" in sheet.hint.text()
    with qtbot.waitSignal(dock.proof.comparer.finished, timeout=WAIT_MS):
        viewer.add_image(colours(), rgb=True, name="cells")
    assert sheet.image.isVisibleTo(sheet)
    with qtbot.waitSignal(dock.proof.comparer.finished, timeout=WAIT_MS):
        qtbot.mouseClick(sheet.again, Qt.MouseButton.LeftButton)


def test_a_run_waits_for_the_proof_and_cancel_ends_it(viewer, dock, qtbot, tmp_path):
    path = tmp_path / "strided.pth"
    torch.manual_seed(0)
    torch.save(settled(BARE["strided"][0]()).state_dict(), path)
    viewer.add_image(colours(), rgb=True, name="cells")
    with qtbot.waitSignal(dock._looker.succeeded, timeout=WAIT_MS):
        dock.choose_weights(str(path))
    assert dock.proof.busy and not dock.proof.stop.isHidden()
    assert dock.checkpoint is not None  # the card is there at once
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        dock.run()
        assert not dock._runner.busy
        qtbot.mouseClick(dock.proof.stop, Qt.MouseButton.LeftButton)
    assert dock.message.isHidden(), dock.message.text.text()
    assert dock.proof.stop.isHidden()
    assert dock.result is not None


def test_the_picture_and_the_file_that_needs_no_code(viewer, dock, qtbot, bare, tmp_path):
    choose(dock, qtbot, bare)
    picture = dock.proof.picture
    assert not picture.isHidden()
    qtbot.mouseClick(picture.section.button, Qt.MouseButton.LeftButton)
    assert picture.picture.pixmap().width() > 300
    with qtbot.waitSignal(dock.proof.saver.finished, timeout=WAIT_MS):
        dock.proof.save_to(tmp_path / "own.safetensors")
    assert dock.message.text.text() == f"Saved: {tmp_path / 'own.safetensors'}"
    assert identify(tmp_path / "own.safetensors").family == "graph"
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights("nuclei")
    assert not dock.proof.busy and dock.proof.sheet.isHidden()

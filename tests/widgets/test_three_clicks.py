"""From an opened image to labels in three clicks of a real mouse, to the CSV in two more."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu
from support import hand
from support.hand import Hand, bring_into_view, until

from napari_segnet import cache
from napari_segnet.samples import nuclei_2d
from napari_segnet.widgets.measure.dock import MeasureDock
from napari_segnet.widgets.plugin.docks import SegmentDock

pytestmark = [
    pytest.mark.skipif(bool(hand.missing()), reason=hand.missing()),
    pytest.mark.usefixtures("preferences_file"),
    pytest.mark.subprocess,
]
SOON_S = 60


@pytest.fixture(autouse=True)
def no_answers_of_before():
    cache.predictions.clear()
    yield
    cache.predictions.clear()


def action_of(menu, words):
    return next(a for a in menu.actions() if words in a.text().replace("&", ""))


def test_an_opened_image_becomes_labels_and_a_table(make_viewer, tmp_path, monkeypatch):
    viewer, user = make_viewer(show=True), Hand()
    window = viewer.window._qt_window
    window.setGeometry(0, 0, 1280, 720)
    QApplication.processEvents()
    viewer.add_image(np.asarray(nuclei_2d().data)[:192, :192], name="cells")
    path = tmp_path / "cells.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))

    # 1 and 2: the menu Layers, Segment (which opens when the pointer is on it), and our entry.
    bar = window.menuBar()
    layers = action_of(bar, "Layers")
    user.click(bar, bar.actionGeometry(layers).center())
    until(lambda: layers.menu().isVisible(), SOON_S)
    segment = action_of(layers.menu(), "Segment")
    user.point(layers.menu(), layers.menu().actionGeometry(segment).center())
    inner = segment.menu()
    assert isinstance(inner, QMenu)
    until(inner.isVisible, SOON_S)
    ours = action_of(inner, "Segment (Segment with your network)")
    user.click(inner, inner.actionGeometry(ours).center())
    until(lambda: window.findChild(SegmentDock) is not None, SOON_S)
    dock = window.findChild(SegmentDock)
    until(lambda: dock.checkpoint is not None, SOON_S)

    # 3: Run.
    bring_into_view(dock.run_box.button)
    user.click(dock.run_box.button)
    until(lambda: any(isinstance(layer, Labels) for layer in viewer.layers), SOON_S)
    until(lambda: not dock._runner.busy, SOON_S)
    assert dock.message.isHidden(), dock.message.text.text()

    # 4: Measure, 5: Save CSV.
    bring_into_view(dock.shown.box.measure)
    user.click(dock.shown.box.measure)
    until(lambda: window.findChild(MeasureDock) is not None, SOON_S)
    measuring = window.findChild(MeasureDock)
    until(lambda: measuring.found is not None and measuring.save.isVisible(), SOON_S)
    bring_into_view(measuring.save)
    user.click(measuring.save)
    until(path.is_file, SOON_S)
    with open(path, encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    (labels,) = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    assert [int(row["label"]) for row in rows] == np.unique(labels.data)[1:].tolist()
    assert float(rows[0]["intensity_mean"]) > 0

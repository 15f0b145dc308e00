"""What this package has drawn is never offered to be segmented or learned from."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from napari.layers._source import layer_source

from napari_segnet.widgets.correct.pointer import labels_in_front
from napari_segnet.widgets.dataset.panel import DatasetPanel
from napari_segnet.widgets.evaluate.dock import EvaluateDock
from napari_segnet.widgets.layers.record import LayerRecord, metadata_of
from napari_segnet.widgets.layers.subject import images_in, subject_of
from napari_segnet.widgets.plugin.docks import SegmentDock

PLANE = np.zeros((20, 24), np.uint8)
DRAWN = [LayerRecord(maps="key"), LayerRecord(learning=True), LayerRecord(evaluated="missed")]


@pytest.fixture
def drawn(viewer, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SEGNET_DATA", str(tmp_path))
    viewer.add_image(PLANE, name="cells")
    viewer.add_labels(PLANE, name="nuclei")
    for number, record in enumerate(DRAWN):
        viewer.add_image(PLANE, name=f"drawn {number}", metadata=metadata_of(record))
        viewer.add_labels(PLANE, name=f"shown {number}", metadata=metadata_of(record))
    for name in ("cells.maps.tif", "Cells.Labels.TIF"):
        with layer_source(path=str(tmp_path / name)):
            viewer.add_layer(Image(PLANE, name=name))
    return viewer


def listed(combo):
    return [combo.itemText(row) for row in range(combo.count())]


def test_only_pictures_are_offered_for_segmentation_and_training(drawn):
    segment, panel = SegmentDock(drawn), DatasetPanel(drawn)
    for widget in (segment, panel):
        drawn.window.add_dock_widget(widget)
    assert listed(segment.layer) == ["cells"]
    assert listed(panel.images) == ["cells"]
    assert subject_of(drawn.layers["nuclei"], drawn.layers) is drawn.layers["cells"]
    assert [layer.name for layer in images_in(drawn.layers)] == ["cells"]


def test_labels_that_show_mistakes_are_not_learned_from(drawn):
    panel = DatasetPanel(drawn)
    drawn.window.add_dock_widget(panel)
    for name in ("nuclei", "shown 0", "shown 1", "shown 2"):
        drawn.layers.selection.active = drawn.layers[name]
        assert panel.labels_name.text() == "nuclei"
    drawn.layers.selection.active = None
    assert labels_in_front(drawn).name == "nuclei"


def test_they_are_not_compared(drawn):
    dock = EvaluateDock(drawn)
    drawn.window.add_dock_widget(dock)
    assert listed(dock.labels) == ["nuclei"]
    assert listed(dock.truth) == ["nuclei", "cells"], "a picture of whole numbers may be the truth"

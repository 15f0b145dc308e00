"""What the Segment dock shows, when, and for how long."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QScrollArea

from napari_segnet import cache
from napari_segnet.samples import nuclei_2d
from napari_segnet.widgets.plugin.docks import SegmentDock

WAIT_MS = 60_000
UM = {"scale": (0.5, 0.5), "units": ("um", "um")}


@pytest.fixture
def viewer():
    cache.predictions.clear()
    yield ViewerModel()
    cache.predictions.clear()


@pytest.fixture
def dock(viewer, qtbot):
    dock = SegmentDock(viewer)
    qtbot.addWidget(dock)
    dock.choose_weights("nuclei")
    qtbot.waitUntil(lambda: dock.checkpoint is not None and not dock.network.busy, timeout=WAIT_MS)
    return dock


def cells(size=96):
    return np.asarray(nuclei_2d().data)[:size, :size]


def run(dock, qtbot):
    dock.run()
    qtbot.waitUntil(lambda: not dock._runner.busy, timeout=WAIT_MS)
    return dock.result


def said(dock):
    return "" if dock.message.isHidden() else dock.message.text.text()


def test_label_settings_come_with_the_first_result_and_go_with_the_image(viewer, dock, qtbot):
    first = viewer.add_image(cells(), name="first")
    box = dock.shown.box
    assert box.isHidden()
    result = run(dock, qtbot)
    assert not box.isHidden()
    assert not dock.labels.isHidden()
    viewer.add_image(cells(64), name="second")
    assert box.isHidden(), "nothing on the dock acts on the second image yet"
    viewer.layers.selection.active = first
    assert not box.isHidden()
    viewer.layers.remove(result)
    assert box.isHidden()


def test_the_image_box_shows_what_the_label_settings_act_on(viewer, dock, qtbot):
    first = viewer.add_image(cells(), name="first")
    result = run(dock, qtbot)
    viewer.add_image(cells(64), name="second")
    viewer.layers.selection.active = result
    assert dock.image_box.chosen() is first
    assert dock.result is result


def test_run_stands_outside_of_what_scrolls(dock):
    around = dock.run_box.button.parentWidget()
    while around is not dock:
        assert not isinstance(around, QScrollArea)
        around = around.parentWidget()


def test_only_regions_that_there_are_are_offered(viewer, dock):
    def kinds():
        return [dock.region.itemData(i) for i in range(dock.region.count())]

    viewer.add_image(cells())
    assert kinds() == ["layer", "visible"]
    viewer.add_image(np.zeros((3, 32, 32), np.uint8))
    viewer.add_shapes(ndim=2)
    assert kinds() == ["layer", "visible", "plane", "rectangle"]
    dock.region.setCurrentIndex(2)
    viewer.layers.selection.active = viewer.layers[0]
    assert dock.region.currentData() == "layer"
    assert "there is no current plane here" in said(dock)


def test_a_diameter_scales_the_image_and_falls_back_without_a_pixel_size(viewer, dock, qtbot):
    viewer.add_image(cells(), name="known", **UM)
    box = dock.run_settings.diameter
    assert not box.isHidden()
    box.unit.setCurrentText("µm")
    box.number.setValue(20.0)
    assert (dock.settings().object_px, dock.settings().object_um) == (None, 20.0)
    run(dock, qtbot)
    assert "was shown at scale 1.97" in dock.summary.text()
    viewer.add_image(cells(64), name="unknown")
    assert dock.settings().object_um is None
    assert "the pixel size of this image is not known" in said(dock)
    dock.advanced.set_value(dock.advanced.value())
    dock.run_settings.diameter.number.setValue(40.0)
    assert dock.settings().object_px == 40.0


def test_slices_are_joined_only_where_there_are_some(viewer, dock):
    box = dock.shown.box
    assert box.fit("zyx") == ""
    dock.labels.set_value(type(dock.labels.value())(link="z"))
    viewer.add_image(cells(64), name="plane")
    assert dock.labels.value().link == "none"
    assert "no slices to join" in said(dock)


def test_a_message_does_not_outlive_what_it_speaks_of(viewer, dock):
    dock.run()
    assert "Open an image first" in said(dock)
    image = viewer.add_image(cells())
    assert not said(dock)
    dock.message.say("about this image")
    dock.run_settings.changed.emit()
    assert not said(dock)
    dock.message.offer("about the result", "Try", "act")
    dock.run_settings.changed.emit()
    assert said(dock), "an offer still holds"
    viewer.layers.remove(image)
    assert not said(dock)

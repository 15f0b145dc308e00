"""The docks as napari imports them, and what holds of every widget in them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QAbstractSlider, QAbstractSpinBox, QApplication, QComboBox, QScrollBar

from napari_segnet.widgets.evaluate.dock import EvaluateDock
from napari_segnet.widgets.measure.dock import MeasureDock
from napari_segnet.widgets.plugin.docks import CorrectDock, SegmentDock
from napari_segnet.widgets.train.dock import TrainDock

DOCKS = (SegmentDock, CorrectDock, TrainDock, MeasureDock, EvaluateDock)
LATER = (
    "torch skimage napari_segnet.containers napari_segnet.programs napari_segnet.packages "
    "napari_segnet.recognition napari_segnet.find"
).split()


@pytest.mark.subprocess
def test_the_segment_dock_opens_before_what_reads_networks_is_imported():
    """These are 300 modules; the job that looks at the network imports them."""
    code = f"""
import sys
from napari_segnet.widgets.plugin.docks import SegmentDock
print(SegmentDock.__name__, *[name for name in {LATER} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["SegmentDock"]


@pytest.mark.parametrize("dock_class", DOCKS, ids=lambda dock: dock.__name__)
def test_the_wheel_changes_no_value(viewer, dock_class):
    """The wheel is a scroll, also over a list that has the focus."""
    viewer.add_image(np.zeros((3, 3, 32, 32), np.uint8), axis_labels=("t", "c", "y", "x"))
    viewer.add_labels(np.ones((3, 32, 32), np.int32))
    dock = dock_class(viewer)
    viewer.window.add_dock_widget(dock)
    kinds = (QComboBox, QAbstractSpinBox, QAbstractSlider)
    found = [
        widget
        for kind in kinds
        for widget in dock.findChildren(kind)
        if not isinstance(widget, QScrollBar)
    ]
    assert found
    for widget in found:
        event = QWheelEvent(
            *(QPointF(5, 5), QPointF(5, 5), QPoint(0, 0), QPoint(0, -120)),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        widget.setFocus()
        QApplication.sendEvent(widget, event)
        assert not event.isAccepted(), widget.objectName() or type(widget).__name__

"""Locked objects are marked on the canvas."""

from __future__ import annotations

import numpy as np

from napari_segnet.widgets.correct.edit_panel import EditPanel
from napari_segnet.widgets.layers.editing import distinct_id, editing_of, next_id, set_locked
from napari_segnet.widgets.recovery.reviews import reviews


def test_a_padlock_lies_over_each_locked_object_in_view(viewer, qtbot):
    data = np.zeros((2, 60, 60), np.int32)
    data[0, 5:15, 5:15], data[0, 40:50, 40:50], data[1, 5:15, 30:40] = 1, 2, 3
    layer = viewer.add_labels(data)
    panel = EditPanel(viewer)
    viewer.window.add_dock_widget(panel)
    qtbot.waitUntil(lambda: editing_of(layer).places is not None)
    viewer.dims.set_current_step(0, 0)
    marks = panel.locks
    assert marks.isHidden()
    kept = reviews(viewer)
    kept.change(layer, kept.of(layer).with_locked([1, 3]), "locked")
    assert not marks.isHidden()
    assert len(marks.places()) == 1, "object 3 is on the other plane"
    (at,) = marks.places()
    viewer.dims.set_current_step(0, 1)
    (other,) = marks.places()
    assert other.x() > at.x()
    layer.visible = False
    assert marks.places() == []
    layer.visible = True
    set_locked(layer, [1, 3], False)
    marks.follow()
    assert marks.isHidden()


def test_the_parts_of_a_split_differ_in_colour(viewer):
    layer = viewer.add_labels(np.pad(np.arange(1, 41, dtype=np.int32).reshape(5, 8), 2))
    editing_of(layer).look_now()
    for one in range(1, 41):
        first = distinct_id(layer, [one], 2)
        assert first >= next_id(layer)
        colours = [layer.get_color(i)[:3] for i in (one, first, first + 1)]
        apart = [np.linalg.norm(colours[a] - colours[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
        assert min(apart) >= 0.5, one

"""Labels of what is finished are seen while the rest is computed, and are gone with it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtWidgets import QApplication
from support import hand
from support.engines import put_first
from support.hand import Hand, until

from napari_segnet import cache
from napari_segnet.builtin import weights_path
from napari_segnet.engines.torch import identify
from napari_segnet.errors import EditError
from napari_segnet.inference import LabelSettings
from napari_segnet.segmentation import FinishedPart, Maps
from napari_segnet.widgets.layers.editing import check_editable
from napari_segnet.widgets.layers.subject import labels_in
from napari_segnet.widgets.plugin.docks import SegmentDock
from napari_segnet.widgets.recovery.recorder import keep_journal
from napari_segnet.widgets.segment import provisional
from napari_segnet.widgets.segment.provisional import Provisional

SOON_S = 60


@pytest.fixture(autouse=True)
def no_answers_of_before():
    cache.predictions.clear()
    yield
    cache.predictions.clear()


def squares(edge):
    """Bright squares of 8 pixels, 16 apart."""
    at = np.arange(edge) % 16 < 8
    return np.where(at[:, None] & at[None], 0.99, 0.01).astype(np.float32)


def part(maps, y, x):
    outputs = identify(weights_path("nuclei")).outputs
    data = np.repeat(maps[None], sum(o.channels for o in outputs), axis=0)
    data[1:] = 0
    return FinishedPart(answer=Maps(data=data, axes="cyx", outputs=outputs), where=(y, x))


@pytest.mark.parametrize("step", [1, 3])
def test_what_is_looked_at_of_each_part_is_labelled(monkeypatch, step):
    monkeypatch.setattr(provisional, "SHOWN_PX", 90 * 60 / step**2)
    view = (slice(40, 130), slice(20, 80))
    into = Provisional(identify(weights_path("nuclei")), view, LabelSettings(min_size_px=9))
    maps = squares(200)
    assert into.step == step
    into.take(part(maps[:40], slice(0, 40), slice(0, 200)))
    assert into.version == 0, "nothing of it is looked at"
    into.take(part(maps[:100, :50], slice(0, 100), slice(0, 50)))
    assert into.version == 1
    assert into.labels[-60 // step + 35 // step :].max() == 0, "rows from 100 on are not there yet"
    into.take(part(maps[100:], slice(100, 200), slice(0, 200)))
    into.take(part(maps[:100, 50:], slice(0, 100), slice(50, 200)))
    right = maps[40 + step // 2 : 130 : step, 20 + step // 2 : 80 : step] > 0.5
    assert into.labels.shape == right.shape
    assert np.mean((into.labels > 0) == right) > 0.9
    assert len(np.unique(into.labels)) > 15
    assert 0 < into.seconds_per_px


@pytest.mark.skipif(bool(hand.missing()), reason=hand.missing())
@pytest.mark.usefixtures("preferences_file")
def test_first_labels_are_seen_while_the_run_goes_on(make_viewer, monkeypatch):
    viewer, user = make_viewer(show=True), Hand()
    viewer.window._qt_window.setGeometry(0, 0, 1280, 720)
    _, dock = viewer.window.add_plugin_dock_widget("napari-segnet", "Segment")
    assert isinstance(dock, SegmentDock)
    until(lambda: dock.checkpoint is not None and not dock.proof.busy, SOON_S)
    channels = sum(output.channels for output in dock.checkpoint.outputs)
    gate, answered = threading.Semaphore(0), []

    def maps(batch, **_how):
        assert gate.acquire(timeout=SOON_S)
        answered.append(batch.shape)
        answer = np.zeros((len(batch), channels, *batch.shape[2:]), np.float32)
        answer[:, 0] = squares(4000)[: batch.shape[2], : batch.shape[3]]
        return answer

    put_first(monkeypatch, maps=maps)
    image = viewer.add_image(np.tile(np.arange(255, dtype=np.uint8), (1200, 5)), name="cells")
    viewer.reset_view()
    QApplication.processEvents()
    user.click(dock.run_box.button)
    gate.release()
    until(lambda: len(viewer.layers) == 2, SOON_S)
    (layer,) = [x for x in viewer.layers if isinstance(x, Labels)]
    assert layer.name == "cells · nuclei (provisional)"
    assert layer.data.max() > 0
    assert layer.data.shape == tuple(-(-n // 1) for n in image.data.shape)
    assert len(answered) == 1, "the large tile is not answered yet"
    assert max(answered[0]) < 1200
    assert viewer.layers.selection.active is image, "nothing is taken out of the user's hand"
    with pytest.raises(EditError, match="not editable"):
        check_editable(layer)
    assert labels_in(viewer.layers) == []
    assert layer not in keep_journal(viewer).unsaved()
    assert keep_journal(viewer).acts(layer) == 0
    covered = np.count_nonzero(layer.data)
    gate.release()
    until(lambda: dock.run_box.words.text().startswith("done"), SOON_S)
    (final,) = [x for x in viewer.layers if isinstance(x, Labels)]
    assert final.name == "cells · nuclei"
    assert np.count_nonzero(final.data) > 2 * covered
    assert final.editable

    # And cancelled: nothing stays.
    gate.release()
    user.click(dock.run_box.button)
    until(lambda: len(viewer.layers) == 3, SOON_S)
    user.click(dock.run_box.stop)
    gate.release()
    until(lambda: "Stopped" in dock.run_box.words.text(), SOON_S)
    assert [x for x in viewer.layers if isinstance(x, Labels)] == [final]

"""One button finds the settings; a warning names an image that is unlike those of the training."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox
from support.calibrated import drawn
from support.prepared import cells, trained

from napari_segnet import cache
from napari_segnet.checkpoint import Store
from napari_segnet.families.graph import StoredGraph, describe_graph
from napari_segnet.find import Suggestion
from napari_segnet.graph.build import build
from napari_segnet.inference import PredictSettings
from napari_segnet.progress import Progress
from napari_segnet.readers import open_image
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.plugin.docks import SegmentDock
from napari_segnet.widgets.segment import find_jobs
from napari_segnet.widgets.segment.find_jobs import beside, found_settings
from napari_segnet.widgets.segment.suggested_box import SuggestedBox

WAIT_MS = 90_000
STUB = SimpleNamespace(ndim=2, channels=1)


@pytest.fixture(autouse=True)
def no_answers_of_before():
    cache.predictions.clear()
    yield
    cache.predictions.clear()


@pytest.fixture
def dock(viewer):
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    return dock


@pytest.fixture
def half(tmp_path):
    path = tmp_path / "half.safetensors"
    return trained(path, 1, lambda pixels: ((255 - pixels) / 255.0 - 0.5)[None] / 0.5).path


def choose(dock, qtbot, path):
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights(str(path))


def press(button, qtbot):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_a_click_finds_the_settings_and_the_next_run_records_them(viewer, dock, qtbot, half):
    viewer.add_image(cells(40), name="cells")
    choose(dock, qtbot, half)
    box = dock.run_settings.finder
    with qtbot.waitSignal(box.finder.finished, timeout=WAIT_MS):
        press(box.button, qtbot)
    assert box.words.text().startswith("Normalise half, inverted")
    assert dock.settings().normalize == "half"
    assert dock.settings().invert == "yes"
    scale = dock.settings().scale
    assert scale is not None and box.button.isEnabled()
    assert dock.request().found.by == "statistics"
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        press(dock.run_box.button, qtbot)
    origin = cache.predictions.recall(record_of(dock.result).key).origin
    assert origin.predict["normalize"] == "half"
    assert origin.engine["found"]["says"] in dock.summary.text()
    # What the user changes then is no longer what was found.
    dock.main.set_value(dock.settings())
    dock.run_settings._take_scale(scale * 2)
    assert dock.request().found is None


def test_the_channel_that_was_chosen_of_several_stays(viewer, dock, qtbot, half):
    noise = np.random.default_rng(0).integers(0, 255, (160, 160), np.uint8)
    viewer.add_image(np.stack([noise, cells(40)]), name="cells", axis_labels=("c", "y", "x"))
    choose(dock, qtbot, half)
    dock.channels.take("1")
    box = dock.run_settings.finder
    with qtbot.waitSignal(box.finder.finished, timeout=WAIT_MS):
        press(box.button, qtbot)
    assert not dock.message.isVisible(), dock.message.text()
    assert box.words.text().startswith("Normalise half, inverted")
    assert dock.settings().channels == "1"


def test_the_scale_is_looked_for_on_others_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(find_jobs, "MOST_BESIDE", 3)
    for name in ("0", "1", "2", "3", "4"):
        tifffile.imwrite(tmp_path / f"{name}.tif", cells(40))
    (tmp_path / "note.txt").write_text("none of them")
    np.save(tmp_path / "other.npy", cells(40))
    image = open_image(tmp_path / "2.tif")
    assert [one.name for one in beside(image)] == ["0", "1", "3"]
    (tmp_path / "1.tif").write_bytes(b"damaged")
    assert [one.name for one in beside(image)] == ["0", "3"]
    assert beside(open_image(tmp_path / "other.npy")) == []


@pytest.mark.long
def test_open_images_of_one_kind_come_before_the_folder(viewer, dock, tmp_path, monkeypatch):
    monkeypatch.setattr(find_jobs, "MOST_BESIDE", 3)
    for name in ("0", "1", "2", "3", "4"):
        tifffile.imwrite(tmp_path / f"{name}.tif", cells(40))
    viewer.open([tmp_path / "0.tif", tmp_path / "1.tif"], plugin="napari")
    viewer.add_image(cells(40), name="new")
    viewer.add_image(cells(40) / 255, name="float")
    layer = viewer.layers["0"]
    dock.layer.setCurrentIndex(dock.layer.findText(layer.name))
    assert [one.name for one in dock.image_box.others()] == ["1", "new", "float"]
    others: list[str] = []

    def settle(checkpoint, image, settings, beside):
        others.extend(one.name for one in beside)
        yield Progress(what="settings")

    monkeypatch.setattr("napari_segnet.plan.settle", settle)
    image, wish = dock.image_box.source(STUB).image, PredictSettings(scale="find")
    for _ in found_settings(STUB, image, wish, dock.image_box.others()):
        pass
    assert others == ["1", "new", "2"]
    assert len(dock.run_settings.finder.open_images()()) == 3


def test_the_warning_comes_by_itself_and_a_click_shows_where(viewer, dock, qtbot, half):
    stripes = np.tile(np.repeat(np.array([0, 255], np.uint8), 3), 64)[:256]
    viewer.add_image(np.tile(stripes, (300, 1)), name="stripes", scale=(2, 2))
    dock.show()
    choose(dock, qtbot, half)
    box = dock.run_settings.finder
    with qtbot.waitSignal(box.liker.finished, timeout=WAIT_MS):
        box.look()
    assert "unlike the training images of the network" in box.warning.text()
    assert box.warning.text().endswith("Find settings may help.")
    assert not box.warning.isHidden() and not box.where.isHidden()
    press(box.where, qtbot)
    heat = viewer.layers["stripes · unlike the training"]
    assert heat.blending == "translucent" and heat.opacity == 0.5
    corners = np.array(heat.extent.world)
    # Its first and last pixel end where those of the image do.
    half_px = (corners[1] - corners[0]) / (np.array(heat.data.shape) - 1) / 2
    ends = corners[0] - half_px, corners[1] + half_px
    wanted = np.add(viewer.layers["stripes"].extent.world, [[-1, -1], [1, 1]])
    np.testing.assert_allclose(ends, wanted, atol=1e-6)
    press(box.where, qtbot)
    assert sum("unlike" in layer.name for layer in viewer.layers) == 1


@pytest.mark.long
def test_a_warning_of_what_was_shown_before_is_not_shown(viewer, dock, qtbot, half):
    stripes = np.tile(np.repeat(np.array([0, 255], np.uint8), 3), 64)[:256]
    viewer.add_image(np.tile(stripes, (256, 1)), name="stripes")
    choose(dock, qtbot, half)
    box = dock.run_settings.finder
    with qtbot.waitSignal(box.liker.finished, timeout=WAIT_MS):
        box.look()
        # No event of the dock tells it that the image was changed while it was compared.
        dock.session.overrides["invert"] = "yes"
    assert box.warning.isHidden() and box.where.isHidden()
    assert box._timer.isActive()
    dock.session.overrides.clear()
    with qtbot.waitSignal(box.liker.finished, timeout=WAIT_MS):
        box.look()
    assert not box.where.isHidden()
    dock.image_box.edited.emit()
    assert box.where.isHidden() and box._timer.isActive()


@pytest.mark.long
def test_a_run_stops_the_comparison_and_it_goes_on_later(viewer, dock, qtbot, half):
    viewer.add_image(cells(40), name="cells")
    choose(dock, qtbot, half)
    box = dock.run_settings.finder
    qtbot.waitUntil(lambda: not dock.proof.busy, timeout=WAIT_MS)
    with (
        qtbot.waitSignal(box.liker.cancelled, timeout=WAIT_MS),
        qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS),
    ):
        box.look()
        press(dock.run_box.button, qtbot)
        assert box._held and not box._timer.isActive()
    assert dock.result is not None
    assert box._timer.isActive()
    assert not box._held and box._looked_at is None
    with qtbot.waitSignal(box.liker.succeeded, timeout=WAIT_MS):
        box.look()
    box._timer.stop()
    with qtbot.waitSignal(dock._runner.finished, timeout=WAIT_MS):
        press(dock.run_box.button, qtbot)
    assert box._looked_at is not None
    assert not box._timer.isActive()  # the same image is not compared again


def test_without_statistics_a_contact_sheet_asks(viewer, dock, qtbot, tmp_path):
    graph = drawn({}, norm=False)
    path = tmp_path / "plain.safetensors"
    described = describe_graph(path=path, graph=graph, store=Store(container="safetensors"))
    StoredGraph().save(build(graph).eval(), described, path)
    viewer.add_image(cells(41, edge=64), name="cells")
    choose(dock, qtbot, path)
    box = dock.run_settings.finder
    with qtbot.waitSignal(box.comparer.finished, timeout=WAIT_MS):
        press(box.button, qtbot)
    assert "Neither the file nor code" in box.words.text()
    texts = [button.text() for button in box.sheet.buttons]
    place = texts.index("z-score")
    press(box.sheet.buttons[place], qtbot)
    assert dock.settings().normalize == "z-score"
    assert box.sheet.hint.text() == "The next run uses these settings. Press Run."
    assert [button.text() for button in box.sheet.buttons if button.isChecked()] == ["z-score"]
    press(box.sheet.buttons[0], qtbot)
    assert [button.isChecked() for button in box.sheet.buttons].index(True) == 0
    # Another setting by hand: what was clicked no longer counts.
    clicked = dock.settings().normalize
    qtbot.keyClick(dock.main.row("normalize").findChild(QComboBox), Qt.Key.Key_Up)
    assert dock.settings().normalize != clicked
    assert not any(button.isChecked() for button in box.sheet.buttons)


def test_one_click_takes_what_code_suggests(qtbot):
    box = SuggestedBox()
    qtbot.addWidget(box)
    box.show()
    one = Suggestion(setting="normalize", value="half", where="predict.py:7", code="x / 127.5 - 1")
    box.show_suggestions([one])
    label = box.findChild(object, "segnet_suggested_text_0")
    assert label.text() == "normalise half\npredict.py:7: x / 127.5 - 1"
    with qtbot.waitSignal(box.taken) as taken:
        press(box.findChild(object, "segnet_suggested_0"), qtbot)
    assert taken.args == [one]
    box.show_suggestions([])
    assert box.isHidden()


def test_a_suggestion_that_is_taken_is_set(viewer, dock, qtbot, half):
    viewer.add_image(cells(42, edge=64), name="cells")
    choose(dock, qtbot, half)
    box = dock.run_settings.finder

    def take(setting, value):
        box.suggested.taken.emit(
            Suggestion(setting=setting, value=value, where="train.py:3", code="…")
        )

    take("normalize", "imagenet")
    take("scale", 1.5)
    take("threshold", 0.3)
    assert (dock.settings().normalize, dock.settings().scale) == ("imagenet", 1.5)
    assert dock.labels.value().threshold == 0.3
    assert box.words.text() == "Taken from train.py:3."

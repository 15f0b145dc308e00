"""A network that only its user can complete: the docks ask, and open it with the answer."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import Qt
from support.keras_files import functional, h5, image, layer

from napari_segnet.widgets.plugin.docks import SegmentDock
from napari_segnet.widgets.train.dock import TrainDock

WAIT_MS = 60_000
CODE = {"function": ["4wEAAAAAAAAA\n", None, None], "function_type": "lambda"}


@pytest.fixture
def weights(tmp_path):
    """A file of Keras with two Lambdas."""
    layers = [
        image(None, None, 1),
        layer("Lambda", "scale", "input", **CODE),
        layer("Conv2D", "conv", "scale", filters=1, kernel_size=[3, 3], padding="same"),
        layer("Lambda", "end", "conv", **CODE),
    ]
    kernel = np.ones((3, 3, 1, 1), "float32")
    named = {"conv": [("conv/kernel:0", kernel), ("conv/bias:0", np.zeros(1, "float32"))]}
    return h5(tmp_path / "net.h5", named, functional(layers))


@pytest.mark.parametrize("kind", [SegmentDock, TrainDock])
def test_the_dock_asks_and_opens_it_with_the_answer(kind, weights, make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    dock = kind(viewer)
    viewer.window.add_dock_widget(dock, name="dock")
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        dock.choose_weights(str(weights))
    assert not dock.missing_fact.isHidden()
    assert dock.message.isHidden()
    assert "Python code that is never run. Choose:" in dock.missing_fact.question.text()
    first, second = dock.missing_fact.boxes
    assert not dock.missing_fact.button.isEnabled()
    first.setCurrentIndex(first.findData("divide-255"))
    assert not dock.missing_fact.button.isEnabled()
    second.setCurrentIndex(second.findData("sigmoid"))
    with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
        qtbot.mouseClick(dock.missing_fact.button, Qt.MouseButton.LeftButton)
    assert dock.checkpoint.hparams["lambda"] == "divide-255,sigmoid"
    assert dock.checkpoint.known["lambda"].source == "told"
    assert dock.missing_fact.isHidden()


def test_another_network_ends_the_question(weights, make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="dock")
    for choice in (weights, "nuclei"):
        with qtbot.waitSignal(dock._looker.finished, timeout=WAIT_MS):
            dock.choose_weights(str(choice))
    assert dock.missing_fact.isHidden()
    assert dock.checkpoint.hparams.get("lambda") is None


@pytest.mark.subprocess
def test_a_network_is_looked_at_without_torch(tmp_path):
    """Loading torch takes a second of the worker, and Python's lock."""
    code = (
        "import sys; from napari_segnet.widgets.checkpoint.recognise import recognise;"
        "from napari_segnet.widgets.checkpoint.card import headline;"
        "from napari_segnet.card import card_of;"
        "from napari_segnet.widgets.train.jobs import writes_as;"
        "from napari_segnet.progress import run;"
        "from napari_segnet.inference import LabelSettings;"
        "from napari_segnet.plan.input import recipe;"
        "from napari_segnet.answers import answer_of;"
        "found = run(recognise('nuclei', {})); headline(found); card_of(found); recipe(found);"
        "answer_of(found).settings(LabelSettings(), found.outputs, {}); writes_as(found);"
        "assert 'torch' not in sys.modules, 'torch'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("unet.h5", "unet-trained-1.h5"),
        ("unet-taught-3.keras", "unet-trained-1.keras"),
        ("unet.weights.h5", "unet-trained-1.weights.h5"),
    ],
)
def test_the_suggested_name_keeps_the_ending(
    name, expected, weights, tmp_path, make_napari_viewer, qtbot
):
    from napari_segnet.recognition import identify

    dock = TrainDock(make_napari_viewer())
    qtbot.addWidget(dock)
    found = identify(weights, {"lambda": "identity"})
    dock.session.checkpoint = dataclasses.replace(found, path=tmp_path / name)
    dock.session.folder = tmp_path
    dock.files.suggest_out()
    assert dock.out.name == expected

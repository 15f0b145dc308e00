"""Make the pictures of the docs from the running program.

::

    xvfb-run -a -s "-screen 0 1400x900x24" python scripts/pictures.py [NAME...]

Without names, all of them: docs/pictures/NAME.png, and one NAME.gif. Look at each before it
is committed. Those of Mask R-CNN need a trained one: SEGNET_MASKRCNN=FILE.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from stage import Stage, beside, new_user, point_at, save_moving, save_picture, stage

if TYPE_CHECKING:
    from napari_segnet.widgets.correct.edit_panel import EditPanel

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
PICTURES: dict[str, Callable[[], Image.Image]] = {}
"""Name of a PNG -> what makes it."""
MOVING: dict[str, Callable[[], list[tuple[Image.Image, float]]]] = {}
"""Name of a GIF -> what makes its pictures, each with the seconds for which it is shown."""
CLOSE = 2.6
"""Zoom of the canvas, over the whole sample, at which single nuclei are looked at."""
SQUARE_PX = (1240, 640)
"""Of a window whose canvas is about as high as wide."""
FOLDERS = ExitStack()


def picture(make: Callable[[], Image.Image]) -> Callable[[], Image.Image]:
    PICTURES[make.__name__.replace("_", "-")] = make
    return make


def moving(
    make: Callable[[], list[tuple[Image.Image, float]]],
) -> Callable[[], list[tuple[Image.Image, float]]]:
    MOVING[make.__name__.replace("_", "-")] = make
    return make


@cache
def files() -> Path:
    """Return a folder for the files that are dropped; it goes when the script ends."""
    import tempfile

    return Path(FOLDERS.enter_context(tempfile.TemporaryDirectory(prefix="segnet-dropped-")))


@cache
def own_network() -> Path:
    from own_network import write_own_network

    return write_own_network(files() / "my_unet.pth")


def look_closer(on: Stage, y: float = 150, x: float = 180, zoom: float = CLOSE) -> None:
    camera = on.viewer.scene.camera
    camera.zoom *= zoom
    camera.center = (0, y, x)
    on.pause(0.3)


# ---- The first minute ----


@picture
def window() -> Image.Image:
    with stage() as on:
        on.sample()
        on.choose("nuclei")
        on.run()
        return on.window()


@moving
def segment() -> list[tuple[Image.Image, float]]:
    """Choose the network, run, move the threshold; the labels follow."""
    from superqt import QLabeledDoubleSlider

    frames: list[tuple[Image.Image, float]] = []
    with stage(size_px=(1180, 720)) as on:
        on.sample()
        look_closer(on, zoom=2.0)

        def show(seconds: float, at: object, along: float = 0.5) -> None:
            left, top, right, bottom = on.box(at)
            x = left + 14 + round((right - left - 28) * along)
            pointed = point_at(on.window(), x, (top + bottom) // 2)
            first, *_ = on.box(on.canvas)
            frames.append((pointed.crop((first, 0, pointed.width, pointed.height)), seconds))

        show(0.9, on.dock.weights.combo)
        on.choose("nuclei")
        show(0.9, on.dock.weights.combo)
        show(0.6, on.dock.run_box.button)
        on.dock.run_box.button.click()
        on.wait(lambda: not on.dock._runner.busy)
        on.pause(0.3)
        show(1.2, on.dock.run_box.button)
        slider = on.dock.labels.row("threshold").findChild(QLabeledDoubleSlider)
        for value in (0.7, 0.9, 0.97, 0.99, 1.0, 0.98, 0.9, 0.5, 0.2, 0.05, 0.01, 0.1, 0.3, 0.5):
            on.slide("threshold", value)
            show(0.25, slider._slider, value)
    frames[-1] = (frames[-1][0], 1.2)
    return frames


# ---- Tutorial ----


@picture
def tutorial_sample() -> Image.Image:
    from qtpy.QtCore import QPoint
    from qtpy.QtGui import QCursor

    with stage() as on:
        window = on.viewer.window
        bar = window.main_menu
        menu = next(a.menu() for a in bar.actions() if a.text().strip("&") == "File")
        menu.popup(bar.mapToGlobal(QPoint(4, bar.height())))
        on.pause(0.3)
        samples = next(a for a in menu.actions() if "Sample" in a.text())
        menu.setActiveAction(samples)
        on.pause(0.3)
        ours = next(a for a in samples.menu().actions() if "network" in a.text())
        samples.menu().setActiveAction(ours)
        on.pause(0.3)
        ours.menu().setActiveAction(ours.menu().actions()[0])
        QCursor.setPos(1300, 850)
        seen = on.screen().crop((0, 0, 940, 330))
        for opened in (ours.menu(), samples.menu(), menu):
            opened.close()
        return seen


@picture
def tutorial_network() -> Image.Image:
    with stage() as on:
        on.sample()
        on.choose("nuclei")
        return on.part(on.group("Network"), on.group("Image"))


@picture
def tutorial_threshold() -> Image.Image:
    seen = []
    with stage(size_px=(1000, 640)) as on:
        on.sample()
        on.choose("nuclei")
        on.run()
        look_closer(on)
        for threshold in (0.02, 0.5, 0.99):
            on.slide("threshold", threshold)
            seen.append(below(on.row("threshold"), on.part(on.canvas)))
    return beside(seen)


@picture
def tutorial_correct() -> Image.Image:
    """A nucleus that was taken away is being painted again."""
    with stage() as on:
        on.sample()
        on.choose("nuclei")
        on.run()
        look_closer(on)
        layer = on.dock.result
        y, x = 295, 349
        missed = np.argwhere(layer.data == layer.data[y, x])
        layer.fill((y, x), 0)
        layer.mode = "paint"
        layer.brush_size = 8
        layer.selected_label = int(layer.data.max()) + 1
        for point in missed[: int(0.6 * len(missed)) : 3]:
            inside = np.abs(missed - point).sum(1) <= 4
            if inside.sum() > 38:
                layer.paint(tuple(point), layer.selected_label)
        on.pause(0.3)
        seen = on.window()
        _, _, right, _ = on.box(on.canvas)
        return seen.crop((0, 0, right, seen.height))


@picture
def tutorial_kept() -> Image.Image:
    with stage() as on:
        on.sample()
        on.choose("nuclei")
        on.run()
        on.dock.result.paint((40, 40), 200)
        on.slide("threshold", 0.8)
        return on.part(on.dock.message, on.dock.labels.row("threshold"))


@picture
def tutorial_command() -> Image.Image:
    with stage() as on:
        layer = on.sample()
        layer.name = "cells"
        on.choose("nuclei")
        on.run()
        on.slide("threshold", 0.6)
        on.dock.copy.click()
        on.scroll_to(on.dock.copy)
        return on.part(on.dock.message, on.dock.copy)


# ---- Corrections ----


@picture
def correct_window() -> Image.Image:
    with stage() as on:
        panel = correcting(on)
        closer(on, 153, 396, 3.2)
        panel.buttons["split"].click()
        with drawing(on, *WAIST):
            return on.window()


@picture
def correct_split() -> Image.Image:
    """Two nuclei in one object: the line across it, and after."""
    return before_and_after("split", 153, 396, WAIST)


@picture
def correct_clicks() -> Image.Image:
    """Three nuclei in one object: a click in each, and after."""
    with stage(size_px=SQUARE_PX) as on:
        panel = correcting(on)
        closer(on, 395, 426, 5)
        panel.buttons["parts"].click()
        for part in PARTS:
            with drawing(on, part):
                pass
        seen = on.part(on.canvas)
        panel.key("parts")
        on.pause(0.3)
        return beside([seen, on.part(on.canvas)])


@picture
def correct_merge() -> Image.Image:
    """A nucleus in two parts: from one to the other, and after."""
    with stage(size_px=SQUARE_PX) as on:
        panel = correcting(on)
        closer(on, 180, 415, 5)
        panel.buttons["split"].click()
        with drawing(on, (160, 429), (212, 432)):
            pass
        panel.buttons["merge"].click()
        with drawing(on, (184, 424), (187, 438)):
            seen = on.part(on.canvas)
        on.pause(0.3)
        return beside([seen, on.part(on.canvas)])


@picture
def correct_lasso() -> Image.Image:
    return before_and_after("lasso", 160, 400, LASSO, zoom=2.4)


@picture
def correct_slices() -> Image.Image:
    with stage() as on:
        on.sample("nuclei-stack")
        panel = correcting(on)
        return on.part(panel.groups["Slices"])


WAIST = [(132, 397), (150, 395.5), (174, 394)]
PARTS = [(401, 401), (392, 421), (396, 446)]
LASSO = [(118, 355), (122, 402), (120, 445), (170, 452), (186, 420), (182, 362), (150, 352)]
"""Places in the sample, rows and columns."""


def before_and_after(
    act: str, y: float, x: float, points: list[tuple[float, float]], zoom: float = 5
) -> Image.Image:
    with stage(size_px=SQUARE_PX) as on:
        panel = correcting(on)
        closer(on, y, x, zoom)
        panel.buttons[act].click()
        with drawing(on, *points):
            seen = on.part(on.canvas)
        on.pause(0.3)
        return beside([seen, on.part(on.canvas)])


def correcting(on: Stage) -> EditPanel:
    """Segment the sample without cutting nuclei apart, and open the Correct dock."""
    if not on.viewer.layers:
        on.sample()
    on.choose("nuclei")
    on.run()
    on.pick("instances", "components")
    _, dock = on.viewer.window.add_plugin_dock_widget("napari-segnet", "Correct")
    on.pause(0.8)
    return dock.edit


def closer(on: Stage, y: float, x: float, zoom: float) -> None:
    """Look at a pixel of the sample."""
    look_closer(on, *on.viewer.layers[-1].data_to_world((y, x)), zoom)


@contextmanager
def drawing(on: Stage, *points: tuple[float, float]) -> Iterator[None]:
    """Draw through pixels of the sample with the left button down; it is released at the end."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    camera, canvas, left = on.viewer.scene.camera, on.canvas, Qt.MouseButton.LeftButton
    world = np.array([on.viewer.layers[-1].data_to_world(point) for point in points])
    steps = [a + (b - a) * n / 8 for a, b in pairwise(world) for n in range(1, 9)]
    middle = np.array([canvas.height(), canvas.width()]) / 2
    spots = [middle + (p - camera.center[-2:]) * camera.zoom for p in [world[0], *steps]]
    places = [QPoint(round(x), round(y)) for y, x in spots]
    QTest.mousePress(canvas, left, pos=places[0])
    for place in places[1:]:
        QTest.mouseMove(canvas, place)
        on.pause(0.02)
    on.pause(0.2)
    yield
    QTest.mouseRelease(canvas, left, pos=places[-1])
    on.pause(0.2)


# ---- Your network ----


@picture
def network_dropped() -> Image.Image:
    with stage("light") as on:
        on.sample()
        on.choose(own_network())
        return on.part(on.group("Network"))


@picture
def network_card() -> Image.Image:
    with stage("light", (1240, 1000)) as on:
        on.choose(own_network())
        on.dock.card.more.expand()
        on.pause(0.3)
        return on.part(on.group("Network"))


@cache
def bare_network() -> Path:
    from own_network import write_bare_network

    return write_bare_network(files() / "hand_written.pth")


def asked(on: Stage) -> None:
    on.sample()
    on.choose(bare_network())
    on.wait(lambda: not on.dock.network.busy and not on.dock.proof.comparer.busy)
    on.pause(0.3)


@picture
def network_asked() -> Image.Image:
    with stage("light", (1240, 1000)) as on:
        asked(on)
        return on.part(on.group("Network"))


@picture
def network_drawn() -> Image.Image:
    from napari_segnet.diagram import diagram_of, pixels
    from napari_segnet.recognition import identify

    told = {"join": "skip-up"}
    return Image.fromarray(pixels(diagram_of(identify(bare_network(), told)), 1.0))


@picture
def keras_lambda() -> Image.Image:
    with stage("light", (1240, 1000)) as on:
        on.sample()
        on.choose(with_lambda())
        on.dock.missing_fact.boxes[0].setCurrentIndex(1)
        on.pause(0.3)
        return on.part(on.group("Network"))


@cache
def with_lambda() -> Path:
    """Write a network of Keras whose first layer is Python code."""
    import json

    import h5py

    def layer(kind: str, name: str, before: str, **config: Any) -> dict[str, Any]:
        nodes = [[[before, 0, 0, {}]]] if before else []
        own = {"name": name, **config}
        return {"class_name": kind, "name": name, "config": own, "inbound_nodes": nodes}

    layers = [
        layer("InputLayer", "image", "", batch_input_shape=[None, None, None, 1]),
        layer("Lambda", "scale_pixels", "image", function=["", None, None]),
        layer("Conv2D", "mask", "scale_pixels", filters=1, kernel_size=[3, 3], padding="same"),
    ]
    ends = {"input_layers": [["image", 0, 0]], "output_layers": [["mask", 0, 0]]}
    config = {"class_name": "Functional", "config": {"layers": layers, **ends}}
    path = files() / "unet.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), "2.15.0"
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = ["mask"]
        weights.create_group("mask").attrs["weight_names"] = ["mask/kernel:0", "mask/bias:0"]
        weights["mask/mask/kernel:0"] = np.ones((3, 3, 1, 1), "float32")
        weights["mask/mask/bias:0"] = np.zeros(1, "float32")
    return path


@picture
def network_preview() -> Image.Image:
    seen = []
    with stage("light", (1240, 1100)) as on:
        on.sample()
        on.choose(own_network())
        on.dock.more.expand()
        for how in ("auto", "percentile"):
            normalise(on, how)
            on.dock.preview.button.click()
            on.wait(lambda: not on.dock.run_settings.previewer.busy)
            on.pause(0.3)
            on.scroll_to(on.dock.main)
            settings = on.part(on.dock.main)
            on.scroll_to(on.dock.preview)
            seen.append(below(settings, on.part(on.dock.preview)))
    return beside(seen)


@picture
def find_settings() -> Image.Image:
    """The warning that the image is unlike the training, and after the settings were found."""
    with stage("light", (1240, 1000)) as on:
        on.sample()
        on.choose(own_network())
        on.wait(lambda: not on.dock.network.busy and not on.dock.proof.comparer.busy)
        finder = on.dock.run_settings.finder
        finder.look()
        on.wait(lambda: not finder.liker.busy)
        on.scroll_to(finder)
        seen = [on.part(on.group("Image"))]
        finder.button.click()
        on.wait(lambda: not (finder.finder.busy or finder.comparer.busy))
        on.pause(1.5)  # the comparison comes by itself
        on.wait(lambda: not finder.liker.busy)
        seen.append(on.part(on.group("Image")))
        return beside(seen)


@picture
def network_wrong() -> Image.Image:
    """The same network, with the normalisation that was assumed, and with the right one."""
    seen = []
    with stage(size_px=SQUARE_PX) as on:
        on.sample()
        on.choose(own_network())
        for how in ("auto", "percentile"):
            normalise(on, how)
            on.run()
            seen.append(on.part(on.canvas))
    return beside(seen)


@picture
def network_watershed() -> Image.Image:
    seen = []
    with stage(size_px=SQUARE_PX) as on:
        on.sample()
        on.choose(own_network())
        normalise(on, "percentile")
        on.run()
        look_closer(on)
        for how in ("components", "watershed"):
            on.pick("instances", how)
            seen.append(below(on.row("instances"), on.part(on.canvas)))
    return beside(seen)


@picture
def network_channels() -> Image.Image:
    with stage("light") as on:
        nuclei = on.sample("nuclei-rgb")
        channels = np.moveaxis(np.asarray(nuclei.data), -1, 0)
        on.viewer.layers.clear()
        on.show(on.viewer.add_image(channels, name="three stains", axis_labels=("c", "y", "x")))
        on.choose("nuclei")
        return on.part(on.group("Image"))


# ---- Mask R-CNN ----


@cache
def detector() -> Path:
    """Return a trained Mask R-CNN of nuclei: ``SEGNET_MASKRCNN`` names it."""
    named = os.environ.get("SEGNET_MASKRCNN")
    if not named:
        sys.exit("Set SEGNET_MASKRCNN to a file of scripts/train_maskrcnn.py.")
    return Path(named)


@picture
def mask_rcnn() -> Image.Image:
    """Objects with their scores; the settings that follow."""
    with stage() as on:
        on.sample()
        on.choose(detector())
        on.run()
        on.scroll_to(on.dock.labels)
        return on.window()


@picture
def mask_rcnn_ask() -> Image.Image:
    """A box around a nucleus that was erased, and what the network makes of it."""
    seen = []
    with stage(size_px=SQUARE_PX) as on:
        on.sample()
        on.choose(detector())
        on.run()
        layer = on.dock.result
        sizes = np.bincount(layer.data.reshape(-1))[1:]
        one = int(np.argsort(sizes)[9 * len(sizes) // 10]) + 1  # one of the larger ones
        rows, columns = (layer.data == one).nonzero()
        box = (rows.min(), columns.min(), rows.max(), columns.max())
        place = [(low + high) / 2 for low, high in zip(box[:2], box[2:], strict=True)]
        look_closer(on, *(layer.scale * place))
        layer.data_setitem((rows, columns), 0)
        on.pause(0.3)
        on.viewer.add_shapes(
            [[[box[0], box[1]], [box[2], box[3]]]],
            shape_type="rectangle",
            edge_color="white",
            face_color="transparent",
            edge_width=1,
            scale=layer.scale,
            units=layer.units,
        )
        on.pause(0.3)
        seen.append(on.part(on.canvas))
        on.dock.asking.button.click()
        on.viewer.layers.selection.active = layer
        on.dock.ask.shapes.click()
        on.wait(lambda: not on.dock.ask.runner.busy)
        on.pause(0.5)
        seen.append(on.part(on.canvas))
    return beside(seen)


# ---- Review ----


@picture
def review() -> Image.Image:
    """Labels in which some nuclei are merged, split, deleted or invented."""
    with stage() as on:
        panel = reviewed(on)
        for _ in range(3):
            panel.accept()
        panel.fix()
        panel.next()
        on.pause(0.4)
        return on.window()


@picture
def review_recover() -> Image.Image:
    """What a window left behind is offered by the next one."""
    from napari_segnet.widgets.recovery.dialogs import RecoveryBar

    with stage() as on:
        panel = reviewed(on)
        for _ in range(7):
            panel.delete()
    with stage() as on:
        on.sample()
        bar = on.viewer.window._qt_window.findChild(RecoveryBar)
        on.pause(0.5)
        left, top, right, bottom = on.box(bar, on.canvas)
        seen = on.window().crop((left, top, right, min(bottom, top + 300)))
        bar.drop.click()
        return seen


@picture
def review_close() -> Image.Image:
    from napari_segnet.widgets.recovery.dialogs import CloseQuestion

    with stage() as on:
        panel = reviewed(on)
        panel.delete()
        question = CloseQuestion([(panel.layer, 7)], on.viewer.window._qt_window)
        question.show()
        on.pause(0.5)
        box = question.frameGeometry()
        seen = on.screen().crop((box.left(), box.top(), box.right(), box.bottom()))
        question.close()
        panel.reviews._keeper.forget(panel.layer)
        return seen


def reviewed(on: Stage) -> Any:
    """Return the Review tab with doubts of labels that hold mistakes."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
    from _wrong import spoil

    from napari_segnet.samples import TRUTHS
    from napari_segnet.widgets.review.panel import ReviewPanel

    image = on.sample()
    wrong = spoil(TRUTHS["nuclei"](), np.random.default_rng(1))
    layer = on.viewer.add_labels(
        wrong.labels, name="nuclei by hand", scale=image.scale, units=image.units
    )
    on.viewer.window.remove_dock_widget(on.dock)
    _, dock = on.viewer.window.add_plugin_dock_widget("napari-segnet", "Correct")
    panel = dock.findChild(ReviewPanel)
    dock.bring_forward(panel)
    on.show(layer)
    panel.network.setCurrentIndex(panel.network.findData("nuclei"))
    panel.run_box.button.click()
    on.wait(lambda: not panel._runner.busy)
    on.pause(0.4)
    return panel


# ---- Teaching and judging ----


@picture
def evaluate() -> Image.Image:
    """Labels of the built-in network beside the truth; one mistake is looked at."""
    from napari_segnet.samples import TRUTHS

    with stage() as on:
        image = on.sample()
        on.choose("nuclei")
        on.run()
        on.pick("instances", "components")
        on.slide("threshold", 0.12)
        on.viewer.add_labels(
            TRUTHS["nuclei"](), name="truth", scale=image.scale, units=image.units, visible=False
        )
        _, dock = on.viewer.window.add_plugin_dock_widget("napari-segnet", "Evaluate")
        on.pause(0.3)
        dock.run_box.button.click()
        on.wait(lambda: not dock._runner.busy)
        for _ in range(2):
            dock.mistakes.after.click()
        on.pause(0.3)
        to_the_end(dock)
        on.pause(0.3)
        return on.window()


@picture
def train_window() -> Image.Image:
    """The dock before it begins."""
    with stage(size_px=(1240, 720)) as on:
        dock = teaching(on)
        on.pause(0.3)
        left, top, right, bottom = on.box(dock)
        return on.window().crop((left, top + 4, right, bottom))  # without the title above it


@picture
def train_start() -> Image.Image:
    """Settings and another network are offered before a training on dark objects."""
    with stage(size_px=(1240, 900)) as on:
        dock = teaching(on, dark=True)
        dock.choose_weights("nuclei")
        on.wait(lambda: dock.run_box.button.isEnabled())
        dock.begin_well.ask.click()
        on.wait(lambda: not dock.begin_well.runner.busy)
        on.pause(0.3)
        return on.part(dock.begin_well)


@picture
def train_examples() -> Image.Image:
    """What is learned from, as the training changes it."""
    from napari_segnet.widgets.train.examples_window import ExamplesWindow

    with stage(size_px=(1240, 720)) as on:
        dock = teaching(on)
        dock.choose_weights("nuclei")
        on.wait(lambda: dock.run_box.button.isEnabled())
        dock.more.set_value(replace(dock.more.value(), crop_px=96))
        dock.examples.click()
        seen = dock.findChild(ExamplesWindow)
        on.wait(lambda: bool(seen.pictures))
        on.pause(0.3)
        shown = grabbed(seen)
        seen.close()
        return shown


@picture
def train_interrupted() -> Image.Image:
    """A training was killed: the dock offers it again."""
    from napari_segnet.dataset import Dataset
    from napari_segnet.engines.torch import identify
    from napari_segnet.train import TrainSettings
    from napari_segnet.train._train import train

    with stage(size_px=(1240, 720)) as on:
        dock = teaching(on)
        out = dock.folder / "networks" / "my_unet-trained-1.pth"
        out.parent.mkdir(exist_ok=True)
        how = TrainSettings(epochs=20, steps_per_epoch=1, batch_size=1, crop_px=32)
        for report in train(identify(own_network()), Dataset.open(dock.folder), out, how):
            if report.what == "epoch" and report.done == 7:
                break
        dock.choose_folder(dock.folder)
        on.wait(dock.unfinished.isVisible)
        on.pause(0.3)
        shown = on.part(dock.unfinished)
        dock.unfinished.anew_button.click()
        on.wait(lambda: not dock.unfinished.isVisible())
        return shown


def grabbed(widget: Any) -> Image.Image:
    """Return a window of its own as a picture."""
    path = files() / "grabbed.png"
    widget.grab().save(str(path))
    with Image.open(path) as shown:
        return shown.convert("RGB")


@picture
def train_gate() -> Image.Image:
    """After a short training: what changed on a held-out image, and the gate."""
    with stage(size_px=(1240, 760)) as on:
        dock = teaching(on)
        short = replace(dock.settings(), minutes=0, epochs=4, steps_per_epoch=6)
        dock.set_settings(replace(short, learning_rate=1e-3, crop_px=96, batch_size=2))
        dock.run_box.button.click()
        on.wait(lambda: not dock._runner.busy)
        dock.outcome.changes.click()
        on.pause(0.3)
        to_the_end(dock)
        on.pause(0.5)
        return on.window()


def to_the_end(inside: Any) -> None:
    """Scroll to the end of a dock."""
    from qtpy.QtWidgets import QScrollArea

    area = inside.findChild(QScrollArea) or inside
    while not isinstance(area, QScrollArea):
        area = area.parentWidget()
    area.verticalScrollBar().setValue(area.verticalScrollBar().maximum())


def teaching(on: Stage, *, dark: bool = False) -> Any:
    """Return the Train dock with a network and a training set of sample pictures."""
    import json

    import tifffile

    from napari_segnet.samples import draw_nuclei, photograph

    root = files() / "training set"
    rows = []
    for number in range(4):
        rng = np.random.default_rng(number)
        labels = draw_nuclei(rng, (192, 192), 24)
        pixels = photograph(rng, labels)
        pixels = pixels.max() - pixels if dark else pixels
        for folder, data in (("images", pixels), ("labels", labels.astype(np.uint16))):
            (root / folder).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(root / folder / f"cell_{number}.tif", np.asarray(data))
        rows.append(
            {
                "image": f"images/cell_{number}.tif",
                "labels": f"labels/cell_{number}.tif",
                "source": f"cell_{number}",
                "split": "val" if number == 3 else "train",
            }
        )
    (root / "dataset.json").write_text(json.dumps({"samples": rows}), encoding="utf-8")
    on.viewer.window.remove_dock_widget(on.dock)
    _, dock = on.viewer.window.add_plugin_dock_widget("napari-segnet", "Train")
    dock.choose_folder(root)
    dock.choose_weights(str(own_network()))
    on.wait(lambda: dock.run_box.button.isEnabled())
    return dock


# ---- Troubleshooting ----


@picture
def refused_weights() -> Image.Image:
    path = files() / "unet_best.pth"
    path.write_text(
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{'4d7a214614ab2935c943f9e0ff69d22e' * 2}\nsize 146646570\n"
    )
    with stage() as on:
        on.sample()
        on.choose(path)
        return below(on.part(on.group("Network")), on.part(on.dock.message))


@picture
def failed_image() -> Image.Image:
    folder = files() / "plate 7"
    write_plate(folder)
    with stage() as on:
        on.choose("nuclei")
        on.drop(folder)
        on.scroll_to(on.dock.batch.said)
        return on.part(on.dock.batch)


@picture
def out_of_memory() -> Image.Image:
    """The engine is told that memory is gone, as a graphics card or a full computer does."""
    from napari_segnet.engines.torch import Network

    def full(*args: object, **kwargs: object) -> None:
        raise MemoryError

    real = Network.maps
    with stage() as on:
        on.sample()
        on.choose("nuclei")
        Network.maps = full
        try:
            on.run()
        finally:
            Network.maps = real
        on.scroll_to(on.dock.message)
        return on.part(on.dock.run_box, on.dock.message)


@picture
def wrong_scale() -> Image.Image:
    """Nuclei six times as large as the network knows them: without and with the scale."""
    from scipy import ndimage

    seen = []
    with stage(size_px=SQUARE_PX) as on:
        small = np.asarray(on.sample().data)[30:158, 370:498].astype(np.float32)
        on.viewer.layers.clear()
        large = ndimage.zoom(small, 6, order=1).astype(np.uint16)
        on.show(on.viewer.add_image(large, name="63x", contrast_limits=(300, 2400)))
        on.choose("nuclei")
        for scale in (None, 6.0):
            on.dock.advanced.set_value(replace(on.dock.advanced.value(), scale=scale))
            on.run()
            seen.append(on.part(on.canvas))
    return beside(seen)


@picture
def measure() -> Image.Image:
    """The table of the objects, opened from the result, and one that was clicked."""
    with stage() as on:
        on.sample()
        on.choose("nuclei")
        on.run()
        on.dock.shown.box.measure.click()
        from napari_segnet.widgets.measure.dock import MeasureDock

        on.pause(0.2)
        dock = on.viewer.window._qt_window.findChild(MeasureDock)
        on.wait(lambda: dock.found is not None)
        on.pause(0.3)
        dock.table.selectRow(3)
        dock.table.clicked.emit(dock.table.measures.index(3, 0))
        on.pause(0.5)
        return on.window()


@picture
def light_and_dark() -> Image.Image:
    """Dark nuclei, and what the network finds in them; after the message has offered it."""
    with stage() as on:
        small = np.asarray(on.sample().data)[30:286, 30:286].astype(np.float32)
        on.viewer.layers.clear()
        dark = 255 - 200 * np.clip((small - small.min()) / (2400 - small.min()), 0, 1)
        on.show(on.viewer.add_image(dark.astype(np.uint8), name="bright field"))
        on.choose("nuclei")
        on.run()
        on.dock.message.action.click()
        on.wait(lambda: not on.dock.run_settings.inputs_trier.busy)
        on.pause(0.3)
        return on.window()


def normalise(on: Stage, how: str) -> None:
    on.dock.main.set_value(replace(on.dock.main.value(), normalize=how))
    on.dock.preview.clear()


def below(top: Image.Image, bottom: Image.Image) -> Image.Image:
    """Return one picture below the other, in the colour of the upper one's corner."""
    size = (max(top.width, bottom.width), top.height + bottom.height)
    joined = Image.new("RGB", size, top.getpixel((0, 0)))
    joined.paste(top, (0, 0))
    joined.paste(bottom, (0, top.height))
    return joined


def write_plate(folder: Path) -> None:
    """Write a folder of pictures of which one was cut off while it was copied."""
    import tifffile

    from napari_segnet.samples import nuclei_2d

    folder.mkdir(exist_ok=True)
    pixels = np.asarray(nuclei_2d().data)
    for number, corner in enumerate((0, 128, 256), 1):
        tifffile.imwrite(folder / f"well_{number}.tif", pixels[corner : corner + 256, :256])
    whole = (folder / "well_2.tif").read_bytes()
    (folder / "well_2.tif").write_bytes(whole[: len(whole) // 2])


def usual() -> list[str]:
    """Return all pictures that can be made here."""
    trained = "SEGNET_MASKRCNN" in os.environ
    return [name for name in (*PICTURES, *MOVING) if trained or not name.startswith("mask-rcnn")]


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - {*PICTURES, *MOVING})
    if unknown:
        known = ", ".join([*PICTURES, *MOVING])
        print(f"no picture is called {', '.join(unknown)}; there are {known}", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    with FOLDERS:
        for name in names or usual():
            with new_user():  # nothing is left over from the picture before
                if name in PICTURES:
                    path = FOLDER / f"{name}.png"
                    save_picture(PICTURES[name](), path)
                else:
                    path = FOLDER / f"{name}.gif"
                    save_moving(MOVING[name](), path)
            print(f"{path.stat().st_size / 1000:6.0f} kB  {path.name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

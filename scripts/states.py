"""Make a picture of every dock in every state, dark and light, to look at.

::

    xvfb-run -a -s "-screen 0 1400x900x24" python scripts/states.py FOLDER [NAME...]

Without names, all of them: FOLDER/NAME-dark.png and FOLDER/NAME-light.png, 1280×720 pixels, as
a small laptop shows the window. Look at each after a change of the window.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pictures import (
    asked,
    correcting,
    files,
    own_network,
    reviewed,
    teaching,
    write_plate,
)
from stage import Stage, new_user, stage

from napari_segnet.widgets.measure.dock import MeasureDock
from napari_segnet.widgets.train.dock import TrainDock

SIZE_PX = (1280, 720)
STATES: dict[str, Callable[[Stage], Any]] = {}
"""Name of a state -> what brings the window there."""


def state(reach: Callable[[Stage], Any]) -> Callable[[Stage], Any]:
    STATES[reach.__name__.replace("_", "-")] = reach
    return reach


# ---- Segment ----


@state
def segment_empty(on: Stage) -> None:
    on.choose("nuclei")


@state
def segment_ready(on: Stage) -> None:
    on.sample()
    on.choose("nuclei")


@state
def segment_result(on: Stage) -> None:
    segment_ready(on)
    on.run()


@state
def segment_labels(on: Stage) -> None:
    segment_result(on)
    on.scroll_to(on.dock.shown.box)


@state
def segment_bottom(on: Stage) -> None:
    segment_result(on)
    on.dock.several.expand()
    bottom(on, on.dock)


@state
def segment_more(on: Stage) -> None:
    segment_ready(on)
    on.dock.more.expand()
    on.scroll_to(on.dock.more)


@state
def segment_stack(on: Stage) -> None:
    on.sample("nuclei-stack")
    on.choose("nuclei")


@state
def segment_channels(on: Stage) -> None:
    nuclei = np.asarray(on.sample("nuclei-rgb").data)
    on.viewer.layers.clear()
    on.show(on.viewer.add_image(np.moveaxis(nuclei, -1, 0), name="three stains"))
    on.choose("nuclei")
    on.dock.image_box.choose_axes("cyx")
    on.pause(0.3)


@state
def segment_error(on: Stage) -> None:
    on.choose("nuclei")
    on.dock.run_box.button.click()
    on.pause(0.3)


@state
def segment_unlike(on: Stage) -> None:
    stripes = np.tile(np.repeat(np.array([0, 255], np.uint8), 3), 64)[:256]
    on.show(on.viewer.add_image(np.tile(stripes, (256, 1)), name="stripes"))
    on.choose("nuclei")
    finder = on.dock.run_settings.finder
    finder.look()
    on.wait(lambda: not finder.liker.busy)
    finder.where.click()
    on.pause(1.5)  # another layer is there: the comparison is made again
    on.wait(lambda: not finder.liker.busy)
    on.scroll_to(finder.where)


@state
def segment_own_network(on: Stage) -> None:
    on.sample()
    on.choose(own_network())


@state
def segment_bare_network(on: Stage) -> None:
    asked(on)


@state
def segment_dark_objects(on: Stage) -> None:
    pixels = np.asarray(on.sample().data).astype(np.float32)
    on.viewer.layers.clear()
    dark = 255 - 200 * np.clip((pixels - pixels.min()) / (2400 - pixels.min()), 0, 1)
    on.show(on.viewer.add_image(dark.astype(np.uint8), name="bright field"))
    on.choose("nuclei")
    on.run()


@state
def segment_layers_as_channels(on: Stage) -> None:
    import torch
    from own_network import write_own_network

    path = write_own_network(files() / "two_channels.pth")
    tensors = torch.load(path, weights_only=True)
    tensors["inc.double_conv.0.weight"] = tensors["inc.double_conv.0.weight"].repeat(1, 2, 1, 1) / 2
    torch.save(tensors, path)
    image = on.sample()
    image.name = "DNA"
    other = np.asarray(image.data)[::-1]
    on.viewer.add_image(other, name="actin", scale=image.scale, units=image.units)
    on.choose(path)


@state
def segment_message(on: Stage) -> None:
    """Corrections are kept when a slider moves."""
    segment_result(on)
    on.dock.result.paint((40, 40), 200)
    on.slide("threshold", 0.8)


@state
def segment_folder(on: Stage) -> None:
    folder = files() / "plate 7"
    write_plate(folder)
    on.choose("nuclei")
    on.drop(folder)
    bottom(on, on.dock)


# ---- Correct ----


@state
def correct_edit(on: Stage) -> None:
    correcting(on)


@state
def correct_edit_bottom(on: Stage) -> None:
    bottom(on, correcting(on))


@state
def correct_split(on: Stage) -> None:
    panel = correcting(on)
    panel.buttons["split"].click()
    on.pause(0.3)


@state
def correct_locked(on: Stage) -> None:
    panel = correcting(on)
    layer = panel.layer
    for one in (5, 9, 14, 20, 33):
        panel._lock(panel._view(layer), [one])
    on.pause(0.5)


@state
def review(on: Stage) -> None:
    panel = reviewed(on)
    panel.accept()
    panel.fix()
    on.pause(0.4)


@state
def training_set(on: Stage) -> None:
    panel = correcting(on)
    tabs(panel).setCurrentIndex(2)
    on.pause(0.5)


# ---- Train ----


@state
def train_empty(on: Stage) -> None:
    on.sample()
    on.viewer.window.add_plugin_dock_widget("napari-segnet", "Train")
    on.pause(0.8)


@state
def train_ready(on: Stage) -> None:
    teaching(on)
    on.pause(0.5)


@state
def train_start(on: Stage) -> None:
    dock = teaching(on, dark=True)
    dock.begin_well.ask.click()
    on.wait(lambda: not dock.begin_well.runner.busy)
    on.pause(0.5)


@state
def train_trained(on: Stage) -> None:
    dock = teaching(on)
    few = replace(dock.settings(), minutes=0, epochs=4, steps_per_epoch=4)
    dock.set_settings(replace(few, learning_rate=1e-3, crop_px=64, batch_size=2))
    dock.run_box.button.click()
    on.wait(lambda: not dock._runner.busy)
    on.pause(0.8)


@state
def train_changes(on: Stage) -> None:
    train_trained(on)
    train = on.viewer.window._qt_window.findChild(TrainDock)
    train.show_changes()
    on.pause(0.5)


# ---- Measure, Evaluate ----


@state
def measure(on: Stage) -> None:
    segment_result(on)
    on.dock.shown.box.measure.click()
    dock = on.viewer.window._qt_window.findChild(MeasureDock)
    on.wait(lambda: dock.found is not None)
    on.pause(0.3)


@state
def evaluate_empty(on: Stage) -> None:
    on.sample()
    on.viewer.window.add_plugin_dock_widget("napari-segnet", "Evaluate")
    on.pause(0.8)


@state
def evaluate(on: Stage) -> None:
    from napari_segnet.samples import TRUTHS

    image = on.sample()
    on.choose("nuclei")
    on.run()
    on.viewer.add_labels(TRUTHS["nuclei"](), name="truth", scale=image.scale, units=image.units)
    _, dock = on.viewer.window.add_plugin_dock_widget("napari-segnet", "Evaluate")
    on.pause(0.3)
    dock.run_box.button.click()
    on.wait(lambda: not dock._runner.busy)
    on.pause(0.5)


def bottom(on: Stage, inside: Any) -> None:
    """Scroll to the end."""
    from qtpy.QtWidgets import QScrollArea

    area = inside.findChild(QScrollArea) or inside
    while not isinstance(area, QScrollArea):
        area = area.parentWidget()
    on.pause(0.3)
    area.verticalScrollBar().setValue(area.verticalScrollBar().maximum())
    on.pause(0.2)


def tabs(inside: Any) -> Any:
    from qtpy.QtWidgets import QTabWidget

    while not isinstance(inside, QTabWidget):
        inside = inside.parentWidget()
    return inside


def main() -> None:
    folder, *names = sys.argv[1:] or sys.exit(__doc__)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in names or STATES:
        for theme in ("dark", "light"):
            with new_user():  # nothing is left over from the state before
                with stage(theme, SIZE_PX) as on:
                    STATES[name](on)
                    path = Path(folder) / f"{name}-{theme}.png"
                    on.window().save(path, optimize=True)
                    print(path, flush=True)


if __name__ == "__main__":
    main()

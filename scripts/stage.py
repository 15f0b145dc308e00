"""A real napari window that a script acts on and takes pictures of.

Everything is done through the widgets that a user has; preferences and recent networks are
those of a new user, in a folder of their own.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from napari_segnet.widgets.plugin.docks import SegmentDock

MARGIN_PX = 2
PATIENCE_S = 180
WIDEST_PX = 1280
MOST_BYTES = 240_000
"""Of a PNG."""
POINTER = [(0, 0), (0, 19), (4, 15), (8, 23), (11, 22), (8, 14), (14, 14)]
"""Outline of an arrow: a grabbed screen does not hold the pointer."""


class Stage:
    """A window with the Segment dock.

    Parameters
    ----------
    theme : str, optional
        ``dark`` or ``light``.
    size_px : tuple of int, optional
        Width and height; it may be larger than the screen.
    """

    def __init__(self, theme: str = "dark", size_px: tuple[int, int] = (1240, 800)) -> None:
        import napari

        from napari_segnet.widgets.plugin.drop_reader import find_or_open_dock

        self.viewer = napari.Viewer(show_welcome_screen=False)
        self.viewer.theme = theme
        self.viewer.window.resize(*size_px)
        self.viewer.window._qt_window.move(0, 0)
        self.dock: SegmentDock = find_or_open_dock(self.viewer)
        self.pause(0.3)

    # ---- Waiting ----

    def wait(self, until: Callable[[], bool]) -> None:
        """Let the window live until something is true."""
        from qtpy.QtWidgets import QApplication

        begun = time.monotonic()
        while not until():
            if time.monotonic() - begun > PATIENCE_S:
                raise TimeoutError("the window did not do what the picture waits for")
            QApplication.processEvents()
            time.sleep(0.005)

    def pause(self, seconds: float) -> None:
        """Let the window live for so long."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= end)

    # ---- Acting ----

    def sample(self, key: str = "nuclei") -> Any:
        """Open a sample, and return its layer."""
        (layer,) = self.viewer.open_sample("napari-segnet", key)
        return self.show(layer)

    def show(self, layer: Any) -> Any:
        """Let the canvas show the whole of a new layer."""
        self.viewer.layers.selection.active = layer
        self.pause(0.3)
        self.viewer.reset_view()
        self.pause(0.2)
        return layer

    def choose(self, weights: str | Path) -> None:
        """Choose a network, and wait until it is recognised or refused."""
        self.dock.choose_weights(str(weights))
        self.wait(lambda: not self.dock.network.busy)
        self.pause(0.2)

    def run(self) -> None:
        """Press Run, and wait for the end."""
        self.dock.run_box.button.click()
        self.wait(lambda: not self.dock._runner.busy)
        self.pause(0.3)

    def drop(self, *paths: Path) -> None:
        """Drop files on the dock, and wait until all are done."""
        self.dock.take_files(paths)
        self.wait(lambda: not (self.dock._looker.busy or self.dock.batch.busy))
        self.pause(0.3)

    def slide(self, name: str, value: float) -> None:
        """Move the slider of a label setting; the labels follow."""
        from superqt import QLabeledDoubleSlider

        slider = self.dock.labels.row(name).findChild(QLabeledDoubleSlider)
        slider.setValue(value)
        self.relabelled()

    def pick(self, name: str, value: str) -> None:
        """Choose another value of a label setting; the labels follow."""
        form = self.dock.labels
        form.set_value(replace(form.value(), **{name: value}))
        form.changed.emit()
        self.relabelled()

    def relabelled(self) -> None:
        """Wait until the labels have followed."""
        self.wait(lambda: not self.dock.shown.live.busy)
        self.pause(0.15)

    def scroll_to(self, widget: Any) -> None:
        """Scroll the dock until a widget of it is seen."""
        from qtpy.QtWidgets import QScrollArea

        self.pause(0.1)
        area = self.dock.findChild(QScrollArea)
        area.ensureWidgetVisible(widget, 0, 40)
        self.pause(0.1)

    # ---- Taking pictures ----

    def window(self) -> Image.Image:
        """Return the window as it is."""
        from qtpy.QtWidgets import QApplication

        QApplication.processEvents()
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        return Image.fromarray(pixels).convert("RGB")

    def screen(self) -> Image.Image:
        """Return the screen: the only place where menus and lists that pop up are seen."""
        from qtpy.QtCore import QBuffer, QIODevice
        from qtpy.QtGui import QGuiApplication

        self.pause(0.4)
        picture = QGuiApplication.primaryScreen().grabWindow(0)
        buffer = QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        picture.save(buffer, "PPM")
        with tempfile.TemporaryFile() as file:
            file.write(bytes(buffer.data()))
            file.seek(0)
            return Image.open(file).convert("RGB")

    def box(self, *widgets: Any) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom of widgets in the picture of the window."""
        from qtpy.QtCore import QPoint

        window = self.viewer.window._qt_window
        corners = [
            (place.x(), place.y(), place.x() + widget.width(), place.y() + widget.height())
            for widget in widgets
            for place in [widget.mapTo(window, QPoint(0, 0))]
        ]
        left, top, right, bottom = zip(*corners, strict=True)
        return (
            max(0, min(left) - MARGIN_PX),
            max(0, min(top) - MARGIN_PX),
            min(window.width(), max(right) + MARGIN_PX),
            min(window.height(), max(bottom) + MARGIN_PX),
        )

    def part(self, *widgets: Any) -> Image.Image:
        """Return the part of the window where these widgets are."""
        self.pause(0.1)
        return self.window().crop(self.box(*widgets))

    def row(self, name: str) -> Image.Image:
        """Return a row of the label settings, its name included."""
        form, row = self.dock.labels, self.dock.labels.row(name)
        self.scroll_to(row)
        left, _, right, _ = self.box(form)
        _, top, _, bottom = self.box(row)
        return self.window().crop((left, top - 8, right, bottom + 8))  # a name may have two lines

    def group(self, title: str) -> Any:
        """Return a group of the dock."""
        from qtpy.QtWidgets import QGroupBox

        return next(b for b in self.dock.findChildren(QGroupBox) if b.title().startswith(title))

    @property
    def canvas(self) -> Any:
        """Where the layers are shown."""
        return self.viewer.window._qt_viewer.canvas.native

    def close(self) -> None:
        """Close the window; what was learned of memory and answers is forgotten."""
        from napari_segnet import cache

        self.viewer.close()
        self.pause(0.2)
        cache.predictions.clear()
        cache.rungs.clear()


@contextmanager
def stage(theme: str = "dark", size_px: tuple[int, int] = (1240, 800)) -> Iterator[Stage]:
    """Open a window for as long as it is needed."""
    opened = Stage(theme, size_px)
    try:
        yield opened
    finally:
        opened.close()


def new_user() -> tempfile.TemporaryDirectory[str]:
    """Keep this user's preferences out of the pictures; before napari is imported."""
    folder = tempfile.TemporaryDirectory(prefix="segnet-pictures-")
    os.environ["NAPARI_CONFIG"] = str(Path(folder.name) / "settings.yaml")
    os.environ["NAPARI_SEGNET_DATA"] = str(Path(folder.name) / "data")
    return folder


def beside(pictures: Iterable[Image.Image], gap_px: int = 12) -> Image.Image:
    """Return pictures side by side, on white."""
    pictures = list(pictures)
    width = sum(p.width for p in pictures) + gap_px * (len(pictures) - 1)
    joined = Image.new("RGB", (width, max(p.height for p in pictures)), "white")
    left = 0
    for picture in pictures:
        joined.paste(picture, (left, 0))
        left += picture.width + gap_px
    return joined


def point_at(picture: Image.Image, x: int, y: int) -> Image.Image:
    """Return a picture with a pointer."""
    pointed = picture.copy()
    arrow = [(x + dx, y + dy) for dx, dy in POINTER]
    ImageDraw.Draw(pointed).polygon(arrow, fill="white", outline="black")
    return pointed


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG, no wider than a page, of as many levels of grey as the size allows."""
    if picture.width > WIDEST_PX:
        height = round(picture.height * WIDEST_PX / picture.width)
        picture = picture.resize((WIDEST_PX, height), Image.Resampling.LANCZOS)
    for step in (1, 4, 8, 12, 16):
        # The noise of a camera is what makes a picture large. A palette would spot the labels.
        picture.point([min(255, round(v / step) * step) for v in range(256)] * 3).save(
            path, optimize=True
        )
        if path.stat().st_size <= MOST_BYTES:
            return
    raise ValueError(f"{path.name} has {path.stat().st_size} bytes; show less")


def save_moving(frames: list[tuple[Image.Image, float]], path: Path) -> None:
    """Write pictures and the seconds for which each is shown as a GIF of one palette."""
    # Fewer greys leave room in the palette for the colours of labels; one palette for all, so
    # that a pixel that stays the same costs nothing in the next picture.
    few = [f.point([min(255, round(v / 8) * 8) for v in range(256)] * 3) for f, _ in frames]
    seen = beside(few, 0)  # a label that is recoloured has a colour of its own in one picture
    palette = seen.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3)
    drawn = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in few]
    times = [round(1000 * seconds) for _, seconds in frames]
    drawn[0].save(
        path, save_all=True, append_images=drawn[1:], duration=times, loop=0, optimize=True
    )

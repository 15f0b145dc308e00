"""The mouse on a Labels layer while a button of the Correct dock is pressed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_segnet.widgets.correct.edit_tools import Act, Points
from napari_segnet.widgets.correct.stroke_overlay import Place, Sketch
from napari_segnet.widgets.layers.private import canvas_of
from napari_segnet.widgets.qt.presses import CLICK_PX, Presses

if TYPE_CHECKING:
    import napari.components
    import napari.layers

__all__ = ["Tool"]


class Tool(QObject):
    """Lets the mouse draw for one act at a time.

    While a tool is at work the layer is in napari's pan-zoom mode, but the left button draws
    instead of moving the image; the wheel zooms as ever. Another mode of the layer, another
    layer, or Esc ends it.
    """

    drawn = Signal(object)
    """Points ``(n, dimensions)`` in the layer's pixels: one stroke, or all clicks."""
    ended = Signal()
    """It was put away."""

    def __init__(
        self, viewer: napari.components.ViewerModel, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.act: Act | None = None
        self.layer: napari.layers.Labels | None = None
        self._sketch: Sketch | None = None
        self._presses: Presses | None = None
        self._clicks: list[Points] = []
        self._keys: dict[str, Any] = {}

    def take(self, act: Act, layer: napari.layers.Labels) -> None:
        """Begin to draw for an act; another one is ended."""
        self.put_away()
        self.act, self.layer = act, layer
        self._viewer.layers.selection.active = layer
        layer.mode = "pan_zoom"
        layer.mouse_pan = False
        layer.cursor = "cross"
        layer.mouse_drag_callbacks.append(self._drag)
        layer.events.mode.connect(self._mode_changed)
        self._viewer.layers.selection.events.active.connect(self._left)
        self._viewer.dims.events.ndisplay.connect(self._left)
        self._bind("Escape", lambda: self.put_away())
        if act.drawn == "clicks":
            self._bind("Enter", lambda: self.complete())
        canvas = canvas_of(self._viewer)
        if canvas is not None:
            self._sketch = Sketch(canvas, self._viewer)
            self._presses = Presses(canvas)

    def put_away(self) -> None:
        """End it; what was not complete is forgotten."""
        layer, self.layer = self.layer, None
        if layer is None:
            return
        layer.events.mode.disconnect(self._mode_changed)
        self._viewer.layers.selection.events.active.disconnect(self._left)
        self._viewer.dims.events.ndisplay.disconnect(self._left)
        layer.mouse_drag_callbacks.remove(self._drag)
        for key, before in self._keys.items():
            layer.bind_key(key, before, overwrite=True)
        self._keys.clear()
        if str(layer.mode) == "pan_zoom":
            layer.mouse_pan = True
            layer.cursor = "standard"
        self.act = None
        self._clicks = []
        if self._sketch is not None:
            self._sketch.leave()
            self._sketch = None
        if self._presses is not None:
            self._presses.leave()
            self._presses = None
        self.ended.emit()

    def complete(self) -> None:
        """Tell of the clicks so far."""
        clicks, self._clicks = self._clicks, []
        if self._sketch is not None:
            self._sketch.wipe()
        points = np.concatenate(clicks) if clicks else np.empty((0, 0))
        self.drawn.emit(points)

    def mark(self, place: Place) -> None:
        """Show a click."""
        if self._sketch is not None:
            self._sketch.dot(place)

    def _bind(self, key: str, do: Callable[[], None]) -> None:
        assert self.layer is not None
        self._keys[key] = self.layer.keymap.get(_binding(key))
        self.layer.bind_key(key, lambda layer: do(), overwrite=True)

    # ---- The mouse ----

    def _drag(self, layer: napari.layers.Labels, event: Any) -> Generator[None, None, None]:
        if event.button != 1 or layer is not self.layer or self.act is None:
            return
        act = self.act
        points, places = [_data_point(layer, event)], [_place(event)]
        yield
        while event.type == "mouse_move":
            points.append(_data_point(layer, event))
            places.append(_place(event))
            if self._sketch is not None and act.drawn != "clicks":
                self._sketch.draw(places, closed=act.drawn == "outline")
            yield
        if self.act is not act:  # put away while the button was down
            return
        points.append(_data_point(layer, event))  # a fast hand is seen moving only now and then
        places.append(_place(event))
        if self._sketch is not None:
            self._sketch.draw([], closed=False)
        if self._is_repeated(places):
            return
        if act.drawn == "clicks":
            self._clicks.append(points[0][np.newaxis])
            self.mark(places[0])
            return
        self.drawn.emit(np.stack(points))

    def _is_repeated(self, places: Sequence[Place]) -> bool:
        """Tell the second half of a double click from a click or a stroke of its own."""
        away = np.abs(np.subtract(places, places[0])).max()
        return self._presses is not None and self._presses.repeated and bool(away < CLICK_PX)

    # ---- Ends ----

    def _mode_changed(self, event: Any = None) -> None:
        if self.layer is not None and str(self.layer.mode) != "pan_zoom":
            self.put_away()

    def _left(self, event: Any = None) -> None:
        if self.layer is None:
            return
        if self._viewer.layers.selection.active is not self.layer or (
            self._viewer.dims.ndisplay != 2
        ):
            self.put_away()


def _data_point(layer: napari.layers.Labels, event: Any) -> Points:
    """Return where the pointer is, in the layer's pixels."""
    return np.asarray(layer.world_to_data(event.position[-layer.ndim :]), float)


def _place(event: Any) -> Place:
    x, y = event.pos
    return float(x), float(y)


def _binding(key: str) -> Any:
    from napari.utils.key_bindings import coerce_keybinding

    return coerce_keybinding(key)

"""A held-out crop with the labels that a network makes of it while it learns, as layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.widgets.layers.record import LayerRecord, metadata_of, update
from napari_segnet.widgets.qt.pixmaps import with_legend

if TYPE_CHECKING:
    import napari.viewer

    from napari_segnet.train import Look, TrainingResult

__all__ = ["LearningLayers", "show_changes"]

LEGEND = {
    "right": "found before and after",
    "gained": "gained",
    "lost": "lost",
    "missed": "found neither before nor after",
    "false": "false",
}
"""Kind of a change -> what its colour means, in words."""
GAP = 0.05
"""Between what is in the viewer already and the crop, of the width of what is there."""


class LearningLayers:
    """Image, truth (as outlines) and present labels; made once, then only updated.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        They are put to the right of all that is in it, where they cover nothing.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._layers: dict[str, Any] = {}
        self._looked_from: tuple[Any, float] | None = None
        self._looked_at: tuple[Any, float] | None = None
        self._is_away = False

    def show(self, seen: Look) -> None:
        """Show a crop; the layers of before are used if it is the same crop."""
        if not self._fits(seen):
            self._remove()
            self._add(seen)
        elif self._is_away:
            self._bring_back()
        self._is_away = False
        self._layers["labels"].data = seen.labels

    def _remove(self) -> None:
        """Take the layers out, where the user has not."""
        for layer in self._layers.values():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._layers = {}

    def put_away(self) -> None:
        """Hide the layers below all others; the view goes back to where it was.

        It stays where the user has moved it since.

        They are not removed: where an image and labels have left napari 0.9 (vispy 0.17), the
        next layers that are added can end the program on the OpenGL of Mesa.
        """
        layers, camera = self._viewer.layers, self._viewer.scene.camera
        there = [layer for layer in self._layers.values() if layer in layers]
        chosen = set(layers.selection)
        for layer in reversed(there):
            layer.visible = False
            layers.move(layers.index(layer), 0)
            # A view of all layers is not wider for them.
            layer.translate = np.zeros(layer.ndim)
        layers.selection = chosen
        self._is_away = True
        if self._looked_from is not None and (camera.center, camera.zoom) == self._looked_at:
            camera.center, camera.zoom = self._looked_from
        self._looked_from = None

    def _bring_back(self) -> None:
        """Show the layers above all others, to the right of them."""
        layers, chosen = self._viewer.layers, set(self._viewer.layers.selection)
        translate = _to_the_right(self._viewer, self._layers["labels"].ndim)
        for layer in self._layers.values():
            layers.move(layers.index(layer), len(layers))
            layer.translate = translate
            layer.visible = True
        layers.selection = chosen

    def look_at(self) -> None:
        """Put the crop into the middle of the canvas, until its layers are put away."""
        from napari_segnet.widgets.layers.camera import look_at

        layer, camera = self._layers.get("labels"), self._viewer.scene.camera
        if layer is not None and layer in self._viewer.layers:
            self._looked_from = self._looked_from or (camera.center, camera.zoom)
            look_at(self._viewer, layer, tuple(slice(0, n) for n in layer.data.shape))
            self._looked_at = (camera.center, camera.zoom)

    def _fits(self, seen: Look) -> bool:
        there = all(layer in self._viewer.layers for layer in self._layers.values())
        truth = self._layers.get("truth")
        return there and truth is not None and np.array_equal(truth.data, seen.truth)

    def _add(self, seen: Look) -> None:
        viewer, active = self._viewer, self._viewer.layers.selection.active
        ndim = seen.labels.ndim
        common: dict[str, Any] = {
            "translate": _to_the_right(viewer, ndim),
            **_grid(viewer, ndim),
            "metadata": metadata_of(LayerRecord(learning=True)),
        }
        # Of many channels, the mean shows where things are.
        self._layers["image"] = viewer.add_image(
            seen.pixels.mean(axis=0), name="learning · image", **common
        )
        self._layers["labels"] = viewer.add_labels(
            seen.labels, name="learning · labels now", **common
        )
        self._layers["truth"] = truth = viewer.add_labels(
            seen.truth, name="learning · truth", **common
        )
        truth.contour = 1
        if active is not None:
            viewer.layers.selection.active = active


def _to_the_right(viewer: napari.viewer.Viewer, ndim: int) -> npt.NDArray[np.float64]:
    """Return a place beside all that is in a viewer, ``(ndim,)`` in its world."""
    translate = np.zeros(ndim)
    if len(viewer.layers):
        low, high = viewer.layers.extent.world
        translate[-2:] = low[-2], high[-1] + GAP * (high[-1] - low[-1])
    return translate


def _grid(viewer: napari.viewer.Viewer, ndim: int) -> dict[str, Any]:
    """Return pixel size and units of what is there: napari warns of layers with others."""
    if not len(viewer.layers) or viewer.layers[0].ndim < ndim:
        return {}
    there = viewer.layers[0]
    return {"scale": there.scale[-ndim:], "units": there.units[-ndim:]}


def show_changes(viewer: napari.viewer.Viewer, trained: TrainingResult) -> None:
    """Show what changed on each held-out image, as layers of pictures; the last is visible.

    Raises
    ------
    SegnetError
        If an image cannot be read any more.
    """
    from napari_segnet.train import COLOURS

    legend = {LEGEND[kind]: colour for kind, colour in COLOURS.items()}
    for change in trained.changes():
        counts = ", ".join(f"{n} {kind}" for kind, n in change.counts.items() if n)
        layer = viewer.add_image(
            with_legend(change.picture, legend),
            rgb=True,
            **_grid(viewer, 2),
            name=f"{change.name}: {counts or 'no object'}",
        )
        update(layer, learning=True)
        layer.visible = False
    if viewer.layers:
        viewer.layers[-1].visible = True
        viewer.reset_view()

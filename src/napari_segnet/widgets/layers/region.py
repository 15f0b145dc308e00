"""Which part of an image layer is meant: a box in its pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import SegnetError
from napari_segnet.widgets.layers.axes import guess_axes, level_0

if TYPE_CHECKING:
    import napari.components
    import napari.layers

__all__ = ["Region", "region_of", "view_in"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A box in the pixels of an image layer.

    Attributes
    ----------
    kind : str
        ``layer``, ``visible``, ``plane`` or ``rectangle``.
    box : tuple of slice
        One for each dimension of the layer's data, without the colours of RGB; start and
        stop are numbers within the data. Channels are always whole.
    """

    kind: str
    box: tuple[slice, ...]


def region_of(
    kind: str,
    layer: napari.layers.Image,
    viewer: napari.components.ViewerModel,
    *,
    axes: str | None = None,
    volume: bool = False,
) -> Region:
    """Return the box that is meant.

    Parameters
    ----------
    kind : str
        ``layer``: everything. ``plane``: all of y and x at the current step of z and t.
        ``visible``: that part of the current plane that the canvas shows, as a bounding box
        where the layer is turned. ``rectangle``: y and x of the selected shape (or the only
        one) of the selected, else topmost, Shapes layer; all of z and t.
    layer : Image
        The image.
    viewer : ViewerModel
        Whose sliders, camera and shapes are meant.
    axes : str, optional
        What the dimensions of the data mean; otherwise guessed.
    volume : bool
        Keep z whole: for a network that needs volumes.

    Raises
    ------
    SegnetError
        If there is nothing of that kind, such as no rectangle; the message says what to do.
    """
    axes = (axes or guess_axes(layer))[: layer.ndim]
    whole = tuple(slice(0, int(n)) for n in level_0(layer).shape[: layer.ndim])
    if kind == "layer":
        box = whole
    elif kind == "plane":
        box = _plane(layer, viewer, axes, whole, volume)
    elif kind == "visible":
        box = _visible(layer, viewer, axes, whole, volume)
    elif kind == "rectangle":
        box = _rectangle(layer, viewer, axes, whole)
    else:
        raise ValueError(f"unknown kind of region {kind!r}")
    return Region(kind=kind, box=box)


def view_in(
    box: tuple[slice, ...],
    layer: napari.layers.Image,
    viewer: napari.components.ViewerModel,
    axes: str,
) -> dict[str, slice] | None:
    """Return what is looked at of a box of an image layer, a plane of y and x.

    Parameters
    ----------
    box : tuple of slice
        In the layer's data, as of a :class:`Region`.
    layer, viewer : Image and ViewerModel
        As for :func:`region_of`.
    axes : str
        What the dimensions of the data mean.

    Returns
    -------
    dict of str to slice or None
        For each axis but the channels, in pixels of the box; None where nothing of it is on the
        canvas, or no plane of y and x is.
    """
    try:
        seen = region_of("visible", layer, viewer, axes=axes).box
    except SegnetError:  # in 3D, or out of sight: nothing is answered first
        return None
    found: dict[str, slice] = {}
    for letter, shown, part in zip(axes, seen, box, strict=False):
        start, stop = max(shown.start, part.start), min(shown.stop, part.stop)
        if letter == "c":
            continue
        if start >= stop or (letter in "tz" and stop - start > 1):
            return None
        found[letter] = slice(start - part.start, stop - part.start)
    return found


def _plane(
    layer: napari.layers.Image,
    viewer: napari.components.ViewerModel,
    axes: str,
    whole: tuple[slice, ...],
    volume: bool,
) -> tuple[slice, ...]:
    here = _data_point(layer, viewer)
    displayed = _displayed(layer, viewer)
    box = list(whole)
    for index, letter in enumerate(axes):
        if letter not in ("t" if volume else "tz") or index in displayed:
            continue
        at = round(here[index])  # as napari rounds
        if not 0 <= at < whole[index].stop:
            raise SegnetError(
                f"The plane that is shown lies outside of “{layer.name}”. Move the slider to a "
                "plane of this image, or choose the whole layer."
            )
        box[index] = slice(at, at + 1)
    return tuple(box)


def _visible(
    layer: napari.layers.Image,
    viewer: napari.components.ViewerModel,
    axes: str,
    whole: tuple[slice, ...],
    volume: bool,
) -> tuple[slice, ...]:
    if viewer.dims.ndisplay != 2:
        raise SegnetError(
            "What is visible is a box only in the 2D view. Switch to the 2D view (the button with "
            "the cube below the list of layers), or choose another region."
        )
    corners = _to_data(layer, viewer, _canvas_corners(viewer), viewer.dims.displayed)
    wanted = [i for i in _displayed(layer, viewer) if axes[i] != "c"]
    box = _bounds(corners, _plane(layer, viewer, axes, whole, volume), wanted)
    if any(part.start >= part.stop for part in box):
        raise SegnetError(
            f"Nothing of “{layer.name}” is visible. Move it into view (the house button resets the "
            "view), or choose the whole layer."
        )
    return box


def _rectangle(
    layer: napari.layers.Image,
    viewer: napari.components.ViewerModel,
    axes: str,
    whole: tuple[slice, ...],
) -> tuple[slice, ...]:
    shapes = _shapes_layer(viewer)
    vertices = np.asarray(shapes.data[_chosen_shape(shapes)])
    world = np.array([shapes.data_to_world(vertex) for vertex in vertices])
    last = range(viewer.dims.ndim - world.shape[1], viewer.dims.ndim)
    corners = _to_data(layer, viewer, world, tuple(last))
    wanted = [i for i, letter in enumerate(axes) if letter in "yx"]
    box = _bounds(corners, whole, wanted)
    if any(part.start >= part.stop for part in box):
        raise SegnetError(
            f"The rectangle in “{shapes.name}” lies outside of “{layer.name}”. Draw it over the "
            "image."
        )
    return box


def _shapes_layer(viewer: napari.components.ViewerModel) -> Any:
    from napari.layers import Shapes

    chosen = [x for x in viewer.layers.selection if isinstance(x, Shapes) and len(x.data)]
    drawn = [x for x in viewer.layers if isinstance(x, Shapes) and x.visible and len(x.data)]
    if not chosen and not drawn:
        raise SegnetError(
            "There is no rectangle. Add a Shapes layer (the polygon button above the list of "
            "layers), draw a rectangle over the image, and run again."
        )
    return chosen[0] if chosen else drawn[-1]


def _chosen_shape(shapes: Any) -> int:
    chosen = sorted(shapes.selected_data)
    if len(chosen) == 1:
        return int(chosen[0])
    if len(shapes.data) == 1:
        return 0
    raise SegnetError(
        f"“{shapes.name}” holds {len(shapes.data)} shapes and {len(chosen) or 'none'} of them "
        f"{'are' if chosen else 'is'} selected. Select one with the arrow of the layer controls."
    )


# ---- Geometry ----


def _displayed(layer: napari.layers.Image, viewer: napari.components.ViewerModel) -> set[int]:
    """Return the data dimensions that are on the canvas; the last ones of layer and world agree."""
    first = viewer.dims.ndim - layer.ndim
    return {axis - first for axis in viewer.dims.displayed if axis >= first}


def _data_point(
    layer: napari.layers.Image, viewer: napari.components.ViewerModel
) -> npt.NDArray[np.float64]:
    """Return where the sliders stand, in data coordinates; only undisplayed dimensions count.

    napari shows a layer that is turned out of the plane as if it were not: so a displayed
    dimension must not add to the others.
    """
    point = np.asarray(viewer.dims.point, dtype=float)
    point[list(viewer.dims.displayed)] = 0
    return np.round(np.asarray(layer.world_to_data(point[-layer.ndim :])), 6)


def _canvas_corners(viewer: napari.components.ViewerModel) -> npt.NDArray[np.float64]:
    """Return the corners of the canvas on the displayed axes, ``(4, 2)`` in world units."""
    canvas, camera = viewer.canvas, viewer.scene.camera
    height, width = canvas.size
    if canvas.grid.enabled:
        rows, columns = canvas.grid.actual_shape(viewer.layers)
        height, width = height / rows, width / columns
    half = np.array([height, width]) / camera.zoom / 2
    center = np.array(camera.center[-2:])
    return np.array([center + half * signs for signs in product((-1, 1), repeat=2)])


def _to_data(
    layer: napari.layers.Image,
    viewer: napari.components.ViewerModel,
    corners: npt.NDArray[np.float64],
    world_axes: Sequence[int],
) -> npt.NDArray[np.float64]:
    """Return points that are known on some world axes in data coordinates.

    On the other axes they lie where the sliders stand.
    """
    points = np.repeat(np.asarray(viewer.dims.point, dtype=float)[None], len(corners), axis=0)
    points[:, list(world_axes)] = corners
    return np.array([layer.world_to_data(point[-layer.ndim :]) for point in points])


def _bounds(
    corners: npt.NDArray[np.float64], box: tuple[slice, ...], wanted: Sequence[int]
) -> tuple[slice, ...]:
    """Shrink a box to the pixels that the corners span in some dimensions.

    Pixel ``i`` reaches from ``i - 0.5`` to ``i + 0.5``.
    """
    # Six digits: the numbers have gone through matrices, and 9.500000001 is 9.5.
    low, high = np.round(corners.min(axis=0), 6), np.round(corners.max(axis=0), 6)
    parts = list(box)
    for index in wanted:
        start = max(math.floor(low[index] + 0.5), parts[index].start)
        stop = min(math.ceil(high[index] + 0.5), parts[index].stop)
        parts[index] = slice(start, stop)
    return tuple(parts)

"""What the user points at: an object of a Labels layer, in the plane that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segnet import cache
from napari_segnet.answers import maps_of
from napari_segnet.correct import Box, Landscape
from napari_segnet.errors import EditError
from napari_segnet.widgets.layers.axes import guess_axes
from napari_segnet.widgets.layers.editing import (
    check_editable,
    editing_of,
    locked_ids,
)
from napari_segnet.widgets.layers.record import record_of
from napari_segnet.widgets.layers.subject import axes_of, labels_in

if TYPE_CHECKING:
    import napari.components
    import napari.layers

__all__ = ["View", "labels_in_front", "view_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """A Labels layer as it is shown, and how far edits in it reach.

    Attributes
    ----------
    layer : Labels
        The layer.
    flat : tuple of int
        The two dimensions of its data that are on the canvas, rising.
    axes : tuple of int
        Dimensions along which pixels are neighbours, rising: rows, columns, and depth if
        edits reach through all planes.
    at : tuple of int
        Where the sliders stand in its data, one number per dimension; those of ``flat`` say
        nothing.
    one_plane : bool
        Edits stay in the plane that is shown.
    """

    layer: napari.layers.Labels
    flat: tuple[int, ...]
    axes: tuple[int, ...]
    at: tuple[int, ...]
    one_plane: bool

    @property
    def labels(self) -> Any:
        """The pixels."""
        return self.layer.data

    @property
    def locked(self) -> frozenset[int]:
        """Objects that must not change."""
        return locked_ids(self.layer)

    @property
    def pixel_size(self) -> tuple[float, ...]:
        """Length of a pixel along each of ``axes``."""
        return tuple(abs(float(self.layer.scale[a])) for a in self.axes)

    @property
    def across(self) -> int | None:
        """The dimension from slice to slice: the last that is not on the canvas."""
        others = [a for a in range(self.layer.ndim) if a not in self.flat]
        return others[-1] if others else None

    @property
    def landscape(self) -> Landscape | None:
        """What the network said, if that is still kept and fits the labels."""
        key = record_of(self.layer).key
        prediction = cache.predictions.recall(key) if key else None
        maps = maps_of(prediction) if prediction is not None else None
        if maps is None:
            return None
        found = Landscape.of(maps, guess_axes(self.layer))
        return found if found is not None and found.shape == self.labels.shape else None

    def box(self, ids: Sequence[int]) -> Box:
        """Return where edits of these objects reach.

        Raises
        ------
        EditError
            If they are not there, or it is not known yet where.
        """
        box = editing_of(self.layer).box(ids)
        if not self.one_plane:
            return box
        return tuple(
            part if axis in self.flat else slice(self.at[axis], self.at[axis] + 1)
            for axis, part in enumerate(box)
        )

    def whole_box(self, ids: Sequence[int]) -> Box:
        """Return where objects lie, in all planes."""
        return editing_of(self.layer).box(ids)


def view_of(viewer: napari.components.ViewerModel, layer: Any, one_plane: bool) -> View:
    """Return how a layer is shown now.

    Raises
    ------
    EditError
        In the 3D view, or if the layer cannot be corrected.
    """
    if viewer.dims.ndisplay != 2:
        raise EditError(
            "Corrections work in the 2D view. Switch to it (the button with the cube below the "
            "list of layers)."
        )
    check_editable(layer)
    if record_of(layer).kind == "semantic":
        raise EditError(
            f"“{layer.name}” holds classes, not objects: correct it with napari's own brush and "
            "bucket, or choose “objects by” in the Segment dock and correct the objects."
        )
    first = viewer.dims.ndim - layer.ndim
    flat = tuple(sorted(axis - first for axis in viewer.dims.displayed if axis >= first))
    point = np.asarray(viewer.dims.point, float)
    at = np.rint(np.asarray(layer.world_to_data(point[-layer.ndim :]))).astype(int)
    for axis in range(layer.ndim):
        if axis not in flat and not 0 <= at[axis] < layer.data.shape[axis]:
            raise EditError(f"The shown plane lies outside “{layer.name}”. Move the slider.")
    letters = axes_of(layer, viewer.layers)
    deep = tuple(a for a in range(layer.ndim) if letters[a] in "zyx")
    return View(
        layer=layer,
        flat=flat,
        axes=flat if one_plane or not set(flat) <= set(deep) else deep,
        at=tuple(int(i) for i in at),
        one_plane=one_plane,
    )


def labels_in_front(viewer: napari.components.ViewerModel) -> napari.layers.Labels | None:
    """Return the Labels layer that is selected, else the topmost one."""
    from napari.layers import Labels

    active = viewer.layers.selection.active
    if isinstance(active, Labels):
        return active
    return next(reversed(labels_in(viewer.layers)), None)

"""What a network is asked about, and where points of the world lie in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.inference import LabelSettings
from napari_segnet.widgets.layers.convert import Source
from napari_segnet.widgets.prompt.jobs import Listening

if TYPE_CHECKING:
    import napari.layers

__all__ = ["About"]

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class About:
    """What is asked, and where the answer goes.

    Attributes
    ----------
    layer : Labels
        Gets the objects.
    source : Source
        The image below it, pixel on pixel.
    listening : Listening
        The network, and the image in it.
    labels : LabelSettings
        How masks and basins become objects.
    visible : tuple of float or None
        ``y0 x0 y1 x1`` of what is visible, in the layer's pixels.
    """

    layer: napari.layers.Labels
    source: Source
    listening: Listening
    labels: LabelSettings
    visible: Box | None

    def yx(self, world: Any) -> tuple[float, float]:
        """Return a point of the world in edges of the image's pixels."""
        at, axes = self._in_layer(world), self.source.axes
        return float(at[axes.index("y")]) + 0.5, float(at[axes.index("x")]) + 0.5

    def plane(self, world: Any) -> tuple[int, int]:
        """Return ``(t, z)`` of a point of the world."""
        at, axes = self._in_layer(world), self.source.axes
        t, z = (round(float(at[axes.index(a)])) if a in axes else 0 for a in "tz")
        return t, z

    def plane_box(self, world: Any) -> tuple[slice, ...]:
        """Return the plane of a point as a box of the layer."""
        t, z = self.plane(world)
        at = {"t": t, "z": z}
        shape = self.layer.data.shape
        return tuple(
            slice(at[a], at[a] + 1) if a in at else slice(0, int(n))
            for a, n in zip(self.source.axes, shape, strict=True)
        )

    def as_yx(self, plane: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return a plane of the layer as ``(y, x)``."""
        axes = self.source.axes
        rest = tuple(i for i, a in enumerate(axes) if a not in "yx")
        flat = plane.squeeze(axis=rest)
        return flat if axes.index("y") < axes.index("x") else flat.T

    def _in_layer(self, world: Any) -> Any:
        return self.layer.world_to_data(np.asarray(world, dtype=float)[-self.layer.ndim :])

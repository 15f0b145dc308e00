"""Where the pixels of a layer lie in the world, and those of a part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import napari.layers

__all__ = ["Frame", "frame_of", "result_frame"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """Where data lie in the world: ``affine · (rotate · shear · scale · data + translate)``.

    Attributes
    ----------
    scale, translate : ndarray
        ``(n,)``, one per dimension.
    rotate, shear : ndarray
        ``(n, n)``.
    affine : ndarray
        ``(n + 1, n + 1)``.
    units, axis_labels : tuple of str
        One per dimension.
    """

    scale: npt.NDArray[np.float64]
    translate: npt.NDArray[np.float64]
    rotate: npt.NDArray[np.float64]
    shear: npt.NDArray[np.float64]
    affine: npt.NDArray[np.float64]
    units: tuple[str, ...]
    axis_labels: tuple[str, ...]

    def moved(self, offset_px: npt.NDArray[np.float64], factors: npt.NDArray[np.float64]) -> Frame:
        """Return the frame of data that begin at ``offset_px``, with pixels as many times larger.

        The centre of the first new pixel lies at ``offset_px``.
        """
        linear = self.rotate @ self.shear @ np.diag(self.scale)
        return Frame(
            scale=self.scale * factors,
            translate=self.translate + linear @ offset_px,
            rotate=self.rotate,
            shear=self.shear,
            affine=self.affine,
            units=self.units,
            axis_labels=self.axis_labels,
        )

    def without(self, axis: int) -> Frame:
        """Return the frame without one dimension, which must not be turned into others."""
        keep = [i for i in range(len(self.scale)) if i != axis]
        both, last = np.ix_(keep, keep), [*keep, len(self.scale)]
        return Frame(
            scale=self.scale[keep],
            translate=self.translate[keep],
            rotate=self.rotate[both],
            shear=self.shear[both],
            affine=self.affine[np.ix_(last, last)],
            units=tuple(self.units[i] for i in keep),
            axis_labels=tuple(self.axis_labels[i] for i in keep),
        )

    def to_layer(self) -> dict[str, Any]:
        """Return keyword arguments for a layer."""
        return {
            "scale": self.scale,
            "translate": self.translate,
            "rotate": self.rotate,
            "shear": self.shear,
            "affine": self.affine,
            "units": self.units,
            "axis_labels": self.axis_labels,
        }


def frame_of(layer: napari.layers.Layer) -> Frame:
    """Return how a layer lies in the world."""
    shear = np.eye(layer.ndim)
    given = np.asarray(layer.shear)
    if given.ndim == 2:
        shear = given
    else:
        shear[np.triu_indices(layer.ndim, k=1)] = given
    return Frame(
        scale=np.array(layer.scale, dtype=float),
        translate=np.array(layer.translate, dtype=float),
        rotate=np.array(layer.rotate, dtype=float),
        shear=np.array(shear, dtype=float),
        affine=np.array(layer.affine.affine_matrix, dtype=float),
        units=tuple(str(unit) for unit in layer.units),
        axis_labels=tuple(str(label) for label in layer.axis_labels),
    )


def result_frame(frame: Frame, axes: str, box: tuple[slice, ...]) -> tuple[str, Frame]:
    """Return axes and frame of a result for a box of an image."""
    offset = np.array([part.start for part in box], dtype=float)
    factors = np.ones(len(box))
    if "c" not in axes:
        return axes, frame.moved(offset, factors)
    at = axes.index("c")
    if at == 0:
        return axes[1:], frame.moved(offset, factors).without(0)
    # One pixel as thick as all channels together: the result is seen whatever channel is.
    count = box[at].stop - box[at].start
    offset[at], factors[at] = (count - 1) / 2, count
    return axes, frame.moved(offset, factors)

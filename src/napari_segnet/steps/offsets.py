"""Where neighbouring pixels lie on far sides of their objects, two objects meet (HoVer-Net).

Graham et al. 2019, doi 10.1016/j.media.2019.101563, section 3.2: the slope of the offsets is steep
there. Numbers that the paper leaves open are those of https://github.com/vqdang/hover_net (MIT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_segnet.errors import MismatchError
from napari_segnet.progress import check_cancelled
from napari_segnet.segmentation import Kind
from napari_segnet.steps._channels import channel_of, objects_of
from napari_segnet.steps._types import filled_in
from napari_segnet.steps.ids import relabel_raster

if TYPE_CHECKING:
    from napari_segnet.steps._types import LabelSettings, Unit

__all__ = ["OffsetLabeler"]

SLOPE_PX = 21
"""Edge of the window of a slope."""
STEEP = 0.4
"""Of the steepest slope: objects meet where it is as much, or more."""
LEAST_PX = 10
"""Smaller pieces are neither objects nor their middles."""
OPENED = np.array([[0, 0, 1, 0, 0], [1] * 5, [1] * 5, [1] * 5, [0, 0, 1, 0, 0]], bool)
"""The ellipse of 5 x 5 pixels of OpenCV: middles that are thinner are none."""
BLUR = (0.25, 0.5, 0.25)
"""Weights of three neighbours, along both axes."""

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


class OffsetLabeler:
    """Pieces above ``threshold`` are cut where the slope of the offsets is steep.

    What is left of a piece without its steep pixels are middles of objects; they grow until they
    meet. Slopes count in shares of the steepest of the whole plane.
    """

    name = "offsets"
    kind: Kind = "instance"

    def label(self, unit: Unit, settings: LabelSettings) -> npt.NDArray[np.int32]:
        """Return int32 labels ``(y, x)``; ids 1..n in raster order."""
        from scipy import ndimage
        from skimage.segmentation import watershed

        first, objects = channel_of(unit.outputs, "offset"), objects_of(unit.outputs)
        if first is None or unit.maps.ndim != 3 or objects is None or len(objects.foreground) != 1:
            raise MismatchError(
                "instances=offsets needs a network with an output offset and one foreground that "
                "answers plane by plane. Set instances to auto."
            )
        level = np.float32(filled_in(settings.threshold, "threshold"))
        inside = np.nan_to_num(unit.maps[objects.foreground[0]].astype(np.float32)) >= level
        inside = _large(inside) > 0
        check_cancelled()
        steep = np.maximum(
            _flatness(unit.maps[first], axis=1), _flatness(unit.maps[first + 1], axis=0)
        )
        steep = np.maximum(steep - ~inside, 0)
        check_cancelled()
        height = (1 - steep) * inside
        for axis in (0, 1):
            height = ndimage.correlate1d(height, BLUR, axis, mode="mirror")
        middles = ndimage.binary_fill_holes(inside & (steep < STEEP))
        middles = ndimage.binary_erosion(middles, OPENED, border_value=1)
        middles = ndimage.binary_dilation(middles, OPENED)
        check_cancelled()
        labels = watershed(-height, _large(middles), mask=inside)  # type: ignore[no-untyped-call]
        return relabel_raster(-labels.astype(np.int32))


def _large(inside: Bools) -> npt.NDArray[np.int32]:
    """Return pieces that are no smaller than ``LEAST_PX``, by their number."""
    from scipy import ndimage

    labels, _ = ndimage.label(inside)
    small = np.bincount(labels.reshape(-1)) < LEAST_PX
    labels[small[labels]] = 0
    return np.asarray(labels, np.int32)


def _flatness(offset: npt.NDArray[Any], axis: int) -> Floats:
    """Return 1 where an offset rises most along its axis and 0 where it falls most, turned over.

    Between objects it falls from 1 to -1, so that it is 1 there.
    """
    from scipy import ndimage

    known = _stretched(np.nan_to_num(offset.astype(np.float32)))
    smooth = _binomial(SLOPE_PX - 1)
    slope = np.convolve(_binomial(SLOPE_PX - 2), [-1, 1])
    found = ndimage.correlate1d(known, slope, axis, mode="mirror")
    found = ndimage.correlate1d(found, smooth, 1 - axis, mode="mirror")
    return 1 - _stretched(found)


def _binomial(order: int) -> npt.NDArray[np.float64]:
    """Return the weights of ``order`` sums of two neighbours, which add up to 1."""
    row = np.ones(1)
    for _ in range(order):
        row = np.convolve(row, [0.5, 0.5])
    return row


def _stretched(values: npt.NDArray[Any]) -> Floats:
    """Return values between 0 and 1, the least and the most of them; 0 where all are equal."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.zeros(values.shape, np.float32)
    return ((values - low) / (high - low)).astype(np.float32)

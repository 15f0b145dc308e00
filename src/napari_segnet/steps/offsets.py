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
from napari_segnet.sinks import large_array
from napari_segnet.steps._bands import bands
from napari_segnet.steps._channels import channel_of, objects_of
from napari_segnet.steps._groups import GROUP_PX, groups_of
from napari_segnet.steps._types import filled_in
from napari_segnet.steps.components import connected
from napari_segnet.steps.fill_holes import closed_background
from napari_segnet.steps.forecast import require_flood_room
from napari_segnet.steps.ids import count_pixels, look_up, relabel_raster

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
OPENING_PX = 4
"""How far an opening looks: as far as the ellipse reaches, twice."""
BLUR = (0.25, 0.5, 0.25)
"""Weights of three neighbours, along both axes."""

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]


class OffsetLabeler:
    """Pieces above ``threshold`` are cut where the slope of the offsets is steep.

    What is left of a piece without its steep pixels are middles of objects; they grow until they
    meet. Slopes count in shares of the steepest of the whole plane. The plane is worked on band by
    band, and pieces are flooded one by one, which gives the same labels: a slope looks 10 pixels
    far, and no flood leaves its piece.
    """

    name = "offsets"
    kind: Kind = "instance"

    def label(self, unit: Unit, settings: LabelSettings) -> Labels:
        """Return int32 labels ``(y, x)``; ids 1..n in raster order."""
        first, objects = channel_of(unit.outputs, "offset"), objects_of(unit.outputs)
        if first is None or unit.maps.ndim != 3 or objects is None or len(objects.foreground) != 1:
            raise MismatchError(
                "instances=offsets needs a network with an output offset and one foreground that "
                "answers plane by plane. Set instances to auto."
            )
        level = np.float32(filled_in(settings.threshold, "threshold"))
        pieces = _large(_at_least(unit.maps[objects.foreground[0]], level))
        steep = _steepness(unit.maps[first : first + 2], pieces)
        middles = _middles(pieces, steep)
        labels = _large(middles)
        del middles
        _flood(labels, pieces, steep)
        return relabel_raster(np.negative(labels, out=labels))


def _at_least(map_: npt.NDArray[Any], level: np.float32) -> Bools:
    inside: Bools = large_array(map_.shape, np.bool_)
    for part in bands(map_.shape):
        np.greater_equal(np.nan_to_num(map_[part].astype(np.float32)), level, out=inside[part])
    return inside


def _large(inside: Bools) -> Labels:
    """Return pieces that are no smaller than ``LEAST_PX``, by their number."""
    pieces = connected(inside)
    large = count_pixels(pieces) >= LEAST_PX
    large[0] = False
    return look_up(pieces, np.cumsum(large, dtype=np.int32) * large)


def _steepness(offsets: npt.NDArray[Any], pieces: Labels) -> Floats:
    """Return how steeply offsets ``(2, y, x)`` fall along their axes: 0 to 1, 0 outside of pieces.

    An offset falls from 1 to -1 between two objects: the steepest is 1.
    """
    slopes = [_slope(offsets[channel], axis) for channel, axis in ((0, 1), (1, 0))]
    ranges = [_range(slope) for slope in slopes]
    steep = slopes[0]
    for part in bands(steep.shape):
        check_cancelled()
        flat = [1 - _stretched(one[part], *ends) for one, ends in zip(slopes, ranges, strict=True)]
        steep[part] = np.where(pieces[part] > 0, np.maximum(*flat), 0)
    return steep


def _slope(offset: npt.NDArray[Any], axis: int) -> Floats:
    """Return the slope of an offset ``(y, x)`` along its axis, smoothed along the other."""
    from scipy import ndimage

    smooth = _binomial(SLOPE_PX - 1)
    slope = np.convolve(_binomial(SLOPE_PX - 2), [-1, 1])
    ends = _range(offset)
    found: Floats = large_array(offset.shape, np.float32)
    for part in bands(offset.shape):
        check_cancelled()
        near, inner = _with_margin(part, len(offset), SLOPE_PX // 2)
        known = _stretched(_numbers(offset[near]), *ends)
        known = ndimage.correlate1d(known, slope, axis, mode="mirror")
        found[part] = ndimage.correlate1d(known, smooth, 1 - axis, mode="mirror")[inner]
    return found


def _middles(pieces: Labels, steep: Floats) -> Bools:
    """Return pieces without their steep pixels, holes filled, thin parts taken away."""
    from scipy import ndimage

    level: Bools = large_array(pieces.shape, np.bool_)
    parts = bands(pieces.shape)
    for part in parts:
        np.logical_and(pieces[part] > 0, steep[part] < STEEP, out=level[part])
    check_cancelled()
    holes = closed_background(level)
    if holes is not None:
        for part in parts:
            level[part] |= holes[part] > 0
    opened: Bools = large_array(pieces.shape, np.bool_)
    for part in parts:
        check_cancelled()
        near, inner = _with_margin(part, len(level), OPENING_PX)
        eroded = ndimage.binary_erosion(level[near], OPENED, border_value=1)
        opened[part] = ndimage.binary_dilation(eroded, OPENED)[inner]
    return opened


def _flood(labels: Labels, pieces: Labels, steep: Floats) -> None:
    """Let middles grow until they fill their pieces, in place; what they do not reach becomes 0."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    for box, chosen in groups_of(pieces):
        check_cancelled()
        if pieces[box].size > GROUP_PX:
            require_flood_room(pieces[box].size)
        mine = chosen[pieces[box]] > 0
        rows, columns = (
            _with_margin(part, n, 1) for part, n in zip(box, pieces.shape, strict=True)
        )
        near, inner = (rows[0], columns[0]), (rows[1], columns[1])
        height = (1 - steep[near]) * (pieces[near] > 0)
        for axis in (0, 1):
            height = ndimage.correlate1d(height, BLUR, axis, mode="mirror")
        seeds = np.maximum(labels[box], 0) * mine
        grown = watershed(-height[inner], seeds, mask=mine)  # type: ignore[no-untyped-call]
        np.negative(grown, out=labels[box], where=mine, casting="unsafe")
    np.minimum(labels, 0, out=labels)


def _with_margin(part: slice, length: int, margin: int) -> tuple[slice, slice]:
    """Return a part with what lies around it, and where it lies in that."""
    near = slice(max(0, part.start - margin), min(length, part.stop + margin))
    return near, slice(part.start - near.start, part.stop - near.start)


def _binomial(order: int) -> npt.NDArray[np.float64]:
    """Return the weights of ``order`` sums of two neighbours, which add up to 1."""
    row = np.ones(1)
    for _ in range(order):
        row = np.convolve(row, [0.5, 0.5])
    return row


def _numbers(values: npt.NDArray[Any]) -> Floats:
    return np.nan_to_num(values.astype(np.float32))


def _range(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the least and the most of them."""
    ends = [
        (float(some.min()), float(some.max()))
        for some in (_numbers(values[part]) for part in bands(values.shape))
    ]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _stretched(values: Floats, low: float, high: float) -> Floats:
    """Return values between 0 (the least) and 1 (the most); 0 where these are equal."""
    if high <= low:
        return np.zeros(values.shape, np.float32)
    return ((values - low) / (high - low)).astype(np.float32)

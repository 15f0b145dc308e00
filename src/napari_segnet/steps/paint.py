"""Detections become labels: each small mask goes straight into its own box.

torchvision's ``paste_masks_in_image`` makes one full-size float picture per object; here
only the pixels inside an object's box are ever computed, one object at a time, so memory
does not grow with their number. The pixels are the same ones (see :func:`paint`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_segnet.boxes import suppress
from napari_segnet.segmentation import Instances
from napari_segnet.steps._types import NMS

if TYPE_CHECKING:
    from napari_segnet.steps._types import LabelSettings

__all__ = ["Painted", "paint", "stretch"]

_PAD = 1
"""Zeros put around each small mask, as torchvision does, so that objects may end softly."""

_CACHED_PX = 512
"""Resampling matrices up to this length are kept during a call: 15 MB when M is 28."""

_ROWS_AT_ONCE = 512


class Painted(NamedTuple):
    """Labels and what is known of each.

    Attributes
    ----------
    labels : ndarray
        int32, ``([t,] [z,] y, x)``; 0 is background.
    ids : ndarray
        ``(k,)`` int64: 1 to k, in raster order of first pixels over the whole stack.
    scores : ndarray
        ``(k,)`` float32 between 0 and 1.
    classes : ndarray
        ``(k,)`` int64, 1 is the first class.
    """

    labels: npt.NDArray[np.int32]
    ids: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]


def paint(
    instances: Instances, settings: LabelSettings, classes: Collection[int] | None = None
) -> Painted:
    """Make labels of detections.

    Where objects overlap a pixel goes to the higher score, or to the object whose mask is
    surer of it (``settings.overlap``).

    A pixel belongs to an object where torchvision's pasted mask reaches
    ``settings.mask_threshold``: the small mask gets one pixel of zeros on each side, the
    box grows with it about its centre and is cut to whole pixels, and the mask is stretched
    over these bilinearly with half-pixel centres.

    Parameters
    ----------
    instances : Instances
        Detections of the whole image.
    settings : LabelSettings
        ``score``, ``nms`` (per class and plane), ``mask_threshold``, ``mask_overlap``,
        ``overlap`` and ``max_objects`` (the best of each plane; 0 for no limit) are used.
    classes : collection of int, optional
        Only objects of these classes; None: all.

    Returns
    -------
    Painted
        Objects that others hide completely have no label.
    """
    labels = np.zeros(instances.shape, np.int32)
    planes = labels.reshape(-1, *labels.shape[-2:])
    best_first = _chosen(instances, settings, classes)
    # One plane after the other: what is known of the pixels painted so far is of one plane.
    best_first = best_first[np.argsort(instances.plane[best_first], kind="stable")]
    where = _paint_all(planes, instances, best_first, settings)
    first = _first_pixels(planes, instances.plane[best_first], where)
    visible = np.flatnonzero(first >= 0)
    visible = visible[np.argsort(first[visible], kind="stable")]
    _renumber(planes, visible, len(first))
    chosen = best_first[visible]
    ids = np.arange(1, len(chosen) + 1, dtype=np.int64)
    return Painted(labels, ids, instances.scores[chosen], instances.classes[chosen])


def stretch(
    box: npt.NDArray[np.float32], mask: npt.NDArray[np.float32], shape: tuple[int, int]
) -> tuple[tuple[slice, slice], npt.NDArray[np.float32]]:
    """Return the probabilities of one object at the pixels that :func:`paint` looks at.

    Parameters
    ----------
    box : ndarray
        ``(4,)`` ``y0 x0 y1 x1`` in image pixels.
    mask : ndarray
        ``(M, M)`` probabilities, stretched over it.
    shape : tuple of int
        ``(y, x)`` of the image.

    Returns
    -------
    where : tuple of slice
        The pixels that the object may have, inside the image.
    values : ndarray
        float32, as large as that.
    """
    whole = _whole_boxes(np.asarray(box, np.float32)[None], mask.shape[-1])[0]
    y0, x0, y1, x1 = np.clip(whole, 0, [*shape, *shape]).tolist()
    padded = np.pad(np.asarray(mask, np.float32), _PAD)
    rows = _stretch(len(padded), int(whole[2] - whole[0]))[y0 - whole[0] : y1 - whole[0]]
    columns = _stretch(len(padded), int(whole[3] - whole[1]))[x0 - whole[1] : x1 - whole[1]]
    values = (rows @ padded @ columns.T).astype(np.float32, copy=False)
    return (slice(y0, y1), slice(x0, x1)), values


def _chosen(
    instances: Instances, settings: LabelSettings, wanted: Collection[int] | None
) -> npt.NDArray[np.int64]:
    """Return the indices of the detections to paint, highest score first."""
    strong = instances.scores >= settings.score
    if wanted is not None:
        strong &= np.isin(instances.classes, list(wanted))
    good = np.flatnonzero(strong)
    plane = instances.plane[good]
    classes = instances.classes[good]
    groups = plane * (classes.max(initial=0) + 1) + classes
    nms = NMS if settings.nms is None else settings.nms
    best = suppress(instances.boxes[good], instances.scores[good], groups, nms)
    if settings.max_objects:
        best = best[_rank_in_plane(plane[best]) < settings.max_objects]
    return good[best]


def _rank_in_plane(plane: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how many entries of the same plane stand before each entry."""
    order = np.argsort(plane, kind="stable")
    _, begin, counts = np.unique(plane[order], return_index=True, return_counts=True)
    rank = np.empty(len(plane), np.int64)
    rank[order] = np.arange(len(plane)) - np.repeat(begin, counts)
    return rank


def _paint_all(
    planes: npt.NDArray[np.int32],
    instances: Instances,
    chosen: npt.NDArray[np.int64],
    settings: LabelSettings,
) -> npt.NDArray[np.int64]:
    """Paint ``chosen``, the best first, as 1, 2, ...; return their pixel boxes ``(n, 4)``."""
    most = 1.0 if settings.mask_overlap is None else settings.mask_overlap
    surest = _Surest(planes.shape[-2:]) if settings.overlap == "probability" else None
    size = instances.masks.shape[-1]
    whole = _whole_boxes(instances.boxes[chosen], size)
    padded = np.zeros((size + 2 * _PAD,) * 2, np.float32)
    matrices = _Matrices(len(padded))
    height, width = planes.shape[-2:]
    clipped = np.clip(whole, 0, [height, width, height, width])
    plane_of = instances.plane[chosen].tolist()
    for label, (k, box, inside) in enumerate(
        zip(chosen.tolist(), whole.tolist(), clipped.tolist(), strict=True), start=1
    ):
        y0, x0, y1, x1 = inside
        if y0 >= y1 or x0 >= x1:
            continue
        padded[_PAD:-_PAD, _PAD:-_PAD] = instances.masks[k]
        rows = matrices.of(box[2] - box[0])[y0 - box[0] : y1 - box[0]]
        columns = matrices.of(box[3] - box[1])[x0 - box[1] : x1 - box[1]]
        values = rows @ padded @ columns.T
        mask = values >= settings.mask_threshold
        plane = plane_of[label - 1]
        painted = planes[plane, y0:y1, x0:x1]
        free = mask & (painted == 0)
        if most < 1 and np.count_nonzero(free) < (1 - most) * np.count_nonzero(mask):
            continue
        if surest is not None:
            free = surest.wins(plane, (slice(y0, y1), slice(x0, x1)), values, mask)
        painted[free] = label
    return clipped


class _Surest:
    """The highest mask probability that each pixel of one plane has been painted with."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._highest = np.full(shape, -1, np.float32)
        self._plane = -1

    def wins(
        self,
        plane: int,
        box: tuple[slice, slice],
        values: npt.NDArray[np.float32],
        mask: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.bool_]:
        """Return where ``mask`` is surer than all before it, and remember it there."""
        if plane != self._plane:
            self._plane = plane
            self._highest[...] = -1
        highest = self._highest[box]
        mask &= values > highest  # of two that are as sure, the earlier has the higher score
        np.copyto(highest, values, where=mask)
        return mask


def _whole_boxes(boxes: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.int64]:
    """Return ``(n, 4)`` int64 pixel boxes that the padded masks are stretched over.

    Like ``expand_boxes`` and ``paste_mask_in_image`` of torchvision: float32 arithmetic,
    truncation towards zero, and one pixel more at the bottom and right.
    """
    centre = (boxes[:, 2:] + boxes[:, :2]) * np.float32(0.5)
    half = (boxes[:, 2:] - boxes[:, :2]) * np.float32(0.5)
    half *= np.float32((size + 2 * _PAD) / size)
    low = (centre - half).astype(np.int64)
    high = (centre + half).astype(np.int64)
    return np.concatenate((low, np.maximum(high, low) + 1), axis=1)


class _Matrices:
    """Bilinear resampling along one axis as small matrices ``(length, size)``."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: dict[int, npt.NDArray[np.float32]] = {}

    def of(self, length: int) -> npt.NDArray[np.float32]:
        """Return the matrix that stretches ``size`` values over ``length`` pixels."""
        matrix = self._kept.get(length)
        if matrix is None:
            matrix = _stretch(self._size, length)
            if length <= _CACHED_PX:
                self._kept[length] = matrix
        return matrix


def _stretch(size: int, length: int) -> npt.NDArray[np.float32]:
    # float32 like torch.nn.functional.interpolate(align_corners=False), edges repeated.
    step = np.float32(size / length)
    at = (np.arange(length, dtype=np.float32) + np.float32(0.5)) * step - np.float32(0.5)
    at = np.maximum(at, np.float32(0))
    low = at.astype(np.int64)
    part = at - low.astype(np.float32)
    matrix = np.zeros((length, size), np.float32)
    pixel = np.arange(length)
    matrix[pixel, low] = 1 - part
    matrix[pixel, np.minimum(low + 1, size - 1)] += part
    return matrix


def _first_pixels(
    planes: npt.NDArray[np.int32],
    plane: npt.NDArray[np.int64],
    where: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Return each label's first pixel as a flat index into the stack; -1 where hidden."""
    height, width = planes.shape[-2:]
    first = np.full(len(where), -1, np.int64)
    for k, (p, (y0, x0, y1, x1)) in enumerate(zip(plane.tolist(), where.tolist(), strict=True)):
        if y0 >= y1 or x0 >= x1:
            continue
        own = planes[p, y0:y1, x0:x1] == k + 1
        at = int(own.argmax())
        row, column = divmod(at, x1 - x0)
        if own[row, column]:
            first[k] = (p * height + y0 + row) * width + x0 + column
    return first


def _renumber(planes: npt.NDArray[np.int32], visible: npt.NDArray[np.int64], n: int) -> None:
    """Give the label ``visible[i] + 1`` the number ``i + 1``, in place, a few rows at once."""
    number = np.zeros(n + 1, np.int32)
    number[visible + 1] = np.arange(1, len(visible) + 1)
    rows = planes.reshape(-1, planes.shape[-1])
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = rows[start : start + _ROWS_AT_ONCE]
        block[...] = number[block]

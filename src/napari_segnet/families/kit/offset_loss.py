"""What offsets from the middle of an object should be, and how far an answer is from them.

HoVer-Net: Graham et al. 2019, doi 10.1016/j.media.2019.101563, section 3.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_segnet.flows import cut_objects

if TYPE_CHECKING:
    import torch

__all__ = ["offset_error", "offset_targets"]

REACH_PX = 2
"""A slope looks so far along both axes: kernels of 5 x 5 pixels, as in vqdang/hover_net (MIT)."""


def offset_targets(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Return how far each pixel is from the middle of its object along x and along y.

    Parameters
    ----------
    labels : ndarray
        ``(y, x)`` int32, ids of objects.

    Returns
    -------
    ndarray
        ``(2, y, x)`` float32: -1 at the first and 1 at the last pixel of an object along x (y), 0
        at its centre of mass and outside; not a number in objects that the edge cuts, since nobody
        knows where the middle of the whole is.
    """
    found = np.zeros((2, *labels.shape), np.float32)
    inside = np.nonzero(labels)
    if not inside[0].size:
        return found
    _, ids = np.unique(labels[inside], return_inverse=True)
    counts = np.bincount(ids)
    for channel, places in ((0, inside[1]), (1, inside[0])):
        middle = np.floor(np.bincount(ids, places) / counts + 0.5)  # a pixel, as there
        away = places - middle[ids]
        first, last = np.zeros(counts.size), np.zeros(counts.size)
        np.minimum.at(first, ids, away)
        np.maximum.at(last, ids, away)
        ends = np.where(away < 0, -first[ids], last[ids])
        found[channel][inside] = away / np.maximum(ends, 1)
    found[:, cut_objects(labels)] = np.nan
    return found


def offset_error(
    answer: torch.Tensor, targets: torch.Tensor, trusted: torch.Tensor, inside: torch.Tensor
) -> torch.Tensor:
    """Return the mean squared error of offsets plus that of their slopes within objects.

    Parameters
    ----------
    answer, targets : Tensor
        ``(n, 2, y, x)``: offsets along x and y. Where targets are not a number nobody knows them,
        and there is no gradient.
    trusted, inside : Tensor
        ``(n, 1, y, x)``: 1 where labels may be learned from; 1 in objects; else 0.
    """
    import torch
    from torch.nn import functional

    known = ((trusted > 0) & targets[:, :1].isfinite()).to(answer)
    apart = torch.where(known > 0, answer - targets, torch.zeros_like(answer))
    error = apart.square().sum() / (2 * known.sum()).clamp(min=1)
    along = torch.arange(-REACH_PX, REACH_PX + 1.0, device=answer.device, dtype=answer.dtype)
    y, x = torch.meshgrid(along, along, indexing="ij")
    kernels = torch.stack((x, y)) / (x * x + y * y).clamp(min=1e-15)
    # A slope is a sum: that of the difference is the difference of slopes.
    slopes = functional.conv2d(apart, kernels[:, None], padding=REACH_PX, groups=2)
    seen = -functional.max_pool2d(-known, 2 * REACH_PX + 1, 1, REACH_PX)
    focus = seen * inside
    return error + (slopes.square() * focus).sum() / (2 * focus.sum()).clamp(min=1)

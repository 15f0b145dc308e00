"""Where the pixels of a picture end that move along its flows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_segnet.progress import check_cancelled

__all__ = ["follow"]

LOOK = 10
"""After so many steps those that stand still are no longer moved."""
STILL_PX = 1e-4
"""A pixel that moves less in a step has arrived: the rest of its way is about as long."""


def follow(
    flows: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_], steps: int
) -> npt.NDArray[np.int64]:
    """Move the pixels of objects along flows, which are linear between the pixels.

    As ``follow_flows`` of Cellpose 3 has it; flows are taken as 0 outside of ``inside``.

    Parameters
    ----------
    flows : ndarray
        float32 ``(2, y, x)``: pixels along y and x in one step.
    inside : ndarray
        bool ``(y, x)``.
    steps : int
        How many.

    Returns
    -------
    ndarray
        ``(2, n)`` y and x where each pixel of ``inside`` ends, in their order; whole pixels.
    """
    import torch
    from torch.nn.functional import grid_sample

    lengths = inside.shape
    field = torch.from_numpy(np.ascontiguousarray(flows[::-1] * inside)[None])  # x before y
    last = torch.tensor([lengths[1] - 1.0, lengths[0] - 1.0])
    rows, columns = np.nonzero(inside)
    places = torch.from_numpy(np.stack([columns, rows], 1).astype(np.float32))
    moving = torch.arange(len(places))
    moved = places.clone()
    with torch.inference_mode():
        to_grid = 2 / last.clamp(min=1)
        for done in range(1, steps + 1):
            if not len(moving):
                break
            grid = (moved * to_grid - 1)[None, None]
            step = grid_sample(field, grid, padding_mode="border", align_corners=True)[0, :, 0].T
            moved = torch.minimum((moved + step).clamp_(min=0), last)
            if done % LOOK and done != steps:
                continue
            check_cancelled()
            places[moving] = moved
            going = step.abs().amax(1) >= STILL_PX
            moving, moved = moving[going], moved[going]
    ends: npt.NDArray[np.int64] = places.numpy()[:, ::-1].T.astype(np.int64)
    return ends

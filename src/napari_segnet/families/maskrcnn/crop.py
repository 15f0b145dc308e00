"""How boxes are cut out of the pyramid: RoIAlign, or TensorFlow's ``crop_and_resize``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from napari_segnet.families.maskrcnn.rules import Pool

__all__ = ["CropPool", "pool_of"]

_INSIDE = 1e-4
"""Feature pixels by which a point may lie outside: the rounding of a box that ends at the edge.

TensorFlow takes 0 there, or not, as the last digit of float32 has it.
"""


def pool_of(
    hparams: Mapping[str, Any], output_px: int, strides: tuple[int, ...]
) -> Pool | CropPool:
    """Return what cuts boxes out, as hyper-parameters say."""
    if hparams["arithmetic"] == "matterport":
        return CropPool(output_px=output_px, strides=strides)
    return Pool.of(hparams, output_px, strides)


@dataclass(frozen=True, slots=True, kw_only=True)
class CropPool:
    """``PyramidROIAlign`` of matterport: one point for each pixel of what is cut out.

    The corners of a box, which ends with its last pixel, are the centres of the corner pixels;
    the first and the last pixels of features and picture lie on each other.

    Attributes
    ----------
    output_px : int
        Edge of what is cut out.
    strides : tuple of int
        Of the levels that are looked at.
    rounded : bool
        Whether the level is the nearest one; else the next finer one.
    edge_px : float
        Edge of a box that is cut out of the level of stride 16.
    """

    output_px: int
    strides: tuple[int, ...]
    rounded: bool = True
    edge_px: float = 224.0

    def __call__(self, levels: Mapping[str, torch.Tensor], boxes: torch.Tensor) -> torch.Tensor:
        """Return ``(n, c, output_px, output_px)`` of boxes ``(n, 4)`` in one padded picture."""
        maps = list(levels.values())[: len(self.strides)]
        out = maps[0].new_zeros((len(boxes), maps[0].shape[1], self.output_px, self.output_px))
        picture = [n * self.strides[0] for n in maps[0].shape[-2:]]
        own = self._levels(boxes, picture)
        for number, level in enumerate(maps):
            here = torch.where(own == number)[0]
            if len(here):
                out[here] = self._cut(level, boxes[here], picture)
        return out

    def _cut(self, level: torch.Tensor, boxes: torch.Tensor, picture: list[int]) -> torch.Tensor:
        y, insides_y = self._points(boxes[:, 1], boxes[:, 3], picture[0], level.shape[-2])
        x, insides_x = self._points(boxes[:, 0], boxes[:, 2], picture[1], level.shape[-1])
        # From the centres of the first and the last pixel to -1 and 1, as grid_sample has it.
        wide = 2 * x / max(level.shape[-1] - 1, 1) - 1
        high = 2 * y / max(level.shape[-2] - 1, 1) - 1
        places = torch.stack(
            [
                wide[:, None, :].expand(-1, self.output_px, -1),
                high[:, :, None].expand(-1, -1, self.output_px),
            ],
            dim=-1,
        )
        # All boxes in one picture, one below the other.
        rows = places.reshape(1, -1, self.output_px, 2)
        cut = functional.grid_sample(level, rows, align_corners=True, padding_mode="border")
        cut = cut[0].view(-1, len(boxes), self.output_px, self.output_px).transpose(0, 1)
        return cut * (insides_y[:, None, :, None] & insides_x[:, None, None, :])

    def _points(
        self, first: torch.Tensor, last: torch.Tensor, picture: int, level: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where a side is looked at, ``(n, output_px)`` in feature pixels, and if inside."""
        scale = (level - 1) / (picture - 1)
        if self.output_px > 1:
            steps = torch.arange(self.output_px, device=first.device, dtype=first.dtype)
            along = steps / (self.output_px - 1)
        else:
            along = first.new_full((1,), 0.5)
        points = (first[:, None] + (last - first)[:, None] * along) * scale
        return points, (points >= -_INSIDE) & (points <= level - 1 + _INSIDE)

    def _levels(self, boxes: torch.Tensor, picture: list[int]) -> torch.Tensor:
        """Return the level of each box.

        Its size is counted in pictures of ``n - 1`` pixels and compared with those of ``n``, as
        the original does.
        """
        one = (picture[0] - 1) * (picture[1] - 1) / (picture[0] * picture[1])
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / one
        exact = torch.log2(area.clamp(min=0).sqrt() / self.edge_px)
        exact = exact.round() if self.rounded else exact.floor()
        lowest, highest = math.log2(self.strides[0]), math.log2(self.strides[-1])
        return (4 + exact).clamp(lowest, highest).to(torch.int64) - int(lowest)

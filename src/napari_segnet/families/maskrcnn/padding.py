"""What a Mask R-CNN puts around a picture, so that its sides halve without a rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

__all__ = ["Padding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Padding:
    """How pictures are padded before the network.

    Attributes
    ----------
    divisor : int
        Sides become a multiple of it.
    square_px : int
        Side of the square that pictures are put into where they fit; 0: none.
    centred : bool
        True if both sides are padded alike; else right and bottom alone.
    values : tuple of float
        What stands there in each channel, as the network sees it; empty: zeros.
    """

    divisor: int = 32
    square_px: int = 0
    centred: bool = False
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, hparams: Mapping[str, Any]) -> Padding:
        """Return the one that hyper-parameters say."""
        if hparams["arithmetic"] != "matterport":
            return cls()  # ``size_divisible`` of torchvision
        means, stds = hparams["pixel_mean"], hparams["pixel_std"]
        return cls(
            divisor=64,
            square_px=hparams["max_size"] if hparams["resize"] == "square" else 0,
            centred=True,
            # utils.resize_image pads with black, and mold_image takes the mean off after that.
            values=tuple(-mean / std for mean, std in zip(means, stds, strict=True)),
        )

    def frame(
        self, shape: tuple[int, int], *, whole: bool = True
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return ``(y, x)`` of a padded picture of ``shape``, and where the picture is in it.

        What is not a ``whole`` picture gets no square.
        """
        height, width = shape
        if whole and max(shape) <= self.square_px:
            padded = self.square_px, self.square_px
        else:
            padded = height + -height % self.divisor, width + -width % self.divisor
        if not self.centred:
            return padded, (0, 0)
        return padded, ((padded[0] - height) // 2, (padded[1] - width) // 2)

    def fill(
        self, batch: torch.Tensor, *, whole: bool = True
    ) -> tuple[torch.Tensor, tuple[int, int]]:
        """Return padded pictures ``(n, c, y, x)``, and where each picture is in them."""
        shape = batch.shape[-2], batch.shape[-1]
        (height, width), (top, left) = self.frame(shape, whole=whole)
        if not self.values:
            bottom, right = height - top - batch.shape[-2], width - left - batch.shape[-1]
            return functional.pad(batch, (left, right, top, bottom)), (top, left)
        around = batch.new_tensor(self.values).view(1, -1, 1, 1)
        padded = around.expand(*batch.shape[:2], height, width).clone()
        padded[..., top : top + batch.shape[-2], left : left + batch.shape[-1]] = batch
        return padded, (top, left)

"""The network of our own U-Net family, as a torch module."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from napari_segnet.families.kit.blocks import Joining

__all__ = ["UNet"]


class UNet(nn.Module):
    """Two 3x3 convolutions per level, max-pooling down, transposed convolutions up.

    The shape of Ronneberger et al. 2015 (doi 10.1007/978-3-319-24574-4_28) with padded
    convolutions and batch normalisation, in two or three dimensions.

    Parameters
    ----------
    ndim : int
        2 or 3.
    channels : int
        Input channels.
    widths : tuple of int
        Channels of each level, full resolution first.
    strides : tuple of tuple of int
        Pooling per axis ``([z,] y, x)`` between neighbouring levels; a 1 along z keeps
        thick sections apart from it.
    outputs : int
        Output channels; raw values, without activation.
    """

    def __init__(
        self,
        ndim: int,
        channels: int,
        widths: tuple[int, ...],
        strides: tuple[tuple[int, ...], ...],
        outputs: int,
    ) -> None:
        super().__init__()
        pool: Any = nn.MaxPool2d if ndim == 2 else nn.MaxPool3d
        up: Any = nn.ConvTranspose2d if ndim == 2 else nn.ConvTranspose3d
        conv = nn.Conv2d if ndim == 2 else nn.Conv3d
        below = (channels, *widths[:-1])
        self.encoder = nn.ModuleList(
            _double(ndim, a, b) for a, b in zip(below, widths, strict=True)
        )
        # Kernel and stride are equal, so every window lies within the even size.
        self.pools = nn.ModuleList(pool(s, stride=s) for s in strides)
        pairs = list(zip(widths[1:], widths[:-1], strides, strict=True))[::-1]
        self.ups = nn.ModuleList(up(deep, wide, s, stride=s) for deep, wide, s in pairs)
        self.decoder = nn.ModuleList(_double(ndim, 2 * wide, wide) for _, wide, _ in pairs)
        self.head = conv(widths[0], outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, c, [z,] y, x)`` to ``(n, outputs, [z,] y, x)``."""
        skips: list[torch.Tensor] = []
        for block, pool in zip(self.encoder, self.pools, strict=False):
            skips.append(block(x))
            x = pool(skips[-1])
        x = self.encoder[-1](x)
        for up, block in zip(self.ups, self.decoder, strict=True):
            # Freed as soon as it is joined: at full size each of them is large.
            x = block(skips.pop(), up(x))
        answer: torch.Tensor = self.head(x)
        return answer


def _double(ndim: int, inputs: int, outputs: int) -> Joining:
    conv = nn.Conv2d if ndim == 2 else nn.Conv3d
    norm = nn.BatchNorm2d if ndim == 2 else nn.BatchNorm3d
    return Joining(
        conv(inputs, outputs, 3, padding=1, bias=False),
        norm(outputs),
        nn.ReLU(inplace=True),
        conv(outputs, outputs, 3, padding=1, bias=False),
        norm(outputs),
        nn.ReLU(inplace=True),
    )

"""The network of jvanvugt/pytorch-unet as a torch module."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from napari_segnet.families.kit.blocks import convolution, double_conv, pool, transposed, upsampled
from napari_segnet.families.kit.kinds import Kinds

__all__ = ["Plan", "UNet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that decides the layers.

    Attributes
    ----------
    ndim : int
        2 or 3.
    inputs, outputs : int
        Channels of the image and of the answer.
    features : tuple of int
        Channels of each level, full resolution first.
    order : str
        What a block repeats, a key of ``ORDERS``.
    kernel : int
        Edge of the 3x3 convolutions.
    bias : bool
        Whether they have a bias.
    padding : bool
        Whether they keep the size, or see only true pixels and so lose the border.
    up_mode : str
        ``upconv``: transposed convolution; ``upsample``: without weights, then 1x1.
    kinds : Kinds
        What no tensor shows.
    """

    ndim: int
    inputs: int
    outputs: int
    features: tuple[int, ...]
    order: str
    kernel: int
    bias: bool
    padding: bool
    up_mode: str
    kinds: Kinds


class Block(nn.Module):
    """Two convolutions."""

    def __init__(self, plan: Plan, inputs: int, outputs: int) -> None:
        super().__init__()
        padding = plan.kernel // 2 if plan.padding else 0
        widths = (inputs, outputs, outputs)
        self.block = double_conv(
            plan.ndim, widths, plan.order, plan.kernel, padding, plan.bias, plan.kinds
        )

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """Return the features of joined tensors; smaller than those without padding."""
        answer: torch.Tensor = self.block(*parts)
        return answer


class Up(nn.Module):
    """Up-sampling by 2, joined with the middle of the skip connection, then a block."""

    def __init__(self, plan: Plan, inputs: int, outputs: int, level: int) -> None:
        super().__init__()
        self.up: nn.Module
        if plan.up_mode == "upconv":
            self.up = transposed(plan.ndim, inputs, outputs)
        else:
            stride = (2 ** (level + 1),) * plan.ndim
            self.up = nn.Sequential(
                upsampled(plan.kinds.upsampling, stride),
                convolution(plan.ndim, inputs, outputs, 1),
            )
        self.conv_block = Block(plan, 2 * outputs, outputs)
        self.skip_first = plan.kinds.skip_first

    def forward(self, x: torch.Tensor, bridge: torch.Tensor) -> torch.Tensor:
        """Return the features; ``bridge`` is cropped around its centre to the size of ``x``."""
        x = self.up(x)
        for dim in range(2, x.ndim):
            n = x.shape[dim]
            bridge = bridge.narrow(dim, (bridge.shape[dim] - n) // 2, n)
        parts = (bridge, x) if self.skip_first else (x, bridge)
        answer: torch.Tensor = self.conv_block(*parts)
        return answer


class UNet(nn.Module):
    """U-Net of ``len(features)`` levels, with or without padding."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        features = plan.features
        above = (plan.inputs, *features[:-1])
        pairs = list(zip(features[1:], features[:-1], strict=True))[::-1]
        self.down_path = nn.ModuleList(
            Block(plan, a, b) for a, b in zip(above, features, strict=True)
        )
        self.pools = nn.ModuleList(pool(plan.ndim, plan.kinds.pooling) for _ in pairs)
        self.up_path = nn.ModuleList(
            Up(plan, deep, wide, len(pairs) - 1 - i) for i, (deep, wide) in enumerate(pairs)
        )
        self.last = convolution(plan.ndim, features[0], plan.outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, c, [z,] y, x)`` to raw values ``(n, outputs, [z,] y, x)``."""
        bridges: list[torch.Tensor] = []
        for down, pooling in zip(self.down_path, self.pools, strict=False):
            bridges.append(down(x))
            x = pooling(bridges[-1])
        x = self.down_path[-1](x)
        for up in self.up_path:
            x = up(x, bridges.pop())
        answer: torch.Tensor = self.last(x)
        return answer

"""The network of milesial/Pytorch-UNet as a torch module, under its newest names."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import pad

from napari_segnet.families.kit.blocks import (
    Joining,
    convolution,
    double_conv,
    pool,
    transposed,
    upsampled,
)
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
    encoder, decoder : tuple of (int, int)
        Channels between and after the two convolutions of each block, in running order.
    ups : tuple of int
        Output channels of the transposed convolutions; empty: linear up-sampling.
    order : str
        What a block repeats, a key of ``ORDERS``.
    kernel : int
        Edge of the 3x3 convolutions.
    bias : bool
        Whether they have a bias.
    padding : bool
        Whether they keep the size; without, up-sampled maps are padded the more.
    kinds : Kinds
        What no tensor shows.
    """

    ndim: int
    inputs: int
    outputs: int
    encoder: tuple[tuple[int, int], ...]
    decoder: tuple[tuple[int, int], ...]
    ups: tuple[int, ...]
    order: str
    kernel: int
    bias: bool
    padding: bool
    kinds: Kinds

    def block(self, inputs: int, widths: tuple[int, int]) -> nn.Module:
        """Return a block of two convolutions under the name that the files use."""
        padding = self.kernel // 2 if self.padding else 0
        layers = double_conv(
            self.ndim, (inputs, *widths), self.order, self.kernel, padding, self.bias, self.kinds
        )
        return Joining(OrderedDict(double_conv=layers))


class Down(nn.Module):
    """Pooling by 2, then a block."""

    def __init__(self, plan: Plan, inputs: int, widths: tuple[int, int]) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(
            pool(plan.ndim, plan.kinds.pooling), plan.block(inputs, widths)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Halve each axis; an odd last pixel is dropped."""
        answer: torch.Tensor = self.maxpool_conv(x)
        return answer


class Up(nn.Module):
    """Up-sampling by 2, joined with the skip connection, then a block."""

    def __init__(
        self, plan: Plan, inputs: int, skip: int, widths: tuple[int, int], level: int
    ) -> None:
        super().__init__()
        index = len(plan.encoder) - 2 - level
        self.up: nn.Module
        if plan.ups:
            self.up = transposed(plan.ndim, inputs, plan.ups[index])
            inputs = plan.ups[index]
        else:
            stride = (2 ** (level + 1),) * plan.ndim
            self.up = upsampled(plan.kinds.upsampling, stride)
        self.conv = plan.block(skip + inputs, widths)
        self.skip_first = plan.kinds.skip_first

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Return ``(n, c, [z,] y, x)`` of the size of ``skip``."""
        x = self.up(x)
        margins: list[int] = []
        for have, want in zip(x.shape[:1:-1], skip.shape[:1:-1], strict=True):
            margins += [(want - have) // 2, (want - have) - (want - have) // 2]
        if any(margins):  # an odd size lost its last pixel in the pooling
            x = pad(x, margins)
        answer: torch.Tensor = self.conv(skip, x) if self.skip_first else self.conv(x, skip)
        return answer


class Out(nn.Module):
    """The last convolution, 1x1."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.conv = convolution(plan.ndim, plan.decoder[-1][1], plan.outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return raw values, one channel per class."""
        answer: torch.Tensor = self.conv(x)
        return answer


class UNet(nn.Module):
    """U-Net that takes any size of at least ``2 ** depth`` pixels and keeps it."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.depth = len(plan.encoder) - 1
        self.inc = plan.block(plan.inputs, plan.encoder[0])
        below = plan.encoder[0][1]
        for i, widths in enumerate(plan.encoder[1:], start=1):
            self.add_module(f"down{i}", Down(plan, below, widths))
            below = widths[1]
        for i, widths in enumerate(plan.decoder, start=1):
            level = self.depth - i
            skip = plan.encoder[level][1]
            self.add_module(f"up{i}", Up(plan, below, skip, widths, level))
            below = widths[1]
        self.outc = Out(plan)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, c, [z,] y, x)`` to raw values ``(n, classes, [z,] y, x)``."""
        skips: list[torch.Tensor] = []
        x = self.inc(x)
        for i in range(1, self.depth + 1):
            skips.append(x)
            x = self.get_submodule(f"down{i}")(x)
        for i in range(1, self.depth + 1):
            # Freed as soon as it is joined: at full size each of them is large.
            x = self.get_submodule(f"up{i}")(x, skips.pop())
        answer: torch.Tensor = self.outc(x)
        return answer

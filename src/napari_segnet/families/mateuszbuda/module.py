"""The network of mateuszbuda/brain-segmentation-pytorch as a torch module."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from napari_segnet.families.kit.blocks import Joining, convolution, double_conv, pool, transposed
from napari_segnet.families.kit.kinds import Kinds

__all__ = ["UNet"]


class UNet(nn.Module):
    """U-Net; each width is twice the one above.

    Parameters
    ----------
    ndim : int
        2 or 3.
    inputs, outputs : int
        Channels of the image and of the answer.
    width : int
        Channels at full resolution.
    depth : int
        Poolings.
    sigmoid : bool
        Whether probabilities leave it, as in the original, or raw values.
    kinds : Kinds
        What no tensor shows.
    """

    def __init__(
        self,
        ndim: int,
        inputs: int,
        outputs: int,
        width: int,
        depth: int,
        sigmoid: bool,
        kinds: Kinds,
    ) -> None:
        super().__init__()
        self.depth, self.skip_first = depth, kinds.skip_first
        widths = [width * 2**level for level in range(depth + 1)]
        for level, (a, b) in enumerate(zip([inputs, *widths], widths, strict=False), start=1):
            last = level > depth
            self.add_module(
                "bottleneck" if last else f"encoder{level}",
                _block(ndim, a, b, "bottleneck" if last else f"enc{level}", kinds),
            )
            if not last:
                self.add_module(f"pool{level}", pool(ndim, kinds.pooling))
        for level in range(depth, 0, -1):
            above, below = widths[level - 1], widths[level]
            self.add_module(f"upconv{level}", transposed(ndim, below, above))
            block = _block(ndim, 2 * above, above, f"dec{level}", kinds)
            self.add_module(f"decoder{level}", block)
        self.conv = convolution(ndim, width, outputs, 1)
        self.activation = nn.Sigmoid() if sigmoid else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, c, [z,] y, x)`` to ``(n, outputs, [z,] y, x)``; multiples of 2**depth px."""
        skips: list[torch.Tensor] = []
        for level in range(1, self.depth + 1):
            skips.append(self.get_submodule(f"encoder{level}")(x))
            x = self.get_submodule(f"pool{level}")(skips[-1])
        x = self.get_submodule("bottleneck")(x)
        for level in range(self.depth, 0, -1):
            x = self.get_submodule(f"upconv{level}")(x)
            skip = skips.pop()
            parts = (skip, x) if self.skip_first else (x, skip)
            x = self.get_submodule(f"decoder{level}")(*parts)
        answer: torch.Tensor = self.activation(self.conv(x))
        return answer


def _block(ndim: int, inputs: int, outputs: int, name: str, kinds: Kinds) -> Joining:
    layers = double_conv(ndim, (inputs, outputs, outputs), kinds=kinds)
    names = [f"{name}{part}{i}" for i in (1, 2) for part in ("conv", "norm", "relu")]
    return Joining(OrderedDict(zip(names, layers, strict=True)))

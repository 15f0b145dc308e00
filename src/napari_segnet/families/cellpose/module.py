"""The network of Cellpose 1 to 3 as a torch module, with the names of its tensors.

Written anew from the definition of ``CPnet`` (Cellpose 3.1, BSD-3, ``resnet_torch.py``; Stringer et
al. 2021, doi 10.1038/s41592-020-01018-x): residual blocks with the normalisation first, skip
connections that are added, and a style, which is the mean of the deepest level over all of a tile.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

__all__ = ["CPnet"]

MOMENTUM = 0.05
"""Of its batch normalisations, in training."""
FLOW_LENGTH = 5.0
"""A flow of length 1 is 5 for the training."""


class CPnet(nn.Module):
    """The network.

    Parameters
    ----------
    channels : int
        Of the image.
    widths : sequence of int
        Channels at each level.
    kernel : int
        Edge of its kernels.
    diameters : bool
        Whether the file keeps two diameters, as those of Cellpose 2 and later.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], kernel: int, diameters: bool = True
    ) -> None:
        super().__init__()
        self.downsample = _Encoder(channels, widths, kernel)
        self.upsample = _Decoder(widths, kernel)
        self.output = _before(widths[0], 3, 1)
        if diameters:  # in pixels: what objects are scaled to, and what they had
            self.diam_mean = nn.Parameter(torch.ones(1), requires_grad=False)
            self.diam_labels = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, c, y, x)`` to flows along y and x, and the logit of being in an object.

        Flows are of length 1; sizes are multiples of what the poolings divide by.
        """
        levels = self.downsample(x)
        style = levels[-1].mean((2, 3))
        style = style / style.square().sum(1, keepdim=True).sqrt()
        answer: torch.Tensor = self.output(self.upsample(levels, style))
        return torch.cat([answer[:, :2] / FLOW_LENGTH, answer[:, 2:]], 1)


def _before(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Return normalisation, ReLU, convolution."""
    norm = nn.BatchNorm2d(inputs, momentum=MOMENTUM)
    return nn.Sequential(norm, nn.ReLU(), nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    norm = nn.BatchNorm2d(inputs, momentum=MOMENTUM)
    return nn.Sequential(norm, nn.Conv2d(inputs, outputs, 1))


class _Down(nn.Module):
    """Four convolutions with two shortcuts."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        widths = [inputs, *[outputs] * 3]
        self.conv = nn.Sequential(
            OrderedDict((f"conv_{i}", _before(w, outputs, kernel)) for i, w in enumerate(widths))
        )
        self.proj = _projection(inputs, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.proj(x) + self.conv[1](self.conv[0](x))
        answer: torch.Tensor = x + self.conv[3](self.conv[2](x))
        return answer


class _Encoder(nn.Module):
    def __init__(self, channels: int, widths: Sequence[int], kernel: int) -> None:
        super().__init__()
        inputs = [channels, *widths]
        self.down = nn.Sequential(
            OrderedDict(
                (f"res_down_{i}", _Down(inputs[i], width, kernel)) for i, width in enumerate(widths)
            )
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        levels: list[torch.Tensor] = []
        for level, block in enumerate(self.down):
            levels.append(block(functional.max_pool2d(levels[-1], 2) if level else x))
        return levels


class _Styled(nn.Module):
    """A convolution of an image to which a learnt function of its style is added."""

    def __init__(self, width: int, style: int, kernel: int) -> None:
        super().__init__()
        self.conv = _before(width, width, kernel)
        self.full = nn.Linear(style, width)

    def forward(self, x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.conv(x + self.full(style)[:, :, None, None])
        return answer


class _Up(nn.Module):
    """As :class:`_Down`, with a skip connection and the style."""

    def __init__(self, inputs: int, outputs: int, style: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            OrderedDict(
                conv_0=_before(inputs, outputs, kernel),
                conv_1=_Styled(outputs, style, kernel),
                conv_2=_Styled(outputs, style, kernel),
                conv_3=_Styled(outputs, style, kernel),
            )
        )
        self.proj = _projection(inputs, outputs)

    def forward(self, x: torch.Tensor, skip: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        x = self.proj(x) + self.conv[1](self.conv[0](x) + skip, style)
        answer: torch.Tensor = x + self.conv[3](self.conv[2](x, style), style)
        return answer


class _Decoder(nn.Module):
    def __init__(self, widths: Sequence[int], kernel: int) -> None:
        super().__init__()
        below = [*widths[1:], widths[-1]]
        self.up = nn.Sequential(
            OrderedDict(
                (f"res_up_{i}", _Up(below[i], width, widths[-1], kernel))
                for i, width in enumerate(widths)
            )
        )

    def forward(self, levels: list[torch.Tensor], style: torch.Tensor) -> torch.Tensor:
        x = self.up[-1](levels[-1], levels[-1], style)
        for level in range(len(levels) - 2, -1, -1):
            x = self.up[level](functional.interpolate(x, scale_factor=2), levels[level], style)
        answer: torch.Tensor = x
        return answer

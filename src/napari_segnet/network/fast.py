"""The same network, made fast for answering: fused, laid out for the CPU, cancellable.

Nothing here changes what is computed beyond float32 rounding.
"""

from __future__ import annotations

import copy
import math
import time
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_segnet.progress import check_cancelled

__all__ = ["Banded", "fast_copy", "watch_cancel"]

BAND_SECONDS = 0.4
"""A single convolution on a CPU is cut into bands that last about this long, so that a
cancelled job stops within a second also in the middle of a large tile."""
FLOPS_PER_SECOND = 60e9
"""Of a slow laptop core or two; each band measures the real figure for the next."""


def fast_copy(module: nn.Module, device: str) -> nn.Module:
    """Return a copy for inference; parameters that need no change are shared.

    Batch normalisation that directly follows a convolution is folded into it (in
    float64), ReLUs behind them work in place, and on a CPU large convolutions are done in
    bands.
    """
    module = _shallow(module)
    _fuse(module)
    if device == "cpu":
        _band(module)
    return module.eval()


def watch_cancel(module: nn.Module) -> None:
    """Look at the cancel flag before every layer."""

    def look(_module: nn.Module, _inputs: Any) -> None:
        check_cancelled()

    for layer in module.modules():
        if not list(layer.children()):
            layer.register_forward_pre_hook(look)


class Banded(nn.Module):
    """A convolution of stride 1 that is done in bands along its first axis if it is large.

    Each band reads the rows that its kernel touches, so the answer is that of the whole.
    """

    def __init__(self, conv: nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        self.conv = conv
        self._speed = FLOPS_PER_SECOND

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve ``(n, c, [z,] y, x)``."""
        rows = self._rows_out(x)
        flops = 2 * self.conv.weight.numel() * x.shape[0] * rows * math.prod(x.shape[3:])
        bands = min(rows, math.ceil(flops / self._speed / BAND_SECONDS))
        if bands < 2:
            whole: torch.Tensor = self.conv(x)
            return whole
        answer: torch.Tensor | None = None
        edges = [rows * i // bands for i in range(bands + 1)]
        for start, stop in pairwise(edges):
            check_cancelled()
            begun = time.perf_counter()
            band = self._band(x, start, stop)
            if answer is None:
                answer = _empty_like(band, rows)
            answer[:, :, start:stop] = band
            self._speed = flops * (stop - start) / rows / (time.perf_counter() - begun)
        assert answer is not None
        return answer

    def _rows_out(self, x: torch.Tensor) -> int:
        reach = (self.conv.kernel_size[0] - 1) * self.conv.dilation[0]
        return int(x.shape[2] + 2 * int(self.conv.padding[0]) - reach)

    def _band(self, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        conv = self.conv
        pad = int(conv.padding[0])
        first = start - pad
        last = stop - pad + (conv.kernel_size[0] - 1) * conv.dilation[0]
        part = x[:, :, max(0, first) : min(last, x.shape[2])]
        above, below = max(0, -first), max(0, last - x.shape[2])
        if above or below:
            sides = [0] * (2 * (x.ndim - 3))
            part = functional.pad(part, [*sides, above, below])
        convolve: Any = functional.conv2d if x.ndim == 4 else functional.conv3d
        result: torch.Tensor = convolve(
            part,
            conv.weight,
            conv.bias,
            padding=(0, *conv.padding[1:]),
            dilation=conv.dilation,
            groups=conv.groups,
        )
        return result


def _empty_like(band: torch.Tensor, rows: int) -> torch.Tensor:
    shape = (*band.shape[:2], rows, *band.shape[3:])
    layout = torch.contiguous_format
    if band.ndim == 4 and band.is_contiguous(memory_format=torch.channels_last):
        layout = torch.channels_last
    return torch.empty(shape, dtype=band.dtype, device=band.device, memory_format=layout)


def _shallow(module: nn.Module) -> nn.Module:
    """Copy the tree of modules, sharing parameters and buffers."""
    twin = copy.copy(module)
    twin._parameters = dict(module._parameters)
    twin._buffers = dict(module._buffers)
    twin._modules = {
        name: None if child is None else _shallow(child) for name, child in module._modules.items()
    }
    return twin


def _fuse(module: nn.Module) -> None:
    if isinstance(module, nn.Sequential):
        _fuse_chain(module)
    for child in module.children():
        _fuse(child)


def _fuse_chain(chain: nn.Sequential) -> None:
    names = list(chain._modules)
    for name, after in pairwise(names):
        first, second = chain._modules[name], chain._modules[after]
        if _fusable(first, second):
            chain._modules[name] = _fused(first, second)
            chain._modules[after] = nn.Identity()
    before: nn.Module | None = None
    for name in names:
        layer = chain._modules[name]
        if isinstance(layer, nn.Identity):
            continue
        if isinstance(layer, nn.ReLU) and isinstance(before, _OWNING):
            # What a convolution or norm returns is used by this ReLU alone.
            chain._modules[name] = nn.ReLU(inplace=True)
        before = layer


_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)
_OWNING = (*_CONVOLUTIONS, *_NORMS)


def _fusable(first: Any, second: Any) -> bool:
    return (
        isinstance(first, _CONVOLUTIONS)
        and isinstance(second, _NORMS)
        and second.track_running_stats
        and second.running_mean is not None
    )


def _fused(conv: Any, norm: Any) -> nn.Module:
    dtype = conv.weight.dtype
    if conv.weight.device.type == "meta":
        fused: nn.Module = fuse_conv_bn_eval(copy.copy(conv).eval(), norm.eval())
        return fused
    double = fuse_conv_bn_eval(
        copy.deepcopy(conv).double().eval(), copy.deepcopy(norm).double().eval()
    )
    single: nn.Module = double.to(dtype)
    return single


def _band(module: nn.Module) -> None:
    for name, child in module._modules.items():
        if isinstance(child, _CONVOLUTIONS) and _bandable(child):
            module._modules[name] = Banded(child)
        elif child is not None:
            _band(child)


def _bandable(conv: Any) -> bool:
    return (
        all(s == 1 for s in conv.stride)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )

"""The same network, made fast for answering: fused, laid out for the CPU, cancellable.

Nothing here changes what is computed beyond float32 rounding.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections import OrderedDict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_segnet.progress import check_cancelled

__all__ = ["Banded", "BandedTransposed", "fast_copy", "watch_cancel"]

BAND_SECONDS = 0.4
"""A single convolution on a CPU is cut into bands that last about this long, so that a
cancelled job stops within a second also in the middle of a large tile."""
FLOPS_PER_SECOND = 60e9
"""Of a slow laptop core or two; each large convolution measures its real figure for the
next time."""
MEASURED_FLOPS = 1e9
"""Smaller pieces of work say more of overhead than of speed."""


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


class _Banded(nn.Module):
    """A convolution that is done in bands if it is large; the answer is that of the whole.

    The bands lie along the first axis, where they are contiguous in memory, or along the
    longest one if the first is too short.
    """

    def __init__(self, conv: Any) -> None:
        super().__init__()
        self.conv = conv
        self._speed = FLOPS_PER_SECOND

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve ``(n, c, [z,] y, x)``."""
        lengths = [self._length(x, axis) for axis in range(x.ndim - 2)]
        flops = 2 * self.conv.weight.numel() * x.shape[0] * math.prod(lengths)
        bands = math.ceil(flops / self._speed / BAND_SECONDS)
        axis = 0 if bands <= lengths[0] else lengths.index(max(lengths))
        bands = min(bands, lengths[axis])
        if bands < 2 or x.device.type == "meta":
            with self._measured(flops):
                whole: torch.Tensor = self.conv(x)
            return whole
        edges = [lengths[axis] * i // bands for i in range(bands + 1)]
        answer: torch.Tensor | None = None
        for start, stop in pairwise(edges):
            check_cancelled()
            with self._measured(flops * (stop - start) / lengths[axis]):
                band = self._band(x, axis, start, stop)
                pixels = band.shape[axis + 2] // (stop - start)
                if answer is None:
                    answer = _empty_like(band, axis, lengths[axis] * pixels)
                answer.narrow(axis + 2, start * pixels, (stop - start) * pixels).copy_(band)
        assert answer is not None
        return answer

    def _length(self, x: torch.Tensor, axis: int) -> int:
        """Return how many pieces an axis can be cut into."""
        raise NotImplementedError

    def _band(self, x: torch.Tensor, axis: int, start: int, stop: int) -> torch.Tensor:
        """Return the pieces ``start`` to ``stop`` of the answer along an axis."""
        raise NotImplementedError

    @contextlib.contextmanager
    def _measured(self, flops: float) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        if flops >= MEASURED_FLOPS:
            self._speed = flops / max(time.perf_counter() - begun, 1e-6)


class Banded(_Banded):
    """A convolution in bands; each reads the pixels that its kernel touches."""

    conv: nn.Conv2d | nn.Conv3d

    def _length(self, x: torch.Tensor, axis: int) -> int:
        reach = (self.conv.kernel_size[axis] - 1) * self.conv.dilation[axis]
        padded = x.shape[axis + 2] + 2 * int(self.conv.padding[axis])
        return int((padded - reach - 1) // self.conv.stride[axis] + 1)

    def _band(self, x: torch.Tensor, axis: int, start: int, stop: int) -> torch.Tensor:
        conv: Any = self.conv
        pad, stride, length = int(conv.padding[axis]), conv.stride[axis], x.shape[axis + 2]
        first = start * stride - pad
        last = (stop - 1) * stride - pad + (conv.kernel_size[axis] - 1) * conv.dilation[axis] + 1
        # All of it may lie in the padding, where a dilated kernel is larger than the input.
        low, high = (min(max(n, 0), length) for n in (first, last))
        part = x.narrow(axis + 2, low, high - low)
        if first < low or last > high:
            sides = [0, 0] * (x.ndim - 2)  # the last axis comes first
            place = 2 * (x.ndim - 3 - axis)
            sides[place : place + 2] = low - first, last - high
            part = functional.pad(part, sides)
        convolve: Any = functional.conv2d if x.ndim == 4 else functional.conv3d
        padding = tuple(0 if i == axis else int(p) for i, p in enumerate(conv.padding))
        result: torch.Tensor = convolve(
            part,
            conv.weight,
            conv.bias,
            stride=conv.stride,
            padding=padding,
            dilation=conv.dilation,
            groups=conv.groups,
        )
        return result


class BandedTransposed(_Banded):
    """A transposed convolution without overlap in bands: each input pixel has its own block."""

    conv: nn.ConvTranspose2d | nn.ConvTranspose3d

    def _length(self, x: torch.Tensor, axis: int) -> int:
        return int(x.shape[axis + 2])

    def _band(self, x: torch.Tensor, axis: int, start: int, stop: int) -> torch.Tensor:
        result: torch.Tensor = self.conv(x.narrow(axis + 2, start, stop - start))
        return result


def _empty_like(band: torch.Tensor, axis: int, length: int) -> torch.Tensor:
    shape = [length if i == axis + 2 else n for i, n in enumerate(band.shape)]
    layout = torch.contiguous_format
    if band.ndim == 4 and band.is_contiguous(memory_format=torch.channels_last):
        layout = torch.channels_last
    return torch.empty(shape, dtype=band.dtype, device=band.device, memory_format=layout)


def _shallow(module: nn.Module) -> nn.Module:
    """Copy the tree of modules, sharing parameters and buffers but no hooks."""
    twin = copy.copy(module)
    twin._forward_pre_hooks = OrderedDict(module._forward_pre_hooks)
    twin._parameters = dict(module._parameters)
    twin._buffers = dict(module._buffers)
    twin._modules = {
        name: None if child is None else _shallow(child) for name, child in module._modules.items()
    }
    return twin


def _fuse(module: nn.Module) -> None:
    # A kind of Sequential with a forward of its own may use what lies between its layers.
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
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
        # Shapes are all that counts; torch's arithmetic on "meta" would import its compiler,
        # two seconds at every start of the command.
        fused: nn.Module = copy.copy(conv)
        bias = torch.empty(conv.out_channels, dtype=dtype, device="meta")
        fused._parameters = {**conv._parameters, "bias": nn.Parameter(bias, requires_grad=False)}
        return fused
    double = fuse_conv_bn_eval(
        copy.deepcopy(conv).double().eval(), copy.deepcopy(norm).double().eval()
    )
    single: nn.Module = double.to(dtype)
    return single


def _band(module: nn.Module) -> None:
    for name, child in module._modules.items():
        if isinstance(child, _CONVOLUTIONS):
            if child.padding_mode == "zeros" and not isinstance(child.padding, str):
                module._modules[name] = Banded(child)
        elif isinstance(child, nn.ConvTranspose2d | nn.ConvTranspose3d):
            if child.stride == child.kernel_size and not _beyond_blocks(child):
                module._modules[name] = BandedTransposed(child)
        elif child is not None:
            _band(child)


def _beyond_blocks(conv: Any) -> bool:
    """Tell if the answer is more or less than one block of pixels per input pixel."""
    return any((*conv.padding, *conv.output_padding)) or any(d != 1 for d in conv.dilation)

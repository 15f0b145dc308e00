"""How far a network looks: its receptive field, found by running its skeleton.

The skeleton is the network with every layer reduced to the question "which outputs does
this input reach?": kernels of ones on a single channel. What an input reaches is marked
with NaN, all else is 1: sums, products with a gate, crops, joins and means of the real
forward pass the mark on as they pass on an influence. It needs no weights and almost no
memory, follows every branch, and cannot be fooled by weights that happen to be zero.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from napari_segnet.checkpoint import Size
from napari_segnet.families._blocks import PlacedUpsample
from napari_segnet.tiles import Halo

__all__ = ["receptive_field"]

LONGEST_PX = 8192
"""A field that still grows at this length is taken as unbounded."""
AT_ONCE = 4
"""Impulses that run together: more are not faster and take memory."""

_POINTWISE = (
    nn.Identity,
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU),
    *(nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Sigmoid, nn.Tanh),
    *(nn.Softmax2d, nn.Dropout, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout),
)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CONVOLUTIONS = (*(nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d),)
_POOLINGS = (nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool2d, nn.AvgPool3d)


def receptive_field(
    module: nn.Module,
    maps: Callable[[nn.Module, torch.Tensor], torch.Tensor],
    channels: int,
    size: Size,
) -> Halo | None:
    """Return the receptive-field radius of a network.

    Parameters
    ----------
    module : Module
        The network, on the meta device or any other; not changed.
    maps : callable
        The family's ``maps``: module and batch ``(n, c, [z,] y, x)`` to maps.
    channels : int
        Input channels.
    size : Size
        Which input sizes the network takes.

    Returns
    -------
    tuple of int or None
        Per axis, how many pixels to either side of a pixel decide its answer; None if an
        operation looks at the whole input (a norm over space, attention, global pooling),
        or is of a kind that is not known here.
    """
    skeleton = _skeleton(module)
    if skeleton is None:
        return None
    halo = []
    for axis in range(len(size.stride)):
        radius = _radius(skeleton, maps, channels, size, axis)
        if radius is None:
            return None
        halo.append(radius)
    return tuple(halo)


class _Reach(nn.Module):
    """One layer of the skeleton, which tells the outputs that an input reaches."""

    def __init__(self, layer: Callable[[torch.Tensor], torch.Tensor], channels: int | None) -> None:
        super().__init__()
        self._layer = layer
        self._channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels = self._channels or x.shape[1]
        marked = x.amax(1, keepdim=True).isnan().to(x.dtype)
        reached = torch.where(self._layer(marked) != 0, torch.nan, 1.0)
        # A view: a thousand channels cost no memory.
        return reached.expand(-1, channels, *reached.shape[2:])


class _Pass(nn.Module):
    """Passes its input on: what a pointwise layer does to the reach."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def _skeleton(module: nn.Module) -> nn.Module | None:
    """Return the skeleton, or None if some layer is not local or not known."""
    layer = _reach_of(module)
    if layer is not None:
        return layer
    if not any(True for _ in module.children()):
        # Nothing learnt and nothing known to be global, such as a family's own crop.
        return module if _harmless(module) else None
    # A shallow copy with its own dict of children: the network is left alone.
    bare = copy.copy(module)
    bare._modules = {}
    # Not named_children(): a layer that stands in two places has two names.
    for name, child in module._modules.items():
        inner = None if child is None else _skeleton(child)
        if inner is None and child is not None:
            return None
        bare._modules[name] = inner
    return bare if not list(module.parameters(recurse=False)) else None


def _reach_of(layer: nn.Module) -> nn.Module | None:
    if isinstance(layer, _POINTWISE):
        return _Pass()
    if isinstance(layer, _NORMS):
        # Without figures of its own it takes those of the whole input.
        return _Pass() if layer.running_mean is not None else None
    if isinstance(layer, nn.Softmax | nn.LogSoftmax):
        return _Pass() if layer.dim == 1 else None
    if isinstance(layer, _CONVOLUTIONS):
        if layer.padding_mode == "circular":
            return None  # looks at the far end of the whole
        return _Reach(_ones(layer), layer.out_channels)
    if isinstance(layer, _POOLINGS):
        return _Reach(_pool(layer), None)
    if isinstance(layer, PlacedUpsample):
        return _Reach(_upsample(len(layer.stride)), None)
    if isinstance(layer, nn.Upsample):
        if layer.align_corners or layer.size is not None:
            return None  # depends on the whole size; families use PlacedUpsample
        return _Reach(layer, None)
    return None


def _harmless(module: nn.Module) -> bool:
    """Tell if a childless module neither learns nor looks further than its input."""
    own = type(module).__module__.startswith("napari_segnet.")
    empty = isinstance(module, nn.ModuleList | nn.Sequential)
    return (own or empty) and not list(module.parameters()) and not list(module.buffers())


def _ones(layer: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the convolution with a kernel of ones on one channel."""
    ndim = len(layer.kernel_size)
    kernel = torch.ones((1, 1, *layer.kernel_size))
    if isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
        turned: Any = functional.conv_transpose2d if ndim == 2 else functional.conv_transpose3d
        return lambda x: turned(
            x,
            kernel,
            stride=layer.stride,
            padding=layer.padding,
            output_padding=layer.output_padding,
            dilation=layer.dilation,
        )
    straight: Any = functional.conv2d if ndim == 2 else functional.conv3d
    return lambda x: straight(
        x, kernel, stride=layer.stride, padding=layer.padding, dilation=layer.dilation
    )


def _pool(layer: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: layer(x)


def _upsample(ndim: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Reach of a linear ×2: with corners aligned the same two neighbours as without.

    Position j reads between (j - 1) / 2 and j / 2, wherever the whole ends.
    """
    mode = "bilinear" if ndim == 2 else "trilinear"
    return lambda x: functional.interpolate(x, scale_factor=2, mode=mode, align_corners=False)


def _radius(
    skeleton: nn.Module,
    maps: Callable[[nn.Module, torch.Tensor], torch.Tensor],
    channels: int,
    size: Size,
    axis: int,
) -> int | None:
    """Return the radius along one axis: impulses at every phase of the stride."""
    stride, before = size.stride[axis], size.loss[axis] // 2
    want = 16 * stride
    while want <= LONGEST_PX:
        lengths = [1] * len(size.stride)
        lengths[axis] = want
        shape = size.next_allowed(tuple(lengths))
        middle = shape[axis] // 2 // stride * stride
        lows, highs, inside = [], [], True
        for first in range(0, stride, AT_ONCE):
            phases = range(middle + first, middle + min(first + AT_ONCE, stride))
            for position, reached in zip(
                phases, _reached(skeleton, maps, channels, shape, axis, phases), strict=True
            ):
                if reached is None:
                    continue  # a stride without kernel passes over this input
                low, high, length = reached
                inside = inside and low > 0 and high < length - 1
                # Output j lies at input j + before.
                highs.append(position - (low + before))
                lows.append(high + before - position)
        if not lows:
            return 0
        if inside:
            return max(0, *lows, *highs)
        want *= 2
    return None


def _reached(
    skeleton: nn.Module,
    maps: Callable[[nn.Module, torch.Tensor], torch.Tensor],
    channels: int,
    shape: tuple[int, ...],
    axis: int,
    positions: range,
) -> list[tuple[int, int, int] | None]:
    """Return first and last output reached from each input position, and the length."""
    batch = torch.ones((len(positions), 1, *shape))
    for n, position in enumerate(positions):
        batch[n].select(axis + 1, position).fill_(torch.nan)
    with torch.inference_mode():
        answer = maps(skeleton, batch.expand(-1, channels, *shape))
    changed = answer.isnan().movedim(axis + 2, 1).flatten(2).any(2)
    found: list[tuple[int, int, int] | None] = []
    for row in changed:
        where = row.nonzero()
        length = int(row.numel())
        found.append((int(where[0]), int(where[-1]), length) if len(where) else None)
    return found

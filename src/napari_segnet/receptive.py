"""How far a network looks: its receptive field, found by running its skeleton.

The skeleton is the network with every layer reduced to the question "which outputs does
this input reach?": kernels of ones on a single channel. What an input reaches is marked
with NaN, all else is 1: sums, products with a gate, crops, joins and means of the real
forward pass the mark on as they pass on an influence. It needs no weights and almost no
memory, follows every branch, and cannot be fooled by weights that happen to be zero.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from napari_segnet.checkpoint import Size
from napari_segnet.families.kit.blocks import PlacedUpsample
from napari_segnet.graph import Resize
from napari_segnet.graph.build import ChannelNorm, Resized
from napari_segnet.tiles import Halo

__all__ = ["receptive_field"]

LONGEST_PX = 8192
"""A field that still grows at this length is taken as unbounded."""
AT_ONCE = 32
"""Impulses that run together: more are not faster and take memory."""

_POINTWISE = (
    nn.Identity,
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU),
    *(nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Sigmoid, nn.Tanh),
    *(nn.Softsign, nn.LogSigmoid, ChannelNorm),
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
    halo = []
    for axis in range(len(size.stride)):
        skeleton = _skeleton(module, axis)
        radius = None
        if skeleton is not None:
            radius = _radius(skeleton, maps, channels, size, axis)
        if radius is None:
            return None
        halo.append(radius)
    return tuple(halo)


_Op = Callable[[torch.Tensor], torch.Tensor]


class _Reach(nn.Module):
    """One layer of the skeleton, which tells the outputs that an input reaches.

    Only the reach along one axis counts, so marks are drawn along the others: the work is
    that of a line, the shapes are those of the layer.

    Parameters
    ----------
    whole : callable
        The layer for one channel; only run on the meta device, for its shapes.
    line : callable
        The layer along the axis: ``(n, 1, length)`` of 0 and 1 to 0 and more.
    axis : int
        Of ``([z,] y, x)``.
    channels : int or None
        That the layer answers with; None: as many as it gets.
    """

    def __init__(self, whole: _Op, line: _Op, axis: int, channels: int | None) -> None:
        super().__init__()
        self._whole, self._line, self._axis, self._channels = whole, line, axis + 2, channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels = self._channels or x.shape[1]
        marked = _along(x, self._axis).to(x.dtype)[:, None]
        line = torch.where(self._line(marked) != 0, torch.nan, 1.0)
        shape = self._whole(torch.empty((x.shape[0], 1, *x.shape[2:]), device="meta")).shape
        ones = [1] * x.ndim
        ones[0], ones[self._axis] = line.shape[0], line.shape[2]
        return _spread(line.reshape(ones), channels, shape[2:])


class _Join(TorchFunctionMode):
    """Joins channels without memory for each of them, as all of them are merged anyway."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        if func is torch.cat and dim == 1 and args and not kwargs.get("out"):
            parts = args[0]
            shapes = {part.shape[2:] for part in parts}
            if len(shapes) == 1:
                # A sum is marked where any of its terms is.
                marks = functools.reduce(torch.add, [_thin(part) for part in parts])
                return _spread(marks, sum(part.shape[1] for part in parts), shapes.pop())
        return func(*args, **kwargs)


def _thin(x: torch.Tensor) -> torch.Tensor:
    """Return ``(n, 1, ...)``, marked where any channel is, once where all of an axis agrees.

    Along an axis that a view was spread over (its stride is 0) one place stands for all.
    """
    for dim in range(1, x.ndim):
        if x.stride(dim) == 0:
            x = x.narrow(dim, 0, 1)
    return x if x.shape[1] == 1 else x.amax(1, keepdim=True)


def _along(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Return bool ``(n, length)``: where there is any mark along a dimension of ``x``."""
    thin = _thin(x)
    marks = thin.isnan().movedim(axis, 1).flatten(2).any(2)
    return marks.expand(-1, x.shape[axis])


def _spread(x: torch.Tensor, channels: int, lengths: Sequence[int]) -> torch.Tensor:
    """Return ``(n, channels, *lengths)``; a view, so a thousand channels cost no memory."""
    return x.expand(-1, channels, *lengths)


class _Pass(nn.Module):
    """Passes its input on: what a pointwise layer does to the reach."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def _skeleton(module: nn.Module, axis: int) -> nn.Module | None:
    """Return the skeleton, or None if some layer is not local or not known."""
    layer = _reach_of(module, axis)
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
        inner = None if child is None else _skeleton(child, axis)
        if inner is None and child is not None:
            return None
        bare._modules[name] = inner
    return bare if not list(module.parameters(recurse=False)) else None


def _reach_of(layer: nn.Module, axis: int) -> nn.Module | None:
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
        back = isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d)
        whole, line = (_back if back else _convolve)(layer, axis)
        return _Reach(whole, line, axis, layer.out_channels)
    if isinstance(layer, _POOLINGS):
        return _Reach(layer, _pool(layer, axis), axis, None)
    if isinstance(layer, PlacedUpsample):
        modes = {2: "bilinear", 3: "trilinear"}
        whole = nn.Upsample(scale_factor=2, mode=modes[len(layer.stride)])
        # With corners aligned the same two neighbours as without: position j reads
        # between (j - 1) / 2 and j / 2, wherever the whole ends.
        return _Reach(whole, nn.Upsample(scale_factor=2, mode="linear"), axis, None)
    if isinstance(layer, Resized) and isinstance(layer.operation, Resize):
        factor = tuple(float(f) for f in layer.operation.factor)
        whole = nn.Upsample(scale_factor=factor, mode="nearest")
        line = nn.Upsample(scale_factor=factor[axis], mode="linear")
        return _Reach(whole, line, axis, None)
    if isinstance(layer, nn.Upsample):
        return _upsample(layer, axis)
    return None


def _harmless(module: nn.Module) -> bool:
    """Tell if a childless module neither learns nor looks further than its input."""
    own = type(module).__module__.startswith("napari_segnet.")
    empty = isinstance(module, nn.ModuleList | nn.Sequential)
    return (own or empty) and not list(module.parameters()) and not list(module.buffers())


def _convolve(layer: Any, axis: int) -> tuple[_Op, _Op]:
    """Return a convolution for one channel, and with a kernel of ones along a line."""
    size, length = layer.kernel_size, layer.kernel_size[axis]
    straight: Any = functional.conv2d if len(size) == 2 else functional.conv3d
    padding = layer.padding if isinstance(layer.padding, str) else layer.padding[axis]

    def whole(x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = straight(
            x, x.new_ones((1, 1, *size)), None, layer.stride, layer.padding, layer.dilation
        )
        return answer

    def line(x: torch.Tensor) -> torch.Tensor:
        ones = x.new_ones((1, 1, length))
        stride, dilation = layer.stride[axis], layer.dilation[axis]
        return functional.conv1d(x, ones, None, stride, padding, dilation)

    return whole, line


def _back(layer: Any, axis: int) -> tuple[_Op, _Op]:
    """Return a transposed convolution as :func:`_convolve` does."""
    size, length = layer.kernel_size, layer.kernel_size[axis]
    turned: Any = functional.conv_transpose2d if len(size) == 2 else functional.conv_transpose3d
    names = ("stride", "padding", "output_padding", "dilation")

    def whole(x: torch.Tensor) -> torch.Tensor:
        how = {name: getattr(layer, name) for name in names}
        answer: torch.Tensor = turned(x, x.new_ones((1, 1, *size)), **how)
        return answer

    def line(x: torch.Tensor) -> torch.Tensor:
        how = {name: getattr(layer, name)[axis] for name in names}
        return functional.conv_transpose1d(x, x.new_ones((1, 1, length)), **how)

    return whole, line


def _pool(layer: Any, axis: int) -> _Op:
    """Return a pooling along a line; an average reaches what a maximum does."""

    def along(value: Any) -> int:
        return int(value[axis] if isinstance(value, tuple | list) else value)

    return lambda x: functional.max_pool1d(
        x,
        along(layer.kernel_size),
        along(layer.stride),
        along(layer.padding),
        along(getattr(layer, "dilation", 1)),
        ceil_mode=layer.ceil_mode,
    )


def _upsample(layer: nn.Upsample, axis: int) -> nn.Module | None:
    if layer.align_corners or layer.scale_factor is None:
        return None  # depends on the whole size; families use PlacedUpsample
    mode = {"nearest": "nearest", "bilinear": "linear", "trilinear": "linear"}.get(layer.mode)
    if mode is None:
        return None
    factor = layer.scale_factor
    factor = factor[axis] if isinstance(factor, tuple) else factor
    return _Reach(layer, nn.Upsample(scale_factor=factor, mode=mode), axis, None)


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
    line = [1] * len(shape)
    line[axis] = shape[axis]
    batch = torch.ones((len(positions), 1, *line))
    for n, position in enumerate(positions):
        batch[n].select(axis + 1, position).fill_(torch.nan)
    with torch.inference_mode(), _Join():
        answer = maps(skeleton, _spread(batch, channels, shape))
    found: list[tuple[int, int, int] | None] = []
    for row in _along(answer, axis + 2):
        where = row.nonzero()
        length = int(row.numel())
        found.append((int(where[0]), int(where[-1]), length) if len(where) else None)
    return found

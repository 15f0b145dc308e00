"""The layers of torch that do what an operation says."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from napari_segnet.graph._arrays import Constant, Dense, Permute
from napari_segnet.graph._attention import WindowAttention
from napari_segnet.graph._convolutions import Convolution, TransposedConvolution
from napari_segnet.graph._norms import GroupNorm, InstanceNorm, LayerNorm
from napari_segnet.graph._operation import Operation
from napari_segnet.graph._pointwise import (
    Activation,
    ChannelPooling,
    Channels,
    Identity,
    Softmax,
)
from napari_segnet.graph._resizing import PixelShuffle, PixelUnshuffle, Resize
from napari_segnet.graph._windows import (
    AdaptivePooling,
    GlobalPooling,
    Pad,
    Pooling,
)
from napari_segnet.graph.build._attention import InWindows
from napari_segnet.graph.build._functions import (
    FUNCTIONS,
    Apply,
    Combined,
    Joined,
    Padded,
    Reshaped,
    Scaled,
    Unpooled,
    shuffled,
    unshuffled,
)
from napari_segnet.graph.build._norms import (
    ChannelNorm,
    Instance2d,
    Instance3d,
    batch_norm,
    without,
)
from napari_segnet.graph.build._placed import Matched, PaddedSame, Resized, SameMean

__all__ = ["At", "layers_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """Where an operation stands: name of its node, channels that come to it, dimensions."""

    node: str
    channels: int
    ndim: int


Layers = list[nn.Module]


def layers_of(operation: Operation, at: At) -> Layers:
    """Return what runs one after the other; tensors, where there are any, are in one of them."""
    made = _MAKERS[operation.name](operation, at)
    return made if isinstance(made, list) else [made]


class Value(nn.Module):
    """A tensor, the same for every image."""

    def __init__(self, lengths: tuple[int, ...], trained: bool) -> None:
        super().__init__()
        value = torch.zeros(lengths)
        if trained:
            self.value = nn.Parameter(value)
        else:
            self.register_buffer("value", value)

    def forward(self) -> torch.Tensor:
        """Return it for a batch of any size."""
        value: torch.Tensor = self.value
        return value[None]


def _two_or_three(two: Any, three: Any, ndim: int) -> Any:
    return two if ndim == 2 else three


def _convolution(own: Convolution, at: At) -> Layers:
    kind = _two_or_three(nn.Conv2d, nn.Conv3d, at.ndim)
    plain = not own.same and own.before == own.after
    conv = kind(
        at.channels,
        own.outputs,
        own.kernel,
        own.stride,
        padding=own.before if plain else 0,
        dilation=own.dilation,
        groups=own.groups,
        bias=own.bias,
        padding_mode=own.fill if plain else "zeros",
    )
    if plain:
        return [conv]
    if own.placed:
        return [PaddedSame(at.node, own), conv]
    margins = [own.margins(axis, 1) for axis in range(at.ndim)]
    if own.same:  # of no stride: what is added is the same for every length
        margins = [_unstrided(d * (k - 1)) for d, k in zip(own.dilation, own.kernel, strict=True)]
    before, after = zip(*margins, strict=True)
    if before == after and own.fill == "zeros":
        conv.padding = before
        return [conv]
    return [Padded(before, after, own.fill), conv]


def _unstrided(added: int) -> tuple[int, int]:
    return added // 2, added - added // 2


def _transposed(own: TransposedConvolution, at: At) -> Layers:
    """Torch cuts both ends alike; what is left to cut is cut after it."""
    kind = _two_or_three(nn.ConvTranspose2d, nn.ConvTranspose3d, at.ndim)
    cut, more, before, after = [], [], [], []
    for axis in range(at.ndim):
        ends = own.before[axis], own.after[axis] - own.extra[axis]
        both = max(min(ends), 0)
        # More at the end than at the beginning: torch's output_padding.
        added = both - ends[1] if ends[1] < both else 0
        if ends[0] > ends[1] and ends[0] - ends[1] < max(own.stride[axis], own.dilation[axis]):
            both, added = ends[0], ends[0] - ends[1]
        if added >= max(own.stride[axis], own.dilation[axis]):
            raise ValueError(
                f"{at.node!r} adds {added} pixels beyond its last window; torch builds fewer than "
                "its stride"
            )
        cut.append(both)
        more.append(added)
        before.append(both - ends[0])
        after.append(both - added - ends[1])
    conv = kind(
        at.channels,
        own.outputs,
        own.kernel,
        own.stride,
        tuple(cut),
        output_padding=tuple(more),
        groups=own.groups,
        bias=own.bias,
        dilation=own.dilation,
    )
    return [conv, Padded(before, after)] if any((*before, *after)) else [conv]


def _group_norm(own: GroupNorm, at: At) -> nn.Module:
    layer = nn.GroupNorm(own.groups, at.channels, own.epsilon, affine=own.weight or own.bias)
    without(layer, own.weight, own.bias)
    return layer


def _layer_norm(own: LayerNorm, at: At) -> nn.Module:
    layer = ChannelNorm(at.channels, own.epsilon)
    without(layer, own.weight, own.bias)
    return layer


def _instance_norm(own: InstanceNorm, at: At) -> nn.Module:
    kind = _two_or_three(Instance2d, Instance3d, at.ndim)
    layer: nn.Module = kind(at.channels, own.epsilon, affine=own.learnt)
    return layer


_ACTIVATIONS: Mapping[str, Callable[[Activation], nn.Module]] = {
    "relu": lambda o: nn.ReLU(),
    "relu6": lambda o: nn.ReLU6(),
    "leaky-relu": lambda o: nn.LeakyReLU(o.slope),
    "prelu": lambda o: nn.PReLU(o.slopes),
    "elu": lambda o: nn.ELU(o.slope),
    "celu": lambda o: nn.CELU(o.slope),
    "selu": lambda o: nn.SELU(),
    "gelu": lambda o: nn.GELU(),
    "gelu-tanh": lambda o: nn.GELU("tanh"),
    "silu": lambda o: nn.SiLU(),
    "mish": lambda o: nn.Mish(),
    "softplus": lambda o: nn.Softplus(),
    "softsign": lambda o: nn.Softsign(),
    "sigmoid": lambda o: nn.Sigmoid(),
    "log-sigmoid": lambda o: nn.LogSigmoid(),
    "tanh": lambda o: nn.Tanh(),
    "hard-sigmoid": lambda o: nn.Hardsigmoid(),
    "hard-swish": lambda o: nn.Hardswish(),
}


def _activation(own: Activation, at: At) -> nn.Module:
    if own.function in _ACTIVATIONS:
        return _ACTIVATIONS[own.function](own)
    return Apply(FUNCTIONS[own.function](own), own.function)


def _identity(own: Identity, at: At) -> nn.Module:
    if not own.dropout:
        return nn.Identity()
    spatial = _two_or_three(nn.Dropout2d, nn.Dropout3d, at.ndim)
    layer: nn.Module = (spatial if own.spatial else nn.Dropout)(own.dropout)
    return layer


def _softmax(own: Softmax, at: At) -> nn.Module:
    return (nn.LogSoftmax if own.log else nn.Softmax)(dim=own.along + 1)


def _pooling(own: Pooling, at: At) -> Layers:
    if own.kind == "max":
        kind = _two_or_three(nn.MaxPool2d, nn.MaxPool3d, at.ndim)
        if own.same:
            pool = kind(own.kernel, own.stride, 0, own.dilation)
            return [PaddedSame(at.node, own, float("-inf")), pool]
        pool = kind(own.kernel, own.stride, own.padding, own.dilation, ceil_mode=own.ceil)
        return [pool]
    if any(d != 1 for d in own.dilation):
        raise ValueError(f"{at.node!r} is an average pooling with a dilation; torch has none")
    if own.same:
        return [SameMean(at.node, own)]
    kind = _two_or_three(nn.AvgPool2d, nn.AvgPool3d, at.ndim)
    return [kind(own.kernel, own.stride, own.padding, own.ceil, own.count_padding)]


def _adaptive(own: GlobalPooling | AdaptivePooling, at: At) -> nn.Module:
    size = own.size if isinstance(own, AdaptivePooling) else 1
    if own.kind == "max":
        layer: nn.Module = _two_or_three(nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, at.ndim)(size)
        return layer
    mean: nn.Module = _two_or_three(nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, at.ndim)(size)
    return mean


def _resize(own: Resize, at: At) -> nn.Module:
    if own.mode == "nearest":
        return nn.Upsample(scale_factor=tuple(float(f) for f in own.factor), mode="nearest")
    if own.grid == "half-pixel":
        factor, mode = tuple(float(f) for f in own.factor), {2: "bilinear", 3: "trilinear"}
        return nn.Upsample(scale_factor=factor, mode=mode[at.ndim], align_corners=False)
    return Resized(at.node, own)


def _narrow(x: torch.Tensor, first: int, count: int) -> torch.Tensor:
    return x.narrow(1, first, count)


def _channel(x: torch.Tensor, kind: str) -> torch.Tensor:
    if kind == "max":
        return x.amax(1, keepdim=True)
    return x.mean(1, keepdim=True) if kind == "average" else x.sum(1, keepdim=True)


def _channels(own: Channels, at: At) -> nn.Module:
    function = functools.partial(_narrow, first=own.first, count=own.count)
    return Apply(function, f"channels from {own.first}, {own.count} of them")


def _channel_pooling(own: ChannelPooling, at: At) -> nn.Module:
    return Apply(functools.partial(_channel, kind=own.kind), f"{own.kind} of channels")


def _shuffle(own: PixelShuffle, at: At) -> nn.Module:
    function = functools.partial(shuffled, factor=own.factor, order=own.order)
    return Apply(function, f"{own.factor} pixels, {own.order}")


def _unshuffle(own: PixelUnshuffle, at: At) -> nn.Module:
    return Apply(functools.partial(unshuffled, factor=own.factor), f"blocks of {own.factor}")


def _window_attention(own: WindowAttention, at: At) -> nn.Module:
    return InWindows(at.channels, own)


def _permute(own: Permute, at: At) -> nn.Module:
    dims = (0, *(axis + 1 for axis in own.order))
    return Apply(functools.partial(torch.permute, dims=dims), f"axes {own.order}")


class _Product(nn.Module):
    """Product of two arrays of matrices."""

    def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        """Multiply the last two axes."""
        return torch.matmul(one, two)


def _dense(own: Dense, at: At) -> nn.Module:
    return nn.Linear(own.inputs, own.outputs, own.bias)


def _constant(own: Constant, at: At) -> nn.Module:
    return Value(own.lengths, own.trained)


def _pad(own: Pad, at: At) -> nn.Module:
    return Padded(own.before, own.after, own.fill, own.value)


_MAKERS: Mapping[str, Callable[[Any, At], nn.Module | Layers]] = {
    "convolution": _convolution,
    "transposed-convolution": _transposed,
    "batch-norm": lambda own, at: batch_norm(own, at.channels, at.ndim),
    "group-norm": _group_norm,
    "layer-norm": _layer_norm,
    "instance-norm": _instance_norm,
    "activation": _activation,
    "softmax": _softmax,
    "identity": _identity,
    "rescale": lambda own, at: Scaled(own.scales, own.offsets),
    "concatenate": lambda own, at: Joined(own.along + 1),
    "arithmetic": lambda own, at: Combined(own.kind),
    "channels": _channels,
    "channel-pooling": _channel_pooling,
    "pooling": _pooling,
    "global-pooling": _adaptive,
    "adaptive-pooling": _adaptive,
    "resize": _resize,
    "resize-like": lambda own, at: Resized(at.node, own),
    "pixel-shuffle": _shuffle,
    "pixel-unshuffle": _unshuffle,
    "window-attention": _window_attention,
    "pad": _pad,
    "crop": lambda own, at: Padded([-n for n in own.before], [-n for n in own.after]),
    "match-size": lambda own, at: Matched(at.node, own),
    "unpooling": lambda own, at: Unpooled(own.kernel, own.stride),
    "reshape": lambda own, at: Reshaped(own),
    "permute": _permute,
    "matrix-product": lambda own, at: _Product(),
    "dense": _dense,
    "constant": _constant,
}
"""By the name of the operation; all but the image."""

"""The same network, made fast for answering: fused, laid out for the CPU, cancellable.

Nothing here changes what is computed beyond float32 rounding.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from itertools import pairwise
from typing import Any, TypeGuard

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_segnet.engines.torch.chain import BandedTransposed, Chain, is_convolution
from napari_segnet.graph.build import GraphNetwork, Joining
from napari_segnet.progress import check_cancelled

__all__ = ["fast_copy", "watch_cancel"]


def fast_copy(module: nn.Module, device: str) -> nn.Module:
    """Return a copy for inference; parameters that need no change are shared.

    Batch normalisation that directly follows a convolution is folded into it (in
    float64), ReLUs behind them work in place, and on a CPU convolutions that follow each
    other are done together in bands.
    """
    module = _shallow(module.in_rows() if isinstance(module, GraphNetwork) else module)
    _fuse(module)
    if device == "cpu":
        _chain(module)
    return module.eval()


def watch_cancel(module: nn.Module) -> None:
    """Look at the cancel flag before every layer."""

    def look(_module: nn.Module, _inputs: Any) -> None:
        check_cancelled()

    for layer in module.modules():
        if not list(layer.children()):
            layer.register_forward_pre_hook(look)


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
    if _plain(module):
        _fuse_chain(module)
    for child in module.children():
        _fuse(child)


def _plain(module: nn.Module) -> TypeGuard[nn.Sequential]:
    """Tell if layers run one after the other; some kinds of Sequential use what lies between."""
    own = (nn.Sequential.forward, Joining.forward)
    return isinstance(module, nn.Sequential) and type(module).forward in own


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


def _chain(module: nn.Module) -> None:
    """Join convolutions and what follows them, in every place where one feeds the next."""
    if _plain(module):
        _chain_layers(module)
    for name, child in module._modules.items():
        if child is None or isinstance(child, Chain):
            continue
        if is_convolution(child):
            module._modules[name] = Chain([child])
        elif isinstance(child, nn.ConvTranspose2d | nn.ConvTranspose3d):
            if child.stride == child.kernel_size and not _beyond_blocks(child):
                module._modules[name] = BandedTransposed(child)
        else:
            _chain(child)


def _chain_layers(sequence: nn.Module) -> None:
    """Put each run of links into the place of its first one; the others pass on."""
    begun: str | None = None
    links: list[nn.Module] = []
    for name, layer in [*sequence._modules.items(), ("", None)]:
        if layer is not None and (is_convolution(layer) or (links and _pointwise(layer))):
            begun = begun if links else name
            links.append(layer)
            continue
        if begun is not None and len(links) > 1:
            names = list(sequence._modules)
            first = names.index(begun)
            kept = [link for link in links if not isinstance(link, _PASSING)]
            for place in names[first : first + len(links)]:
                sequence._modules[place] = nn.Identity()
            sequence._modules[begun] = Chain(kept)
        begun, links = None, []


_PASSING = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
"""Layers that return what they get once the training is over."""


def _pointwise(layer: nn.Module) -> bool:
    """Tell if a layer changes every value by itself."""
    if isinstance(layer, _NORMS):
        return layer.track_running_stats and layer.running_mean is not None
    return isinstance(layer, (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU, *_PASSING))


def _beyond_blocks(conv: Any) -> bool:
    """Tell if the answer is more or less than one block of pixels per input pixel."""
    return any((*conv.padding, *conv.output_padding)) or any(d != 1 for d in conv.dilation)

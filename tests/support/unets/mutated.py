"""Edits of a forward that leave no trace in names and shapes, as strangers make them.

An edit changes the steps of a network before its norms take their statistics; what it returns are
the words of the truth that are otherwise then. ``other`` is what no word of a card says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from support.unets._net import Net, Step
from torch import Tensor, nn

__all__ = ["EDITS", "Edit"]

Edit = Callable[[Net], Mapping[str, str]]
ACTIVATIONS = ("relu", "leaky", "elu", "gelu", "silu")
LAYERS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU)
NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def _is_activation(net: Net, step: Step) -> bool:
    layer = net.get_submodule(step[3]) if step[1] == "layer" else None
    return step[1] in ACTIVATIONS or isinstance(layer, LAYERS)


def _is_norm(net: Net, step: Step) -> bool:
    return step[1] == "layer" and isinstance(net.get_submodule(step[3]), NORMS)


def _activations(function: Callable[[Tensor], Tensor], word: str, every: int = 1) -> Edit:
    """Put another activation in the place of each, or of one in so many."""

    def edit(net: Net) -> Mapping[str, str]:
        at = [n for n, step in enumerate(net.steps) if _is_activation(net, step)]
        for n in at[::every]:
            out, _, taken, _ = net.steps[n]
            net.steps[n] = (out, "apply", taken, function)
        return {"activation": word}

    return edit


def _poolings(function: Callable[[Tensor], Tensor]) -> Edit:
    def edit(net: Net) -> Mapping[str, str]:
        net.steps = [
            (out, "apply", taken, function) if name == "pool" else (out, name, taken, argument)
            for out, name, taken, argument in net.steps
        ]
        return {"pooling": "other"}

    return edit


def _skips(function: Callable[[Tensor, Tensor], Tensor]) -> Edit:
    """Change each skip connection, which may see what it is joined to."""

    def edit(net: Net) -> Mapping[str, str]:
        order = {step[0]: n for n, step in enumerate(net.steps)}
        steps: list[Step] = []
        for out, name, taken, argument in net.steps:
            if name == "cat" and len(taken) == 2:
                skip, up = sorted(taken, key=lambda register: order[register])
                steps.append((f"{out}-skip", "apply", (skip, up), function))
                taken = tuple(f"{out}-skip" if one == skip else one for one in taken)
            steps.append((out, name, taken, argument))
        net.steps = steps
        return {}

    return edit


def _units(net: Net) -> list[int]:
    """Return where a convolution that keeps channels, its norm and its activation begin."""
    found = []
    for n, step in enumerate(net.steps[:-2]):
        layer = net.get_submodule(step[3]) if step[1] == "layer" else None
        keeps = isinstance(layer, nn.Conv2d) and layer.in_channels == layer.out_channels
        after = net.steps[n + 1 : n + 3]
        if keeps and _is_norm(net, after[0]) and _is_activation(net, after[1]):
            found.append(n)
    return found


def _twice(net: Net) -> Mapping[str, str]:
    """Run each convolution that keeps channels again, with its norm and activation."""
    for n in _units(net)[::-1]:
        end, again = net.steps[n + 2][0], list[Step]()
        first = f"{end}-once"
        net.steps[n + 2] = (first, *net.steps[n + 2][1:])
        for place, (_, name, _, argument) in enumerate(net.steps[n : n + 3]):
            out = end if place == 2 else f"{end}-again{place}"
            again.append((out, name, (again[-1][0] if again else first,), argument))
        net.steps[n + 3 : n + 3] = again
    return {"recurrence": "other"}


def _summed(net: Net) -> Mapping[str, str]:
    """Add the input of each convolution that keeps channels behind its norm."""
    for n in _units(net)[::-1]:
        out, name, taken, argument = net.steps[n + 1]
        net.steps[n + 1 : n + 2] = [
            (f"{out}-alone", name, taken, argument),
            (out, "add", (f"{out}-alone", net.steps[n][2][0]), None),
        ]
    return {"residual": "other"}


def _epsilon(net: Net) -> Mapping[str, str]:
    for layer in net.modules():
        if isinstance(layer, NORMS):
            layer.eps = 0.1
    return {"epsilon": "0.1"}


def _first_padding(net: Net) -> Mapping[str, str]:
    first = next(layer for layer in net.modules() if isinstance(layer, nn.Conv2d))
    first.padding_mode = "reflect"
    return {"padding": "other"}


def _detail(skip: Tensor, up: Tensor) -> Tensor:
    return skip - F.interpolate(F.avg_pool2d(skip, 2), size=skip.shape[2:])


EDITS: Mapping[str, Edit] = {
    "CELU": _activations(lambda x: F.celu(x, 2.0), "other"),
    "sine": _activations(torch.sin, "other"),
    "Mish": _activations(F.mish, "other"),
    "every second tanh": _activations(torch.tanh, "other", 2),
    "maximum and mean pooled": _poolings(lambda x: F.max_pool2d(x, 2) + F.avg_pool2d(x, 2)),
    "one pixel of four": _poolings(lambda x: x[..., ::2, ::2]),
    "skips halved": _skips(lambda skip, up: 0.5 * skip),
    "skips negated": _skips(lambda skip, up: -skip),
    "skips gated": _skips(lambda skip, up: skip * up.mean(1, keepdim=True).sigmoid()),
    "detail alone": _skips(_detail),
    "run twice": _twice,
    "summed before the activation": _summed,
    "epsilon": _epsilon,
    "first padding": _first_padding,
}
"""By what was done."""

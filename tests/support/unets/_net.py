"""A network as people write it: named layers, and a forward written apart from them.

``Net`` keeps the forward as a list of steps, so that one class serves every naming style; what a
state dict shows of it are names, shapes and their order alone. It shares nothing with the package.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["LINEAR", "Draft", "Net", "Step"]

Step = tuple[str, str, tuple[str, ...], Any]
"""A register, the operation that fills it, the registers it takes, and its argument."""
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Net(nn.Module):
    """Layers under their names, run by ``steps``; ``x`` is the input, the last step the answer.

    ``raw`` is the register of the answer before an activation at the end.
    """

    def __init__(
        self, layers: Sequence[tuple[str, nn.Module]], steps: Sequence[Step], raw: str, lists=()
    ):
        super().__init__()
        self.steps, self.raw = list(steps), raw
        for path, layer in layers:
            self._put(path.split("."), layer, lists)

    def _put(self, path, layer, lists):
        owner = self
        for part, below in pairwise(path):
            if part not in owner._modules:
                kind = nn.ModuleList if part in lists else nn.Sequential
                owner.add_module(part, kind() if below.isdigit() else nn.Module())
            owner = owner._modules[part]
        assert path[-1] not in owner._modules, path
        owner.add_module(path[-1], layer)

    def forward(self, x, raw=False):
        held = {"x": x}
        for out, operation, taken, argument in self.steps:
            inputs = [held[name] for name in taken]
            if operation == "layer":
                held[out] = self.get_submodule(argument)(*inputs)
            else:
                held[out] = OPERATIONS[operation](argument, *inputs)
            if raw and out == self.raw:
                return held[out]
        return held[self.steps[-1][0]]


def _resize(argument, x, *like):
    mode, aligned, factor, size = argument
    if like:
        size, factor = like[0].shape[2:], None
    aligned = aligned if mode == "linear" else None
    mode = LINEAR[x.ndim - 2] if mode == "linear" else mode
    return F.interpolate(x, size=size, scale_factor=factor, mode=mode, align_corners=aligned)


def _crop(_, x, like):
    for axis in range(2, x.ndim):
        n = like.shape[axis]
        x = x.narrow(axis, (x.shape[axis] - n) // 2, n)
    return x


def _pad(_, x, like):
    room = []
    for axis in range(x.ndim - 1, 1, -1):
        diff = like.shape[axis] - x.shape[axis]
        room += [diff // 2, diff - diff // 2]
    return F.pad(x, room)


def _pool(argument, x):
    kind, size = argument
    function = getattr(F, f"{'avg' if kind == 'average' else 'max'}_pool{x.ndim - 2}d")
    return function(x, 3, 2, 1) if kind == "max-3" else function(x, size)


OPERATIONS = {
    "add": lambda _, a, b: a + b,
    "subtract": lambda _, a, b: a - b,
    "multiply": lambda _, a, b: a * b,
    "cat": lambda _, *parts: torch.cat(parts, dim=1),
    "first": lambda n, x: x[:, :n],
    "mean": lambda _, x: x.mean(dim=tuple(range(2, x.ndim)), keepdim=True),
    "flat": lambda _, x: x.flatten(1),
    "space": lambda ndim, x: x.reshape(*x.shape, *(1,) * ndim),
    "pool": _pool,
    "resize": _resize,
    "crop": _crop,
    "pad": _pad,
    "relu": lambda _, x: F.relu(x),
    "leaky": lambda slope, x: F.leaky_relu(x, slope),
    "elu": lambda _, x: F.elu(x),
    "gelu": lambda _, x: F.gelu(x),
    "silu": lambda _, x: F.silu(x),
    "tanh": lambda _, x: torch.tanh(x),
    "sigmoid": lambda _, x: torch.sigmoid(x),
    "softmax": lambda _, x: torch.softmax(x, 1),
    "same": lambda _, x: x,
    "apply": lambda function, *x: function(*x),
}


class Draft:
    """Layers and steps while a network is written; ``group`` tells when a layer is registered."""

    def __init__(self):
        self.layers: list[tuple[float, str, nn.Module]] = []
        self.steps: list[Step] = []
        self.count = 0
        self.prefix = ""

    def call(self, path: str, layer: nn.Module, *taken: str, group: float = 0) -> str:
        """Register a layer and run it."""
        self.put(path, layer, group)
        return self.step("layer", *taken, argument=self.prefix + path)

    def put(self, path: str, layer: nn.Module, group: float = 0) -> None:
        """Register a layer that the forward never runs, or runs elsewhere."""
        self.layers.append((group, self.prefix + path, layer))

    def step(self, operation: str, *taken: str, argument: Any = None) -> str:
        """Add what is no layer, and return the register of its answer."""
        self.count += 1
        name = f"r{self.count}"
        self.steps.append((name, operation, taken, argument))
        return name

    def net(self, raw: str, lists: Sequence[str] = ()) -> Net:
        """Return the network; layers of a lower group are registered before those of a higher."""
        layers = [(path, layer) for _, path, layer in sorted(self.layers, key=lambda one: one[0])]
        return Net(layers, self.steps, raw, lists)

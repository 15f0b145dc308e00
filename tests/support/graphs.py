"""A graph, run: each operation in the words of torch, as its docstring says it."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F

from napari_segnet.graph import Graph, tensors
from support.library_transformers import attended

Tensors = Mapping[str, torch.Tensor]

CONV = {2: F.conv2d, 3: F.conv3d}
BACK = {2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX = {2: F.max_pool2d, 3: F.max_pool3d}
MEAN = {2: F.avg_pool2d, 3: F.avg_pool3d}
FILLS = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "replicate",
    "circular": "circular",
}
FUNCTIONS: Mapping[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "relu": lambda o, x: x.clamp(min=0),
    "relu6": lambda o, x: x.clamp(0, 6),
    "clip": lambda o, x: x.clamp(o.low, o.high),
    "leaky-relu": lambda o, x: torch.where(x >= 0, x, o.slope * x),
    "thresholded-relu": lambda o, x: torch.where(x >= o.threshold, x, o.slope * (x - o.threshold)),
    "threshold": lambda o, x: x * (x > o.threshold),
    "elu": lambda o, x: torch.where(x > 0, x, o.slope * (x.clamp(max=0).exp() - 1)),
    "celu": lambda o, x: torch.where(x > 0, x, o.slope * ((x.clamp(max=0) / o.slope).exp() - 1)),
    "selu": lambda o, x: F.selu(x),
    "gelu": lambda o, x: x * (1 + torch.erf(x / 2**0.5)) / 2,
    "gelu-tanh": lambda o, x: (
        x / 2 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))
    ),
    "silu": lambda o, x: x / (1 + (-x).exp()),
    "mish": lambda o, x: x * torch.tanh((1 + x.exp()).log()),
    "softplus": lambda o, x: (1 + x.exp()).log(),
    "softsign": lambda o, x: x / (1 + x.abs()),
    "sigmoid": lambda o, x: 1 / (1 + (-x).exp()),
    "log-sigmoid": lambda o, x: -(1 + (-x).exp()).log(),
    "tanh": lambda o, x: torch.tanh(x),
    "hard-sigmoid": lambda o, x: (x / 6 + 0.5).clamp(0, 1),
    "hard-sigmoid-fifth": lambda o, x: (x / 5 + 0.5).clamp(0, 1),
    "hard-swish": lambda o, x: x * (x / 6 + 0.5).clamp(0, 1),
    "exp": lambda o, x: x.exp(),
    "log": lambda o, x: x.log(),
    "sqrt": lambda o, x: x.sqrt(),
    "square": lambda o, x: x * x,
    "abs": lambda o, x: x.abs(),
    "reciprocal": lambda o, x: 1 / x,
    "erf": lambda o, x: torch.special.erf(x),
}
JOINS: Mapping[str, Callable[[list[torch.Tensor]], torch.Tensor]] = {
    "add": lambda parts: functools.reduce(torch.add, parts),
    "multiply": lambda parts: functools.reduce(torch.mul, parts),
    "maximum": lambda parts: functools.reduce(torch.maximum, parts),
    "minimum": lambda parts: functools.reduce(torch.minimum, parts),
    "average": lambda parts: functools.reduce(torch.add, parts) / len(parts),
    "subtract": lambda parts: parts[0] - parts[1],
    "divide": lambda parts: parts[0] / parts[1],
}


def run_graph(graph: Graph, image: torch.Tensor, state: Tensors) -> torch.Tensor:
    """Return the first output for ``image`` ``(n, c, [z,] y, x)`` with these tensors."""
    found: dict[str, torch.Tensor] = {}
    for node in graph.nodes:
        own = {role: state[name] for role, name in node.tensors.items()}
        inputs = [found[name] for name in node.inputs] or [image]
        found[node.name] = _run(node.operation, inputs, own)
    return found[graph.outputs[0]]


def positive(graph: Graph) -> dict[str, torch.Tensor]:
    """Return tensors with which every input that can count does, float64."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.1
        for name, tensor in tensors(graph).items()
    }


def _margins(before, after) -> list[int]:
    """Return what ``F.pad`` wants: the last axis first."""
    return [n for pair in zip(before[::-1], after[::-1], strict=True) for n in pair]


def _run(operation: Any, inputs: list[torch.Tensor], own: Tensors) -> torch.Tensor:
    x, ndim = inputs[0], inputs[0].ndim - 2
    match operation.name:
        case "image" | "identity":
            return x
        case "convolution":
            sizes = [operation.margins(axis, n) for axis, n in enumerate(x.shape[2:])]
            margins = _margins(*zip(*sizes, strict=True))
            x = F.pad(x, margins, mode=FILLS[operation.fill])
            how = {"stride": operation.stride, "dilation": operation.dilation}
            return CONV[ndim](x, own["weight"], own.get("bias"), groups=operation.groups, **how)
        case "transposed-convolution":
            return _back(operation, x, own)
        case "batch-norm":
            return _normed(x, own["running_mean"], own["running_var"], operation, own)
        case "group-norm":
            parts = x.unflatten(1, (operation.groups, -1)).flatten(2)
            var, mean = torch.var_mean(parts, 2, correction=0, keepdim=True)
            plain = ((parts - mean) / (var + operation.epsilon).sqrt()).reshape(x.shape)
            return _learnt(plain, own)
        case "instance-norm":
            var, mean = torch.var_mean(x.flatten(2), 2, correction=0)
            return _normed(x, mean, var, operation, own)
        case "layer-norm":
            var, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
            return _learnt((x - mean) / (var + operation.epsilon).sqrt(), own)
        case "activation":
            if operation.function == "prelu":
                return torch.where(x >= 0, x, x * _wide(own["weight"], x))
            return FUNCTIONS[operation.function](operation, x)
        case "softmax":
            chance = x.softmax(operation.along + 1)
            return chance.log() if operation.log else chance
        case "rescale":
            scales, offsets = torch.tensor(operation.scales), torch.tensor(operation.offsets)
            return x * _wide(scales.to(x), x) + _wide(offsets.to(x), x)
        case "concatenate":
            return torch.cat(inputs, operation.along + 1)
        case "arithmetic":
            return JOINS[operation.kind](inputs)
        case "channels":
            return x[:, operation.first : operation.first + operation.count]
        case "channel-pooling":
            kinds = {"max": torch.amax, "average": torch.mean, "sum": torch.sum}
            return kinds[operation.kind](x, 1, True)
        case "pooling":
            return _pool(operation, x)
        case "global-pooling":
            over = tuple(range(2, x.ndim))
            return x.amax(over, True) if operation.kind == "max" else x.mean(over, True)
        case "adaptive-pooling":
            kind = torch.amax if operation.kind == "max" else torch.mean
            for dim, size in enumerate(operation.size, 2):
                n = x.shape[dim]
                cuts = [(j * n // size, -(-(j + 1) * n // size)) for j in range(size)]
                parts = [kind(x.narrow(dim, a, b - a), dim, True) for a, b in cuts]
                x = torch.cat(parts, dim)
            return x
        case "resize":
            for dim, factor in enumerate(operation.factor, 2):
                grid = "asymmetric" if operation.mode == "nearest" else operation.grid
                x = _resized(x, dim, factor * x.shape[dim], operation.mode, grid)
            return x
        case "resize-like":
            for dim in range(2, x.ndim):
                want = operation.length(dim - 2, [x.shape[dim], inputs[1].shape[dim]])
                x = _resized(x, dim, want, operation.mode, operation.grid)
            return x
        case "pixel-unshuffle":
            places = itertools.product(*map(range, operation.factor))
            steps = [[slice(i, None, f) for i, f in zip(p, operation.factor, strict=True)]
                     for p in places]  # fmt: skip
            return torch.cat([x[(..., *step)] for step in steps], 1)
        case "window-attention":
            layer = SimpleNamespace(
                relative_position_bias_table=own["relative_position_bias_table"],
                qkv=lambda y: F.linear(y, own["qkv.weight"], own.get("qkv.bias")),
                proj=lambda y: F.linear(y, own["proj.weight"], own["proj.bias"]),
            )
            return attended(x, layer, operation.heads, operation.window, operation.shift)
        case "pixel-shuffle":
            return _shuffled(operation, x)
        case "pad":
            margins = _margins(operation.before, operation.after)
            value = {"value": operation.value} if operation.fill == "zeros" else {}
            return F.pad(x, margins, mode=FILLS[operation.fill], **value)
        case "crop":
            return F.pad(x, [-n for n in _margins(operation.before, operation.after)])
        case "match-size":
            return matched(x, inputs[1].shape, operation.keep)
        case "unpooling":
            return _unpooled(operation, x, inputs[1])
        case "reshape":
            return x.reshape(len(x), *operation.shape([tuple(one.shape[1:]) for one in inputs]))
        case "permute":
            return x.permute(0, *(axis + 1 for axis in operation.order))
        case "matrix-product":
            return torch.einsum("...ij,...jk->...ik", *inputs)
        case "dense":
            product = torch.einsum("...i,oi->...o", x, own["weight"])
            return product + own["bias"] if operation.bias else product
        case "constant":
            return own["value"][None]
    raise NotImplementedError(operation.name)


def _unpooled(operation: Any, x: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Look through each window for the first of its largest pixels."""
    answer = torch.zeros_like(before)
    for place in itertools.product(*map(range, x.shape)):
        starts = [p * s for p, s in zip(place[2:], operation.stride, strict=True)]
        window = [range(a, a + k) for a, k in zip(starts, operation.kernel, strict=True)]
        pixels = before.detach()[place[0], place[1]]
        best = max(itertools.product(*window), key=pixels.__getitem__)
        answer[(*place[:2], *best)] = x[place]
    return answer


def _wide(numbers: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return numbers per channel ``(c,)``, or per picture and channel, to count over pixels."""
    return numbers.reshape(*numbers.shape, *(1,) * (x.ndim - 2))


def _learnt(x: torch.Tensor, own: Tensors) -> torch.Tensor:
    if "weight" in own:
        x = x * _wide(own["weight"], x)
    return x + _wide(own["bias"], x) if "bias" in own else x


def _normed(x: torch.Tensor, mean: Any, var: Any, operation: Any, own: Tensors) -> torch.Tensor:
    return _learnt((x - _wide(mean, x)) / (_wide(var, x) + operation.epsilon).sqrt(), own)


def _back(operation: Any, x: torch.Tensor, own: Tensors) -> torch.Tensor:
    """Return the transposed convolution of no padding, cut; torch cuts both ends alike only."""
    names = ("stride", "dilation", "groups")
    how = {name: getattr(operation, name) for name in names}
    whole = BACK[x.ndim - 2](x, own["weight"], None, **how)
    whole = F.pad(whole, _margins((0,) * len(operation.extra), operation.extra))
    cut = F.pad(whole, [-n for n in _margins(operation.before, operation.after)])
    bias = own.get("bias")
    return cut if bias is None else cut + bias.reshape(1, -1, *(1,) * (x.ndim - 2))


def _pool(operation: Any, x: torch.Tensor) -> torch.Tensor:
    ndim, how = x.ndim - 2, {"ceil_mode": operation.ceil}
    window = (operation.kernel, operation.stride, operation.padding)
    if operation.same:
        return _pooled_same(operation, x)
    if operation.kind == "max":
        return MAX[ndim](x, *window, dilation=operation.dilation, **how)
    return MEAN[ndim](x, *window, count_include_pad=operation.count_padding, **how)


def _pooled_same(operation: Any, x: torch.Tensor) -> torch.Tensor:
    """Window by window: what lies beyond the ends does not count."""
    for dim, (kernel, stride, dilation) in enumerate(
        zip(operation.kernel, operation.stride, operation.dilation, strict=True), 2
    ):
        n = x.shape[dim]
        before, _ = operation.margins(dim - 2, n)
        parts = []
        for j in range(-(-n // stride)):
            places = [j * stride - before + dilation * t for t in range(kernel)]
            seen = [p for p in places if 0 <= p < n]
            if not seen:  # a dilated window around a short image
                nothing = float("-inf") if operation.kind == "max" else float("nan")
                parts.append(torch.full_like(x.narrow(dim, 0, 1), nothing))
                continue
            there = x[(slice(None),) * dim + (seen,)]
            pooled = there.amax(dim, True) if operation.kind == "max" else there.mean(dim, True)
            parts.append(pooled)
        x = torch.cat(parts, dim)
    return x


def _resized(x: torch.Tensor, dim: int, want: int, mode: str, grid: str) -> torch.Tensor:
    """Return one axis resized, pixel by pixel, as the docstring says it."""
    have, parts = x.shape[dim], []
    for j in range(want):
        if grid == "half-pixel":
            place = Fraction(2 * j + 1, 2) * Fraction(have, want) - Fraction(1, 2)
        elif grid == "corners":
            place = Fraction(j * (have - 1), max(want - 1, 1))
        else:
            place = j * Fraction(have, want)
        if mode == "nearest":
            index = math.floor(place + (Fraction(1, 2) if grid == "half-pixel" else 0))
            parts.append(x.narrow(dim, min(max(index, 0), have - 1), 1))
            continue
        place = min(max(place, Fraction(0)), Fraction(have - 1))
        low, share = math.floor(place), float(place % 1)
        near, far = x.narrow(dim, low, 1), x.narrow(dim, min(low + 1, have - 1), 1)
        parts.append((1 - share) * near + share * far)
    return torch.cat(parts, dim)


def _shuffled(operation: Any, x: torch.Tensor) -> torch.Tensor:
    factors, counts = operation.factor, operation.channels([x.shape[1]])
    answer = x.new_zeros(
        (len(x), counts, *(n * f for n, f in zip(x.shape[2:], factors, strict=True)))
    )
    blocks = list(itertools.product(*(range(f) for f in factors)))
    for number, block in enumerate(blocks):
        for channel in range(counts):
            first = channel * len(blocks) + number
            if operation.order == "block-first":
                first = number * counts + channel
            where = tuple(slice(b, None, f) for b, f in zip(block, factors, strict=True))
            answer[(slice(None), channel, *where)] = x[:, first]
    return answer


def matched(x: torch.Tensor, shape: tuple[int, ...], keep: str = "middle") -> torch.Tensor:
    """Return ``x`` padded or cut, around its middle or behind, to the size of ``shape``."""
    for dim in range(2, x.ndim):
        have, want = x.shape[dim], shape[dim]
        first = abs(have - want) // 2 if keep == "middle" else 0
        if have > want:
            x = x.narrow(dim, first, want)
        elif have < want:
            room = [0, 0] * (x.ndim - 1 - dim) + [first, want - have - first]
            x = F.pad(x, room)
    return x

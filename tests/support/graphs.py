"""A graph, run: each operation in the words of torch, as its docstring says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from napari_segnet.graph import Graph, tensors

Tensors = Mapping[str, torch.Tensor]

CONV = {2: F.conv2d, 3: F.conv3d}
BACK = {2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX = {2: F.max_pool2d, 3: F.max_pool3d}
MEAN = {2: F.avg_pool2d, 3: F.avg_pool3d}
LINEAR = {2: "bilinear", 3: "trilinear"}
FILLS = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate"}
FUNCTIONS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hard-sigmoid": F.hardsigmoid,
    "hard-swish": F.hardswish,
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
            margins = _margins(operation.before, operation.after)
            x = F.pad(x, margins, mode=FILLS[operation.fill])
            how = {"stride": operation.stride, "dilation": operation.dilation}
            return CONV[ndim](x, own["weight"], own.get("bias"), groups=operation.groups, **how)
        case "transposed-convolution":
            return _back(operation, x, own)
        case "batch-norm":
            numbers = (own[n] for n in ("running_mean", "running_var", "weight", "bias"))
            return F.batch_norm(x, *numbers, eps=operation.epsilon)
        case "group-norm":
            return F.group_norm(x, operation.groups, own["weight"], own["bias"], operation.epsilon)
        case "instance-norm":
            learnt = {"weight": own.get("weight"), "bias": own.get("bias")}
            return F.instance_norm(x, eps=operation.epsilon, **learnt)
        case "activation":
            return _activation(operation, x, own)
        case "softmax":
            return x.softmax(1)
        case "concatenate":
            return torch.cat(inputs, 1)
        case "arithmetic":
            return sum(inputs) if operation.kind == "add" else torch.stack(inputs).prod(0)
        case "pooling":
            return _pool(operation, x)
        case "global-pooling":
            over = tuple(range(2, x.ndim))
            return x.amax(over, True) if operation.kind == "max" else x.mean(over, True)
        case "resize":
            how = {"mode": "nearest"}
            if operation.mode == "linear":
                how = {"mode": LINEAR[ndim], "align_corners": operation.align_corners}
            return F.interpolate(x, scale_factor=[float(f) for f in operation.factor], **how)
        case "pad":
            margins = _margins(operation.before, operation.after)
            return F.pad(x, margins, mode=FILLS[operation.fill])
        case "crop":
            return F.pad(x, [-n for n in _margins(operation.before, operation.after)])
        case "match-size":
            return matched(x, inputs[1].shape)
    raise NotImplementedError(operation.name)


def _back(operation: Any, x: torch.Tensor, own: Tensors) -> torch.Tensor:
    """Return the transposed convolution of no padding, cut; torch cuts both ends alike only."""
    names = ("stride", "dilation", "groups")
    how = {name: getattr(operation, name) for name in names}
    whole = BACK[x.ndim - 2](x, own["weight"], None, **how)
    whole = F.pad(whole, _margins((0,) * len(operation.extra), operation.extra))
    cut = F.pad(whole, [-n for n in _margins(operation.before, operation.after)])
    bias = own.get("bias")
    return cut if bias is None else cut + bias.reshape(1, -1, *(1,) * (x.ndim - 2))


def _activation(operation: Any, x: torch.Tensor, own: Tensors) -> torch.Tensor:
    match operation.function:
        case "leaky-relu":
            return F.leaky_relu(x, operation.slope)
        case "elu":
            return F.elu(x, operation.slope)
        case "prelu":
            return F.prelu(x, own["weight"])
    return FUNCTIONS[operation.function](x)


def _pool(operation: Any, x: torch.Tensor) -> torch.Tensor:
    ndim, how = x.ndim - 2, {"ceil_mode": operation.ceil}
    window = (operation.kernel, operation.stride, operation.padding)
    if operation.kind == "max":
        return MAX[ndim](x, *window, dilation=operation.dilation, **how)
    return MEAN[ndim](x, *window, count_include_pad=operation.count_padding, **how)


def matched(x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Return ``x`` padded or cut around its middle to the size of ``shape``."""
    for dim in range(2, x.ndim):
        have, want = x.shape[dim], shape[dim]
        if have > want:
            x = x.narrow(dim, (have - want) // 2, want)
        elif have < want:
            room = [0, 0] * (x.ndim - 1 - dim) + [
                (want - have) // 2,
                want - have - (want - have) // 2,
            ]
            x = F.pad(x, room)
    return x

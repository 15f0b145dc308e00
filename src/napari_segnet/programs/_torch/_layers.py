"""Layers of torch with weights, and products of matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from napari_segnet.graph import Arithmetic, Rescale
from napari_segnet.programs._evaluate import (
    NotReadable,
    Value,
    Weight,
    activated,
    affine,
    batch_normed,
    convolved,
    dense,
    group_normed,
    instance_normed,
    layer_normed,
    matrix_product,
    moved,
    prelu,
    softmaxed,
    transposed_convolved,
)
from napari_segnet.programs._torch._numbers import (
    Positive,
    Repeated,
    Run,
    axes_of,
    plain_number,
    truth,
    whole_number,
)

__all__ = ["LAYERS"]


def _convolution(
    run: Run,
    x: Value,
    weight: Weight,
    bias: Weight | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    extra: Any,
    groups: int,
    *_: Any,
) -> Value:
    ndim = len(weight.shape) - 2
    own = {
        "stride": axes_of(run, stride, ndim),
        "before": axes_of(run, padding, ndim),
        "after": axes_of(run, padding, ndim),
        "dilation": axes_of(run, dilation, ndim),
        "groups": whole_number(run, groups),
    }
    if transposed:
        extra = axes_of(run, extra, ndim)
        return transposed_convolved(run.draw, x, weight, bias, extra=extra, **own)  # type: ignore[arg-type]
    return convolved(run.draw, x, weight, bias, **own)  # type: ignore[arg-type]


def _conv(
    run: Run,
    x: Value,
    weight: Weight,
    bias: Weight | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
) -> Value:
    ndim = len(weight.shape) - 2
    if padding == "valid":
        padding = 0
    if padding == "same":
        reach = [
            d * (k - 1) for d, k in zip(axes_of(run, dilation, ndim), weight.shape[2:], strict=True)
        ]
        return convolved(
            run.draw,
            x,
            weight,
            bias,
            stride=axes_of(run, stride, ndim),
            before=tuple(r // 2 for r in reach),
            after=tuple(r - r // 2 for r in reach),
            dilation=axes_of(run, dilation, ndim),
            groups=whole_number(run, groups),
        )
    return _convolution(run, x, weight, bias, stride, padding, dilation, False, 0, groups)


def _conv_transpose(
    run: Run,
    x: Value,
    weight: Weight,
    bias: Weight | None = None,
    stride: Any = 1,
    padding: Any = 0,
    extra: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> Value:
    return _convolution(run, x, weight, bias, stride, padding, dilation, True, extra, groups)


def _batch_norm(
    run: Run, x: Value, weight: Any, bias: Any, mean: Any, variance: Any, training: Any,
    momentum: float, epsilon: float, *_: Any,
) -> Value:  # fmt: skip
    if truth(run.draw, training) or mean is None or variance is None:
        raise NotReadable(f"{run.draw.at} normalises while it is trained; save it after eval()")
    return batch_normed(
        run.draw,
        x,
        weight=weight,
        bias=bias,
        mean=mean,
        variance=variance,
        epsilon=float(epsilon),
        momentum=float(momentum),
    )


def _instance_norm(
    run: Run, x: Value, weight: Any, bias: Any, mean: Any, variance: Any, inputs: Any,
    momentum: float, epsilon: float, *_: Any,
) -> Value:  # fmt: skip
    if not truth(run.draw, inputs):
        return _batch_norm(run, x, weight, bias, mean, variance, False, momentum, epsilon)
    return instance_normed(run.draw, x, weight, bias, float(epsilon))


def _group_norm(
    run: Run, x: Value, groups: Any, weight: Any = None, bias: Any = None, epsilon: float = 1e-5,
    *_: Any,
) -> Value:  # fmt: skip
    return group_normed(run.draw, x, whole_number(run, groups), weight, bias, float(epsilon))


def _layer_norm(
    run: Run, x: Value, shape: Any, weight: Any = None, bias: Any = None, epsilon: float = 1e-5,
    *_: Any,
) -> Value:  # fmt: skip
    if len(shape) != 1:
        raise NotReadable(f"{run.draw.at} normalises over several axes")
    return layer_normed(run.draw, x, weight, bias, float(epsilon))


def _matmul(run: Run, one: Any, two: Any) -> Value:
    if isinstance(two, Weight):
        return dense(run.draw, one, two.transposed((1, 0)), None)
    return matrix_product(run.draw, one, two)


def _addmm(run: Run, bias: Any, x: Value, weight: Weight, beta: Any = 1, alpha: Any = 1) -> Value:
    if (beta, alpha) != (1, 1) or not isinstance(bias, Weight) or not isinstance(weight, Weight):
        raise NotReadable(f"{run.draw.at} multiplies matrices in a way that is not read")
    return dense(run.draw, x, weight.transposed((1, 0)), bias)


def _attention(
    run: Run, query: Value, key: Value, value: Value, mask: Any = None, share: Any = 0.0,
    causal: Any = False, scale: Any = None, **_: Any,
) -> Value:  # fmt: skip
    """Return ``softmax(query @ key.T * scale) @ value``."""
    draw = run.draw
    if mask is not None or truth(draw, causal) or float(plain_number(run, share)):
        raise NotReadable(f"{draw.at} is an attention with a mask or a dropout")
    if scale is None:
        depth = draw.probes.single(draw.shape(query)[-1])
        if not depth:
            raise NotReadable(f"{draw.at} is an attention over an axis of the image's size")
        scale = 1 / math.sqrt(depth)
    order = list(range(len(key.axes)))
    order[-2:] = order[:-3:-1]
    product = matrix_product(draw, query, moved(key, order))
    scaled = affine(draw, product, float(plain_number(run, scale)), 0.0)
    return matrix_product(draw, softmaxed(draw, scaled, -1), value)


def _native_batch_norm(
    run: Run, x: Value, weight: Any, bias: Any, mean: Any, variance: Any, momentum: float,
    epsilon: float,
) -> tuple[Any, ...]:  # fmt: skip
    return (_batch_norm(run, x, weight, bias, mean, variance, False, momentum, epsilon), None, None)


def _no_statistics(
    run: Run, x: Value, weight: Any, bias: Any, training: Any, momentum: float, epsilon: float
) -> tuple[Any, ...]:
    """Return a batch normalisation of ``x.view(1, images * channels, ...)``: one of instances."""
    batch = run.draw.bases[x.node][0]
    if not truth(run.draw, training) or len(x.axes) < 3:
        raise NotReadable(f"{run.draw.at} normalises over the images of a batch")
    if x.axes[1] and x.axes[1][0] is batch:
        plain = Value(node=x.node, axes=((batch,), x.axes[1][1:], *x.axes[2:]))
        own = [one.weight if isinstance(one, Repeated) else one for one in (weight, bias)]
        answer = instance_normed(run.draw, plain, own[0], own[1], float(epsilon))
        first, second, *rest = answer.axes
        return (Value(node=answer.node, axes=((), (*first, *second), *rest)), None, None)
    if not run.draw.probes.equal(run.draw.shape(x)[0], 1):
        raise NotReadable(f"{run.draw.at} normalises over the images of a batch")
    return (instance_normed(run.draw, x, weight, bias, float(epsilon)), None, None)


def _where(run: Run, condition: Any, one: Any, two: Any) -> Value:
    """Return ``where(x > 0, x, slope * x)``, as PReLU is decomposed."""
    draw = run.draw
    x = condition.value if isinstance(condition, Positive) else None
    if x is None or not isinstance(one, Value) or not isinstance(two, Value) or one.node != x.node:
        raise NotReadable(f"{draw.at} chooses between values by those of the image")
    operation, inputs = draw.made[two.node]
    if isinstance(operation, Rescale) and inputs == (x.node,) and not any(operation.offsets):
        if len(operation.scales) == 1:
            return activated(draw, x, "leaky-relu", slope=operation.scales[0])
    others = [node for node in inputs if node != x.node]
    if isinstance(operation, Arithmetic) and operation.kind == "multiply" and len(others) == 1:
        weight = draw.held.get(others[0], {}).get("value")
        count = draw.builder.channels(x.node)
        if weight is not None and draw.is_map(x.node) and weight.shape[:1] == (count,):
            if math.prod(weight.shape) == count:
                return prelu(draw, x, weight.reshaped((count, *(1,) * draw.ndim)))
    raise NotReadable(f"{draw.at} chooses between values by those of the image")


def _native_group_norm(
    run: Run, x: Value, weight: Any, bias: Any, images: Any, channels: Any, pixels: Any,
    groups: Any, epsilon: float,
) -> tuple[Any, ...]:  # fmt: skip
    return (_group_norm(run, x, groups, weight, bias, epsilon), None, None)


def _native_layer_norm(
    run: Run, x: Value, shape: Any, weight: Any, bias: Any, epsilon: float
) -> tuple[Any, ...]:
    return (_layer_norm(run, x, shape, weight, bias, epsilon), None, None)


LAYERS: Mapping[str, Callable[..., Any]] = {
    "convolution": _convolution,
    "_convolution": _convolution,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv_transpose2d", "conv_transpose3d"), _conv_transpose),
    "batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _native_batch_norm,
    "_native_batch_norm_legit": _no_statistics,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "native_group_norm": _native_group_norm,
    "layer_norm": _layer_norm,
    "native_layer_norm": _native_layer_norm,
    "linear": lambda run, x, weight, bias=None: dense(run.draw, x, weight, bias),
    **dict.fromkeys(("matmul", "bmm", "mm"), _matmul),
    "addmm": _addmm,
    "where": _where,
    "scaled_dot_product_attention": _attention,
}
"""What has weights, or multiplies matrices."""

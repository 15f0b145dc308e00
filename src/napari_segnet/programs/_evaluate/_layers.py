"""Layers with weights: convolutions, norms, dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from napari_segnet.graph import (
    Activation,
    BatchNorm,
    Convolution,
    Dense,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    MatrixProduct,
    Reshape,
    TransposedConvolution,
)
from napari_segnet.programs._evaluate._drawing import Drawing
from napari_segnet.programs._evaluate._probes import NotReadable
from napari_segnet.programs._evaluate._values import Value, Weight

__all__ = [
    "batch_normed",
    "convolved",
    "dense",
    "group_normed",
    "instance_normed",
    "layer_normed",
    "matrix_product",
    "prelu",
    "transposed_convolved",
]

Axes = tuple[int, ...]


def _weights(draw: Drawing, **found: Weight | None) -> dict[str, Weight]:
    return {role: weight for role, weight in found.items() if weight is not None}


def _stem(weight: Weight) -> str:
    """Return what a layer is called like, by the key of its weight."""
    name = weight.key.rpartition(".")
    return name[0] if name[2] in ("weight", "bias") and name[0] else ""


def _require_axes(draw: Drawing, weight: Weight, **numbers: Axes) -> None:
    if len(weight.shape) != draw.ndim + 2:
        raise NotReadable(
            f"{draw.at} is a convolution along {len(weight.shape) - 2} axes, and the image has "
            f"{draw.ndim}"
        )
    for name, values in numbers.items():
        if len(values) != draw.ndim:
            raise NotReadable(f"{name} of {draw.at} is {values}, where {draw.ndim} were expected")


def convolved(
    draw: Drawing,
    value: Value,
    weight: Weight,
    bias: Weight | None,
    *,
    stride: Axes,
    before: Axes,
    after: Axes,
    dilation: Axes,
    groups: int,
    same: bool = False,
    fill: Any = "zeros",
) -> Value:
    """Append a convolution; its weight is ``(outputs, inputs / groups, *kernel)``."""
    if len(weight.shape) == 3:
        ones, zeros = (1,) * (draw.ndim - 1), (0,) * (draw.ndim - 1)
        made = convolved(
            draw,
            _as_row(draw, value),
            weight.reshaped((*weight.shape[:2], *ones, weight.shape[2])),
            bias,
            stride=(*ones, *stride),
            before=(*zeros, *before),
            after=(*zeros, *after),
            dilation=(*ones, *dilation),
            groups=groups,
            fill=fill,
        )
        return _from_row(draw, made)
    _require_axes(draw, weight, stride=stride, padding=before, dilation=dilation)
    operation = Convolution(
        outputs=weight.shape[0],
        kernel=weight.shape[2:],
        stride=stride,
        before=before,
        after=after,
        dilation=dilation,
        groups=groups,
        bias=bias is not None,
        same=same,
        fill=fill,
    )
    node = draw.as_map(value)
    _require_channels(draw, node, weight.shape[1] * groups)
    own = _weights(draw, weight=weight, bias=bias)
    return draw.mapped(operation, node, weights=own, stem=_stem(weight))


def _as_row(draw: Drawing, value: Value) -> Value:
    """Return values along one axis, of a length that no image changes, as a map of one row.

    Gates convolve along the channels of a pooled map (https://arxiv.org/abs/1910.03151).
    """
    array = draw.as_array(value)
    lengths = [draw.probes.single(atom.lengths) for atom in draw.bases[array.node][1:]]
    if len(lengths) != 2 or None in lengths:
        raise NotReadable(f"{draw.at} is a convolution along one axis, and the image has more")
    count, length = int(lengths[0] or 1), int(lengths[1] or 1)
    ones = (1,) * (draw.ndim - 1)
    own = Reshape(lengths=(count, *ones, length))
    node = draw.add(own, array.node, draw.builder.image, stem=f"{draw.at}_row")
    return draw.fresh(node, count, [draw.probes.number(n) for n in (*ones, length)])


def _from_row(draw: Drawing, value: Value) -> Value:
    """Return a map of one row as values along one axis."""
    base = list(draw.bases[value.node])
    base[-1] = replace(base[-1], text=draw.probes.single(base[-1].lengths) or 1, like="")
    draw.bases[value.node] = tuple(base)
    return Value(node=value.node, axes=((base[0],), (base[1],), (base[-1],)))


def _require_channels(draw: Drawing, node: str, count: int) -> None:
    if draw.builder.channels(node) != count:
        raise NotReadable(
            f"{draw.at} takes {count} channels, and {draw.builder.channels(node)} come to it"
        )


def transposed_convolved(
    draw: Drawing,
    value: Value,
    weight: Weight,
    bias: Weight | None,
    *,
    stride: Axes,
    before: Axes,
    after: Axes,
    extra: Axes,
    dilation: Axes,
    groups: int,
) -> Value:
    """Append a transposed convolution; its weight is ``(inputs, outputs / groups, *kernel)``."""
    _require_axes(draw, weight, stride=stride, padding=before, dilation=dilation)
    operation = TransposedConvolution(
        outputs=weight.shape[1] * groups,
        kernel=weight.shape[2:],
        stride=stride,
        before=before,
        after=after,
        extra=extra,
        dilation=dilation,
        groups=groups,
        bias=bias is not None,
    )
    node = draw.as_map(value)
    _require_channels(draw, node, weight.shape[0])
    own = _weights(draw, weight=weight, bias=bias)
    return draw.mapped(operation, node, weights=own, stem=_stem(weight))


def batch_normed(
    draw: Drawing,
    value: Value,
    *,
    weight: Weight | None,
    bias: Weight | None,
    mean: Weight,
    variance: Weight,
    epsilon: float,
    momentum: float = 0.1,
) -> Value:
    """Append a batch normalisation of the channels, under any view that has them whole."""
    operation = BatchNorm(
        epsilon=epsilon,
        weight=weight is not None,
        bias=bias is not None,
        counted=False,
        momentum=momentum,
    )
    own = _weights(draw, weight=weight, bias=bias, running_mean=mean, running_var=variance)
    return _normed(draw, operation, value, own, weight or mean)


def _normed(
    draw: Drawing, operation: Any, value: Value, weights: dict[str, Weight], named: Weight | None
) -> Value:
    stem = _stem(named) if named is not None else ""
    return draw.mapped(operation, draw.as_map(value), weights=weights, stem=stem)


def instance_normed(
    draw: Drawing, value: Value, weight: Weight | None, bias: Weight | None, epsilon: float
) -> Value:
    """Append an instance normalisation; of groups of channels where a view has such."""
    axes = value.axes
    base = draw.bases[value.node]
    grouped = (
        draw.is_map(value.node)
        and len(axes) > 2
        and len(axes[1]) == 1
        and axes[1][0].base == 1
        and axes[1][0].parent is base[1]
        and axes[1][0].side == 0
    )
    if grouped or (draw.is_map(value.node) and len(axes) == 3 and axes[1] == (base[1],)):
        count = draw.probes.single(axes[1][0].lengths)
        if weight is not None or bias is not None or count is None:
            raise NotReadable(f"{draw.at} has weights for groups of channels")
        operation = GroupNorm(groups=count, epsilon=epsilon, weight=False, bias=False)
        node = draw.mapped(operation, value.node).node
        return draw.same(node, value)
    if (weight is None) != (bias is None):
        raise NotReadable(f"{draw.at} has a weight without a bias, or the other way round")
    own = _weights(draw, weight=weight, bias=bias)
    operation_ = InstanceNorm(epsilon=epsilon, learnt=weight is not None)
    return _normed(draw, operation_, value, own, weight)


def group_normed(
    draw: Drawing,
    value: Value,
    groups: int,
    weight: Weight | None,
    bias: Weight | None,
    epsilon: float,
) -> Value:
    """Append a group normalisation."""
    operation = GroupNorm(
        groups=groups, epsilon=epsilon, weight=weight is not None, bias=bias is not None
    )
    return _normed(draw, operation, value, _weights(draw, weight=weight, bias=bias), weight)


def layer_normed(
    draw: Drawing, value: Value, weight: Weight | None, bias: Weight | None, epsilon: float
) -> Value:
    """Append a normalisation over the last axis, which must be that of the channels."""
    order = draw.order(value)
    own = _weights(draw, weight=weight, bias=bias)
    operation = LayerNorm(epsilon=epsilon, weight=weight is not None, bias=bias is not None)
    if order is None and value.axes and value.axes[-1] == (draw.bases[value.node][1],):
        order = (1,)  # all else may be merged as it likes: each pixel stands by itself
    if not order or order[-1] != 1:
        raise NotReadable(f"{draw.at} normalises over another axis than the channels")
    for one in own.values():
        if len(one.shape) != 1:
            raise NotReadable(f"{draw.at} normalises over more than the channels")
    stem = _stem(weight) if weight is not None else ""
    return draw.same(draw.add(operation, value.node, weights=own, stem=stem), value)


def prelu(draw: Drawing, value: Value, slope: Weight) -> Value:
    """Append a leaky rectifier with learnt slopes, one or one for each channel."""
    long = [axis - len(slope.shape) for axis, n in enumerate(slope.shape) if n != 1]
    count = max(slope.shape, default=1)
    if long and (len(long) > 1 or (draw.order(value) or (0,) * 9)[long[0]] != 1):
        raise NotReadable(f"{draw.at} has slopes for something else than channels")
    operation = Activation(function="prelu", slopes=count)
    own = {"weight": slope.reshaped((count,))}
    return draw.same(draw.add(operation, value.node, weights=own, stem=_stem(slope)), value)


def dense(draw: Drawing, value: Value, weight: Weight, bias: Weight | None) -> Value:
    """Append weighted sums along the last axis; the weight is ``(outputs, inputs)``."""
    outputs, inputs = weight.shape
    own = _weights(draw, weight=weight, bias=bias)
    base = draw.bases[value.node]
    if draw.is_map(value.node) and value.axes and value.axes[-1] == (base[1],):
        ones = (1,) * draw.ndim
        _require_channels(draw, value.node, inputs)
        own["weight"] = weight.reshaped((outputs, inputs, *ones))
        zeros = (0,) * draw.ndim
        operation = Convolution(
            outputs=outputs,
            kernel=ones,
            stride=ones,
            before=zeros,
            after=zeros,
            dilation=ones,
            bias=bias is not None,
        )
        answer = draw.mapped(operation, value.node, weights=own, stem=_stem(weight))
        new = draw.bases[answer.node]
        axes = tuple(
            tuple(new[1] if atom is base[1] else atom for atom in axis) for axis in value.axes
        )
        # Its pixels are those of the input, so parts of their axes stay what they are.
        draw.bases[answer.node] = (base[0], new[1], *base[2:])
        return Value(node=answer.node, axes=axes)
    array = draw.as_array(value)
    if draw.probes.single(draw.bases[array.node][-1].lengths) != inputs:
        raise NotReadable(f"{draw.at} takes {inputs} values, and others come to it")
    operation_ = Dense(inputs=inputs, outputs=outputs, bias=bias is not None)
    node = draw.add(operation_, array.node, weights=own, stem=_stem(weight))
    *kept, last = draw.bases[array.node][1:]
    return draw.array(node, [*kept, _number(draw, last, outputs)])


def _number(draw: Drawing, atom: Any, count: int) -> Any:
    return replace(atom, lengths=draw.probes.number(count), text=count, like="", inner=())


def matrix_product(draw: Drawing, one: Value, two: Value) -> Value:
    """Append the product of matrices over the last two axes."""
    first, second = draw.as_array(one), draw.as_array(two)
    rows, columns = draw.bases[first.node][1:], draw.bases[second.node][1:]
    if len(rows) != len(columns) or len(rows) < 2:
        raise NotReadable(f"{draw.at} multiplies arrays of several numbers of axes")
    node = draw.add(MatrixProduct(), first.node, second.node)
    return draw.array(node, [*rows[:-1], columns[-1]])


def same_or_margins(
    kernel: Sequence[int], dilation: Sequence[int], stride: Sequence[int]
) -> tuple[Axes, Axes, bool]:
    """Return what TensorFlow's ``same`` adds: before, after, or that it depends on the length."""
    zeros = (0,) * len(kernel)
    if max(stride) > 1:
        return zeros, zeros, True
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple(r // 2 for r in reach), tuple(r - r // 2 for r in reach), False

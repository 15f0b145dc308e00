"""Operations of ONNX with weights, and poolings.

https://onnx.ai/onnx/operators/; what is said there of each holds for versions 7 and later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from napari_segnet.graph import GlobalPooling
from napari_segnet.programs._evaluate import (
    Drawing,
    NotReadable,
    Value,
    Weight,
    batch_normed,
    convolved,
    dense,
    group_normed,
    instance_normed,
    layer_normed,
    matrix_product,
    pooled,
    prelu,
    same_or_margins,
    transposed_convolved,
    with_constant,
)
from napari_segnet.programs.onnx._node import At, Draw, image_of

__all__ = ["LAYERS"]

Axes = tuple[int, ...]


def _weight(at: At, inputs: Sequence[Any], place: int, what: str) -> Weight | None:
    """Return an input that must be a tensor of the file; None where it is left out."""
    found = inputs[place] if place < len(inputs) else None
    if found is None or isinstance(found, Weight):
        return found
    if isinstance(found, np.ndarray):
        raise NotReadable(f"the {what} of {at} is computed in the file, not stored in it")
    raise NotReadable(f"the {what} of {at} comes from the image")


def _needed(at: At, inputs: Sequence[Any], place: int, what: str) -> Weight:
    found = _weight(at, inputs, place, what)
    if found is None:
        raise NotReadable(f"{at} has no {what}")
    return found


def _margins(
    draw: Drawing, at: At, value: Value, kernel: Axes, wide: Axes, stride: Axes
) -> dict[str, Any]:
    """Return how a window pads: ``before``, ``after``, ``same``."""
    said, ndim = at.text("auto_pad", "NOTSET"), len(kernel)
    zeros = (0,) * ndim
    if said == "VALID":
        return {"before": zeros, "after": zeros, "same": False}
    if said == "SAME_LOWER":
        before, after = _lower(draw, at, value, kernel, wide, stride)
        return {"before": before, "after": after, "same": False}
    if said == "SAME_UPPER":
        before, after, same = same_or_margins(kernel, wide, stride)
        return {"before": before, "after": after, "same": same}
    if said != "NOTSET":
        raise NotReadable(f"{at} pads {said!r}, which is not known")
    pads = at.wholes("pads") or [0] * 2 * ndim
    if len(pads) != 2 * ndim or min(pads) < 0:
        raise NotReadable(f"pads of {at} are {pads}, where {2 * ndim} were expected")
    return {"before": tuple(pads[:ndim]), "after": tuple(pads[ndim:]), "same": False}


def _lower(
    draw: Drawing, at: At, value: Value, kernel: Axes, wide: Axes, stride: Axes
) -> tuple[Axes, Axes]:
    """Return what ``SAME_LOWER`` adds; with a stride it depends on the length.

    It is read for lengths that the stride divides; a graph that takes others is refused in the end.
    """
    lengths = draw.shape(value)[2:]
    if len(lengths) != len(kernel) or min(stride) < 1:
        raise NotReadable(f"{at} is a window along {len(kernel)} axes")
    for length, step in zip(lengths, stride, strict=True):
        if step > 1 and not draw.probes.choose(length % step == 0):
            raise NotReadable(f"{at} pads SAME_LOWER where the stride does not divide the length")
    more = [max(d * (k - 1) + 1 - s, 0) for k, d, s in zip(kernel, wide, stride, strict=True)]
    return tuple(n - n // 2 for n in more), tuple(n // 2 for n in more)


def _conv(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value, weight = image_of(at, inputs), _kernel(at, inputs)
    ndim = len(weight.shape) - 2
    stride, wide = at.axes("strides", ndim, 1), at.axes("dilations", ndim, 1)
    return convolved(
        draw,
        value,
        weight,
        _weight(at, inputs, 2, "bias"),
        stride=stride,
        dilation=wide,
        groups=at.number("group", 1),
        **_margins(draw, at, value, weight.shape[2:], wide, stride),
    )


def _kernel(at: At, inputs: Sequence[Any]) -> Any:
    """Return the weights of a convolution, which are as large as the node says."""
    weight, said = _needed(at, inputs, 1, "weight"), at.wholes("kernel_shape")
    if said is not None and tuple(said) != tuple(weight.shape[2:]):
        raise NotReadable(
            f"{at} says kernel_shape {list(said)}, and its weights are {list(weight.shape[2:])}"
        )
    return weight


def _conv_transpose(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value, weight = image_of(at, inputs), _kernel(at, inputs)
    ndim = len(weight.shape) - 2
    stride, wide = at.axes("strides", ndim, 1), at.axes("dilations", ndim, 1)
    extra, said = at.axes("output_padding", ndim, 0), at.text("auto_pad", "NOTSET")
    if at.wholes("output_shape") is not None:
        raise NotReadable(f"{at} says the size of its answer (output_shape)")
    if said in ("SAME_UPPER", "SAME_LOWER"):
        # As many outputs as inputs times the stride: what is too much is cut off.
        cut = [
            d * (k - 1) + 1 + e - s
            for k, d, s, e in zip(weight.shape[2:], wide, stride, extra, strict=True)
        ]
        low = [max(n, 0) // 2 for n in cut]
        high = [max(n, 0) - n // 2 if n > 0 else 0 for n in cut]
        extra = tuple(e + max(-n, 0) for e, n in zip(extra, cut, strict=True))
        if said == "SAME_LOWER":
            low, high = high, low
        before, after = tuple(low), tuple(high)
    else:
        margins = _margins(draw, at, value, weight.shape[2:], wide, stride)
        before, after = margins["before"], margins["after"]
    return transposed_convolved(
        draw,
        value,
        weight,
        _weight(at, inputs, 2, "bias"),
        stride=stride,
        before=before,
        after=after,
        extra=extra,
        dilation=wide,
        groups=at.number("group", 1),
    )


def _batch_norm(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    if at.number("training_mode", 0) or not at.number("spatial", 1):
        raise NotReadable(f"{at} normalises while it is trained; export it in evaluation mode")
    return batch_normed(
        draw,
        image_of(at, inputs),
        weight=_needed(at, inputs, 1, "scale"),
        bias=_needed(at, inputs, 2, "bias"),
        mean=_needed(at, inputs, 3, "mean"),
        variance=_needed(at, inputs, 4, "variance"),
        epsilon=at.real("epsilon", 1e-5),
        momentum=1 - at.real("momentum", 0.9),
    )


def _unit(at: At, inputs: Sequence[Any], place: int, number: float) -> bool:
    """Tell if a tensor is this number throughout, so that it is not there."""
    found = inputs[place] if place < len(inputs) else None
    if isinstance(found, Weight):
        found = at.read(found.key)
    return found is None or (isinstance(found, np.ndarray) and bool((found == number).all()))


def _instance_norm(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value = image_of(at, inputs)
    weight = bias = None
    if not (_unit(at, inputs, 1, 1.0) and _unit(at, inputs, 2, 0.0)):
        weight, bias = _needed(at, inputs, 1, "scale"), _needed(at, inputs, 2, "bias")
    return instance_normed(draw, value, weight, bias, at.real("epsilon", 1e-5))


def _group_norm(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value, groups = image_of(at, inputs), at.number("num_groups", 1)
    weight, bias = _needed(at, inputs, 1, "scale"), _needed(at, inputs, 2, "bias")
    channels, epsilon = draw.builder.channels(draw.as_map(value)), at.real("epsilon", 1e-5)
    if weight.shape == bias.shape == (channels,):
        return group_normed(draw, value, groups, weight, bias, epsilon)
    if weight.shape != (groups,) or bias.shape != (groups,) or channels % groups:
        raise NotReadable(f"{at} has {weight.shape} weights for {groups} groups")
    # Version 18 of the operations has one weight for each group; they stay as the file has them.
    scales, offsets = at.read(weight.key), at.read(bias.key)
    if scales is None or offsets is None:
        raise NotReadable(f"{at} has weights that are too large")
    plain = group_normed(draw, value, groups, None, None, epsilon)
    shape = (1, channels, *(1,) * draw.ndim)
    rows = [np.repeat(n.reshape(-1), channels // groups).reshape(shape) for n in (scales, offsets)]
    answer = with_constant(draw, "multiply", plain, rows[0][None])
    return with_constant(draw, "add", answer, rows[1][None])


def _layer_norm(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value = image_of(at, inputs)
    if at.number("axis", -1) not in (-1, len(value.axes) - 1):
        raise NotReadable(f"{at} normalises over several axes")
    weight, bias = _weight(at, inputs, 1, "scale"), _weight(at, inputs, 2, "bias")
    return layer_normed(draw, value, weight, bias, at.real("epsilon", 1e-5))


def _prelu(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    return prelu(draw, image_of(at, inputs), _needed(at, inputs, 1, "slope"))


def _matmul(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    one, two = inputs[:2]
    if isinstance(one, Value) and isinstance(two, Value):
        return matrix_product(draw, one, two)
    weight = _needed(at, inputs, 1, "weight")
    if len(weight.shape) != 2:
        raise NotReadable(f"{at} multiplies by a weight of the shape {weight.shape}")
    return dense(draw, image_of(at, inputs), weight.transposed((1, 0)), None)


def _gemm(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    if at.real("alpha", 1.0) != 1 or at.real("beta", 1.0) != 1 or at.number("transA", 0):
        raise NotReadable(f"{at} has factors (alpha, beta, transA) that are not read")
    weight, bias = _needed(at, inputs, 1, "weight"), _weight(at, inputs, 2, "bias")
    if not at.number("transB", 0):
        weight = weight.transposed((1, 0))
    if bias is not None and bias.shape != (weight.shape[0],):
        answer = dense(draw, image_of(at, inputs), weight, None)
        return with_constant(draw, "add", answer, bias)
    return dense(draw, image_of(at, inputs), weight, bias)


def _pool(kind: Any) -> Draw:
    def pool(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
        kernel = tuple(at.wholes("kernel_shape") or ())
        ndim = len(kernel)
        if len(at.node.outputs) > 1 and at.node.outputs[1]:
            raise NotReadable(f"{at} answers with places as well, for an un-pooling")
        stride, wide = at.axes("strides", ndim, 1), at.axes("dilations", ndim, 1)
        value = image_of(at, inputs)
        return pooled(
            draw,
            value,
            kind,
            kernel=kernel,
            stride=stride,
            dilation=wide,
            ceil=bool(at.number("ceil_mode", 0)),
            count_padding=bool(at.number("count_include_pad", 0)),
            **_margins(draw, at, value, kernel, wide, stride),
        )

    return pool


def _global(kind: Any) -> Draw:
    def pool(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
        return draw.mapped(GlobalPooling(kind=kind), draw.as_map(image_of(at, inputs)))

    return pool


LAYERS: Mapping[str, Draw] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
    "PRelu": _prelu,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "MaxPool": _pool("max"),
    "AveragePool": _pool("average"),
    "GlobalMaxPool": _global("max"),
    "GlobalAveragePool": _global("average"),
}
"""What draws each, by the name of the operation."""

"""Operations of ONNX with weights, and poolings.

https://onnx.ai/onnx/operators/; what is said there of each holds for versions 7 and later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from napari_segnet.programs.onnx._node import At

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


def _image(at: At, inputs: Sequence[Any]) -> Value:
    if not inputs or not isinstance(inputs[0], Value):
        raise NotReadable(f"{at} does not work on the image")
    return inputs[0]


def _margins(at: At, ndim: int, kernel: Axes, wide: Axes, stride: Axes) -> dict[str, Any]:
    """Return how a window pads: ``before``, ``after``, ``same``."""
    said = at.text("auto_pad", "NOTSET")
    zeros = (0,) * ndim
    if said == "VALID":
        return {"before": zeros, "after": zeros, "same": False}
    if said in ("SAME_UPPER", "SAME_LOWER"):
        before, after, same = same_or_margins(kernel, wide, stride)
        if said == "SAME_LOWER":
            if same:
                raise NotReadable(f"{at} pads {said} with a stride")
            before, after = after, before
        return {"before": before, "after": after, "same": same}
    if said != "NOTSET":
        raise NotReadable(f"{at} pads {said!r}, which is not known")
    pads = at.wholes("pads") or [0] * 2 * ndim
    if len(pads) != 2 * ndim or min(pads) < 0:
        raise NotReadable(f"pads of {at} are {pads}, where {2 * ndim} were expected")
    return {"before": tuple(pads[:ndim]), "after": tuple(pads[ndim:]), "same": False}


def _conv(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value, weight = _image(at, inputs), _needed(at, inputs, 1, "weight")
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
        **_margins(at, ndim, weight.shape[2:], wide, stride),
    )


def _conv_transpose(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value, weight = _image(at, inputs), _needed(at, inputs, 1, "weight")
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
        margins = _margins(at, ndim, weight.shape[2:], wide, stride)
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
        _image(at, inputs),
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
    value = _image(at, inputs)
    weight = bias = None
    if not (_unit(at, inputs, 1, 1.0) and _unit(at, inputs, 2, 0.0)):
        weight, bias = _needed(at, inputs, 1, "scale"), _needed(at, inputs, 2, "bias")
    return instance_normed(draw, value, weight, bias, at.real("epsilon", 1e-5))


def _group_norm(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value, groups = _image(at, inputs), at.number("num_groups", 1)
    weight, bias = _needed(at, inputs, 1, "scale"), _needed(at, inputs, 2, "bias")
    if at.opset < 21 and groups != draw.builder.channels(value.node):
        raise NotReadable(f"{at} has one weight for each group; export with opset 21 or later")
    return group_normed(draw, value, groups, weight, bias, at.real("epsilon", 1e-5))


def _layer_norm(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value = _image(at, inputs)
    if at.number("axis", -1) not in (-1, len(value.axes) - 1):
        raise NotReadable(f"{at} normalises over several axes")
    weight, bias = _weight(at, inputs, 1, "scale"), _weight(at, inputs, 2, "bias")
    return layer_normed(draw, value, weight, bias, at.real("epsilon", 1e-5))


def _prelu(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    return prelu(draw, _image(at, inputs), _needed(at, inputs, 1, "slope"))


def _matmul(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    one, two = inputs[:2]
    if isinstance(one, Value) and isinstance(two, Value):
        return matrix_product(draw, one, two)
    weight = _needed(at, inputs, 1, "weight")
    if len(weight.shape) != 2:
        raise NotReadable(f"{at} multiplies by a weight of the shape {weight.shape}")
    return dense(draw, _image(at, inputs), weight.transposed((1, 0)), None)


def _gemm(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    if at.real("alpha", 1.0) != 1 or at.real("beta", 1.0) != 1 or at.number("transA", 0):
        raise NotReadable(f"{at} has factors (alpha, beta, transA) that are not read")
    weight, bias = _needed(at, inputs, 1, "weight"), _weight(at, inputs, 2, "bias")
    if not at.number("transB", 0):
        weight = weight.transposed((1, 0))
    if bias is not None and bias.shape != (weight.shape[0],):
        answer = dense(draw, _image(at, inputs), weight, None)
        return with_constant(draw, "add", answer, bias)
    return dense(draw, _image(at, inputs), weight, bias)


def _pool(kind: Any) -> Callable[[Drawing, At, Sequence[Any]], Value]:
    def pool(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
        kernel = tuple(at.wholes("kernel_shape") or ())
        ndim = len(kernel)
        if len(at.node.outputs) > 1 and at.node.outputs[1]:
            raise NotReadable(f"{at} answers with places as well, for an un-pooling")
        stride, wide = at.axes("strides", ndim, 1), at.axes("dilations", ndim, 1)
        return pooled(
            draw,
            _image(at, inputs),
            kind,
            kernel=kernel,
            stride=stride,
            dilation=wide,
            ceil=bool(at.number("ceil_mode", 0)),
            count_padding=bool(at.number("count_include_pad", 0)),
            **_margins(at, ndim, kernel, wide, stride),
        )

    return pool


def _global(kind: Any) -> Callable[[Drawing, At, Sequence[Any]], Value]:
    def pool(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
        return draw.mapped(GlobalPooling(kind=kind), draw.as_map(_image(at, inputs)))

    return pool


LAYERS: Mapping[str, Callable[[Drawing, At, Sequence[Any]], Value]] = {
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

"""Operations of ONNX on maps that have no weights: value by value, views, cuts, sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from napari_segnet.programs._evaluate import (
    Drawing,
    Known,
    NotReadable,
    Value,
    Weight,
    activated,
    affine,
    combined,
    number_of,
    placed,
    softmaxed,
    with_constant,
)
from napari_segnet.programs.onnx._node import At, Draw, image_of, numbers_at
from napari_segnet.programs.onnx._numbers import known
from napari_segnet.programs.onnx._resizing import RESIZING
from napari_segnet.programs.onnx._views import VIEWS

__all__ = ["MAPS"]

LARGEST = 3.0e38
"""Of float32: no bound."""
FEW = 4096
"""Numbers for the channels right behind the image: a mean, a deviation."""


# ---- Value by value --------------------------------------------------------------------


def _activation(function: str, **numbers: float) -> Draw:
    return lambda draw, at, inputs: activated(draw, image_of(at, inputs), function, **numbers)


def _sloped(function: str, default: float, name: str = "alpha") -> Draw:
    def sloped(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
        return activated(draw, image_of(at, inputs), function, slope=at.real(name, default))

    return sloped


def _selu(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    alpha, gamma = at.real("alpha", 1.67326), at.real("gamma", 1.0507)
    if abs(alpha - 1.67326) > 1e-4 or abs(gamma - 1.0507) > 1e-4:
        raise NotReadable(f"{at} has other numbers than SELU")
    return activated(draw, image_of(at, inputs), "selu")


def _hard_sigmoid(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    alpha, beta = at.real("alpha", 0.2), at.real("beta", 0.5)
    value = image_of(at, inputs)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return activated(draw, value, "hard-sigmoid")
    return activated(draw, affine(draw, value, alpha, beta), "clip", low=0.0, high=1.0)


def _gelu(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    tanh = at.text("approximate", "none") == "tanh"
    return activated(draw, image_of(at, inputs), "gelu-tanh" if tanh else "gelu")


def _thresholded(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    alpha = at.real("alpha", 1.0)
    return activated(draw, image_of(at, inputs), "threshold", threshold=alpha)


def _swish(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    if at.real("alpha", 1.0) != 1:
        raise NotReadable(f"{at} has another factor than 1")
    return activated(draw, image_of(at, inputs), "silu")


def _clip(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value = image_of(at, inputs)
    low, high = at.real("min", -LARGEST), at.real("max", LARGEST)
    for place, name in ((1, "min"), (2, "max")):
        given = numbers_at(draw, at, inputs, place)
        if given is not None:
            number = number_of(draw, given, name)
            low, high = (number, high) if place == 1 else (low, number)
    low, high = max(low, -LARGEST), min(high, LARGEST)
    if low == 0 and high == LARGEST:
        return activated(draw, value, "relu")
    if (low, high) == (0, 6):
        return activated(draw, value, "relu6")
    return activated(draw, value, "clip", low=low, high=high)


def _softmax(log: bool) -> Draw:
    def softmax(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
        value = image_of(at, inputs)
        axis = placed(at.number("axis", 1 if at.opset < 13 else -1), len(value.axes))
        lengths = draw.shape(value)
        if at.opset < 13 and any(not draw.probes.equal(n, 1) for n in lengths[axis + 1 :]):
            # Before version 13 all axes from this one on count as one.
            raise NotReadable(f"{at} is a softmax over all pixels of the image")
        return softmaxed(draw, value, axis, log=log)

    return softmax


def _power(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    given = numbers_at(draw, at, inputs, 1)
    power = None if given is None else number_of(draw, given, "the power")
    value = image_of(at, inputs)
    if power == 1:
        return value
    names = {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}
    if power == -0.5:
        return activated(draw, activated(draw, value, "sqrt"), "reciprocal")
    if power == 3:
        return combined(draw, "multiply", value, activated(draw, value, "square"))
    if power not in names:
        raise NotReadable(f"{at} takes the power {power}")
    return activated(draw, value, names[power])


def _same(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    return image_of(at, inputs)


def _cast(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    if at.operation == "Cast" and at.number("to", 1) not in (1, 10, 11, 16):
        raise at.unknown("a rounding of the image's values to whole numbers")
    return image_of(at, inputs)


def _arithmetic(kind: Any) -> Draw:
    def arithmetic(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
        values = [one for one in inputs if one is not None]
        maps = [one for one in values if isinstance(one, Value)]
        numbers = [one for one in values if not isinstance(one, Value)]
        if not numbers:
            return maps[0] if len(maps) == 1 else combined(draw, kind, *maps)
        if kind == "average":
            raise NotReadable(f"{at} takes a mean of an image and numbers")
        answer = maps[0] if len(maps) == 1 else combined(draw, kind, *maps)
        for one in numbers:
            swapped = not isinstance(values[0], Value) and len(values) == 2
            answer = with_constant(draw, kind, answer, _plainer(draw, at, answer, one),
                                   swapped=swapped)  # fmt: skip
        return answer

    return arithmetic


def _plainer(draw: Drawing, at: At, value: Value, one: Known | Weight) -> Known | Weight:
    """Return a weight that is one number, or stands right behind the image, as numbers."""
    if not isinstance(one, Weight):
        return one
    count = math.prod(one.shape)
    if count == 1 or (count <= FEW and draw.is_shown(value.node)):
        array = at.read(one.key)
        if array is not None:
            return known(array.transpose(one.order).reshape(one.shape))
    return one


PLAIN = {
    **{"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus"},
    **{"Softsign": "softsign", "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Abs": "abs"},
    **{"Reciprocal": "reciprocal", "HardSwish": "hard-swish", "Mish": "mish", "Erf": "erf"},
}
MAPS: Mapping[str, Draw] = {
    **{name: _activation(function) for name, function in PLAIN.items()},
    **RESIZING,
    **VIEWS,
    "LeakyRelu": _sloped("leaky-relu", 0.01),
    "Elu": _sloped("elu", 1.0),
    "Celu": _sloped("celu", 1.0),
    "Selu": _selu,
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu,
    "ThresholdedRelu": _thresholded,
    "Swish": _swish,
    "Clip": _clip,
    "Softmax": _softmax(False),
    "LogSoftmax": _softmax(True),
    "Pow": _power,
    "Neg": lambda draw, at, inputs: affine(draw, image_of(at, inputs), -1.0, 0.0),
    "Identity": _same,
    "Dropout": _same,
    "Cast": _cast,
    "CastLike": _cast,
    "Add": _arithmetic("add"),
    "Sum": _arithmetic("add"),
    "Sub": _arithmetic("subtract"),
    "Mul": _arithmetic("multiply"),
    "Div": _arithmetic("divide"),
    "Max": _arithmetic("maximum"),
    "Min": _arithmetic("minimum"),
    "Mean": _arithmetic("average"),
}
"""What draws each, by the name of the operation."""

"""Operations of torch value by value, on maps and on numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from napari_segnet.programs._evaluate import (
    NotReadable,
    Value,
    Weight,
    activated,
    affine,
    combined,
    prelu,
    softmaxed,
    with_constant,
)
from napari_segnet.programs._torch._numbers import (
    NUMBERS,
    Run,
    calculated,
    joined,
    plain_number,
    repeated,
    truth,
    whole_number,
)

__all__ = ["POINTWISE", "arithmetic_of"]

LARGEST = 3.0e38
FLOATING = (5, 6, 7, 15)
"""Of c10's scalar types those that hold fractions: float16, float32, float64, bfloat16.
https://github.com/pytorch/pytorch/blob/v2.8.0/c10/core/ScalarType.h"""


def _arithmetic(kind: Any, function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    plain = calculated(function)

    def arithmetic(run: Run, one: Any, two: Any, alpha: Any = 1, **_: Any) -> Any:
        if alpha != 1 and alpha is not None and not isinstance(alpha, str):
            two = arithmetic_of(run, "multiply", two, alpha)
        return arithmetic_of(run, kind, one, two, plain)

    return arithmetic


def arithmetic_of(run: Run, kind: Any, one: Any, two: Any, plain: Any = None) -> Any:
    """Return an operation of two of maps, weights and numbers; lists are joined."""
    draw = run.draw
    if isinstance(one, list) and isinstance(two, list) and kind == "add":
        return joined(run, one, two)
    if isinstance(one, Value) and isinstance(two, Value):
        return combined(draw, kind, one, two)
    if isinstance(one, list) and kind == "multiply":
        return repeated(run, one, two)
    if not isinstance(one, Value) and not isinstance(two, Value):
        return (plain or calculated(lambda a, b: a * b))(run, one, two)
    value, other, swapped = (one, two, False) if isinstance(one, Value) else (two, one, True)
    if isinstance(other, Weight) and (math.prod(other.shape) > 1 and not draw.is_shown(value.node)):
        return with_constant(draw, kind, value, other, swapped=swapped)
    if isinstance(other, Weight):
        numbers = np.asarray(run.number_of(other))[None]
    else:
        numbers = np.atleast_1d(np.asarray(plain_number(run, other), np.float64))
    return with_constant(draw, kind, value, numbers, swapped=swapped)


def _div(run: Run, one: Any, two: Any, rounding_mode: Any = None) -> Any:
    if isinstance(one, Value) or isinstance(two, Value):
        if rounding_mode is not None:
            raise NotReadable(f"{run.draw.at} rounds values of the image")
        return arithmetic_of(run, "divide", one, two)
    ways: dict[Any, Callable[[Any, Any], Any]] = {
        None: lambda a, b: a / b,
        "floor": lambda a, b: a // b,
        "trunc": lambda a, b: np.trunc(a / b),
    }
    if rounding_mode not in ways:
        raise NotReadable(f"{run.draw.at} rounds {str(rounding_mode)[:20]!r}")
    return calculated(ways[rounding_mode])(run, one, two)


def _negated(run: Run, x: Any) -> Any:
    return affine(run.draw, x, -1.0, 0.0) if isinstance(x, Value) else -plain_number(run, x)


def _power(run: Run, x: Any, power: Any) -> Any:
    if not isinstance(x, Value):
        return NUMBERS["plain_power"](run, x, power)
    names = {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}
    number = float(plain_number(run, power))
    if number == 1:
        return x
    if number == -0.5:
        return _inverse_root(run, x)
    if number == 3:
        return combined(run.draw, "multiply", x, activated(run.draw, x, "square"))
    if number not in names:
        raise NotReadable(f"{run.draw.at} takes the power {number}")
    return activated(run.draw, x, names[number])


def _inverse_root(run: Run, x: Value) -> Value:
    return activated(run.draw, activated(run.draw, x, "sqrt"), "reciprocal")


# ---- Activations -----------------------------------------------------------------------


def _activation(function: str, **fixed: float) -> Callable[..., Any]:
    return lambda run, x, *_, **__: activated(run.draw, x, function, **fixed)


def _elu(run: Run, x: Value, alpha: float = 1.0, scale: float = 1, inner: float = 1) -> Value:
    if scale != 1 or inner != 1:
        raise NotReadable(f"{run.draw.at} scales an ELU")
    return activated(run.draw, x, "elu", slope=float(alpha))


def _hardtanh(run: Run, x: Value, low: float = -1.0, high: float = 1.0) -> Value:
    if (low, high) == (0.0, 6.0):
        return activated(run.draw, x, "relu6")
    return _clamped(run, x, low, high)


def _clamped(run: Run, x: Value, low: Any = None, high: Any = None) -> Value:
    least = -LARGEST if low is None else float(plain_number(run, low))
    most = LARGEST if high is None else float(plain_number(run, high))
    return activated(run.draw, x, "clip", low=max(least, -LARGEST), high=min(most, LARGEST))


def _softplus(run: Run, x: Value, beta: float = 1, threshold: float = 20) -> Value:
    if beta != 1:
        raise NotReadable(f"{run.draw.at} has another beta than 1")
    return activated(run.draw, x, "softplus")


def _softmax(log: bool) -> Callable[..., Any]:
    return lambda run, x, dim, *_, **__: softmaxed(run.draw, x, whole_number(run, dim), log=log)


# ---- What changes no value -------------------------------------------------------------


def _same_value(run: Run, x: Any, *_: Any, **__: Any) -> Any:
    return x


def _cast(run: Run, x: Any, *rest: Any, dtype: Any = None, **_: Any) -> Any:
    """Return the same in another kind of number; what would be rounded is refused."""
    given = [one for one in (dtype, *rest[:2]) if isinstance(one, int)]
    kinds = [one for one in given if not isinstance(one, bool)]
    if isinstance(x, Value) and kinds and kinds[0] not in FLOATING:
        raise NotReadable(f"{run.draw.at} rounds values of the image to whole numbers")
    return x


def _dropped(run: Run, x: Any, share: Any = 0.5, training: Any = False) -> Any:
    if truth(run.draw, training):
        raise NotReadable(f"{run.draw.at} drops values while it is trained; save it after eval()")
    return x


PLAIN = {
    **{"relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "tanh": "tanh", "silu": "silu"},
    **{"selu": "selu", "mish": "mish", "hardswish": "hard-swish", "hardsigmoid": "hard-sigmoid"},
    **{"exp": "exp", "log": "log", "sqrt": "sqrt", "abs": "abs", "square": "square"},
    **{"reciprocal": "reciprocal", "softsign": "softsign", "log_sigmoid": "log-sigmoid"},
    "erf": "erf",
}
POINTWISE: Mapping[str, Callable[..., Any]] = {
    **{name: _activation(function) for name, function in PLAIN.items()},
    "rsqrt": _inverse_root,
    "leaky_relu": lambda run, x, slope=0.01, *_: activated(
        run.draw, x, "leaky-relu", slope=float(slope)
    ),
    "elu": _elu,
    "celu": lambda run, x, alpha=1.0: activated(run.draw, x, "celu", slope=float(alpha)),
    "gelu": lambda run, x, approximate="none": activated(
        run.draw, x, "gelu-tanh" if approximate == "tanh" else "gelu"
    ),
    **dict.fromkeys(("prelu", "_prelu_kernel"), lambda run, x, slope: prelu(run.draw, x, slope)),
    "softplus": _softplus,
    "hardtanh": _hardtanh,
    "clamp": _clamped,
    "clamp_min": lambda run, x, low: _clamped(run, x, low, None),
    "clamp_max": lambda run, x, high: _clamped(run, x, None, high),
    "neg": _negated,
    "rsub": lambda run, one, two, alpha=1: arithmetic_of(run, "subtract", two, one),
    "pow": _power,
    **dict.fromkeys(("softmax", "_softmax"), _softmax(False)),
    **dict.fromkeys(("log_softmax", "_log_softmax"), _softmax(True)),
    "add": _arithmetic("add", lambda a, b: a + b),
    "sub": _arithmetic("subtract", lambda a, b: a - b),
    "mul": _arithmetic("multiply", lambda a, b: a * b),
    "div": _div,
    "true_divide": _div,
    "maximum": _arithmetic("maximum", lambda a, b: np.maximum(a, b)),
    "minimum": _arithmetic("minimum", lambda a, b: np.minimum(a, b)),
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout"), _dropped),
    **dict.fromkeys(("to", "_to_copy", "as_tensor"), _cast),
    **dict.fromkeys(("contiguous", "detach", "clone", "type_as", "NumToTensor",
                     "ImplicitTensorToNum", "alias", "Float", "item", "lift_fresh_copy",
                     "detach_", "_assert_tensor_metadata"), _same_value),
    **dict.fromkeys(("dtype", "device"), lambda run, *x: None),
    "is_floating_point": lambda run, x: True,
}  # fmt: skip
"""What works value by value, or changes none."""

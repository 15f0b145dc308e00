"""Operations of torch by name, with the arguments that TorchScript writes.

https://pytorch.org/docs/stable/torch.html; the order of arguments is that of
https://github.com/pytorch/pytorch/blob/v2.8.0/aten/src/ATen/native/native_functions.yaml
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from napari_segnet.graph import AdaptivePooling, GlobalPooling, PixelShuffle
from napari_segnet.programs._evaluate import (
    Drawing,
    Ints,
    NotReadable,
    Stack,
    Value,
    Weight,
    activated,
    affine,
    batch_normed,
    collapsed,
    combined,
    concatenated,
    convolved,
    dense,
    expanded,
    group_normed,
    instance_normed,
    layer_normed,
    matrix_product,
    moved,
    padded,
    picked,
    pooled,
    prelu,
    reduced,
    reshaped,
    resized,
    sliced,
    softmaxed,
    transposed_convolved,
    with_constant,
)

__all__ = ["OPERATIONS", "Run", "truth"]

END = 2**62
"""Beyond every end: ``x[a:]`` is written with the largest number there is."""
LARGEST = 3.0e38
LONGEST = 10_000
"""Items of a list."""


class Run(Protocol):
    """What operations need of the walk through the code."""

    draw: Drawing

    def number_of(self, weight: Weight) -> Any:
        """Return the numbers of a small tensor."""


# ---- Numbers ---------------------------------------------------------------------------


def truth(draw: Drawing, value: Any) -> bool:
    """Return a condition; where sizes decide, sizes at which it is another drop out.

    Raises
    ------
    NotReadable
        If it depends on values of the image.
    """
    if isinstance(value, Value | Weight | Stack):
        raise NotReadable(f"{draw.at} branches on values of the image")
    if isinstance(value, np.ndarray):
        return draw.probes.choose(np.broadcast_to(value.astype(bool), (draw.probes.count,)))
    if isinstance(value, bool | int | float | str | list | tuple | None):
        return bool(value)
    raise NotReadable(f"{draw.at} branches on something that is no number")


def _number(run: Run, value: Any) -> Any:
    """Return a number, also of a tensor that holds one."""
    if isinstance(value, Weight):
        found = np.asarray(run.number_of(value))
        if found.size != 1:
            raise NotReadable(f"{run.draw.at} takes {found.size} numbers where one was expected")
        return found.reshape(()).item()
    if isinstance(value, bool | int | float) or (
        isinstance(value, np.ndarray) and value.shape == (run.draw.probes.count,)
    ):
        return value
    raise NotReadable(f"{run.draw.at} takes something else where a number was expected")


def _whole(run: Run, value: Any) -> int:
    """Return a whole number that does not depend on the size of the image."""
    found = _number(run, value)
    if isinstance(found, np.ndarray):
        single = run.draw.probes.single(found)
        if single is None:
            raise NotReadable(f"{run.draw.at} takes a number that depends on the image's size")
        return single
    return int(found)


def _ints(run: Run, value: Any) -> Ints:
    """Return a number at every probe."""
    found = _number(run, value)
    if isinstance(found, np.ndarray):
        return found.astype(np.int64)
    return run.draw.probes.number(int(min(max(found, -END), END)))


def _axes(run: Run, value: Any, ndim: int) -> tuple[int, ...]:
    """Return one whole number for each axis."""
    found = value if isinstance(value, list | tuple) else [value]
    numbers = tuple(_whole(run, one) for one in found)
    return numbers * ndim if len(numbers) == 1 else numbers


def _calculated(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def calculate(run: Run, one: Any, two: Any) -> Any:
        a, b = _number(run, one), _number(run, two)
        with np.errstate(all="ignore"):
            try:
                found = function(a, b)
            except (ArithmeticError, ValueError) as error:
                raise NotReadable(f"{run.draw.at} divides by zero, or the like") from error
        if isinstance(found, int) and abs(found) > END:
            raise NotReadable(f"{run.draw.at} computes a number that no size has")
        return found

    return calculate


def _compared(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def compare(run: Run, one: Any, two: Any) -> Any:
        if isinstance(one, str | list | tuple | None) or isinstance(two, str | list | tuple | None):
            return _same(run, one, two) == (function(1, 1))
        return function(_number(run, one), _number(run, two))

    return compare


def _same(run: Run, one: Any, two: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        pairs = zip(one, two, strict=False)
        return len(one) == len(two) and all(_same(run, a, b) for a, b in pairs)
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        return bool(run.draw.probes.equal(_ints(run, one), _ints(run, two)))
    return bool(one == two)


def _is(one: Any, two: Any) -> bool:
    return one is None if two is None else one is two


# ---- Value by value --------------------------------------------------------------------


def _arithmetic(kind: Any, function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    plain = _calculated(function)

    def arithmetic(run: Run, one: Any, two: Any, alpha: Any = 1, **_: Any) -> Any:
        if alpha != 1 and alpha is not None and not isinstance(alpha, str):
            two = arithmetic_of(run, "multiply", two, alpha)
        return arithmetic_of(run, kind, one, two, plain)

    return arithmetic


def arithmetic_of(run: Run, kind: Any, one: Any, two: Any, plain: Any = None) -> Any:
    """Return an operation of two of maps, weights and numbers; lists are joined."""
    draw = run.draw
    if isinstance(one, list) and isinstance(two, list) and kind == "add":
        if len(one) + len(two) > LONGEST:
            raise NotReadable(f"{draw.at} makes a list of {len(one) + len(two)} items")
        return [*one, *two]
    if isinstance(one, Value) and isinstance(two, Value):
        return combined(draw, kind, one, two)
    if isinstance(one, list) and kind == "multiply":
        times = _whole(run, two)
        if len(one) * times > LONGEST:
            raise NotReadable(f"{draw.at} makes a list of {len(one) * times} items")
        return one * times
    if not isinstance(one, Value) and not isinstance(two, Value):
        return (plain or _calculated(lambda a, b: a * b))(run, one, two)
    value, other, swapped = (one, two, False) if isinstance(one, Value) else (two, one, True)
    if isinstance(other, Weight) and (math.prod(other.shape) > 1 and not draw.is_shown(value.node)):
        return with_constant(draw, kind, value, other, swapped=swapped)
    if isinstance(other, Weight):
        numbers = np.asarray(run.number_of(other))[None]
    else:
        numbers = np.atleast_1d(np.asarray(_number(run, other), np.float64))
    return with_constant(draw, kind, value, numbers, swapped=swapped)


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
    least = -LARGEST if low is None else float(_number(run, low))
    most = LARGEST if high is None else float(_number(run, high))
    return activated(run.draw, x, "clip", low=max(least, -LARGEST), high=min(most, LARGEST))


def _softplus(run: Run, x: Value, beta: float = 1, threshold: float = 20) -> Value:
    if beta != 1:
        raise NotReadable(f"{run.draw.at} has another beta than 1")
    return activated(run.draw, x, "softplus")


def _power(run: Run, x: Any, power: Any) -> Any:
    if not isinstance(x, Value):
        return _calculated(lambda a, b: np.float64(a) ** np.float64(b))(run, x, power)
    names = {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}
    number = float(_number(run, power))
    if number not in names:
        raise NotReadable(f"{run.draw.at} takes the power {number}")
    return activated(run.draw, x, names[number])


def _softmax(log: bool) -> Callable[..., Any]:
    return lambda run, x, dim, *_: softmaxed(run.draw, x, _whole(run, dim), log=log)


# ---- Layers ----------------------------------------------------------------------------


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
        "stride": _axes(run, stride, ndim),
        "before": _axes(run, padding, ndim),
        "after": _axes(run, padding, ndim),
        "dilation": _axes(run, dilation, ndim),
        "groups": _whole(run, groups),
    }
    if transposed:
        extra = _axes(run, extra, ndim)
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
            d * (k - 1) for d, k in zip(_axes(run, dilation, ndim), weight.shape[2:], strict=True)
        ]
        return convolved(
            run.draw,
            x,
            weight,
            bias,
            stride=_axes(run, stride, ndim),
            before=tuple(r // 2 for r in reach),
            after=tuple(r - r // 2 for r in reach),
            dilation=_axes(run, dilation, ndim),
            groups=_whole(run, groups),
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
    return group_normed(run.draw, x, _whole(run, groups), weight, bias, float(epsilon))


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


# ---- Pooling and resizing --------------------------------------------------------------


def _max_pool(
    run: Run, x: Value, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil: Any = False,
) -> Value:  # fmt: skip
    ndim = run.draw.ndim
    own = _axes(run, kernel, ndim)
    before = _axes(run, padding, ndim)
    return pooled(
        run.draw,
        x,
        "max",
        kernel=own,
        stride=_axes(run, stride, ndim) if stride else own,
        before=before,
        after=before,
        dilation=_axes(run, dilation, ndim),
        ceil=truth(run.draw, ceil),
    )


def _avg_pool(
    run: Run, x: Value, kernel: Any, stride: Any = None, padding: Any = 0, ceil: Any = False,
    count: Any = True, divisor: Any = None,
) -> Value:  # fmt: skip
    ndim = run.draw.ndim
    own = _axes(run, kernel, ndim)
    before = _axes(run, padding, ndim)
    if divisor is not None:
        raise NotReadable(f"{run.draw.at} divides a sum of pixels by a number of its own")
    return pooled(
        run.draw,
        x,
        "average",
        kernel=own,
        stride=_axes(run, stride, ndim) if stride else own,
        before=before,
        after=before,
        dilation=(1,) * ndim,
        ceil=truth(run.draw, ceil),
        count_padding=truth(run.draw, count),
    )


def _adaptive(kind: Any) -> Callable[..., Any]:
    def pool(run: Run, x: Value, size: Any) -> Value:
        own = _axes(run, size, run.draw.ndim)
        node = run.draw.as_map(x)
        if set(own) == {1}:
            return run.draw.mapped(GlobalPooling(kind=kind), node)
        return run.draw.mapped(AdaptivePooling(kind=kind, size=own), node)

    return pool


def _upsample(mode: Any, exact: bool = False) -> Callable[..., Any]:
    """Return what resizes; torch's arguments are size, [align_corners,] scale factors."""

    def upsample(run: Run, x: Value, size: Any, *rest: Any) -> Value:
        draw = run.draw
        corners = mode == "linear" and bool(rest) and truth(draw, rest[0])
        scales = [one for one in (rest[1:] if mode == "linear" else rest) if one is not None]
        have = [atom.lengths for atom in draw.bases[draw.as_map(x)][2:]]
        if size is not None:
            lengths = [_ints(run, one) for one in size]
        else:
            row = scales[0] if scales and isinstance(scales[0], list | tuple) else scales
            if not row:
                raise NotReadable(f"{draw.at} resizes to no size")
            row = list(row) * draw.ndim if len(row) == 1 else list(row)
            lengths = []
            for n, factor in zip(have, row, strict=True):
                product = n * float(_number(run, factor))
                whole = np.floor(product + 1e-6).astype(np.int64)
                why = f"{draw.at} resizes to no whole number of pixels"
                draw.probes.require(np.abs(product - whole) < 1e-6, why)
                lengths.append(whole)
        grid: Any = "corners" if corners else "half-pixel"
        if mode == "nearest":
            grid = "half-pixel" if exact else "asymmetric"
        return resized(draw, x, lengths, mode, grid, upward=False)

    return upsample


# ---- Sizes, views, cuts ----------------------------------------------------------------


def _size(run: Run, x: Any, dim: Any = None) -> Any:
    if isinstance(x, Weight):
        row: list[Any] = list(x.shape)
    elif isinstance(x, Value):
        row = []
        for n in run.draw.shape(x):
            row.append(n)
    else:
        raise NotReadable(f"{run.draw.at} asks for the size of something that is no tensor")
    if isinstance(x, Value) and x.axes and len(row) > 1:
        channels = run.draw.probes.single(row[1])
        row[1] = row[1] if channels is None else channels
    return row if dim is None else row[_whole(run, dim)]


def _rank(x: Any) -> int:
    return len(x.shape) if isinstance(x, Weight) else len(x.axes)


def _view(run: Run, x: Any, shape: Sequence[Any], *_: Any) -> Any:
    if isinstance(x, Weight):
        own = [_whole(run, one) for one in shape]
        others = math.prod(n for n in own if n != -1)
        return x.reshaped([math.prod(x.shape) // max(others, 1) if n == -1 else n for n in own])
    probes = run.draw.probes
    row = [_ints(run, one) for one in shape]
    rest = [place for place, one in enumerate(row) if probes.equal(one, -1)]
    if rest:
        total = others_ = probes.number(1)
        for n in run.draw.shape(x):
            total = total * n
        for place, n in enumerate(row):
            others_ = others_ if place in rest else others_ * n
        row[rest[0]] = total // np.maximum(others_, 1)
    try:
        return reshaped(x, row, probes)
    except NotReadable:
        return run.draw.recast(x, row)


def _permute(run: Run, x: Any, order: Sequence[Any]) -> Any:
    own = [_whole(run, one) % _rank(x) for one in order]
    return x.transposed(own) if isinstance(x, Weight) else moved(x, own)


def _transpose(run: Run, x: Any, one: Any = 0, two: Any = 1) -> Any:
    own = list(range(_rank(x)))
    a, b = _whole(run, one) % len(own), _whole(run, two) % len(own)
    own[a], own[b] = own[b], own[a]
    return _permute(run, x, own)


def _flatten(run: Run, x: Value, first: Any = 0, last: Any = -1) -> Any:
    a, b = _whole(run, first) % _rank(x), _whole(run, last) % _rank(x)
    row = run.draw.shape(x)
    product = run.draw.probes.number(1)
    for n in row[a : b + 1]:
        product = product * n
    return reshaped(x, [*row[:a], product, *row[b + 1 :]], run.draw.probes)


def _unsqueeze(run: Run, x: Any, dim: Any) -> Any:
    place = _whole(run, dim) % (_rank(x) + 1)
    if isinstance(x, Weight):
        return x.reshaped([*x.shape[:place], 1, *x.shape[place:]])
    return Value(node=x.node, axes=(*x.axes[:place], (), *x.axes[place:]))


def _squeeze(run: Run, x: Value, dim: Any = None) -> Value:
    row = run.draw.shape(x)
    own = range(1, len(row)) if dim is None else [_whole(run, dim) % len(row)]
    gone = [place for place in own if run.draw.probes.equal(row[place], 1)]
    kept = tuple(axis for place, axis in enumerate(x.axes) if place not in gone)
    return Value(node=x.node, axes=kept)


def _place(at: Ints, length: Ints) -> Ints:
    found: Ints = np.clip(np.where(at < 0, at + length, at), 0, length)
    return found


def _slice(
    run: Run, x: Any, dim: Any = 0, first: Any = None, stop: Any = None, step: Any = 1
) -> Any:
    if isinstance(x, list | tuple):
        own = [None if one is None else _whole(run, one) for one in (dim, first, stop)]
        return x[own[0] : own[1] : own[2] or 1]
    if step is not None and _whole(run, step) != 1:
        raise NotReadable(f"{run.draw.at} takes every {step}th pixel")
    place = _whole(run, dim) % _rank(x)
    length = run.draw.shape(x)[place]
    begin = _place(_ints(run, 0 if first is None else first), length)
    end = _place(_ints(run, END if stop is None else stop), length)
    run.draw.probes.require(end > begin, f"{run.draw.at} leaves nothing of the image")
    return sliced(run.draw, x, place, begin, end)


def _narrow(run: Run, x: Value, dim: Any, first: Any, count: Any) -> Any:
    stop = _calculated(lambda a, b: a + b)(run, first, count)
    return _slice(run, x, dim, first, stop)


def _select(run: Run, x: Any, dim: Any, place: Any) -> Any:
    if isinstance(x, list | tuple):
        return x[_whole(run, dim)]
    return picked(run.draw, x, _whole(run, dim) % _rank(x), [_whole(run, place)], False)


def _chunk(run: Run, x: Value, count: Any, dim: Any = 0) -> list[Value]:
    place = _whole(run, dim) % _rank(x)
    length = run.draw.shape(x)[place]
    each = -(-length // _whole(run, count))
    return _cut(run, x, place, [each] * _whole(run, count))


def _split(run: Run, x: Value, lengths: Any, dim: Any = 0) -> list[Value]:
    place = _whole(run, dim) % _rank(x)
    if isinstance(lengths, list | tuple):
        return _cut(run, x, place, [_ints(run, one) for one in lengths])
    length = run.draw.probes.single(run.draw.shape(x)[place])
    each = _whole(run, lengths)
    if length is None or each < 1:
        raise NotReadable(f"{run.draw.at} splits by the size of the image")
    return _cut(run, x, place, [run.draw.probes.number(each)] * -(-length // each))


def _cut(run: Run, x: Value, place: int, parts: Sequence[Ints]) -> list[Value]:
    found, first = [], run.draw.probes.number(0)
    length = run.draw.shape(x)[place]
    for n in parts:
        stop = np.minimum(first + n, length)
        found.append(sliced(run.draw, x, place, first, stop))
        first = stop
    return found


def _pad(
    run: Run, x: Value, margins: Sequence[Any], mode: Any = "constant", number: Any = 0
) -> Value:
    fills = {"constant": "zeros", "reflect": "reflect", "replicate": "replicate"}
    if mode not in fills:
        raise NotReadable(f"{run.draw.at} pads {mode!r}")
    rank = _rank(x)
    before, after = [run.draw.probes.number(0)] * rank, [run.draw.probes.number(0)] * rank
    for i in range(len(margins) // 2):  # the last axis comes first
        before[rank - 1 - i] = _ints(run, margins[2 * i])
        after[rank - 1 - i] = _ints(run, margins[2 * i + 1])
    value = 0.0 if number is None else float(_number(run, number))
    return padded(run.draw, x, before, after, fills[mode], value)  # type: ignore[arg-type]


def _reduced(kind: Any) -> Callable[..., Any]:
    def reduce(run: Run, x: Any, dims: Any = None, keep: Any = False, **_: Any) -> Any:
        own = [dims] if isinstance(dims, int) else dims
        if not own:
            raise NotReadable(f"{run.draw.at} takes the mean over all that there is")
        axes = [_whole(run, one) for one in own]
        if isinstance(x, Stack):
            if [axis % len(x.parts[0].axes) for axis in axes] != [x.axis]:
                raise NotReadable(f"{run.draw.at} reduces another axis than the stacked one")
            return collapsed(run.draw, x, kind, truth(run.draw, keep))
        return reduced(run.draw, x, kind, axes, truth(run.draw, keep))

    return reduce


def _max(run: Run, one: Any, two: Any = None, keep: Any = False) -> Any:
    if isinstance(two, Value):
        return combined(run.draw, "maximum", one, two)
    if two is None:
        raise NotReadable(f"{run.draw.at} takes the largest of all values")
    return reduced(run.draw, one, "max", [_whole(run, two)], truth(run.draw, keep)), None


def _expand(run: Run, x: Value, shape: Sequence[Any], *_: Any, **__: Any) -> Value:
    have = run.draw.shape(x)
    row = [_ints(run, one) for one in shape]
    missing = len(row) - len(have)
    row = [
        have[i - missing] if run.draw.probes.equal(n, -1) and i >= missing else n
        for i, n in enumerate(row)
    ]
    return expanded(run.draw, x, row)


def _repeat(run: Run, x: Value, times: Sequence[Any]) -> Value:
    have = run.draw.shape(x)
    pairs = zip(have, (_ints(run, one) for one in times), strict=True)
    return expanded(run.draw, x, [n * t for n, t in pairs])


def _cat(run: Run, parts: Sequence[Any], dim: Any = 0) -> Any:
    if not parts or not all(isinstance(one, Value) for one in parts):
        raise NotReadable(f"{run.draw.at} joins maps and numbers of the file")
    return concatenated(run.draw, list(parts), _whole(run, dim))


def _stack(run: Run, parts: Sequence[Any], dim: Any = 0) -> Any:
    return _cat(run, [_unsqueeze(run, one, dim) for one in parts], dim)


def _append(run: Run, row: Any, one: Any) -> Any:
    if not isinstance(row, list) or len(row) > LONGEST:
        raise NotReadable(f"{run.draw.at} appends to something that is no list")
    row.append(one)
    return row


def _extend(run: Run, row: Any, more: Any) -> Any:
    for one in more:
        _append(run, row, one)
    return row


def _set_item(run: Run, row: list[Any], place: Any, one: Any) -> Any:
    row[_whole(run, place)] = one
    return row


def _shuffle(run: Run, x: Value, factor: Any) -> Value:
    operation = PixelShuffle(factor=(_whole(run, factor),) * run.draw.ndim)
    return run.draw.mapped(operation, run.draw.as_map(x))


def _same_value(run: Run, x: Any, *_: Any, **__: Any) -> Any:
    return x


def _dropped(run: Run, x: Any, share: Any = 0.5, training: Any = False) -> Any:
    if truth(run.draw, training):
        raise NotReadable(f"{run.draw.at} drops values while it is trained; save it after eval()")
    return x


def _integer(run: Run, x: Any) -> Any:
    own = _number(run, x)
    return np.trunc(own).astype(np.int64) if isinstance(own, np.ndarray) else int(own)


def _floating(run: Run, x: Any) -> Any:
    if isinstance(x, Value):
        return x
    own = _number(run, x)
    return own.astype(np.float64) if isinstance(own, np.ndarray) else float(own)


def _floor(run: Run, x: Any) -> Any:
    return (
        np.floor(_number(run, x)).astype(np.int64)
        if isinstance(x, np.ndarray)
        else math.floor(_number(run, x))
    )


def _length(run: Run, x: Any) -> int:
    if isinstance(x, list | tuple | str):
        return len(x)
    raise NotReadable(f"{run.draw.at} asks for the length of something that is no list")


def _range_length(run: Run, first: Any, stop: Any, step: Any) -> int:
    """Return how many turns a loop has."""
    return len(range(_whole(run, first), _whole(run, stop), _whole(run, step)))


def _div(run: Run, one: Any, two: Any, rounding_mode: Any = None) -> Any:
    if isinstance(one, Value) or isinstance(two, Value):
        if rounding_mode is not None:
            raise NotReadable(f"{run.draw.at} rounds values of the image")
        return arithmetic_of(run, "divide", one, two)
    way = (lambda a, b: a / b) if rounding_mode is None else (lambda a, b: a // b)
    return _calculated(way)(run, one, two)


PLAIN = {
    **{"relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "tanh": "tanh", "silu": "silu"},
    **{"selu": "selu", "mish": "mish", "hardswish": "hard-swish", "hardsigmoid": "hard-sigmoid"},
    **{"exp": "exp", "log": "log", "sqrt": "sqrt", "abs": "abs", "square": "square"},
    **{"reciprocal": "reciprocal", "softsign": "softsign", "log_sigmoid": "log-sigmoid"},
    "erf": "erf",
}
OPERATIONS: Mapping[str, Callable[..., Any]] = {
    **{name: _activation(function) for name, function in PLAIN.items()},
    "leaky_relu": lambda run, x, slope=0.01, *_: activated(
        run.draw, x, "leaky-relu", slope=float(slope)
    ),
    "elu": _elu,
    "celu": lambda run, x, alpha=1.0: activated(run.draw, x, "celu", slope=float(alpha)),
    "gelu": lambda run, x, approximate="none": activated(
        run.draw, x, "gelu-tanh" if approximate == "tanh" else "gelu"
    ),
    "prelu": lambda run, x, slope: prelu(run.draw, x, slope),
    "softplus": _softplus,
    "hardtanh": _hardtanh,
    "clamp": _clamped,
    "clamp_min": lambda run, x, low: _clamped(run, x, low, None),
    "neg": lambda run, x: (
        affine(run.draw, x, -1.0, 0.0) if isinstance(x, Value) else -_number(run, x)
    ),
    "rsub": lambda run, one, two, alpha=1: arithmetic_of(run, "subtract", two, one),
    "pow": _power,
    "softmax": _softmax(False),
    "log_softmax": _softmax(True),
    "add": _arithmetic("add", lambda a, b: a + b),
    "sub": _arithmetic("subtract", lambda a, b: a - b),
    "mul": _arithmetic("multiply", lambda a, b: a * b),
    "div": _div,
    "true_divide": _div,
    "floor_divide": _calculated(lambda a, b: a // b),
    "floordiv": _calculated(lambda a, b: a // b),
    "remainder": _calculated(lambda a, b: a % b),
    "maximum": _arithmetic("maximum", lambda a, b: np.maximum(a, b)),
    "minimum": _arithmetic("minimum", lambda a, b: np.minimum(a, b)),
    "convolution": _convolution,
    "_convolution": _convolution,
    **dict.fromkeys(("conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv_transpose2d", "conv_transpose3d"), _conv_transpose),
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "linear": lambda run, x, weight, bias=None: dense(run.draw, x, weight, bias),
    **dict.fromkeys(("matmul", "bmm"), _matmul),
    **dict.fromkeys(("max_pool2d", "max_pool3d"), _max_pool),
    **dict.fromkeys(("avg_pool2d", "avg_pool3d"), _avg_pool),
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_avg_pool3d"), _adaptive("average")),
    **dict.fromkeys(("upsample_nearest2d", "upsample_nearest3d"), _upsample("nearest")),
    **dict.fromkeys(("_upsample_nearest_exact2d", "_upsample_nearest_exact3d"),
                    _upsample("nearest", exact=True)),
    **dict.fromkeys(("upsample_bilinear2d", "upsample_trilinear3d"), _upsample("linear")),
    "cat": _cat,
    "stack": _stack,
    "pad": _pad,
    "constant_pad_nd": lambda run, x, margins, number=0: _pad(run, x, margins, "constant", number),
    **{f"reflection_pad{n}d": lambda run, x, m: _pad(run, x, m, "reflect") for n in (2, 3)},
    **{f"replication_pad{n}d": lambda run, x, m: _pad(run, x, m, "replicate") for n in (2, 3)},
    "size": _size,
    "len": _length,
    "dim": lambda run, x: _rank(x),
    "slice": _slice,
    "narrow": _narrow,
    "select": _select,
    "chunk": _chunk,
    "split": _split,
    "split_with_sizes": _split,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "flatten": _flatten,
    **dict.fromkeys(("view", "reshape"), _view),
    "permute": _permute,
    "transpose": _transpose,
    "mean": _reduced("average"),
    "amax": _reduced("max"),
    "sum": _reduced("sum"),
    "max": _max,
    "expand": _expand,
    "expand_as": lambda run, x, like: expanded(run.draw, x, run.draw.shape(like)),
    "repeat": _repeat,
    "pixel_shuffle": _shuffle,
    "append": _append,
    "extend": _extend,
    "_set_item": _set_item,
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout"), _dropped),
    **dict.fromkeys(("contiguous", "detach", "clone", "to", "type_as", "list", "NumToTensor",
                     "ImplicitTensorToNum", "alias", "Float", "item"), _same_value),
    **dict.fromkeys(("int", "Int"), _integer),
    "float": _floating,
    "bool": lambda run, x: truth(run.draw, x),
    "floor": _floor,
    "__range_length": _range_length,
    "__derive_index": lambda run, turn, first, step: (
        _whole(run, first) + _whole(run, turn) * _whole(run, step)
    ),
    "range": lambda run, *x: range(*(_whole(run, one) for one in x)),
    "__is__": lambda run, one, two: _is(one, two),
    "__isnot__": lambda run, one, two: not _is(one, two),
    "__not__": lambda run, x: not truth(run.draw, x),
    "__contains__": lambda run, row, one: one in row if isinstance(row, list | tuple) else False,
    "__and__": lambda run, a, b: truth(run.draw, a) and truth(run.draw, b),
    "__or__": lambda run, a, b: truth(run.draw, a) or truth(run.draw, b),
    "eq": _compared(lambda a, b: a == b),
    "ne": _compared(lambda a, b: a != b),
    "lt": _compared(lambda a, b: a < b),
    "gt": _compared(lambda a, b: a > b),
    "le": _compared(lambda a, b: a <= b),
    "ge": _compared(lambda a, b: a >= b),
    "format": lambda run, *x: str(x[0]) if x else "",
    "warn": lambda run, *x: None,
    "dtype": lambda run, *x: None,
    "device": lambda run, *x: None,
    "is_floating_point": lambda run, x: True,
}  # fmt: skip
"""What draws or computes each, by its name without ``torch.``."""

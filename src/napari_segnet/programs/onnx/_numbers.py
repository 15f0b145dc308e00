"""Operations of ONNX on plain numbers: chains that compute sizes, and constants.

Each works on numpy arrays as https://onnx.ai/onnx/operators/ says; of numbers that differ from
probe to probe, on those of one probe after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from napari_segnet.programs._evaluate import Known, NotReadable, placed
from napari_segnet.programs.onnx._node import At

__all__ = ["NUMBERS", "folded", "known", "slice_of"]

Array = np.ndarray[Any, Any]
LARGEST = 2**20
"""Numbers in one array; sizes have a handful."""
KINDS: Mapping[int, str] = {
    **{1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64"},
    **{9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "float32"},
}


def known(array: Any) -> Known:
    """Return numbers that are the same at every probe."""
    return np.asarray(array)[None]


def folded(at: At, inputs: Sequence[Known | None]) -> list[Known]:
    """Return what an operation answers to numbers.

    Raises
    ------
    NotReadable
        If it is not read for numbers, or they do not fit.
    """
    function = NUMBERS.get(at.operation)
    if function is None:
        raise at.unknown()
    _require_few(at, inputs)
    count = max((len(one) for one in inputs if one is not None), default=1)
    rows: list[list[Array]] = []
    for probe in range(count):
        own = [None if x is None else x[probe if len(x) > 1 else 0] for x in inputs]
        try:
            with np.errstate(all="ignore"):
                made = function(at, *own)
        except (ValueError, IndexError, TypeError, ArithmeticError, MemoryError) as error:
            raise NotReadable(f"{at} cannot be computed ({error})") from error
        rows.append(made if isinstance(made, list) else [np.asarray(made)])
    found = []
    for column in zip(*rows, strict=True):
        if len({one.shape for one in column}) > 1:
            raise NotReadable(f"{at} makes as many numbers as the image has pixels")
        if column[0].size > LARGEST:
            raise NotReadable(f"{at} makes {column[0].size:,} numbers")
        found.append(np.stack(column))
    return found


def _require_few(at: At, inputs: Sequence[Known | None]) -> None:
    """Look at how many numbers an operation would make, before memory is spent on them."""
    shapes = [one.shape[1:] for one in inputs if one is not None]
    if at.operation == "Concat":
        count = sum(math.prod(shape) for shape in shapes)
    elif at.operation == "Gather" and len(shapes) == 2:
        count = math.prod(shapes[0]) * math.prod(shapes[1])
    elif at.operation in BROADCAST:
        try:
            count = math.prod(np.broadcast_shapes(*shapes))
        except ValueError as error:
            raise NotReadable(f"{at} cannot be computed ({error})") from error
    else:
        return
    if count > LARGEST:
        raise NotReadable(f"{at} makes {count:,} numbers")


def _sized(at: At, shape: Sequence[int] | Array) -> tuple[int, ...]:
    """Return a shape, looked at before memory is spent."""
    lengths = tuple(int(n) for n in shape)
    if min(lengths, default=0) < 0 or math.prod(lengths) > LARGEST:
        raise NotReadable(f"{at} makes numbers of the shape {lengths}")
    return lengths


def _divided(at: At, a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        safe = np.where(b == 0, 1, b)
        return np.asarray(np.trunc(a / safe) if a.dtype.kind == "i" else a // safe).astype(a.dtype)
    return np.asarray(a / b)


def _cast(at: At, x: Array, *_: Any) -> Array:
    kind = KINDS.get(at.number("to", 1)) if at.operation == "Cast" else str(_[0].dtype)
    if kind is None:
        raise at.unknown()
    return x.astype(kind)


def _axes(at: At, x: Array, axes: Array | None, name: str = "axes") -> tuple[int, ...] | None:
    own = at.wholes(name) if axes is None else [int(n) for n in axes.reshape(-1)]
    return None if own is None else tuple(n % x.ndim if x.ndim else n for n in own)


def _gather(at: At, x: Array, indices: Array) -> Array:
    return np.take(x, indices.astype(np.int64), axis=at.number("axis", 0))


def slice_of(at: At, count: int, inputs: Sequence[Array | None]) -> list[tuple[int, int, int, int]]:
    """Return axis, start, stop and step of each cut, of an array of so many axes."""
    if at.opset < 10:
        starts, stops = at.wholes("starts") or [], at.wholes("ends") or []
        axes, steps = at.wholes("axes"), None
    else:
        own = [None if x is None else [int(n) for n in x.reshape(-1)] for x in inputs]
        own += [None] * (4 - len(own))
        starts, stops, axes, steps = own[0] or [], own[1] or [], own[2], own[3]
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    rows = zip(axes, starts, stops, steps, strict=True)
    return [(placed(axis, count), start, stop, step) for axis, start, stop, step in rows]


def _slice(at: At, x: Array, *more: Array | None) -> Array:
    places: list[slice] = [slice(None)] * x.ndim
    for axis, start, stop, step in slice_of(at, x.ndim, more):
        end: int | None = stop
        if step < 0 and stop < -x.shape[axis]:
            end = None
        places[axis] = slice(start, end, step)
    return x[tuple(places)]


def _squeeze(at: At, x: Array, axes: Array | None = None) -> Array:
    return x.squeeze(_axes(at, x, axes))


def _unsqueeze(at: At, x: Array, axes: Array | None = None) -> Array:
    own = at.wholes("axes") if axes is None else [int(n) for n in axes.reshape(-1)]
    return np.expand_dims(x, tuple(own or ()))


def _reshape(at: At, x: Array, shape: Array | None = None) -> Array:
    own = at.wholes("shape") or [] if shape is None else [int(n) for n in shape.reshape(-1)]
    if not at.number("allowzero", 0):
        own = [x.shape[i] if n == 0 else n for i, n in enumerate(own)]
    return x.reshape(own)


def _expand(at: At, x: Array, shape: Array) -> Array:
    wanted = np.broadcast_shapes(x.shape, _sized(at, shape))
    return np.broadcast_to(x, _sized(at, wanted)).copy()


def _tile(at: At, x: Array, repeats: Array) -> Array:
    _sized(at, [n * int(r) for n, r in zip(x.shape, repeats, strict=True)])
    return np.tile(x, repeats)


def _constant_of_shape(at: At, shape: Array) -> Array:
    value = at.tensor("value")
    fill = np.zeros(1, "float32") if value is None else value.reshape(-1)
    return np.full(_sized(at, shape), fill[0], fill.dtype)


def _range(at: At, start: Array, stop: Array, step: Array) -> Array:
    one = float(step.reshape(()))
    many = math.ceil((float(stop.reshape(())) - float(start.reshape(()))) / one)
    _sized(at, [max(many, 0)])
    return np.asarray(start + step * np.arange(max(many, 0), dtype=start.dtype))


def _reduce(function: Callable[..., Any]) -> Callable[..., Array]:
    def reduced(at: At, x: Array, axes: Array | None = None) -> Array:
        own = _axes(at, x, axes)
        return np.asarray(function(x, axis=own, keepdims=bool(at.number("keepdims", 1))))

    return reduced


def _split(at: At, x: Array, lengths: Array | None = None) -> list[Array]:
    axis = at.number("axis", 0)
    own = at.wholes("split") if lengths is None else [int(n) for n in lengths]
    if own is None:
        return list(np.array_split(x, len(at.node.outputs), axis=axis))
    return list(np.split(x, np.cumsum(own)[:-1], axis=axis))


def _plain(function: Callable[..., Any]) -> Callable[..., Array]:
    return lambda at, *x: np.asarray(function(*x))


def _folded(function: Callable[..., Any]) -> Callable[..., Array]:
    def all_of(at: At, *x: Array) -> Array:
        found = x[0]
        for one in x[1:]:
            found = function(found, one)
        return np.asarray(found)

    return all_of


NUMBERS: Mapping[str, Callable[..., Array | list[Array]]] = {
    "Add": _plain(np.add),
    "Sub": _plain(np.subtract),
    "Mul": _plain(np.multiply),
    "Div": _divided,
    "Mod": _plain(np.mod),
    "Pow": lambda at, a, b: np.power(a, b.astype(a.dtype)),
    "Neg": _plain(np.negative),
    "Abs": _plain(np.abs),
    "Sign": _plain(np.sign),
    "Floor": _plain(np.floor),
    "Ceil": _plain(np.ceil),
    "Round": _plain(np.round),
    "Sqrt": _plain(np.sqrt),
    "Reciprocal": _plain(np.reciprocal),
    "Exp": _plain(np.exp),
    "Log": _plain(np.log),
    "Min": _folded(np.minimum),
    "Max": _folded(np.maximum),
    "Sum": _folded(np.add),
    "Equal": _plain(np.equal),
    "Less": _plain(np.less),
    "Greater": _plain(np.greater),
    "LessOrEqual": _plain(np.less_equal),
    "GreaterOrEqual": _plain(np.greater_equal),
    "And": _plain(np.logical_and),
    "Or": _plain(np.logical_or),
    "Xor": _plain(np.logical_xor),
    "Not": _plain(np.logical_not),
    "Where": _plain(np.where),
    "Cast": _cast,
    "CastLike": _cast,
    "Identity": lambda at, x: x,
    "Dropout": lambda at, x, *_: x,
    "Concat": lambda at, *x: np.concatenate(x, axis=at.number("axis", 0)),
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "Flatten": lambda at, x: x.reshape(math.prod(x.shape[: at.number("axis", 1)]), -1),
    "Transpose": lambda at, x: x.transpose(at.wholes("perm")),
    "Expand": _expand,
    "Tile": _tile,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Shape": lambda at, x: np.array(x.shape[at.number("start", 0) : at.whole("end")], np.int64),
    "Size": lambda at, x: np.array(x.size, np.int64),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceMean": _reduce(np.mean),
    "ReduceAll": _reduce(np.all),
}
"""What is computed, by the name of the operation."""
BROADCAST = ("Add", "Sub", "Mul", "Div", "Mod", "Pow", "Min", "Max", "Sum", "Equal", "Less",
             "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Xor", "Where")  # fmt: skip
"""Those whose answer is as large as all inputs beside each other."""

"""Sizes, views, cuts and joins of maps as torch writes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from napari_segnet.programs._evaluate import (
    Ints,
    NotReadable,
    Stack,
    Value,
    Weight,
    collapsed,
    combined,
    concatenated,
    expanded,
    moved,
    padded,
    picked,
    placed,
    reduced,
    reshaped,
    sliced,
)
from napari_segnet.programs._torch._numbers import (
    END,
    LONGEST,
    Empty,
    Repeated,
    Run,
    calculated,
    ints_of,
    plain_number,
    rank_of,
    truth,
    whole_number,
)

__all__ = ["VIEWS"]


def _size(run: Run, x: Any, dim: Any = None) -> Any:
    if isinstance(x, Weight | Empty):
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
    return row if dim is None else row[whole_number(run, dim)]


def _numel(run: Run, x: Any) -> Any:
    found: Any = 1
    for one in _size(run, x):
        found = found * one
    return found


def _view(run: Run, x: Any, shape: Sequence[Any], *_: Any) -> Any:
    if isinstance(x, Weight):
        own = [whole_number(run, one) for one in shape]
        others = math.prod(n for n in own if n != -1)
        return x.reshaped([math.prod(x.shape) // max(others, 1) if n == -1 else n for n in own])
    probes = run.draw.probes
    row = [ints_of(run, one) for one in shape]
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
    own = [placed(whole_number(run, one), rank_of(x)) for one in order]
    return x.transposed(own) if isinstance(x, Weight) else moved(x, own)


def _transpose(run: Run, x: Any, one: Any = 0, two: Any = 1) -> Any:
    own = list(range(rank_of(x)))
    a, b = placed(whole_number(run, one), len(own)), placed(whole_number(run, two), len(own))
    own[a], own[b] = own[b], own[a]
    return _permute(run, x, own)


def _flatten(run: Run, x: Value, first: Any = 0, last: Any = -1) -> Any:
    a, b = placed(whole_number(run, first), rank_of(x)), placed(whole_number(run, last), rank_of(x))
    row = run.draw.shape(x)
    product = run.draw.probes.number(1)
    for n in row[a : b + 1]:
        product = product * n
    return reshaped(x, [*row[:a], product, *row[b + 1 :]], run.draw.probes)


def _unsqueeze(run: Run, x: Any, dim: Any) -> Any:
    place = whole_number(run, dim) % (rank_of(x) + 1)
    if isinstance(x, Weight):
        return x.reshaped([*x.shape[:place], 1, *x.shape[place:]])
    return Value(node=x.node, axes=(*x.axes[:place], (), *x.axes[place:]))


def _squeeze(run: Run, x: Any, dim: Any = None) -> Any:
    if isinstance(x, Weight):
        given = dim if isinstance(dim, list | tuple) else [dim]
        dims = list(range(len(x.shape))) if dim is None else [whole_number(run, n) for n in given]
        gone_ = {place % len(x.shape) for place in dims if x.shape[place] == 1}
        return x.reshaped([n for place, n in enumerate(x.shape) if place not in gone_])
    row = run.draw.shape(x)
    given = dim if isinstance(dim, list | tuple) else [dim]
    own = list(range(1, len(row)))
    if dim is not None:
        own = [placed(whole_number(run, n), len(row)) for n in given]
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
        own = [None if one is None else whole_number(run, one) for one in (dim, first, stop)]
        return x[own[0] : own[1] : own[2] or 1]
    if step is not None and whole_number(run, step) != 1:
        raise NotReadable(f"{run.draw.at} takes every {step}th pixel")
    place = placed(whole_number(run, dim), rank_of(x))
    length = run.draw.shape(x)[place]
    begin = _place(ints_of(run, 0 if first is None else first), length)
    end = _place(ints_of(run, END if stop is None else stop), length)
    run.draw.probes.require(end > begin, f"{run.draw.at} leaves nothing of the image")
    return sliced(run.draw, x, place, begin, end)


def _narrow(run: Run, x: Value, dim: Any, first: Any, count: Any) -> Any:
    stop = calculated(lambda a, b: a + b)(run, first, count)
    return _slice(run, x, dim, first, stop)


def _select(run: Run, x: Any, dim: Any, place: Any) -> Any:
    if isinstance(x, list | tuple):
        return x[whole_number(run, dim)]
    return picked(
        run.draw, x, placed(whole_number(run, dim), rank_of(x)), [whole_number(run, place)], False
    )


def _unbind(run: Run, x: Any, dim: Any = 0) -> list[Any]:
    if isinstance(x, list | tuple):
        return list(x)
    place = placed(whole_number(run, dim), rank_of(x))
    count = run.draw.probes.single(run.draw.shape(x)[place])
    if count is None or count > LONGEST:
        raise NotReadable(f"{run.draw.at} takes apart an axis of the image's size")
    run.spend(count)
    return [picked(run.draw, x, place, [number], False) for number in range(count)]


def _chunk(run: Run, x: Value, count: Any, dim: Any = 0) -> list[Value]:
    place = placed(whole_number(run, dim), rank_of(x))
    length = run.draw.shape(x)[place]
    parts = whole_number(run, count)
    if not 0 < parts <= LONGEST:
        raise NotReadable(f"{run.draw.at} cuts into {parts} parts")
    each = -(-length // parts)
    return _cut(run, x, place, [each] * parts)


def _split(run: Run, x: Value, lengths: Any, dim: Any = 0) -> list[Value]:
    place = placed(whole_number(run, dim), rank_of(x))
    if isinstance(lengths, list | tuple):
        return _cut(run, x, place, [ints_of(run, one) for one in lengths])
    length = run.draw.probes.single(run.draw.shape(x)[place])
    each = whole_number(run, lengths)
    if length is None or each < 1:
        raise NotReadable(f"{run.draw.at} splits by the size of the image")
    count = -(-length // each)
    if count > LONGEST:
        raise NotReadable(f"{run.draw.at} splits into {count:,} parts")
    return _cut(run, x, place, [run.draw.probes.number(each)] * count)


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
    rank = rank_of(x)
    before, after = [run.draw.probes.number(0)] * rank, [run.draw.probes.number(0)] * rank
    for i in range(len(margins) // 2):  # the last axis comes first
        before[rank - 1 - i] = ints_of(run, margins[2 * i])
        after[rank - 1 - i] = ints_of(run, margins[2 * i + 1])
    value = 0.0 if number is None else float(plain_number(run, number))
    return padded(run.draw, x, before, after, fills[mode], value)  # type: ignore[arg-type]


def _reduced(kind: Any) -> Callable[..., Any]:
    def reduce(run: Run, x: Any, dims: Any = None, keep: Any = False, **_: Any) -> Any:
        own = [dims] if isinstance(dims, int) else dims
        if not own:
            raise NotReadable(f"{run.draw.at} takes the mean over all that there is")
        axes = [whole_number(run, one) for one in own]
        if isinstance(x, Stack):
            if [placed(axis, len(x.parts[0].axes)) for axis in axes] != [x.axis]:
                raise NotReadable(f"{run.draw.at} reduces another axis than the stacked one")
            return collapsed(run.draw, x, kind, truth(run.draw, keep))
        return reduced(run.draw, x, kind, axes, truth(run.draw, keep))

    return reduce


def _max(run: Run, one: Any, two: Any = None, keep: Any = False) -> Any:
    if isinstance(two, Value):
        return combined(run.draw, "maximum", one, two)
    if two is None:
        raise NotReadable(f"{run.draw.at} takes the largest of all values")
    return reduced(run.draw, one, "max", [whole_number(run, two)], truth(run.draw, keep)), None


def _empty(run: Run, shape: Any, *_: Any, **__: Any) -> Empty:
    row = list(shape) if isinstance(shape, list | tuple) else []
    if not any(isinstance(n, int) and n == 0 for n in row):
        raise NotReadable(f"{run.draw.at} takes numbers that nobody set (torch.empty)")
    return Empty(tuple(row))


def _expand(run: Run, x: Value, shape: Sequence[Any], *_: Any, **__: Any) -> Value:
    have = run.draw.shape(x)
    row = [ints_of(run, one) for one in shape]
    missing = len(row) - len(have)
    row = [
        have[i - missing] if run.draw.probes.equal(n, -1) and i >= missing else n
        for i, n in enumerate(row)
    ]
    return expanded(run.draw, x, row)


def _repeat(run: Run, x: Any, times: Sequence[Any]) -> Any:
    if isinstance(x, Weight):
        if len(times) == 1 and len(x.shape) == 1:
            if run.draw.probes.equal(ints_of(run, times[0]), run.draw.probes.batch):
                return Repeated(x)
        if any(whole_number(run, one) != 1 for one in times):
            raise NotReadable(f"{run.draw.at} repeats a weight")
        return x.reshaped([1] * (len(times) - len(x.shape)) + list(x.shape))
    have = run.draw.shape(x)
    pairs = zip(have, (ints_of(run, one) for one in times), strict=True)
    return expanded(run.draw, x, [n * t for n, t in pairs])


def _cat(run: Run, parts: Sequence[Any], dim: Any = 0) -> Any:
    if len(parts) > 1:
        parts = [one for one in parts if not isinstance(one, Empty)]
    if not parts or not all(isinstance(one, Value) for one in parts):
        raise NotReadable(f"{run.draw.at} joins maps and numbers of the file")
    return concatenated(run.draw, list(parts), whole_number(run, dim))


def _stack(run: Run, parts: Sequence[Any], dim: Any = 0) -> Any:
    return _cat(run, [_unsqueeze(run, one, dim) for one in parts], dim)


VIEWS: Mapping[str, Callable[..., Any]] = {
    "cat": _cat,
    "stack": _stack,
    "pad": _pad,
    "constant_pad_nd": lambda run, x, margins, number=0: _pad(run, x, margins, "constant", number),
    **{f"reflection_pad{n}d": lambda run, x, m: _pad(run, x, m, "reflect") for n in (2, 3)},
    **{f"replication_pad{n}d": lambda run, x, m: _pad(run, x, m, "replicate") for n in (2, 3)},
    **dict.fromkeys(("size", "sym_size"), _size),
    **dict.fromkeys(("numel", "sym_numel"), _numel),
    "dim": lambda run, x: rank_of(x),
    "slice": _slice,
    "narrow": _narrow,
    "select": _select,
    "unbind": _unbind,
    "chunk": _chunk,
    "split": _split,
    "split_with_sizes": _split,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "flatten": _flatten,
    **dict.fromkeys(("view", "reshape", "_unsafe_view"), _view),
    "permute": _permute,
    "transpose": _transpose,
    "t": _transpose,
    "mean": _reduced("average"),
    "amax": _reduced("max"),
    "sum": _reduced("sum"),
    "max": _max,
    "empty": _empty,
    "expand": _expand,
    "expand_as": lambda run, x, like: expanded(run.draw, x, run.draw.shape(like)),
    "repeat": _repeat,
}
"""What looks at axes, not at values."""

"""Operations of ONNX that look at axes, not at values: views, cuts, joins, sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from napari_segnet.graph import PixelShuffle
from napari_segnet.programs._evaluate import (
    Drawing,
    Ints,
    Known,
    NotReadable,
    Stack,
    Value,
    collapsed,
    concatenated,
    expanded,
    moved,
    number_of,
    numbers_of,
    padded,
    picked,
    placed,
    reduced,
    reshaped,
    sliced,
)
from napari_segnet.programs.onnx._node import At, Draw, image_of, numbers_at
from napari_segnet.programs.onnx._numbers import known, slice_of

__all__ = ["VIEWS"]

LARGEST = 3.0e38
"""Of float32: no bound."""


# ---- Views -----------------------------------------------------------------------------


def _transpose(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value = image_of(at, inputs)
    count = len(value.axes)
    order = at.wholes("perm") or list(range(count))[::-1]
    if sorted(order) != list(range(count)):
        raise NotReadable(f"{at} moves axes {order}, and there are {count}")
    return moved(value, order)


def _targets(draw: Drawing, at: At, value: Value, row: Known) -> list[Ints]:
    """Return lengths at every probe, with 0 and -1 as ONNX means them."""
    probes, have = draw.probes, draw.shape(value)
    table = np.broadcast_to(row, (probes.count, *row.shape[1:])).astype(np.int64)
    found: list[Ints] = [table[:, i] for i in range(table.shape[1])]
    for place, own in enumerate(found):
        if probes.equal(own, 0) and not at.number("allowzero", 0):
            if place >= len(have):
                raise NotReadable(f"{at} keeps an axis that is not there")
            found[place] = have[place]
    rest = [place for place, own in enumerate(found) if probes.equal(own, -1)]
    if len(rest) > 1:
        raise NotReadable(f"{at} leaves two lengths open")
    if rest:
        total, others = probes.number(1), probes.number(1)
        for n in have:
            total = total * n
        for place, own in enumerate(found):
            others = others if place in rest else others * own
        found[rest[0]] = total // np.maximum(others, 1)
    return found


def _reshape(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value = image_of(at, inputs)
    row = numbers_at(draw, at, inputs, 1)
    if row is None:
        row = known(np.array(at.wholes("shape") or [], np.int64))
    shape = _targets(draw, at, value, row)
    try:
        return reshaped(value, shape, draw.probes)
    except NotReadable:
        return draw.recast(value, shape)


def _flatten(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value = image_of(at, inputs)
    axis = at.number("axis", 1)
    axis += len(value.axes) if axis < 0 else 0
    lengths = draw.shape(value)
    one = two = draw.probes.number(1)
    for place, n in enumerate(lengths):
        one, two = (one * n, two) if place < axis else (one, two * n)
    return reshaped(value, [one, two], draw.probes)


def _axes(draw: Drawing, at: At, inputs: Sequence[Any], place: int = 1) -> list[int] | None:
    given = numbers_at(draw, at, inputs, place)
    if given is None:
        return at.wholes("axes")
    return [int(n) for n in numbers_of(draw, given, "axes").reshape(-1)]


def _squeeze(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value, axes = image_of(at, inputs), _axes(draw, at, inputs)
    lengths, rank = draw.shape(value), len(value.axes)
    if axes is None:
        axes = [i for i, n in enumerate(lengths) if i and draw.probes.equal(n, 1)]
    axes = [placed(axis, rank) for axis in axes]
    if any(not draw.probes.equal(lengths[axis], 1) for axis in axes):
        raise NotReadable(f"{at} takes away an axis that has more than one pixel")
    kept = tuple(axis for i, axis in enumerate(value.axes) if i not in axes)
    return Value(node=value.node, axes=kept)


def _unsqueeze(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value, axes = image_of(at, inputs), _axes(draw, at, inputs) or []
    rank = len(value.axes) + len(axes)
    own, there = {placed(axis, rank) for axis in axes}, iter(value.axes)
    return Value(node=value.node, axes=tuple(() if i in own else next(there) for i in range(rank)))


# ---- Cuts and joins --------------------------------------------------------------------


def _concat(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value | Stack:
    if not all(isinstance(one, Value) for one in inputs):
        raise NotReadable(f"{at} joins maps and numbers of the file")
    return concatenated(draw, list(inputs), at.number("axis", 1))


def _slice(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value, probes = image_of(at, inputs), draw.probes
    more = [numbers_at(draw, at, inputs, place) for place in range(1, len(inputs))]
    rows = [
        slice_of(at, len(value.axes), [_row(one, k) for one in more]) for k in range(probes.count)
    ]
    for cuts in zip(*rows, strict=True):
        axis, step = cuts[0][0], cuts[0][3]
        if any((cut[0], cut[3]) != (axis, step) for cut in cuts):
            raise NotReadable(f"{at} cuts other axes for other sizes of the image")
        length = draw.shape(value)[axis]
        first, stop = (_place(np.array([cut[i] for cut in cuts], np.int64), length) for i in (1, 2))
        if step == -1 and probes.single(length) is not None:
            count = int(probes.single(length) or 0)
            value = picked(draw, value, axis, list(range(count))[cuts[0][1] :: -1], True)
            continue
        if step != 1:
            raise NotReadable(f"{at} takes every {step}th pixel")
        probes.require(stop > first, f"{at} leaves nothing of the image")
        value = sliced(draw, value, axis, first, stop)
    return value


def _row(one: Known | None, probe: int) -> Any:
    return None if one is None else one[probe if len(one) > 1 else 0]


def _place(at: Ints, length: Ints) -> Ints:
    """Return a place as Python counts it, from the end where it is negative."""
    found: Ints = np.clip(np.where(at < 0, at + length, at), 0, length)
    return found


def _split(draw: Drawing, at: At, inputs: Sequence[Any]) -> list[Value]:
    value = image_of(at, inputs)
    axis = placed(at.number("axis", 0), len(value.axes))
    length = draw.shape(value)[axis]
    given = numbers_at(draw, at, inputs, 1)
    own = at.wholes("split")
    count = at.number("num_outputs", len(at.node.outputs))
    parts: list[Ints]
    if given is not None:
        table = np.broadcast_to(given, (draw.probes.count, *given.shape[1:])).astype(np.int64)
        parts = [table[:, i] for i in range(table.shape[1])]
    elif own is not None:
        parts = [draw.probes.number(n) for n in own]
    else:
        each = -(-length // count)
        parts = [np.minimum(each, length - i * each) for i in range(count)]
    found, first = [], draw.probes.number(0)
    for n in parts:
        found.append(sliced(draw, value, axis, first, first + n))
        first = first + n
    return found


def _gather(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value, given = image_of(at, inputs), numbers_at(draw, at, inputs, 1)
    if given is None:
        raise at.unknown()
    indices = numbers_of(draw, given, "the places")
    if indices.ndim > 1:
        raise NotReadable(f"{at} picks by a table of places")
    axis = placed(at.number("axis", 0), len(value.axes))
    return picked(draw, value, axis, [int(n) for n in indices.reshape(-1)], indices.ndim == 1)


def _reduce(kind: Any) -> Draw:
    def reduce(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
        first = inputs[0] if inputs else None
        if isinstance(first, Stack):
            rank = len(first.parts[0].axes)
            if [placed(axis, rank) for axis in _axes(draw, at, inputs) or []] != [first.axis]:
                raise NotReadable(f"{at} reduces another axis than the one that was stacked")
            return collapsed(draw, first, kind, bool(at.number("keepdims", 1)))
        value, axes = image_of(at, inputs), _axes(draw, at, inputs)
        if not axes:
            raise NotReadable(f"{at} takes the mean over all that there is")
        return reduced(draw, value, kind, axes, bool(at.number("keepdims", 1)))

    return reduce


def _expand(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value, given = image_of(at, inputs), numbers_at(draw, at, inputs, 1)
    if given is None:
        raise at.unknown()
    table = np.broadcast_to(given, (draw.probes.count, *given.shape[1:])).astype(np.int64)
    shape = [table[:, i] for i in range(table.shape[1])]
    if at.operation == "Tile":
        shape = [n * r for n, r in zip(draw.shape(value), shape, strict=True)]
    missing = len(value.axes) - len(shape)
    return expanded(draw, value, [draw.probes.number(1)] * max(missing, 0) + shape)


def _pad(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    value = image_of(at, inputs)
    rank = len(value.axes)
    pads = numbers_at(draw, at, inputs, 1) if at.opset >= 11 else None
    if pads is None:
        pads = known(np.array(at.wholes("pads") or [0] * 2 * rank, np.int64))
    table = np.broadcast_to(pads, (draw.probes.count, *pads.shape[1:])).astype(np.int64)
    given = _axes(draw, at, inputs, 3) if len(inputs) > 3 else None
    axes = [placed(axis, rank) for axis in given] if given is not None else list(range(rank))
    if table.shape[1] != 2 * len(axes):
        raise NotReadable(f"{at} adds pixels along {table.shape[1] // 2} axes of {rank}")
    before, after = [draw.probes.number(0)] * rank, [draw.probes.number(0)] * rank
    for place, axis in enumerate(axes):
        before[axis], after[axis] = table[:, place], table[:, place + len(axes)]
    fills = {"constant": "zeros", "reflect": "reflect", "edge": "replicate"}
    mode = at.text("mode", "constant")
    if mode not in fills:
        raise NotReadable(f"{at} pads {mode!r}, which is not read")
    value_given = numbers_at(draw, at, inputs, 2) if at.opset >= 11 else None
    number = at.real("value", 0.0) if value_given is None else number_of(draw, value_given, "value")
    number = min(max(number, -LARGEST), LARGEST)
    return padded(draw, value, before, after, fills[mode], number)  # type: ignore[arg-type]


def _depth_to_space(draw: Drawing, at: At, inputs: Sequence[Any]) -> Value:
    size = at.number("blocksize", 1)
    order: Any = {"DCR": "block-first", "CRD": "channels-first"}.get(at.text("mode", "DCR"))
    if order is None:
        raise at.unknown()
    node = draw.as_map(image_of(at, inputs))
    return draw.mapped(PixelShuffle(factor=(size,) * draw.ndim, order=order), node)


def _shape(draw: Drawing, at: At, inputs: Sequence[Any]) -> Known:
    lengths = draw.shape(image_of(at, inputs))
    rows: Known = np.stack(lengths, axis=1)
    return rows[:, at.number("start", 0) : at.whole("end")]


def _size(draw: Drawing, at: At, inputs: Sequence[Any]) -> Known:
    total = draw.probes.number(1)
    for n in draw.shape(image_of(at, inputs)):
        total = total * n
    return total


VIEWS: Mapping[str, Draw] = {
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "ReduceMean": _reduce("average"),
    "ReduceMax": _reduce("max"),
    "ReduceSum": _reduce("sum"),
    "Expand": _expand,
    "Tile": _expand,
    "Pad": _pad,
    "DepthToSpace": _depth_to_space,
    "Shape": _shape,
    "Size": _size,
}
"""What draws each, by the name of the operation."""

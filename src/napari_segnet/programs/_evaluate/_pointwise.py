"""Operations value by value, and joins: several values become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from napari_segnet.graph import (
    Activation,
    Arithmetic,
    Concatenate,
    Operation,
    Rescale,
    Softmax,
)
from napari_segnet.programs._evaluate._drawing import Drawing
from napari_segnet.programs._evaluate._probes import NotReadable, placed
from napari_segnet.programs._evaluate._values import Atom, Known, Stack, Value, Weight

__all__ = [
    "activated",
    "affine",
    "collapsed",
    "combined",
    "concatenated",
    "number_of",
    "numbers_of",
    "softmaxed",
    "unstacked",
    "with_constant",
]

Kind = Literal["add", "multiply", "subtract", "divide", "maximum", "minimum", "average"]
LARGEST = 3.0e38
"""Of float32: no upper bound."""


def pointwise(draw: Drawing, operation: Operation, value: Value, **how: Any) -> Value:
    """Append an operation that looks at single values; the view stays."""
    return draw.same(draw.add(operation, value.node, **how), value)


def activated(draw: Drawing, value: Value, function: str, **numbers: float) -> Value:
    """Append an activation."""
    operation = Activation(function=function, **numbers)  # type: ignore[arg-type]
    return pointwise(draw, operation, value)


def softmaxed(draw: Drawing, value: Value, axis: int, *, log: bool = False) -> Value:
    """Append a softmax along an axis of the value."""
    along = replace(value, axes=(value.axes[placed(axis, len(value.axes))],))
    order = draw.order(along)  # whatever the other axes were made of
    if order is None:
        value = draw.as_array(value)
        order = draw.order(value)
        order = order and (order[placed(axis, len(value.axes))],)
    place = order[0] if order else None
    if not place:
        raise NotReadable(f"{draw.at} is a softmax over the images of a batch")
    return pointwise(draw, Softmax(along=place - 1, log=log), value)


# ---- Numbers ---------------------------------------------------------------------------


def numbers_of(draw: Drawing, known: Known, what: str) -> np.ndarray[Any, Any]:
    """Return numbers that do not depend on the size of the image.

    Raises
    ------
    NotReadable
        If they do.
    """
    rows = np.broadcast_to(known, (draw.probes.count, *known.shape[1:]))[draw.probes.alive]
    if not all(np.array_equal(rows[0], row) for row in rows[1:]):
        raise NotReadable(f"{what} of {draw.at} depends on the size of the image")
    first: np.ndarray[Any, Any] = rows[0]
    return first


def number_of(draw: Drawing, known: Known, what: str) -> float:
    """Return one number that does not depend on the size of the image."""
    found = numbers_of(draw, known, what)
    if found.size != 1:
        raise NotReadable(f"{what} of {draw.at} are {found.size} numbers, where one was expected")
    return float(found.reshape(()))


# ---- Two values ------------------------------------------------------------------------


def affine(draw: Drawing, value: Value, scale: float, offset: float) -> Value:
    """Append ``x * scale + offset``; nothing where it changes nothing."""
    if (scale, offset) == (1.0, 0.0):
        return value
    return pointwise(draw, Rescale(scales=(scale,), offsets=(offset,)), value)


def combined(draw: Drawing, kind: Kind, *values: Value) -> Value:
    """Append an operation of several values; their views must agree."""
    first = max(values, key=lambda value: len(value.axes))
    aligned = [_aligned(draw, value, len(first.axes)) for value in values]
    if all(draw.is_map(value.node) for value in aligned):
        orders = [draw.order(value) for value in aligned]
        if None not in orders and _agree(orders):
            node = draw.mapped(Arithmetic(kind=kind), *(value.node for value in aligned))
            return _viewed(draw, node, aligned, orders)
        if len(first.axes) == draw.ndim + 2:
            return draw.mapped(Arithmetic(kind=kind), *(draw.as_map(value) for value in aligned))
    arrays = [draw.as_array(value) for value in aligned]
    if all(draw.is_map(value.node) for value in arrays):
        return draw.mapped(Arithmetic(kind=kind), *(value.node for value in arrays))
    name = draw.add(Arithmetic(kind=kind), *(value.node for value in arrays))
    return draw.array(name, _longest(draw, arrays))


def _longest(draw: Drawing, arrays: Sequence[Value]) -> list[Atom]:
    """Return the axes of an answer of arrays: of each the longest that comes."""
    rows = [draw.bases[value.node][1:] for value in arrays]
    if len({len(row) for row in rows}) != 1:
        raise NotReadable(f"{draw.at} takes arrays of several shapes")
    found = []
    for atoms in zip(*rows, strict=True):
        longest = max(atoms, key=lambda atom: int(atom.lengths.max()))
        found.append(longest)
    return found


def _aligned(draw: Drawing, value: Value, rank: int) -> Value:
    """Return a value with more axes of one in front, as numpy broadcasts."""
    missing = rank - len(value.axes)
    return Value(node=value.node, axes=((),) * missing + value.axes) if missing else value


def _agree(orders: Sequence[Sequence[int | None] | None]) -> bool:
    """Tell if views move their axes alike; axes of one fit anywhere."""
    for axes in zip(*(order or () for order in orders), strict=True):
        if len({axis for axis in axes if axis is not None}) > 1:
            return False
    return True


def _viewed(
    draw: Drawing,
    answer: Value,
    values: Sequence[Value],
    orders: Sequence[Sequence[int | None] | None],
) -> Value:
    """Return an answer under the view that all inputs have."""
    base = draw.bases[answer.node]
    axes: list[tuple[Atom, ...]] = []
    used: set[int] = set()
    for place in range(len(values[0].axes)):
        found = {order[place] for order in orders if order and order[place] is not None}
        number = found.pop() if found else None
        axes.append(() if number is None else (base[number],))
        used.update(() if number is None else (number,))
    return Value(node=answer.node, axes=tuple(axes))


def with_constant(
    draw: Drawing, kind: Kind, value: Value, weight: Weight | Known, *, swapped: bool = False
) -> Value:
    """Append an operation of a value and numbers of the file.

    Parameters
    ----------
    draw : Drawing
        The graph.
    kind : str
        What is done.
    value : Value
        What comes.
    weight : Weight or ndarray
        A tensor of the file, or numbers.
    swapped : bool
        Whether the numbers stand first.
    """
    if isinstance(weight, Weight):
        other = _as_value(draw, value, weight)
        pair = (other, value) if swapped else (value, other)
        return combined(draw, kind, *pair)
    numbers = numbers_of(draw, weight, "a number").astype(np.float64)
    if numbers.size == 1:
        return _with_number(draw, kind, value, float(numbers.reshape(())), swapped)
    return _with_channels(draw, kind, value, numbers, swapped)


def _with_number(draw: Drawing, kind: Kind, value: Value, number: float, swapped: bool) -> Value:
    if kind == "maximum":
        return activated(draw, value, "clip", low=number, high=LARGEST)
    if kind == "minimum":
        return activated(draw, value, "clip", low=-LARGEST, high=number)
    if kind == "add":
        return affine(draw, value, 1.0, number)
    if kind == "multiply":
        return affine(draw, value, number, 0.0)
    if kind == "subtract":
        return affine(draw, value, -1.0, number) if swapped else affine(draw, value, 1.0, -number)
    if kind == "divide" and not swapped:
        if number == 0:
            raise NotReadable(f"{draw.at} divides by zero")
        return affine(draw, value, 1.0 / number, 0.0)
    if kind == "divide":
        return affine(draw, activated(draw, value, "reciprocal"), number, 0.0)
    raise NotReadable(f"{draw.at} takes a mean of an image and a number")


def _with_channels(
    draw: Drawing, kind: Kind, value: Value, numbers: np.ndarray[Any, Any], swapped: bool
) -> Value:
    """Append fixed numbers for each channel."""
    order = draw.order(value)
    long = [axis - numbers.ndim for axis, n in enumerate(numbers.shape) if n != 1]
    if order is None or len(long) != 1 or -long[0] > len(order) or order[long[0]] != 1:
        raise NotReadable(f"{draw.at} takes computed numbers that are not one for each channel")
    row = numbers.reshape(-1)
    ones, zeros = (1.0,) * len(row), (0.0,) * len(row)
    own = tuple(float(n) for n in row)
    less = tuple(-n for n in own)
    if kind == "add":
        operation = Rescale(scales=ones, offsets=own)
    elif kind == "multiply":
        operation = Rescale(scales=own, offsets=zeros)
    elif kind == "subtract":
        scales, offsets = (tuple(-n for n in ones), own) if swapped else (ones, less)
        operation = Rescale(scales=scales, offsets=offsets)
    elif kind == "divide" and not swapped and 0.0 not in own:
        operation = Rescale(scales=tuple(1 / n for n in own), offsets=zeros)
    else:
        raise NotReadable(f"{draw.at} takes computed numbers for each channel")
    return pointwise(draw, operation, value)


def _as_value(draw: Drawing, value: Value, weight: Weight) -> Value:
    """Return a weight as a constant whose axes fit those of a value."""
    rank = len(value.axes)
    if len(weight.shape) > rank:
        weight = _shortened(draw, weight, rank)
    order = draw.order(value)
    if order is None or not draw.is_map(value.node):
        value = draw.as_array(value)
        order = draw.order(value)
    assert order is not None
    first = rank - len(weight.shape)
    places = [order[first + axis] for axis in range(len(weight.shape))]
    rows = [(place, axis) for axis, place in enumerate(places) if weight.shape[axis] != 1]
    if any(not place for place, _ in rows):
        raise NotReadable(f"{draw.at} takes a weight {weight.key} with an axis for the batch")
    rows.sort(key=lambda row: row[0] or 0)
    kept = [axis for _, axis in rows]
    ones = [axis for axis in range(len(weight.shape)) if axis not in kept]
    moved = weight.transposed([*kept, *ones])
    lengths = [1] * (len(draw.bases[value.node]) - 1)
    for place, axis in rows:
        lengths[(place or 1) - 1] = weight.shape[axis]
    node = draw.constant(moved, lengths, stem=weight.key)
    probes = draw.probes
    atoms = [Atom(base=0, lengths=probes.number(1), text=1)]
    for axis, n in enumerate(lengths, start=1):
        atoms.append(Atom(base=axis, lengths=probes.number(n), text=n))
    draw.bases[node] = tuple(atoms)
    axes = [(atoms[p],) if p and lengths[p - 1] != 1 else () for p in order]
    return Value(node=node, axes=tuple(axes))


def _shortened(draw: Drawing, weight: Weight, rank: int) -> Weight:
    extra = len(weight.shape) - rank
    if any(n != 1 for n in weight.shape[:extra]):
        raise NotReadable(f"{draw.at} takes a weight {weight.key} with more axes than the image")
    return weight.reshaped(weight.shape[extra:])


def collapsed(draw: Drawing, stack: Stack, kind: str, keep: bool) -> Value:
    """Append the sum, mean or largest of values that lie along a new axis."""
    names: dict[str, Kind] = {"sum": "add", "average": "average", "max": "maximum"}
    parts = [part if keep else unstacked(stack, i) for i, part in enumerate(stack.parts)]
    return parts[0] if len(parts) == 1 else combined(draw, names[kind], *parts)


def unstacked(stack: Stack, place: int) -> Value:
    """Return one of several values, without the axis along which they lie."""
    part, axis = stack.parts[place], stack.axis
    return Value(node=part.node, axes=(*part.axes[:axis], *part.axes[axis + 1 :]))


def concatenated(draw: Drawing, values: Sequence[Value], axis: int) -> Value | Stack:
    """Append values one after the other along an axis."""
    rank = len(values[0].axes)
    if any(len(value.axes) != rank for value in values):
        raise NotReadable(f"{draw.at} joins values of several numbers of axes")
    axis = placed(axis, rank)
    if len(values) == 1:
        return values[0]
    if all(not v.axes[axis] and rank > len(draw.bases[v.node]) for v in values):
        return Stack(parts=tuple(values), axis=axis)
    orders = [draw.order(value) for value in values]
    maps = all(draw.is_map(value.node) for value in values)
    if maps and None not in orders and _agree(orders):
        known = {order[axis] for order in orders if order}
        place = known.pop() if len(known) == 1 else None
        if place:
            answer = draw.mapped(Concatenate(along=place - 1), *(value.node for value in values))
            return _viewed(draw, answer, values, orders)
    if rank == draw.ndim + 2 and axis:
        nodes = [draw.as_map(value) for value in values]
        if all(draw.is_map(node) for node in nodes):
            return draw.mapped(Concatenate(along=axis - 1), *nodes)
    raise NotReadable(f"{draw.at} joins values along an axis that is none of a map")

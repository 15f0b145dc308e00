"""Operations that change how many pixels there are: pooling, resizing, padding, cutting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from napari_segnet.graph import (
    ChannelPooling,
    Channels,
    Concatenate,
    Crop,
    Extent,
    GlobalPooling,
    MatchSize,
    Pad,
    Pooling,
    Rescale,
    Resize,
    ResizeLike,
)
from napari_segnet.programs._evaluate._drawing import Drawing
from napari_segnet.programs._evaluate._probes import Ints, NotReadable, placed
from napari_segnet.programs._evaluate._values import Atom, Value

__all__ = ["expanded", "padded", "picked", "pooled", "reduced", "resized", "sliced"]

Axes = tuple[int, ...]
LOWEST = -3.0e38
"""Of float32: what a maximum never is."""
MOST_COPIES = 512
"""Times that a channel is copied."""
HALVES = (1, 2, 3, 4, 8, 16)
"""By what a length is divided where a size is computed from it."""


def pooled(
    draw: Drawing,
    value: Value,
    kind: Literal["max", "average"],
    *,
    kernel: Axes,
    stride: Axes,
    before: Axes,
    after: Axes,
    dilation: Axes,
    ceil: bool = False,
    count_padding: bool = False,
    same: bool = False,
) -> Value:
    """Append a pooling."""
    node = draw.as_map(value)
    if len(kernel) != draw.ndim:
        raise NotReadable(f"{draw.at} is a pooling along {len(kernel)} axes")
    if before != after and not same:
        if kind == "average" and (not count_padding or ceil):
            raise NotReadable(f"{draw.at} pads both ends of a mean unlike")
        fill = LOWEST if kind == "max" else 0.0
        node = draw.mapped(Pad(before=before, after=after, value=fill), node).node
        before = (0,) * draw.ndim
    operation = Pooling(
        kind=kind,
        kernel=kernel,
        stride=stride,
        padding=(0,) * draw.ndim if same else before,
        dilation=dilation,
        ceil=ceil,
        count_padding=count_padding,
        same=same,
    )
    return draw.mapped(operation, node)


def reduced(
    draw: Drawing,
    value: Value,
    kind: Literal["max", "average", "sum"],
    axes: Sequence[int],
    keep: bool,
) -> Value:
    """Append a largest value, a mean or a sum along some axes of the value."""
    rank = len(value.axes)
    own = sorted({placed(axis, rank) for axis in axes})
    order = draw.order(value)
    if order is None:
        if len(own) == 1 and value.axes[own[0]] == (draw.bases[value.node][1],):
            order = tuple(1 if axis == own[0] else None for axis in range(rank))
        else:
            value = draw.as_array(value)
            order = draw.order(value)
    if not draw.is_map(value.node) or order is None:
        raise NotReadable(f"{draw.at} takes the mean of something that is no map")
    base = draw.bases[value.node]
    places = {order[axis] for axis in own}
    long = {p for p in places if p is not None and not draw.probes.equal(base[p].lengths, 1)}
    space = {p for p in range(2, draw.ndim + 2) if not draw.probes.equal(base[p].lengths, 1)}
    if 0 in places:
        raise NotReadable(f"{draw.at} takes the mean over the images of a batch")
    node = value.node
    if 1 in long:
        node = draw.mapped(ChannelPooling(kind=kind), node).node
    if long - {1}:
        if long - {1} != space or kind == "sum":
            raise NotReadable(f"{draw.at} takes the mean along one axis of the image only")
        node = draw.mapped(GlobalPooling(kind=kind), node).node
    new = draw.bases[node]
    if len(long) == 1 and 1 in long and node != value.node:
        # The pixels stay what they are, also where a view has merged them.
        draw.bases[node] = (base[0], new[1], *base[2:])
    table = {id(atom): draw.bases[node][i] for i, atom in enumerate(base)}
    found = [
        () if axis in own else tuple(table.get(id(atom), atom) for atom in value.axes[axis])
        for axis in range(rank)
        if keep or axis not in own
    ]
    return Value(node=node, axes=tuple(found))


# ---- Resizing --------------------------------------------------------------------------


def resized(
    draw: Drawing,
    value: Value,
    lengths: Sequence[Ints],
    mode: Literal["nearest", "linear"],
    grid: Any,
    *,
    upward: bool = True,
) -> Value:
    """Append a resizing to some lengths.

    Parameters
    ----------
    draw : Drawing
        The graph.
    value : Value
        A map.
    lengths : sequence of ndarray
        ``([z,] y, x)`` at every probe.
    mode, grid : str
        As the graph has them; for ``nearest`` of whole multiples the grid means nothing.
    upward : bool
        Whether a grid of ``nearest`` holds for whole multiples only.
    """
    node, probes = draw.as_map(value), draw.probes
    base = draw.bases[node][2:]
    if all(probes.equal(a.lengths, n) for a, n in zip(base, lengths, strict=True)):
        return draw.same(node, draw_value(draw, node))
    single = [probes.equal(atom.lengths, 1) for atom in base]
    factors = [
        probes.single(n // np.maximum(a.lengths, 1)) if probes.divides(a.lengths, n) else None
        for a, n in zip(base, lengths, strict=True)
    ]
    if None not in factors and not all(single):
        plain: Any = "half-pixel" if mode == "nearest" else grid
        operation = Resize(factor=tuple(int(f or 1) for f in factors), mode=mode, grid=plain)
        return draw.mapped(operation, node)
    if mode == "nearest" and upward and not all(single):
        raise NotReadable(f"{draw.at} takes nearest pixels in a way that torch does not")
    like = draw.with_lengths(lengths, _before_pooling(draw, node))
    if like is not None:
        return draw.mapped(ResizeLike(mode=mode, grid=grid), node, like)
    size = [
        _extent(draw, a.lengths, n, "zyx"[i - draw.ndim])
        for i, (a, n) in enumerate(zip(base, lengths, strict=True))
    ]
    return draw.mapped(ResizeLike(mode=mode, grid=grid, size=tuple(size)), node, node)


def draw_value(draw: Drawing, node: str) -> Value:
    """Return a map as its node has it."""
    return Value(node=node, axes=tuple((atom,) for atom in draw.bases[node]))


def _before_pooling(draw: Drawing, node: str) -> str:
    """Return the map that was pooled to one pixel, whose size it is brought back to."""
    seen = 0
    while node in draw.made and draw.made[node][1] and seen < 100:
        seen += 1
        operation, (before, *_) = draw.made[node]
        if isinstance(operation, GlobalPooling | Pooling):
            return before
        node = before
    return ""


def _extent(draw: Drawing, have: Ints, want: Ints, letter: str) -> Extent:
    """Return a size as text of a length, or as a number."""
    probes = draw.probes
    for below in HALVES:
        for above in HALVES:
            for more in (0, 1, -1):
                if probes.equal(have * above // below + more, want):
                    text = letter if above == 1 else f"{letter}*{above}"
                    text = text if below == 1 else f"{text}//{below}"
                    return f"{text} + {more}" if more > 0 else f"{text} - {-more}" if more else text
    number = probes.single(want)
    if number is not None:
        return number
    raise NotReadable(f"{draw.at} resizes to a size that is not understood")


# ---- Ends ------------------------------------------------------------------------------


def padded(
    draw: Drawing,
    value: Value,
    before: Sequence[Ints],
    after: Sequence[Ints],
    fill: Literal["zeros", "reflect", "replicate"],
    number: float = 0.0,
) -> Value:
    """Append pixels at the ends of each axis of the value; fewer than 0 are cut off."""
    probes = draw.probes
    if all(probes.equal(n, 0) for n in (*before, *after)):
        return value
    order = draw.order(value)
    if order is None or not draw.is_map(value.node):
        value = draw.as_array(value)
        order = draw.order(value)
    if order is None or not draw.is_map(value.node):
        raise NotReadable(f"{draw.at} pads something that is no map")
    first = [probes.number(0)] * draw.ndim
    last = list(first)
    for axis, place in enumerate(order):
        if probes.equal(before[axis], 0) and probes.equal(after[axis], 0):
            continue
        if place == 1:
            counts = probes.single(before[axis]), probes.single(after[axis])
            value = _more_channels(draw, value, counts, fill, number)
            continue
        if place is None or place < 2:
            raise NotReadable(f"{draw.at} adds images, not pixels")
        first[place - 2], last[place - 2] = before[axis], after[axis]
    answer = _ends(draw, value.node, first, last, fill, number)
    return _moved(draw, value, answer)


def _more_channels(
    draw: Drawing, value: Value, counts: tuple[int | None, int | None], fill: str, number: float
) -> Value:
    """Append channels of zeros, before and after those that are there."""
    if None in counts or fill != "zeros" or number:
        raise NotReadable(f"{draw.at} adds channels of something else than zeros")
    before, after = (int(n or 0) for n in counts)
    if max(before, after) > MOST_COPIES or min(before, after) < 0:
        raise NotReadable(f"{draw.at} adds {before} and {after} channels")
    one = draw.mapped(Channels(first=0, count=1), value.node).node
    zero = draw.mapped(Rescale(scales=(0.0,), offsets=(0.0,)), one).node
    parts = [*[zero] * before, value.node, *[zero] * after]
    node = draw.mapped(Concatenate(), *parts).node
    base, new = draw.bases[value.node], draw.bases[node]
    draw.bases[node] = (base[0], new[1], *base[2:])
    return _moved(draw, value, node)


def _ends(
    draw: Drawing, node: str, first: Sequence[Ints], last: Sequence[Ints], fill: Any, number: float
) -> str:
    probes = draw.probes
    begin = [probes.single(n) for n in first]
    end = [probes.single(n) for n in last]
    if None not in begin and None not in end:
        low, high = [int(n or 0) for n in begin], [int(n or 0) for n in end]
        if min(*low, *high) < 0:
            cut = Crop(before=tuple(max(-n, 0) for n in low), after=tuple(max(-n, 0) for n in high))
            node = draw.mapped(cut, node).node
        if max(*low, *high) > 0:
            more = Pad(
                before=tuple(max(n, 0) for n in low),
                after=tuple(max(n, 0) for n in high),
                fill=fill,
                value=number,
            )
            node = draw.mapped(more, node).node
        return node
    own = [atom.lengths for atom in draw.bases[node][2:]]
    wanted = [n + a + b for n, a, b in zip(own, first, last, strict=True)]
    for n in wanted:
        probes.require(n > 0, f"{draw.at} leaves nothing of the image")
    middle = MatchSize(keep="middle")
    keep: Literal["middle", "begin"] = "begin"
    if any(not probes.equal(n, 0) for n in first):
        keep = "middle"
        for have, want, n in zip(own, wanted, first, strict=True):
            pairs = zip(have.tolist(), want.tolist(), strict=True)
            shift = np.array([middle.shift(a, b) for a, b in pairs], np.int64)
            if not probes.equal(shift, n):
                raise NotReadable(f"{draw.at} adds or cuts pixels in a way that is not understood")
    growing = any((n > 0)[probes.alive].any() for n in (*first, *last))
    if growing and (fill != "zeros" or number):
        raise NotReadable(f"{draw.at} pads by the size of the image with something else than zeros")
    like = draw.with_lengths(wanted)
    if like is None:
        raise NotReadable(f"{draw.at} pads or cuts to the size of no map that is there")
    return draw.mapped(MatchSize(keep=keep), node, like).node


def _moved(draw: Drawing, value: Value, node: str) -> Value:
    """Return another map under the view of a value."""
    old, new = draw.bases[value.node], draw.bases[node]
    table = {id(atom): new[i] for i, atom in enumerate(old)}
    axes = tuple(tuple(table.get(id(atom), atom) for atom in axis) for axis in value.axes)
    return Value(node=node, axes=axes)


def sliced(draw: Drawing, value: Value, axis: int, first: Ints, stop: Ints) -> Value:
    """Append a cut along one axis of the value, of places from ``first`` up to ``stop``."""
    probes = draw.probes
    length = draw.shape(value)[axis]
    if probes.equal(first, 0) and probes.equal(stop, length):
        return value
    order = draw.order(value)
    place = order[axis] if order else None
    if order is None and value.axes[axis] == (draw.bases[value.node][1],):
        place = 1
    if not draw.is_map(value.node) or not place:
        value = draw.as_array(value)
        order = draw.order(value)
        place = order[axis] if order else None
        if not draw.is_map(value.node) or not place:
            raise NotReadable(f"{draw.at} cuts something that is no map")
    if place == 1:
        begin, end = probes.single(first), probes.single(stop)
        if begin is None or end is None or end <= begin:
            raise NotReadable(f"{draw.at} takes channels by the size of the image")
        node = draw.mapped(Channels(first=begin, count=end - begin), value.node).node
        base, new = draw.bases[value.node], draw.bases[node]
        draw.bases[node] = (base[0], new[1], *base[2:])
        return _moved(draw, value, node)
    zeros = [probes.number(0)] * draw.ndim
    before, after = list(zeros), list(zeros)
    before[place - 2], after[place - 2] = -first, stop - length
    return _moved(draw, value, _ends(draw, value.node, before, after, "zeros", 0.0))


def picked(draw: Drawing, value: Value, axis: int, indices: Sequence[int], keep: bool) -> Value:
    """Append a choice of channels in any order; ``keep``: whether the axis stays."""
    probes = draw.probes
    order = draw.order(value)
    length = probes.single(draw.shape(value)[axis])
    if order is not None and order[axis] in (None, 0) and length == 1 and list(indices) == [0]:
        node = value.node
        answer = value
    else:
        if length is None or not draw.is_map(value.node) or not order or order[axis] != 1:
            raise NotReadable(f"{draw.at} picks something else than channels")
        own = [index % length for index in indices]
        if len(own) > 64:
            raise NotReadable(f"{draw.at} picks {len(own)} channels one by one")
        runs: list[list[int]] = []
        for index in own:
            if runs and index == runs[-1][0] + runs[-1][1]:
                runs[-1][1] += 1
            else:
                runs.append([index, 1])
        parts = [draw.mapped(Channels(first=a, count=n), value.node).node for a, n in runs]
        node = parts[0] if len(parts) == 1 else draw.mapped(Concatenate(), *parts).node
        answer = _moved(draw, value, node)
    if keep:
        return answer
    axes = (*answer.axes[:axis], *answer.axes[axis + 1 :])
    return Value(node=answer.node, axes=axes)


def expanded(draw: Drawing, value: Value, shape: Sequence[Ints]) -> Value:
    """Append copies along axes of one pixel."""
    probes = draw.probes
    missing = len(shape) - len(value.axes)
    axes: list[tuple[Atom, ...]] = [*((),) * missing, *value.axes]
    value = Value(node=value.node, axes=tuple(axes))
    have = draw.shape(value)
    wanted = [np.maximum(a, b) for a, b in zip(have, shape, strict=True)]
    if all(probes.equal(a, b) for a, b in zip(have, wanted, strict=True)):
        return value
    if (found := _repeated(draw, value, have, wanted)) is not None:
        return found
    node = draw.as_map(value)
    if len(wanted) != draw.ndim + 2 or not probes.equal(have[0], wanted[0]):
        raise NotReadable(f"{draw.at} copies images")
    if not probes.equal(have[1], wanted[1]):
        times = probes.single(wanted[1] // have[1]) if probes.divides(have[1], wanted[1]) else None
        if times is None or times > MOST_COPIES:
            raise NotReadable(f"{draw.at} copies channels")
        node = draw.mapped(Concatenate(), *[node] * times).node
        have = draw.shape(draw_value(draw, node))
        if all(probes.equal(a, b) for a, b in zip(have, wanted, strict=True)):
            return draw_value(draw, node)
    for a, b in zip(have[2:], wanted[2:], strict=True):
        if not probes.equal(a, 1) and not probes.equal(a, b):
            raise NotReadable(f"{draw.at} copies along an axis that has more than one pixel")
    return resized(draw, draw_value(draw, node), wanted[2:], "nearest", "asymmetric", upward=False)


def _repeated(
    draw: Drawing, value: Value, have: Sequence[Ints], wanted: Sequence[Ints]
) -> Value | None:
    """Return each pixel several times in a row, or None if something else is copied.

    NumPy, and Keras with it, enlarge so: a new axis behind one of the image is copied along, and
    merged with it afterwards.
    """
    probes = draw.probes
    more = [n for n, (a, b) in enumerate(zip(have, wanted, strict=True)) if not probes.equal(a, b)]
    if len(more) != 1 or not more[0] or not draw.is_map(value.node):
        return None
    place, times = more[0], probes.single(wanted[more[0]])
    before = value.axes[place - 1]
    whole = all(len(axis) < 2 and all(a.parent is None for a in axis) for axis in value.axes)
    if value.axes[place] or times is None or not whole or not before or before[0].base < 2:
        return None
    bases = draw.bases[value.node]
    lengths = [a.lengths * (times if a.base == before[0].base else 1) for a in bases[2:]]
    plain = draw_value(draw, value.node)
    larger = resized(draw, plain, lengths, "nearest", "asymmetric", upward=False)
    bases = draw.bases[larger.node]
    axes: list[tuple[Atom, ...]] = [tuple(bases[a.base] for a in axis) for axis in value.axes]
    parts = bases[before[0].base].split(before[0].lengths, probes)
    axes[place - 1 : place + 1] = [(part,) for part in parts]
    return Value(node=larger.node, axes=tuple(axes))

"""How far a network looks and which sizes it takes, found without running it.

Along one axis, every operation tells how long its answer is, and which pixels of its inputs
some pixels of its answer depend on. From the answer back to the image, that is the receptive
field; from a length to the lengths of all nodes, whether a size can be taken at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from fractions import Fraction

from napari_segnet.checkpoint import Size
from napari_segnet.graph._arrays import Dense, MatrixProduct, Permute, Reshape
from napari_segnet.graph._graph import Graph, Node
from napari_segnet.graph._operation import Operation
from napari_segnet.graph._pointwise import Image
from napari_segnet.graph._shapes import shapes
from napari_segnet.graph._windows import GlobalPooling

__all__ = ["LONGEST_PX", "node_lengths", "receptive_field", "scales", "sizes"]

LONGEST_PX = 8192
"""A network that takes no image of this length, or whose field covers it, is not tiled."""
MOST_WORK = 2_000_000
"""Lengths of nodes that are looked at: a network of 2,000 layers has strides up to 1,000."""
STRIDES = 16
"""A network is looked at with an image of so many strides, or more."""


def scales(graph: Graph, axis: int) -> dict[str, Fraction]:
    """Return how many pixels of the image one pixel of each node stands for.

    Where inputs of one node differ, which some sizes allow, the coarsest counts. A constant
    stands for no more than a pixel, and so does the mean of a map that weighs another one.
    """
    found: dict[str, Fraction] = {}
    single: set[str] = set()
    for node in graph.nodes:
        inputs = [
            Fraction(1) if name in single and len(node.inputs) > 1 else found[name]
            for name in node.inputs
        ]
        found[node.name] = node.operation.scaled(axis, inputs) if inputs else Fraction(1)
        if _is_single(node, axis, single):
            single.add(node.name)
    return found


def _is_single(node: Node, axis: int, single: set[str]) -> bool:
    """Tell if a node has one pixel, whatever the size of the image."""
    own = node.operation
    if isinstance(own, Reshape):
        return all(length == 1 for length in own.lengths[1:])
    pooled = isinstance(own, GlobalPooling) or (single.issuperset(node.inputs) and node.inputs)
    return bool(pooled) and own.scale(axis) == 1


def receptive_field(graph: Graph) -> tuple[int, ...] | None:
    """Return the radius of the receptive field.

    Returns
    -------
    tuple of int or None
        Per axis ``([z,] y, x)``, how many pixels to either side of a pixel decide its
        answer: never less, and more only where windows have gaps (dilated windows over
        transposed ones with a kernel shorter than their stride). None if some operation
        looks at the whole input, the answer has another scale than the image, or the
        field covers ``LONGEST_PX``.
    """
    if not all(node.operation.bounded for node in graph.nodes):
        return None
    field: list[int] = []
    for axis in range(graph.ndim):
        like = _first_like(graph, axis)
        if like < axis:
            field.append(field[like])
            continue
        axis_size = _AxisSize.of(graph, axis)
        if axis_size is None:
            return None
        radius = _widest(graph, axis, axis_size)
        if radius is None or 2 * radius >= LONGEST_PX:
            return None
        field.append(radius)
    return tuple(field)


def sizes(graph: Graph) -> Size | None:
    """Return which sizes a network takes, and how much its answer is smaller.

    Sizes at which more is lost than at others (a pooling drops an odd last pixel), or the
    answer is larger than the input, are left out: it would not lie in its middle.

    Returns
    -------
    Size or None
        None if no size up to ``LONGEST_PX`` is taken, the answer has another scale than the
        image or is always larger than it.
    """
    only = graph.image.operation
    if isinstance(only, Image) and only.size:
        return _only(graph, only.size)
    known: list[_AxisSize] = []
    minima: list[int] = []
    for axis in range(graph.ndim):
        like = _first_like(graph, axis)
        found = known[like] if like < axis else _AxisSize.of(graph, axis)
        if found is None:
            return None
        known.append(found)
        minima.append(minima[like] if like < axis else _minimum(graph, axis, found))
    return Size(
        minimum=tuple(minima),
        multiple=tuple(one.multiple for one in known),
        stride=tuple(one.stride for one in known),
        remainder=tuple(one.example % one.multiple for one in known),
        loss=tuple(one.loss for one in known),
    )


def _only(graph: Graph, size: tuple[int, ...]) -> Size | None:
    """Return that one size, None if it is not taken."""
    try:
        found = shapes(graph, size)
    except ValueError:
        return None
    if any(found[name][1:] != size for name in graph.outputs):
        return None
    one = (1,) * graph.ndim
    return Size(minimum=size, multiple=one, stride=one, most=size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _AxisSize:
    """Which lengths a network takes along one axis; in pixels.

    Attributes
    ----------
    stride : int
        After so many pixels all windows lie as before.
    example : int
        A length that it takes, as are those a whole number of ``multiple`` more.
    multiple : int
        As above.
    loss : int
        By how much the answer is shorter.
    """

    stride: int
    example: int
    multiple: int
    loss: int

    @classmethod
    def of(cls, graph: Graph, axis: int) -> _AxisSize | None:
        """Try as many neighbouring lengths as the stride has pixels."""
        found = scales(graph, axis)
        if any(found[name] != 1 for name in graph.outputs):
            return None
        stride = math.lcm(*(scale.numerator for scale in found.values()))
        want, measured = STRIDES * stride, _lengths_of(graph, axis)
        if stride * len(graph.nodes) > MOST_WORK:
            return None
        while want <= LONGEST_PX:
            lengths = ((n, measured(n)) for n in range(want, want + stride))
            losses = {n: _loss(graph, n, own) for n, own in lengths if own is not None}
            losses = {n: loss for n, loss in losses.items() if loss >= 0}
            if losses:
                least = min(losses.values())
                good = [n for n, loss in losses.items() if loss == least]
                even = stride % len(good) == 0 and all(
                    n == good[0] + i * (stride // len(good)) for i, n in enumerate(good)
                )
                multiple = stride // len(good) if even else stride
                if measured(good[0] + stride) is None:
                    return None  # a constant as large as the image: it takes one size only
                return cls(stride=stride, example=good[0], multiple=multiple, loss=least)
            want *= 2
        return None


def node_lengths(graph: Graph, axis: int, n: int) -> dict[str, int] | None:
    """Return the length of every node for an image of ``n`` pixels; None if it cannot be."""
    return _lengths_of(graph, axis)(n)


def _lengths_of(graph: Graph, axis: int) -> Callable[[int], dict[str, int] | None]:
    """Return what tells the length of every node from that of the image."""
    if any(len(node.operation.free) for node in graph.nodes) and not _only_maps(graph):
        return lambda n: _array_lengths(graph, axis, n)
    # Most nodes change single values: they are as long as the first node before them that is not.
    like: dict[str, str] = {}
    steps: list[tuple[str, Operation, list[str]]] = []
    for node in graph.nodes:
        if isinstance(node.operation, Image):
            like[node.name] = node.name
        elif type(node.operation).length is Operation.length:
            like[node.name] = like[node.inputs[0]]
        else:
            like[node.name] = node.name
            steps.append((node.name, node.operation, [like[name] for name in node.inputs]))

    def lengths(n: int) -> dict[str, int] | None:
        found = {graph.image.name: n}
        for name, operation, inputs in steps:
            length = operation.length(axis, [found[one] for one in inputs])
            if length < 1:
                return None
            found[name] = length
        return {name: found[other] for name, other in like.items()}

    return lengths


def _first_like(graph: Graph, axis: int) -> int:
    """Return the first axis that is as this one; itself if none before it is."""
    return next((other for other in range(axis) if _are_alike(graph, axis, other)), axis)


def _are_alike(graph: Graph, axis: int, other: int) -> bool:
    """Tell if every operation has the same numbers for two axes."""
    for node in graph.nodes:
        own = node.operation
        for one in fields(own):
            value = getattr(own, one.name)
            if not isinstance(value, tuple) or (isinstance(own, Image) and not value):
                continue
            if one.name in own.free or value[axis] != value[other]:
                return False
    return True


def _only_maps(graph: Graph) -> bool:
    kinds = (Reshape, Permute, MatrixProduct, Dense)
    return not any(isinstance(node.operation, kinds) for node in graph.nodes)


def _array_lengths(graph: Graph, axis: int, n: int) -> dict[str, int] | None:
    """Return the length of every map in an image of ``n`` pixels along each axis.

    Lengths along one axis decide those along others where maps become other arrays.
    """
    try:
        found = shapes(graph, (n,) * graph.ndim)
    except ValueError:
        return None
    maps = {name: s[axis + 1] for name, s in found.items() if len(s) == graph.ndim + 1}
    return maps if set(graph.outputs) <= set(maps) else None


def _loss(graph: Graph, n: int, lengths: dict[str, int]) -> int:
    return max(n - lengths[name] for name in graph.outputs)


def _minimum(graph: Graph, axis: int, size: _AxisSize) -> int:
    """Return the smallest length that is taken; longer ones are, too, so halving finds it."""

    def taken(steps: int) -> bool:
        n = first + steps * size.multiple
        lengths = measured(n)
        return lengths is not None and _loss(graph, n, lengths) == size.loss

    measured = _lengths_of(graph, axis)
    first = size.example % size.multiple or size.multiple
    low, high = 0, (size.example - first) // size.multiple
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if taken(middle) else (middle + 1, high)
    return first + low * size.multiple


def _widest(graph: Graph, axis: int, size: _AxisSize) -> int | None:
    """Return the radius over all lengths that are taken; None if it grows with them.

    Paddings that depend on the length are those of another length a stride later, so the
    lengths within one stride stand for all.
    """
    placed = any(node.operation.placed for node in graph.nodes)
    step = max(size.multiple, -(-size.stride // STRIDES)) if placed else size.stride
    widest = 0
    for n in range(size.example, size.example + size.stride, step):
        n -= (n - size.example) % size.multiple
        radius = _radius(graph, axis, size, n)
        # What depends on the size of the image is not a field.
        if radius != _radius(graph, axis, size, n + size.stride):
            return None
        widest = max(widest, radius)
    return widest


def _radius(graph: Graph, axis: int, size: _AxisSize, n: int) -> int:
    """Return the farthest that any pixel of the answer looks, over one stride of them."""
    lengths = node_lengths(graph, axis, n)
    if lengths is None:
        raise ValueError(f"a length of {n} pixels is not taken, though {size.example} are")
    before, radius = size.loss // 2, 0
    for output in graph.outputs:
        for place in range(size.stride):
            seen = _seen(graph, axis, lengths, output, place)
            if seen is not None:
                # Pixel j of the answer lies at pixel j + before of the image.
                radius = max(radius, place + before - seen[0], seen[1] - (place + before))
    return radius


def _seen(
    graph: Graph, axis: int, lengths: dict[str, int], output: str, place: int
) -> tuple[int, int] | None:
    """Return first and last pixel of the image that one pixel of the answer depends on."""
    needed = {output: (place, place)}
    for node in reversed(graph.nodes):
        if node.name not in needed or not node.inputs:
            continue
        low, high = needed[node.name]
        own = [lengths[name] for name in node.inputs]
        reaches = node.operation.reach(axis, low, high, own)
        for name, reach in zip(node.inputs, reaches, strict=True):
            if reach is not None:
                least, most = needed.get(name, reach)
                needed[name] = (min(least, reach[0]), max(most, reach[1]))
    return needed.get(graph.image.name)

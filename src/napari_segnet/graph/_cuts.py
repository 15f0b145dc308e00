"""What a part of a network's answer does not need of it, cut off where branches are joined.

A tile reads a halo, which the coarse levels of a network need; where these are joined with the fine
ones, a few pixels around the kept part are enough. The operations say which of their inputs' pixels
theirs depend on, from the kept part back to the image; to that all inputs of a join are cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from napari_segnet.graph._arrays import Constant, Dense, MatrixProduct, Permute, Reshape
from napari_segnet.graph._field import node_lengths
from napari_segnet.graph._graph import Graph, Node
from napari_segnet.graph._pointwise import Arithmetic, Concatenate, Image
from napari_segnet.graph._windows import MatchSize

__all__ = ["Cuts", "cut_edges", "cuts_for"]

_JOINS = (Concatenate, Arithmetic)
_ARRAYS = (Constant, Dense, MatrixProduct, Permute, Reshape)

Span = tuple[int, int]
"""The first pixel, and the one behind the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """Where a network is cut for one part of its answer.

    Attributes
    ----------
    image : tuple of slice
        What is needed of the input, per axis ``([z,] y, x)``.
    bounds : tuple
        For each of ``cut_edges``, for each axis ``([z,] y, x)``: the span of the input that the
        join takes, in pixels of what is left of that input.
    keep : tuple of slice
        Where the part lies in what is left of the answer.
    """

    image: tuple[slice, ...]
    bounds: tuple[tuple[Span, ...], ...]
    keep: tuple[slice, ...]


def cut_edges(graph: Graph) -> tuple[tuple[str, int], ...]:
    """Return the joins before which a network can be cut, with the number of each input.

    None where an operation looks at the whole, or one behind a join depends on where a cut-out
    lies. Sizes that are made to match are looked at by :func:`cuts_for`.
    """
    edges: list[tuple[str, int]] = []
    cut: set[str] = set()
    for node in graph.nodes:
        own = node.operation
        if not own.bounded or isinstance(own, _ARRAYS):
            return ()
        if isinstance(own, _JOINS):
            edges += [(node.name, number) for number in range(len(node.inputs))]
            cut.add(node.name)
        elif not isinstance(own, MatchSize):
            behind = not cut.isdisjoint(node.inputs)
            if len(node.inputs) > 1 or (behind and _is_placed(node)):
                return ()
        if not cut.isdisjoint(node.inputs):
            cut.add(node.name)
    return tuple(edges) if len(graph.outputs) == 1 else ()


def cuts_for(graph: Graph, lengths: Sequence[int], keep: Sequence[slice]) -> Cuts | None:
    """Return where to cut for a part of the answer.

    Parameters
    ----------
    graph : Graph
        One with ``cut_edges``.
    lengths : sequence of int
        Of the input ``([z,] y, x)``, in pixels.
    keep : sequence of slice
        Of the answer, per axis.

    Returns
    -------
    Cuts or None
        None where inputs of a join differ in size, unless only pixels have to be cut off for it.
    """
    found = [
        _Axis.of(graph, axis, n, part)
        for axis, (n, part) in enumerate(zip(lengths, keep, strict=True))
    ]
    axes = [axis for axis in found if axis is not None]
    if len(axes) < len(found):
        return None
    return Cuts(
        image=tuple(slice(*axis.image) for axis in axes),
        bounds=tuple(tuple(axis.bounds[edge] for axis in axes) for edge in cut_edges(graph)),
        keep=tuple(axis.keep for axis in axes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """Cuts along one axis, by edge."""

    image: Span
    bounds: dict[tuple[str, int], Span]
    keep: slice

    @classmethod
    def of(cls, graph: Graph, axis: int, n: int, keep: slice) -> _Axis | None:
        lengths = node_lengths(graph, axis, n)
        if lengths is None or not _fits(graph, lengths):
            return None
        needed = _needed(graph, axis, lengths, keep)
        # Where a padding depends on the length, that is left as it is.
        fixed = any(_is_placed(node) for node in graph.nodes)
        image = (0, n) if fixed else needed.get(graph.image.name, (0, n))
        left: dict[str, Span] = {graph.image.name: image}
        bounds: dict[tuple[str, int], Span] = {}
        for node in graph.nodes:
            if isinstance(node.operation, Image):
                continue
            if not isinstance(node.operation, _JOINS):
                span = _after(node, axis, left[node.inputs[0]], [lengths[n] for n in node.inputs])
                if span is None:
                    return None
                left[node.name] = span
                continue
            if node.name not in needed:
                return None
            first, behind = left[node.name] = needed[node.name]
            for number, name in enumerate(node.inputs):
                start, stop = left[name]
                if not start <= first < behind <= stop:
                    return None
                bounds[node.name, number] = first - start, behind - start
        start, stop = left[graph.outputs[0]]
        if not start <= keep.start < keep.stop <= stop:
            return None
        return cls(image=image, bounds=bounds, keep=slice(keep.start - start, keep.stop - start))


def _is_placed(node: Node) -> bool:
    """Tell if an operation on one input depends on where a cut-out lies."""
    return node.operation.placed and not isinstance(node.operation, MatchSize)


def _fits(graph: Graph, lengths: dict[str, int]) -> bool:
    """Tell if inputs of a join have one size.

    What is cut off to make sizes match is cut off by the join as well, if nothing stands between.
    """
    cropped: set[str] = set()
    for node in graph.nodes:
        own = [lengths[name] for name in node.inputs]
        if isinstance(node.operation, MatchSize):
            if own[0] < own[1]:
                return False
            if own[0] > own[1]:
                cropped.add(node.name)
        elif len(set(own)) > 1:
            return False
        if not isinstance(node.operation, _JOINS) and not cropped.isdisjoint(node.inputs):
            return False
    return cropped.isdisjoint(graph.outputs)


def _after(node: Node, axis: int, span: Span, lengths: Sequence[int]) -> Span | None:
    """Return the span of an answer to a part of an input; None if its windows lie otherwise.

    ``lengths`` are those of its whole inputs.
    """
    if isinstance(node.operation, MatchSize):
        moved = node.operation.shift(*lengths)
        return span[0] + moved, span[1] + moved
    first = span[0] / Fraction(node.operation.scale(axis))
    if first.denominator != 1:
        return None
    length = node.operation.length(axis, (span[1] - span[0],))
    return (int(first), int(first) + length) if length > 0 else None


def _needed(graph: Graph, axis: int, lengths: dict[str, int], keep: slice) -> dict[str, Span]:
    """Return what the kept part depends on of each node.

    Joins and the image begin where the windows behind them lie as in the whole.
    """
    steps = _steps(graph, axis)
    needed: dict[str, Span] = {graph.outputs[0]: (keep.start, keep.stop)}
    for node in reversed(graph.nodes):
        if node.name not in needed:
            continue
        first, behind = needed[node.name]
        if isinstance(node.operation, (*_JOINS, Image)):
            first -= first % steps[node.name]
        if isinstance(node.operation, Image):
            behind += -behind % steps[node.name]  # lengths that are divided are computed faster
        # Of what depends on padding alone, a pixel is left.
        first = min(max(first, 0), lengths[node.name] - 1)
        behind = max(min(behind, lengths[node.name]), first + 1)
        needed[node.name] = first, behind
        if not node.inputs:
            continue
        own = [lengths[name] for name in node.inputs]
        reaches = node.operation.reach(axis, first, behind - 1, own)
        for name, reach in zip(node.inputs, reaches, strict=True):
            if reach is not None:
                least, most = needed.get(name, (reach[0], reach[1] + 1))
                needed[name] = min(least, reach[0]), max(most, reach[1] + 1)
    return needed


def _steps(graph: Graph, axis: int) -> dict[str, int]:
    """Return at which multiples of its pixels each node may begin, so that later windows fit."""
    steps: dict[str, int] = dict.fromkeys((node.name for node in graph.nodes), 1)
    for node in reversed(graph.nodes):
        for name in node.inputs:
            ratio = Fraction(node.operation.scale(axis))
            step = ratio.numerator * steps[node.name]
            step //= math.gcd(step, ratio.denominator)
            steps[name] = math.lcm(steps[name], step)
    return steps

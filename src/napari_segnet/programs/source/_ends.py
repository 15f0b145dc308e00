"""From what ``forward`` answers to a graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_segnet.checkpoint import Output
from napari_segnet.graph import Channels, Graph, Resize, needed, scales
from napari_segnet.graph import sizes as sizes_of
from napari_segnet.programs._evaluate import Drawing, NotReadable, Value, answered
from napari_segnet.programs._outputs import group_of

__all__ = ["Ended", "FixedSize", "ended"]

LARGEST = 16
"""An answer of fewer pixels in each axis than a 16th of the image is no map of it."""


class FixedSize(Exception):
    """The answer has one size, whatever that of the image."""

    def __init__(self, lengths: tuple[int, ...]) -> None:
        self.lengths = lengths


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A graph, its outputs where there are several, and what is left out."""

    graph: Graph
    outputs: tuple[Output, ...]
    notes: tuple[str, ...]
    count: int


def ended(draw: Drawing, answer: Any, main: int, started: npt.NDArray[np.bool_]) -> Ended:
    """Return the graph of an answer; of several maps that mean the same only one is kept.

    Parameters
    ----------
    draw : Drawing
        The graph so far.
    answer : object
        A map, or maps in a list, tuple or dict.
    main : int
        Which of several is the one.
    started : ndarray
        bool ``(probe,)``: sizes of the image with which the reading began.
    """
    every = [pair for pair in _answers(answer) if isinstance(pair[1], Value)]
    if not every:
        raise NotReadable("it answers with no map")
    ends = [(name, answered(draw, value)) for name, value in every]
    _require_free(draw, ends[min(main, len(ends) - 1)][1])
    whole = draw.graph([node for _, node in ends])
    sizes = [scales(whole, axis) for axis in range(draw.ndim)]
    kept = [pair for pair in ends if all(scale[pair[1]] == 1 for scale in sizes)]
    notes: list[str] = []
    if not kept:
        name, node = ends[min(main, len(ends) - 1)]
        factors = [scale[node] for scale in sizes]
        if any(one.denominator != 1 or one > LARGEST for one in factors):
            raise NotReadable("its answer has another scale than the image")
        larger = Resize(factor=tuple(int(one) for one in factors), mode="linear")
        kept = [(name, draw.mapped(larger, node, stem="resized").node)]
        shown = " x ".join(str(int(one)) for one in factors)
        notes.append(
            f"Its answer has fewer pixels than the image; made {shown} times as large (linear)."
        )
        whole = draw.graph([kept[0][1]])
        every = every[:1]
    counts = {draw.builder.channels(node) for _, node in kept}
    if len(kept) < len(every) and not notes:
        left = len(every) - len(kept)
        notes.append(f"{left} outputs that are no maps of the image's size are left out.")
    outputs: tuple[Output, ...] = ()
    if len(kept) > 1 and len(counts) == 1 and not _parts(whole, [node for _, node in kept]):
        # Deep supervision: the same map from several depths.
        place = min(main, len(kept) - 1)
        notes.append(
            f"Its forward answers with {len(kept)} maps of the same channels; number {place + 1} "
            "is used."
        )
        kept = [kept[place]]
    elif len(kept) > 1:
        graph = needed(whole, tuple(dict.fromkeys(node for _, node in kept)))
        outputs = tuple(
            group_of(graph, node, draw.builder.channels(node), name, first=place == 0)
            for place, (name, node) in enumerate(kept)
        )
    graph = needed(whole, tuple(dict.fromkeys(node for _, node in kept)))
    _require_one_way(draw, graph, started)
    return Ended(graph=graph, outputs=outputs, notes=tuple(notes), count=len(every))


def _parts(graph: Graph, ends: list[str]) -> bool:
    """Tell if several maps are channels of one."""
    nodes = {node.name: node for node in graph.nodes}
    return all(isinstance(nodes[name].operation, Channels) for name in ends)


def _answers(answer: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(answer, dict):
        for key, one in answer.items():
            yield from _answers(one, str(key))
    elif isinstance(answer, list | tuple):
        for place, one in enumerate(answer):
            yield from _answers(one, f"{name}{place}")
    else:
        yield name, answer


def _require_free(draw: Drawing, node: str) -> None:
    """Find out if the answer has one size, whatever that of the image."""
    probes = draw.probes
    if probes.fixed or probes.alive.sum() < 2:
        return
    lengths = [probes.single(atom.lengths) for atom in draw.bases[node][2:]]
    if None not in lengths:
        raise FixedSize(tuple(int(n or 1) for n in lengths))


def _require_one_way(draw: Drawing, graph: Graph, started: npt.NDArray[np.bool_]) -> None:
    """Refuse a graph that takes sizes at which the code does something else."""
    size, probes = sizes_of(graph), draw.probes
    for place in (probes.other | ~started).nonzero()[0]:
        lengths = tuple(int(axis[place]) for axis in probes.lengths)
        if size is None:
            return
        rows = zip(lengths, size.minimum, size.multiple, size.remainder, strict=True)
        if all(n >= low and n % m == r for n, low, m, r in rows):
            shown = " x ".join(map(str, lengths))
            raise NotReadable(f"it does something else with an image of {shown} pixels")

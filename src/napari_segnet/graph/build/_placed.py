"""Layers whose answer to a cut-out depends on where in the whole it lies.

A cut-out that is resized to its skip connection, or padded ``same`` with a stride, by itself is
wrong even far from its borders: sizes of the whole decide where its pixels lie. Told where
the cut-out lies, these layers do what the whole would, except next to the cut-out's
borders, where the neighbour is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from napari_segnet.graph._convolutions import Convolution
from napari_segnet.graph._field import node_lengths, scales
from napari_segnet.graph._graph import Graph
from napari_segnet.graph._resizing import Resize, ResizeLike
from napari_segnet.graph._windows import MatchSize, Pooling

__all__ = ["Matched", "PaddedSame", "Place", "PlacedLayer", "Resized", "SameMean", "place_layers"]

MODES = {2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a cut-out lies, in pixels of each input of a node, per axis ``([z,] y, x)``.

    Attributes
    ----------
    offsets : tuple of tuple of int
        First pixel of the cut-out, for each input.
    wholes : tuple of tuple of int
        Size of the whole, for each input.
    offset, whole : tuple of int
        The same of the answer.
    """

    offsets: tuple[tuple[int, ...], ...]
    wholes: tuple[tuple[int, ...], ...]
    offset: tuple[int, ...]
    whole: tuple[int, ...]


class PlacedLayer(nn.Module):
    """A layer that is told where its inputs lie.

    Parameters
    ----------
    node : str
        The node that it stands for.
    operation : Operation
        What that does.

    Attributes
    ----------
    place : Place or None
        None: the input is the whole.
    """

    def __init__(self, node: str, operation: Any) -> None:
        super().__init__()
        self.node = node
        self.operation = operation
        self.place: Place | None = None

    def extra_repr(self) -> str:
        """Say what it does."""
        return repr(self.operation)


def place_layers(
    module: nn.Module,
    graph: Graph,
    offset_px: tuple[int, ...] | None = None,
    whole_px: tuple[int, ...] | None = None,
) -> None:
    """Tell the layers of a network where the cut-outs lie that it is going to see.

    Parameters
    ----------
    module : Module
        A network that was built from the graph.
    graph : Graph
        What it is.
    offset_px, whole_px : tuple of int, optional
        First pixel of the cut-out in the whole image, and the size of that; per axis
        ``([z,] y, x)``. Without, the inputs are whole images again.

    Raises
    ------
    ValueError
        The cut-out begins between two windows of a pooling.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, PlacedLayer)]
    if not layers or offset_px is None or whole_px is None:
        for layer in layers:
            layer.place = None
        return
    starts = [_starts(graph, axis, first) for axis, first in enumerate(offset_px)]
    sizes = [node_lengths(graph, axis, n) for axis, n in enumerate(whole_px)]
    nodes = {node.name: node for node in graph.nodes}
    for layer in layers:
        names = (*nodes[layer.node].inputs, layer.node)
        if any(start[name] is None for start in starts for name in names) or None in sizes:
            raise ValueError(
                "A cut-out must begin at a multiple of the network's stride, not at "
                f"{offset_px} of {whole_px}."
            )
        offsets = [tuple(int(start[name] or 0) for start in starts) for name in names]
        wholes = [tuple(size[name] for size in sizes if size) for name in names]
        layer.place = Place(
            offsets=tuple(offsets[:-1]),
            wholes=tuple(wholes[:-1]),
            offset=offsets[-1],
            whole=wholes[-1],
        )


def _starts(graph: Graph, axis: int, first: int) -> dict[str, int | None]:
    """Return the first pixel of each node's cut-out; None where it is no whole number."""
    places = {name: first / scale for name, scale in scales(graph, axis).items()}
    return {n: int(place) if place.denominator == 1 else None for n, place in places.items()}


class PaddedSame(PlacedLayer):
    """Pixels around the ends as TensorFlow's ``same`` adds them, for a window that follows.

    Parameters
    ----------
    node, operation
        As above.
    value : float
        What is added.
    """

    operation: Convolution | Pooling

    def __init__(self, node: str, operation: Any, value: float = 0.0) -> None:
        super().__init__(node, operation)
        self.value = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, c, [z,] y, x)`` to the same with more pixels."""
        own = self.operation
        margins: list[int] = []
        for axis, n in enumerate(x.shape[2:]):
            whole = n if self.place is None else self.place.wholes[0][axis]
            before, _ = own.margins(axis, whole)
            stride = own.stride[axis]
            window = own.dilation[axis] * (own.kernel[axis] - 1) + 1
            after = (-(-n // stride) - 1) * stride + window - n - before
            margins = [before, after, *margins]
        fill = getattr(own, "fill", "zeros")
        if fill == "zeros":
            return functional.pad(x, margins, value=self.value)
        return functional.pad(x, margins, mode=fill)


class SameMean(PaddedSame):
    """Average pooling that pads ``same``: what is added counts in no mean."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, c, [z,] y, x)`` to the means of its windows."""
        own = self.operation
        mean: Any = functional.avg_pool2d if x.ndim == 4 else functional.avg_pool3d
        there = super().forward(x.new_ones((1, 1, *x.shape[2:])))
        share = mean(there, own.kernel, own.stride)
        answer: torch.Tensor = mean(super().forward(x), own.kernel, own.stride) / share
        return answer


class Matched(PlacedLayer):
    """The first input at the size of the second: zeros are added, or pixels cut off."""

    operation: MatchSize

    def forward(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Map two maps ``(n, c, [z,] y, x)`` to the first at the size of the second."""
        margins: list[int] = []
        for axis, (have, want) in enumerate(zip(x.shape[2:], like.shape[2:], strict=True)):
            wholes = (have, want) if self.place is None else _at(self.place.wholes, axis)
            before = self.operation.shift(*wholes)
            margins = [before, want - have - before, *margins]
        return functional.pad(x, margins) if any(margins) else x


def _at(sizes: Sequence[tuple[int, ...]], axis: int) -> tuple[int, int]:
    return sizes[0][axis], sizes[1][axis]


class Resized(PlacedLayer):
    """Resizing by a factor, or to the size of a second input."""

    operation: Resize | ResizeLike

    def forward(self, x: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        """Map ``(n, c, [z,] y, x)`` to the same with other pixels."""
        own, want = self.operation, []
        for axis, n in enumerate(x.shape[2:]):
            lengths = (n,) if like is None else (n, like.shape[axis + 2])
            want.append(own.length(axis, lengths))
        grid = "asymmetric" if own.mode == "nearest" and like is None else own.grid
        if self.place is None and (own.mode, grid) in _TORCH:
            mode, align = _TORCH[own.mode, grid]
            mode = MODES[x.ndim - 2] if mode == "linear" else mode
            answer: torch.Tensor = functional.interpolate(x, want, mode=mode, align_corners=align)
            return answer
        for axis, count in enumerate(want):
            n = x.shape[axis + 2]
            line = _Line(have=n, want=count)
            if self.place is not None:
                line = _Line(
                    have=self.place.wholes[0][axis],
                    want=self.place.whole[axis],
                    first=self.place.offsets[0][axis],
                    start=self.place.offset[axis],
                )
            if line.have != line.want or count != n:
                x = _sampled(x, axis + 2, count, line, own.mode, grid)
        return x


_TORCH: dict[tuple[str, str], tuple[str, bool | None]] = {
    ("nearest", "asymmetric"): ("nearest", None),
    ("nearest", "half-pixel"): ("nearest-exact", None),
    ("linear", "half-pixel"): ("linear", False),
    ("linear", "corners"): ("linear", True),
}
"""What torch has itself: mode and ``align_corners``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One axis of a resizing: lengths of the whole, and where the cut-outs begin in it."""

    have: int
    want: int
    first: int = 0
    start: int = 0


def _sampled(
    x: torch.Tensor, dim: int, count: int, line: _Line, mode: str, grid: str
) -> torch.Tensor:
    """Return ``count`` pixels along one axis of a cut-out."""
    n = x.shape[dim]
    # torch computes places in half precision in float32. With the same roundings as there the
    # weights agree to the last bit, also at pixel 10000.
    exact = torch.float64 if x.dtype == torch.float64 else torch.float32
    real = np.float64 if exact == torch.float64 else np.float32
    have, want = (line.have - 1, line.want - 1) if grid == "corners" else (line.have, line.want)
    scale = float(real(have) / real(want)) if want > 0 else 0.0
    outputs = torch.arange(line.start, line.start + count, dtype=exact, device=x.device)
    if grid == "half-pixel":
        source = (outputs + 0.5) * scale - (0.0 if mode == "nearest" else 0.5)
    else:
        source = outputs * scale
    source = source.clamp(min=0)
    low = source.floor()
    near = low.long() - line.first
    if mode == "nearest":
        return x.index_select(dim, near.clamp(0, n - 1))
    weight = (source - low).to(x.dtype).reshape(-1, *(1,) * (x.ndim - dim - 1))
    first, second = near.clamp(0, n - 1), (near + 1).clamp(0, n - 1)
    return torch.lerp(x.index_select(dim, first), x.index_select(dim, second), weight)

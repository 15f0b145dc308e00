"""Blocks that several families are built of, drawn into a graph: what ``_blocks.py`` builds."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Literal

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.families._facts import ORDERS
from napari_segnet.graph import (
    Activation,
    BatchNorm,
    Concatenate,
    Convolution,
    Graph,
    GraphBuilder,
    Pooling,
    Resize,
    Tensor,
    TransposedConvolution,
    tensors,
)

__all__ = [
    "Drawn",
    "convolution",
    "double_conv",
    "joined",
    "numbered",
    "pool",
    "transposed",
    "upsample",
]


class Drawn(abc.ABC):
    """A family whose networks are drawn as a graph."""

    @abc.abstractmethod
    def graph(self, checkpoint: Checkpoint) -> Graph:
        """Return the layers, see ``GraphFamily``."""

    def tensors(self, checkpoint: Checkpoint) -> Mapping[str, Tensor]:
        """Return the tensors of the graph, see ``DescribedFamily``."""
        return tensors(self.graph(checkpoint))


def convolution(
    draw: GraphBuilder,
    name: str,
    x: str,
    outputs: int,
    kernel: int,
    padding: int = 0,
    bias: bool = True,
) -> str:
    """Draw a convolution with a kernel of one edge; return its node."""
    ones = (1,) * draw.ndim
    margin = (padding,) * draw.ndim
    layer = Convolution(
        outputs=outputs,
        kernel=(kernel,) * draw.ndim,
        stride=ones,
        before=margin,
        after=margin,
        dilation=ones,
        bias=bias,
    )
    return draw.add(name, layer, x)


def transposed(
    draw: GraphBuilder, name: str, x: str, outputs: int, stride: tuple[int, ...] | None = None
) -> str:
    """Draw a transposed convolution whose kernel is its stride (2 by default)."""
    steps = stride or (2,) * draw.ndim
    zeros, ones = (0,) * draw.ndim, (1,) * draw.ndim
    layer = TransposedConvolution(
        outputs=outputs,
        kernel=steps,
        stride=steps,
        before=zeros,
        after=zeros,
        extra=zeros,
        dilation=ones,
    )
    return draw.add(name, layer, x)


def pool(
    draw: GraphBuilder,
    name: str,
    x: str,
    kind: str = "max",
    stride: tuple[int, ...] | None = None,
) -> str:
    """Draw a pooling whose window is its stride (2 by default); an odd last pixel is dropped."""
    steps = stride or (2,) * draw.ndim
    layer = Pooling(
        kind="average" if kind == "average" else "max",
        kernel=steps,
        stride=steps,
        padding=(0,) * draw.ndim,
        dilation=(1,) * draw.ndim,
    )
    return draw.add(name, layer, x)


def upsample(draw: GraphBuilder, name: str, x: str, align_corners: bool) -> str:
    """Draw linear up-sampling by 2."""
    grid: Literal["corners", "half-pixel"] = "corners" if align_corners else "half-pixel"
    layer = Resize(factor=(2,) * draw.ndim, mode="linear", grid=grid)
    return draw.add(name, layer, x)


def joined(draw: GraphBuilder, name: str, *parts: str) -> str:
    """Draw the join of channels, in the order of the parts."""
    return draw.add(name, Concatenate(), *parts)


def double_conv(
    draw: GraphBuilder,
    x: str,
    widths: tuple[int, int],
    names: Iterable[str],
    order: str = "conv-norm-relu",
    kernel: int = 3,
    padding: int = 1,
    bias: bool = False,
) -> str:
    """Draw two convolutions with what belongs to them; return the last node.

    Parameters
    ----------
    draw : GraphBuilder
        The graph so far.
    x : str
        Node that they begin with.
    widths : tuple of int
        Channels between and after the two convolutions.
    names : iterable of str
        Of the layers, in order; :func:`numbered` where they are a sequence.
    order : str
        A key of ``ORDERS``: what is repeated.
    kernel, padding : int
        Edge of the kernel and zeros on each side, in pixels.
    bias : bool
        Whether the convolutions have one.
    """
    following = iter(names)
    for outputs in widths:
        for part in ORDERS[order]:
            name = next(following)
            if part == "conv":
                x = convolution(draw, name, x, outputs, kernel, padding, bias)
            elif part == "norm":
                x = draw.add(name, BatchNorm(), x)
            else:
                x = draw.add(name, Activation(function="relu"), x)
    return x


def numbered(prefix: str) -> Iterable[str]:
    """Return the names of the layers of a sequence: ``prefix.0``, ``prefix.1``, ..."""
    return (f"{prefix}.{number}" for number in count())

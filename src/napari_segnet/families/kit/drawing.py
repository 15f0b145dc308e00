"""Blocks that several families are built of, drawn into a graph: what ``blocks.py`` builds."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Literal

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.families.kit.facts import ORDERS
from napari_segnet.families.kit.kinds import Kinds
from napari_segnet.graph import (
    Activation,
    BatchNorm,
    Concatenate,
    Convolution,
    Graph,
    GraphBuilder,
    Identity,
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
    "nonlinearity",
    "numbered",
    "pool",
    "transposed",
    "upsample",
    "upsampled",
]


PLAIN = Kinds()


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
    kinds: Kinds = PLAIN,
) -> str:
    """Draw a convolution with a kernel of one edge; return its node."""
    ones = (1,) * draw.ndim
    margin = (padding * kinds.dilation,) * draw.ndim
    fills: Mapping[str, Literal["zeros", "reflect", "replicate"]] = {
        "reflect": "reflect",
        "replicate": "replicate",
    }
    layer = Convolution(
        outputs=outputs,
        kernel=(kernel,) * draw.ndim,
        stride=ones,
        before=margin,
        after=margin,
        dilation=(kinds.dilation,) * draw.ndim,
        bias=bias,
        fill=fills.get(kinds.padding_mode, "zeros") if padding else "zeros",
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
    """Draw a pooling whose window is its stride (2 by default); an odd last pixel is dropped.

    ``max-3x3`` has overlapping windows: one more pixel on each side of its middle.
    """
    steps = stride or (2,) * draw.ndim
    overlap = kind == "max-3x3"
    layer = Pooling(
        kind="average" if kind == "average" else "max",
        kernel=(3,) * draw.ndim if overlap else steps,
        stride=steps,
        padding=(1 if overlap else 0,) * draw.ndim,
        dilation=(1,) * draw.ndim,
    )
    return draw.add(name, layer, x)


def upsample(draw: GraphBuilder, name: str, x: str, align_corners: bool) -> str:
    """Draw linear up-sampling by 2."""
    grid: Literal["corners", "half-pixel"] = "corners" if align_corners else "half-pixel"
    layer = Resize(factor=(2,) * draw.ndim, mode="linear", grid=grid)
    return draw.add(name, layer, x)


def upsampled(draw: GraphBuilder, name: str, x: str, kind: str) -> str:
    """Draw up-sampling by 2: ``linear-aligned``, ``linear`` or ``nearest``."""
    if kind == "nearest":
        return draw.add(name, Resize(factor=(2,) * draw.ndim, mode="nearest"), x)
    return upsample(draw, name, x, align_corners=kind == "linear-aligned")


def nonlinearity(draw: GraphBuilder, name: str, x: str, kinds: Kinds) -> str:
    """Draw the function after a convolution."""
    word, number = kinds.function
    if word == "none":
        return draw.add(name, Identity(), x)
    if word == "leaky_relu":
        return draw.add(name, Activation(function="leaky-relu", slope=number), x)
    if word == "elu":
        return draw.add(name, Activation(function="elu", slope=number), x)
    functions: Mapping[str, Literal["relu", "gelu", "silu"]] = {"gelu": "gelu", "silu": "silu"}
    return draw.add(name, Activation(function=functions.get(word, "relu")), x)


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
    kinds: Kinds = PLAIN,
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
        Edge of the kernel and pixels on each side.
    bias : bool
        Whether the convolutions have one.
    kinds : Kinds
        What no tensor shows.
    """
    following = iter(names)
    for outputs in widths:
        for part in ORDERS[order]:
            name = next(following)
            if part == "conv":
                x = convolution(draw, name, x, outputs, kernel, padding, bias, kinds)
            elif part == "norm":
                x = draw.add(name, BatchNorm(epsilon=kinds.norm_eps), x)
            else:
                x = nonlinearity(draw, name, x, kinds)
    return x


def numbered(prefix: str) -> Iterable[str]:
    """Return the names of the layers of a sequence: ``prefix.0``, ``prefix.1``, ..."""
    return (f"{prefix}.{number}" for number in count())

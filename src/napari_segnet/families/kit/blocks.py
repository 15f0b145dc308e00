"""Layers that several families are built of, in two or three dimensions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_segnet.families.kit.facts import ORDERS
from napari_segnet.families.kit.kinds import Kinds
from napari_segnet.graph.build import GraphNetwork, Joining, PlacedLayer, Rows

__all__ = [
    "Joining",
    "PlacedUpsample",
    "convolution",
    "depends_on_place",
    "double_conv",
    "nonlinearity",
    "place",
    "pool",
    "transposed",
    "unplace",
    "upsampled",
]

PLAIN = Kinds()
MODES = {2: "bilinear", 3: "trilinear"}


class PlacedUpsample(nn.Module):
    """Linear up-sampling by 2 that treats a cut-out as if the whole were there.

    With ``align_corners=True`` the place that an output pixel looks at depends on the
    size of the *whole* input: at its far end it lies half a pixel nearer to the origin
    than at its near end. A cut-out that is up-sampled by itself is therefore wrong, even
    far from its borders. Told where the cut-out lies, this layer samples as the whole
    would, except next to the cut-out's borders, where the neighbour is missing.

    Parameters
    ----------
    stride : tuple of int
        Pixels of the network's input per pixel of this layer's input, per axis
        ``([z,] y, x)``.

    Attributes
    ----------
    offset, whole : tuple of int or None
        Where the cut-out begins, and how large the whole is, both in pixels of this
        layer's input, per axis. None: the input is the whole.
    """

    def __init__(self, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.stride = stride
        self.offset: tuple[int, ...] | None = None
        self.whole: tuple[int, ...] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, c, [z,] y, x)`` to the same with twice the pixels along each axis."""
        if self.offset is None or self.whole is None:
            mode = MODES[x.ndim - 2]
            return nn.functional.interpolate(x, scale_factor=2, mode=mode, align_corners=True)
        for axis, (offset, whole) in enumerate(zip(self.offset, self.whole, strict=True)):
            x = _stretch(x, axis + 2, offset, whole)
        return x

    def extra_repr(self) -> str:
        """Say where the input lies."""
        return f"stride={self.stride}, offset={self.offset}, whole={self.whole}"


def _stretch(x: torch.Tensor, dim: int, offset: int, whole: int) -> torch.Tensor:
    """Up-sample one axis of a cut-out ``offset : offset + n`` of ``whole`` pixels."""
    n = x.shape[dim]
    # torch computes the source positions of half precision in float32. With the same
    # roundings as there the weights agree to the last bit, also at pixel 10000.
    exact = torch.float64 if x.dtype == torch.float64 else torch.float32
    real = np.float64 if exact == torch.float64 else np.float32
    scale = float(real(whole - 1) / real(2 * whole - 1))
    source = torch.arange(2 * offset, 2 * (offset + n), dtype=exact, device=x.device) * scale
    low = source.floor()
    weight = (source - low).to(x.dtype).reshape(-1, *(1,) * (x.ndim - dim - 1))
    near = low.long() - offset
    first, second = near.clamp(0, n - 1), (near + 1).clamp(0, n - 1)
    return torch.lerp(x.index_select(dim, first), x.index_select(dim, second), weight)


def place(module: nn.Module, offset_px: tuple[int, ...], whole_px: tuple[int, ...]) -> None:
    """Tell a network where the cut-outs lie that it is going to see.

    Parameters
    ----------
    module : Module
        The network; only its :class:`PlacedUpsample` and ``PlacedLayer`` layers care.
    offset_px : tuple of int
        First pixel of the cut-out in the whole image, per axis ``([z,] y, x)``; a
        multiple of the network's stride.
    whole_px : tuple of int
        Size of the whole image, as the network would take it.

    Raises
    ------
    ValueError
        The cut-out begins between two windows of a pooling.
    """
    for layer in module.modules():
        if isinstance(layer, GraphNetwork | Rows):
            layer.place(offset_px, whole_px)
        if not isinstance(layer, PlacedUpsample):
            continue
        if any(o % s for o, s in zip(offset_px, layer.stride, strict=True)):
            raise ValueError(
                f"A cut-out must begin at a multiple of {layer.stride} pixels, not at {offset_px}."
            )
        layer.offset = tuple(o // s for o, s in zip(offset_px, layer.stride, strict=True))
        layer.whole = tuple(w // s for w, s in zip(whole_px, layer.stride, strict=True))


def unplace(module: nn.Module) -> None:
    """Tell a network that it is going to see whole images again."""
    for layer in module.modules():
        if isinstance(layer, GraphNetwork | Rows):
            layer.unplace()
        if isinstance(layer, PlacedUpsample):
            layer.offset = layer.whole = None


def depends_on_place(module: nn.Module) -> bool:
    """Tell if a network's answer to a cut-out depends on where in the whole it lies."""
    return any(isinstance(layer, PlacedUpsample | PlacedLayer) for layer in module.modules())


def convolution(
    ndim: int,
    inputs: int,
    outputs: int,
    kernel: int,
    padding: int = 0,
    bias: bool = True,
    kinds: Kinds = PLAIN,
) -> nn.Module:
    """Return a 2D or 3D convolution; ``padding`` is that of an undilated kernel."""
    kind = nn.Conv2d if ndim == 2 else nn.Conv3d
    fill: Any = kinds.padding_mode if padding else "zeros"
    rim, gap = padding * kinds.dilation, kinds.dilation
    return kind(inputs, outputs, kernel, padding=rim, dilation=gap, bias=bias, padding_mode=fill)


def transposed(ndim: int, inputs: int, outputs: int) -> nn.Module:
    """Return a transposed convolution that doubles each axis."""
    kind = nn.ConvTranspose2d if ndim == 2 else nn.ConvTranspose3d
    return kind(inputs, outputs, 2, stride=2)


def pool(ndim: int, kind: str = "max") -> nn.Module:
    """Return a pooling that halves each axis.

    An odd last pixel is dropped, but for ``max-3x3``, whose windows overlap.
    """
    if kind == "average":
        return (nn.AvgPool2d if ndim == 2 else nn.AvgPool3d)(2)
    largest = nn.MaxPool2d if ndim == 2 else nn.MaxPool3d
    return largest(3, stride=2, padding=1) if kind == "max-3x3" else largest(2)


def upsampled(kind: str, stride: tuple[int, ...]) -> nn.Module:
    """Return up-sampling by 2 without weights.

    Parameters
    ----------
    kind : str
        ``linear-aligned``, ``linear`` or ``nearest``.
    stride : tuple of int
        As of :class:`PlacedUpsample`.
    """
    if kind == "linear-aligned":
        return PlacedUpsample(stride=stride)
    # Both look at neighbours only, so a cut-out needs not know where it lies.
    if kind == "nearest":
        return nn.Upsample(scale_factor=2, mode="nearest")
    return nn.Upsample(scale_factor=2, mode=MODES[len(stride)], align_corners=False)


def nonlinearity(kinds: Kinds) -> nn.Module:
    """Return the function after a convolution."""
    word, number = kinds.function
    layers: dict[str, Callable[[], nn.Module]] = {
        "relu": lambda: nn.ReLU(inplace=True),
        "leaky_relu": lambda: nn.LeakyReLU(number, inplace=True),
        "elu": lambda: nn.ELU(number, inplace=True),
        "gelu": nn.GELU,
        "silu": lambda: nn.SiLU(inplace=True),
        "none": nn.Identity,
    }
    return layers[word]()


def double_conv(
    ndim: int,
    widths: tuple[int, int, int],
    order: str = "conv-norm-relu",
    kernel: int = 3,
    padding: int = 1,
    bias: bool = False,
    kinds: Kinds = PLAIN,
) -> Joining:
    """Return two convolutions with what belongs to them.

    Parameters
    ----------
    ndim : int
        2 or 3.
    widths : tuple of int
        Channels before, between and after the two convolutions.
    order : str
        A key of ``ORDERS``: what is repeated.
    kernel, padding : int
        Edge of the kernel and pixels on each side.
    bias : bool
        Whether the convolutions have one.
    kinds : Kinds
        What no tensor shows.
    """
    norm = nn.BatchNorm2d if ndim == 2 else nn.BatchNorm3d
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        for part in ORDERS[order]:
            if part == "conv":
                parts.append(convolution(ndim, inputs, outputs, kernel, padding, bias, kinds))
            elif part == "norm":
                parts.append(norm(outputs, eps=kinds.norm_eps))
            else:
                parts.append(nonlinearity(kinds))
    return Joining(*parts)

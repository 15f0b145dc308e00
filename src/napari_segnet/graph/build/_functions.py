"""Layers without tensors that torch has as functions only."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from napari_segnet.graph._arrays import Reshape, reshaped
from napari_segnet.graph._pointwise import Activation

__all__ = [
    "FUNCTIONS",
    "Apply",
    "Combined",
    "Joined",
    "Padded",
    "Reshaped",
    "Scaled",
    "Unpooled",
    "shuffled",
    "unshuffled",
]

Op = Callable[[torch.Tensor], torch.Tensor]


class Apply(nn.Module):
    """A function of one tensor."""

    def __init__(self, function: Op, says: str) -> None:
        super().__init__()
        self.function = function
        self.says = says

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the function does."""
        return self.function(x)

    def extra_repr(self) -> str:
        """Say what it does."""
        return self.says


def _thresholded(x: torch.Tensor, threshold: float, slope: float) -> torch.Tensor:
    return torch.where(x >= threshold, x, slope * (x - threshold))


def _above(x: torch.Tensor, threshold: float) -> torch.Tensor:
    return x * (x > threshold)


def _hard_sigmoid_fifth(x: torch.Tensor) -> torch.Tensor:
    return (x * 0.2 + 0.5).clamp(0, 1)


FUNCTIONS: Mapping[str, Callable[[Activation], Op]] = {
    "clip": lambda o: functools.partial(torch.clamp, min=o.low, max=o.high),
    "thresholded-relu": lambda o: functools.partial(
        _thresholded, threshold=o.threshold, slope=o.slope
    ),
    "threshold": lambda o: functools.partial(_above, threshold=o.threshold),
    "hard-sigmoid-fifth": lambda o: _hard_sigmoid_fifth,
    "exp": lambda o: torch.exp,
    "log": lambda o: torch.log,
    "sqrt": lambda o: torch.sqrt,
    "square": lambda o: torch.square,
    "abs": lambda o: torch.abs,
    "reciprocal": lambda o: torch.reciprocal,
    "erf": lambda o: torch.erf,
}
"""Activations that are no layers of torch."""


def shuffled(
    x: torch.Tensor, factor: tuple[int, ...], order: str = "channels-first"
) -> torch.Tensor:
    """Return channels as blocks of pixels, see ``PixelShuffle``."""
    ndim, lengths = len(factor), x.shape[2:]
    if order == "channels-first":
        x = x.reshape(len(x), -1, *factor, *lengths)
    else:
        x = x.reshape(len(x), *factor, -1, *lengths).movedim(ndim + 1, 1)
    axes = [axis for i in range(ndim) for axis in (2 + ndim + i, 2 + i)]
    sizes = [n * f for n, f in zip(lengths, factor, strict=True)]
    return x.permute(0, 1, *axes).reshape(len(x), -1, *sizes)


def unshuffled(x: torch.Tensor, factor: tuple[int, ...]) -> torch.Tensor:
    """Return blocks of pixels as channels, see ``PixelUnshuffle``."""
    ndim, lengths = len(factor), [n // f for n, f in zip(x.shape[2:], factor, strict=True)]
    sizes = [n for pair in zip(lengths, factor, strict=True) for n in pair]
    x = x.reshape(len(x), x.shape[1], *sizes)
    blocks, places = range(3, 3 + 2 * ndim, 2), range(2, 2 + 2 * ndim, 2)
    return x.permute(0, *blocks, 1, *places).reshape(len(x), -1, *lengths)


class Padded(nn.Module):
    """Pixels are added at the ends, or cut off where a number is negative."""

    def __init__(
        self,
        before: Sequence[int],
        after: Sequence[int],
        fill: str = "zeros",
        value: float = 0.0,
    ) -> None:
        super().__init__()
        pairs = list(zip(before, after, strict=True))[::-1]  # the last axis comes first
        self.margins = [n for pair in pairs for n in pair]
        self.mode = "constant" if fill == "zeros" else fill
        self.value = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, c, [z,] y, x)`` to the same with other lengths."""
        if self.mode == "constant":
            return functional.pad(x, self.margins, value=self.value)
        return functional.pad(x, self.margins, mode=self.mode)

    def extra_repr(self) -> str:
        """Say how many pixels are added."""
        return f"{self.margins}, mode={self.mode!r}, value={self.value}"


class Unpooled(nn.Module):
    """Values where the largest pixels of another map are, see ``Unpooling``."""

    def __init__(self, kernel: tuple[int, ...], stride: tuple[int, ...]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Map values, and what was pooled, both ``(n, c, [z,] y, x)``, to one as large."""
        plane = x.ndim == 4
        pool: Any = functional.max_pool2d if plane else functional.max_pool3d
        unpool: Any = functional.max_unpool2d if plane else functional.max_unpool3d
        _, places = pool(before, self.kernel, self.stride, return_indices=True)
        answer: torch.Tensor = unpool(
            x, places, self.kernel, self.stride, output_size=before.shape[2:]
        )
        return answer

    def extra_repr(self) -> str:
        """Say the windows."""
        return f"kernel={self.kernel}, stride={self.stride}"


class Scaled(nn.Module):
    """Fixed numbers for all channels, or for each."""

    def __init__(self, scales: tuple[float, ...], offsets: tuple[float, ...]) -> None:
        super().__init__()
        self.scales, self.offsets = scales, offsets

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x * scale + offset``."""
        return x * _wide(self.scales, x) + _wide(self.offsets, x)

    def extra_repr(self) -> str:
        """Say the numbers."""
        return f"scales={self.scales}, offsets={self.offsets}"


def _wide(numbers: tuple[float, ...], x: torch.Tensor) -> torch.Tensor | float:
    if len(numbers) == 1:
        return numbers[0]
    return x.new_tensor(numbers).reshape(-1, *(1,) * (x.ndim - 2))


class Joined(nn.Module):
    """Tensors one after the other along an axis."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """Join the parts."""
        return torch.cat(parts, dim=self.dim)


class Combined(nn.Module):
    """Several tensors become one, value by value."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """Combine the parts."""
        total = functools.reduce(_COMBINE[self.kind], parts)
        return total / len(parts) if self.kind == "average" else total

    def extra_repr(self) -> str:
        """Say how."""
        return self.kind


_COMBINE: Mapping[str, Any] = {
    "add": torch.add,
    "average": torch.add,
    "multiply": torch.mul,
    "subtract": torch.sub,
    "divide": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
}


class Reshaped(nn.Module):
    """The same values along other axes."""

    def __init__(self, operation: Reshape) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, x: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        """Reshape ``x``; lengths come from ``like``, or from itself."""
        shapes = [tuple(one.shape[1:]) for one in (x, like) if one is not None]
        lengths = reshaped(self.operation.lengths, shapes)
        return x.reshape(len(x), *lengths)

    def extra_repr(self) -> str:
        """Say the lengths."""
        return repr(self.operation.lengths)

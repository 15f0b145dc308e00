"""Convolutions that follow each other, done in bands: what lies between them stays in cache.

A large image pushed through a U-Net layer by layer moves every intermediate tensor to the
main memory and back, which takes as long as the arithmetic. A band of rows small enough
for the cache goes through the whole chain at once, its neighbours' rows (one per side and
3x3 convolution) computed twice. Nothing but the order of the work changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from napari_segnet.progress import check_cancelled

__all__ = ["BandedTransposed", "Chain", "is_convolution"]

BAND_BYTES = 8 * 1024**2
"""A band's largest intermediate tensor: below the second and third level caches of common
CPUs together, and small enough that the C library uses freed memory again."""
LEAST_ROWS = 8
"""Of a band cut for the cache, for each row that a neighbour computes again."""
BAND_FLOPS = 4e9
"""A single convolution is done in pieces of no more work, so that a cancelled job stops within
a second also in the middle of a large tile: 0.07 s on a fast core (60e9 per second), 0.8 s
where a core does 5e9. Not measured while it runs: the cuts decide how sums are rounded, and
a run repeated elsewhere or later is to give the same bytes."""


class Chain(nn.Module):
    """Convolutions and pointwise layers in a row; the answer is that of one after the other.

    Parameters
    ----------
    layers : sequence of Module
        The first is a convolution. Convolutions have a stride of 1 and pad with zeros;
        other layers change every value by itself.
    """

    joins = True
    """Takes several tensors and joins their channels, band by band."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self._convs: list[Any] = [layer for layer in layers if is_convolution(layer)]

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """Answer ``(n, c, [z,] y, x)``, or several such tensors joined along ``c``."""
        lengths = [parts[0].shape[2:]]
        for conv in self._convs:
            lengths.append(_after(conv, lengths[-1]))
        bands = 1 if parts[0].device.type == "meta" else self._bands(parts, lengths)
        rows = lengths[-1][0]
        if bands < 2:
            return self._run(_joined(parts, 0, parts[0].shape[2]), [None] * len(self._convs))
        answer: torch.Tensor | None = None
        for start, stop in pairwise(rows * i // bands for i in range(bands + 1)):
            spans = self._spans(start, stop, [length[0] for length in lengths])
            band = self._run(_joined(parts, spans[0].low, spans[0].high), spans)
            if answer is None:
                answer = _empty_like(band, rows)
            answer.narrow(2, start, stop - start).copy_(band)
        assert answer is not None
        return answer

    def _bands(self, parts: Sequence[torch.Tensor], lengths: Sequence[Sequence[int]]) -> int:
        """Return how many bands stay in the cache; 1 where there is nothing between layers."""
        if len(self.layers) < 2 and len(parts) < 2:
            return 1
        widths = [sum(part.shape[1] for part in parts)]
        widths += [conv.out_channels for conv in self._convs]
        largest = max(c * math.prod(n) for c, n in zip(widths, lengths, strict=True))
        bytes_ = largest * parts[0].shape[0] * parts[0].element_size()
        again = sum(_reach(conv) for conv in self._convs[1:])
        rows = lengths[-1][0]
        return max(1, min(bytes_ // BAND_BYTES, rows // (LEAST_ROWS * max(again, 1))))

    def _spans(self, start: int, stop: int, lengths: Sequence[int]) -> list[_Span]:
        """Return the rows that each convolution reads for rows of the answer, and its zeros."""
        spans: list[_Span] = []
        for conv, length in zip(reversed(self._convs), reversed(lengths[:-1]), strict=True):
            spans.append(_span(conv, start, stop, int(conv.padding[0]), length))
            start, stop = spans[-1].low, spans[-1].high
        return spans[::-1]

    def _run(self, x: torch.Tensor, spans: Sequence[_Span | None]) -> torch.Tensor:
        ahead = iter(spans)
        for layer in self.layers:
            if is_convolution(layer):
                x = _in_pieces(layer, x, next(ahead))
            else:
                x = layer(x)
        return x


class _Span(NamedTuple):
    """Rows that a convolution reads, and rows of zeros in front of them and behind."""

    low: int
    high: int
    before: int
    behind: int


class BandedTransposed(nn.Module):
    """A transposed convolution without overlap in bands: each input pixel has its own block."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv: Any = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, c, [z,] y, x)`` to blocks of pixels."""
        rows = x.shape[2]
        flops = 2.0 * self.conv.weight.numel() * x.shape[0] * math.prod(x.shape[2:])
        bands = min(math.ceil(flops / BAND_FLOPS), rows)
        if bands < 2 or x.device.type == "meta":
            whole: torch.Tensor = self.conv(x)
            return whole
        answer: torch.Tensor | None = None
        for start, stop in pairwise(rows * i // bands for i in range(bands + 1)):
            check_cancelled()
            band = self.conv(x.narrow(2, start, stop - start))
            block = band.shape[2] // (stop - start)
            if answer is None:
                answer = _empty_like(band, rows * block)
            answer.narrow(2, start * block, (stop - start) * block).copy_(band)
        assert answer is not None
        return answer


def is_convolution(layer: nn.Module) -> bool:
    """Tell if a layer may be a link of a chain that looks at neighbours."""
    return (
        isinstance(layer, nn.Conv2d | nn.Conv3d)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and all(s == 1 for s in layer.stride)
    )


def _empty_like(band: torch.Tensor, rows: int) -> torch.Tensor:
    """Return a tensor for all bands along the first axis of space, laid out as one of them."""
    shape = [rows if i == 2 else n for i, n in enumerate(band.shape)]
    layout = torch.contiguous_format
    if band.ndim == 4 and band.is_contiguous(memory_format=torch.channels_last):
        layout = torch.channels_last
    return torch.empty(shape, dtype=band.dtype, device=band.device, memory_format=layout)


def _reach(conv: Any) -> int:
    return int((conv.kernel_size[0] - 1) * conv.dilation[0])


def _after(conv: Any, lengths: Sequence[int]) -> torch.Size:
    """Return the lengths of a convolution's answer."""
    reach = [(k - 1) * d for k, d in zip(conv.kernel_size, conv.dilation, strict=True)]
    return torch.Size(
        n + 2 * int(p) - r for n, p, r in zip(lengths, conv.padding, reach, strict=True)
    )


def _joined(parts: Sequence[torch.Tensor], low: int, high: int) -> torch.Tensor:
    if (low, high) != (0, parts[0].shape[2]):
        parts = [part.narrow(2, low, high - low) for part in parts]
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)


def _span(conv: Any, start: int, stop: int, before: int, length: int) -> _Span:
    """Return what is read for rows ``start`` to ``stop`` of an answer.

    Parameters
    ----------
    conv : Module
        The convolution.
    start, stop : int
        Rows of its answer.
    before : int
        Rows of zeros in front of its input.
    length : int
        Rows of its input.
    """
    first, last = start - before, stop - before + _reach(conv)
    low, high = (min(max(n, 0), length) for n in (first, last))
    if low == high:  # all of it lies in the padding
        return _Span(low, high, last - first, 0)
    return _Span(low, high, low - first, last - high)


def _in_pieces(conv: Any, x: torch.Tensor, span: _Span | None) -> torch.Tensor:
    """Convolve rows that are there and rows of zeros around them, piece by piece."""
    padding = int(conv.padding[0])
    before, behind = (padding, padding) if span is None else (span.before, span.behind)
    rows = x.shape[2] + before + behind - _reach(conv)
    flops = 2 * conv.weight.numel() * x.shape[0] * rows * math.prod(_after(conv, x.shape[2:])[1:])
    pieces = 1 if x.device.type == "meta" else min(math.ceil(flops / BAND_FLOPS), rows)
    check_cancelled()
    if pieces < 2:
        return _convolve(conv, x, before, behind)
    answer: torch.Tensor | None = None
    for start, stop in pairwise(rows * i // pieces for i in range(pieces + 1)):
        check_cancelled()
        low, high, *zeros = _span(conv, start, stop, before, x.shape[2])
        piece = _convolve(conv, x.narrow(2, low, high - low), *zeros)
        if answer is None:
            answer = _empty_like(piece, rows)
        answer.narrow(2, start, stop - start).copy_(piece)
    assert answer is not None
    return answer


def _convolve(conv: Any, x: torch.Tensor, before: int, behind: int) -> torch.Tensor:
    padding = tuple(int(p) for p in conv.padding)
    if (before, behind) != (padding[0], padding[0]):
        if before or behind:  # the last axis comes first
            x = functional.pad(x, [0, 0] * (x.ndim - 3) + [before, behind])
        padding = (0, *padding[1:])
    convolve: Any = functional.conv2d if x.ndim == 4 else functional.conv3d
    answer: torch.Tensor = convolve(
        x, conv.weight, conv.bias, padding=padding, dilation=conv.dilation, groups=conv.groups
    )
    return answer

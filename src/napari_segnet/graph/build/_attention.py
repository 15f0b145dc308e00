"""Attention inside windows, some windows at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from napari_segnet.graph._attention import WindowAttention

__all__ = ["InWindows"]

AT_ONCE = 2**22
"""Weights of pairs of pixels that are held at once (16 MiB), or those of one window."""
UNSEEN = -100.0
"""Added to what a pixel of the far end fits: in Swin Transformers it is not infinite."""


class InWindows(nn.Module):
    """See ``WindowAttention``; its tensors are called as in Swin Transformers.

    Parameters
    ----------
    channels : int
        Of the map.
    operation : WindowAttention
        What it does.
    """

    def __init__(self, channels: int, operation: WindowAttention) -> None:
        super().__init__()
        self.operation = operation
        places = math.prod(2 * edge - 1 for edge in operation.window)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(places, operation.heads))
        self.qkv = nn.Linear(channels, 3 * channels, bias=operation.bias)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, c, [z,] y, x)`` to the same shape."""
        lengths = tuple(x.shape[2:])
        own = self.operation
        window = tuple(min(n, w) for n, w in zip(lengths, own.window, strict=True))
        shift = tuple(
            s if n > w else 0 for n, w, s in zip(lengths, own.window, own.shift, strict=True)
        )
        counts = [-(-n // w) for n, w in zip(lengths, window, strict=True)]
        whole = [c * w for c, w in zip(counts, window, strict=True)]
        added = [v for n, w in zip(lengths[::-1], whole[::-1], strict=True) for v in (0, w - n)]
        dims = tuple(range(1, len(lengths) + 1))
        last = functional.pad(x.movedim(1, -1), (0, 0, *added))
        last = torch.roll(last, [-s for s in shift], dims)
        rows = _cut(last, counts, window)
        answers = self._attended(rows, self._biases(rows.shape[1]), self._parts(whole, shift, rows))
        last = _joined(answers, len(x), counts, window)
        last = torch.roll(last, shift, dims)
        for axis, n in enumerate(lengths):
            last = last.narrow(axis + 1, 0, n)
        return last.movedim(-1, 1)

    def _attended(
        self, rows: torch.Tensor, biases: torch.Tensor, parts: torch.Tensor | None
    ) -> torch.Tensor:
        """Answer windows ``(windows, pixels, channels)``, a few at a time.

        ``biases`` ``(heads, pixels, pixels)`` are added to what pairs of pixels fit, ``parts``
        ``(windows of one map, pixels)`` tells which of them see each other.
        """
        heads, (windows, pixels, width) = self.operation.heads, rows.shape
        scale, found = (width // heads) ** -0.5, []
        step = max(1, AT_ONCE // (heads * pixels * pixels))
        for first in range(0, windows, step):
            some = rows[first : first + step]
            count = len(some)
            three = self.qkv(some).reshape(count, pixels, 3, heads, width // heads)
            queries, keys, values = three.permute(2, 0, 3, 1, 4)
            fit = (queries * scale) @ keys.transpose(-2, -1) + biases
            if parts is not None:
                own = parts[torch.arange(first, first + count, device=rows.device) % len(parts)]
                unseen = (own[:, :, None] != own[:, None, :])[:, None]
                fit = fit + unseen.to(fit.dtype) * UNSEEN
            summed = fit.softmax(dim=-1) @ values
            found.append(self.proj(summed.transpose(1, 2).reshape(count, pixels, width)))
        return found[0] if len(found) == 1 else torch.cat(found)

    def _biases(self, pixels: int) -> torch.Tensor:
        """Return ``(heads, pixels, pixels)``: a number for each distance in a whole window.

        A smaller window takes those of as many first pixels of a whole one, as MONAI does.
        """
        table, window = self.relative_position_bias_table, self.operation.window
        index = torch.zeros((1, 1), dtype=torch.long, device=table.device)
        for edge in window:
            place = torch.arange(edge, device=table.device)
            apart = place[:, None] - place[None, :] + edge - 1
            index = index[:, None, :, None] * (2 * edge - 1) + apart[None, :, None, :]
            index = index.reshape(index.shape[0] * edge, -1)
        return table[index[:pixels, :pixels].reshape(-1)].reshape(pixels, pixels, -1).movedim(-1, 0)

    def _parts(
        self, whole: Sequence[int], shift: Sequence[int], rows: torch.Tensor
    ) -> torch.Tensor | None:
        """Return which pixels of each window lay beside each other before the shift."""
        if not any(shift):
            return None
        part = torch.zeros((1,) * len(whole), dtype=torch.long, device=rows.device)
        edges = [min(n, w) for n, w in zip(whole, self.operation.window, strict=True)]
        for axis, (length, edge, moved) in enumerate(zip(whole, edges, shift, strict=True)):
            place = torch.arange(length, device=rows.device)
            along = (place >= length - edge).long() + (place >= length - moved).long()
            along = along if moved else torch.zeros_like(along)
            part = part * 3 + along.reshape([-1 if a == axis else 1 for a in range(len(whole))])
        counts = [n // w for n, w in zip(whole, edges, strict=True)]
        return _cut(part[None, ..., None], counts, edges)[..., 0]


def _cut(x: torch.Tensor, counts: Sequence[int], window: Sequence[int]) -> torch.Tensor:
    """Return a map ``(n, [z,] y, x, c)`` as ``(windows, pixels, c)``."""
    pairs = [v for pair in zip(counts, window, strict=True) for v in pair]
    x = x.reshape(len(x), *pairs, x.shape[-1])
    outer, inner = range(1, x.ndim - 1, 2), range(2, x.ndim - 1, 2)
    return x.permute(0, *outer, *inner, x.ndim - 1).reshape(-1, math.prod(window), x.shape[-1])


def _joined(
    rows: torch.Tensor, n: int, counts: Sequence[int], window: Sequence[int]
) -> torch.Tensor:
    """Return windows as a map again, see :func:`_cut`."""
    x, ndim = rows.reshape(n, *counts, *window, rows.shape[-1]), len(counts)
    order = [axis for i in range(ndim) for axis in (1 + i, 1 + ndim + i)]
    whole = [c * w for c, w in zip(counts, window, strict=True)]
    return x.permute(0, *order, x.ndim - 1).reshape(n, *whole, rows.shape[-1])

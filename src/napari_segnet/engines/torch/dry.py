"""DryRun: what a network takes of memory, by a run without values."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.torch.fast import fast_copy
from napari_segnet.engines.torch.memory import peak_bytes
from napari_segnet.families import MapFamily, MeasurableFamily
from napari_segnet.recognition import family_of

__all__ = ["DryRun", "activated"]

KERNEL_SHARE = 1.25
"""Layers take workspace of their own; measured 1.1 to 1.2 with oneDNN on a CPU."""


class DryRun:
    """Estimates memory by dry runs of the same size, which take none.

    Layers shrink and grow with the pixels, but not in proportion where they lose their border.

    Parameters
    ----------
    checkpoint : Checkpoint
        What the network is.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._family = family_of(checkpoint)
        self._bytes: dict[tuple[int, ...], int] = {}
        self._bare: nn.Module | None = None

    def peak_bytes(self, batch: int, lengths: tuple[int, ...]) -> int:
        """Estimate the memory for ``batch`` inputs of ``([z,] y, x)`` pixels."""
        if lengths not in self._bytes:
            if self._bare is None:
                with torch.device("meta"):
                    self._bare = fast_copy(self._family.build(self._checkpoint).eval(), "cpu")
            shape = (1, self._checkpoint.channels, *lengths)
            self._bytes[lengths] = peak_bytes(self._bare, self._answer, shape)
        return int(KERNEL_SHARE * self._bytes[lengths] * batch)

    def _answer(self, module: nn.Module, batch: torch.Tensor) -> Any:
        """Do what takes the memory, as far as it can be done without values."""
        family = self._family
        if isinstance(family, MapFamily):
            return activated(self._checkpoint, family.maps(module, batch))
        return family.measured(module, batch) if isinstance(family, MeasurableFamily) else None


def activated(checkpoint: Checkpoint, answer: torch.Tensor) -> torch.Tensor:
    """Return raw maps ``(n, channel, [z,] y, x)`` after the activations of a checkpoint."""
    parts, first = [], 0
    for activation, channels in _spans(checkpoint):
        # Without a part, OpenVINO joins the activation with the last convolution.
        whole = channels == answer.shape[1]
        part = answer if whole else answer[:, first : first + channels]
        first += channels
        if activation == "sigmoid":
            part = part.float().sigmoid()
        elif activation == "softmax":
            part = part.float().softmax(1)
        elif activation == "tanh":
            part = part.float().tanh()
        parts.append(part)
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _spans(checkpoint: Checkpoint) -> list[tuple[str, int]]:
    """Return activations and how many channels each takes: neighbours of one are one span.

    Each softmax is a span of its own, since its channels sum to 1.
    """
    spans: list[tuple[str, int]] = []
    for output in checkpoint.outputs:
        activation, channels = output.activation, output.channels
        if spans and activation == spans[-1][0] != "softmax":
            channels += spans.pop()[1]
        spans.append((activation, channels))
    return spans

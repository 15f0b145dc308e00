"""What training asks of a kind of answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    from napari_segnet.segmentation import NetworkAnswer

__all__ = ["Batch", "Crop", "Objective"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crop:
    """What one step learns from.

    Attributes
    ----------
    pixels : ndarray
        ``(c, [z,] y, x)`` float32, normalised.
    targets : ndarray
        ``(channel, [z,] y, x)`` float32.
    trusted : ndarray
        ``(1, [z,] y, x)`` float32: 1 where the labels may be learned from.
    labels : ndarray
        ``([z,] y, x)`` int32: what the targets are made of.
    kinds : mapping of int to int
        Class of each object, where objects have classes; 1 is the first.
    """

    pixels: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    trusted: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    kinds: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Crops as tensors on the device.

    Attributes
    ----------
    crops : sequence of Crop
        What they are made of.
    pixels, targets, trusted : tensor
        ``(n, channel, [z,] y, x)`` float32.
    generator : torch.Generator
        Draws what a loss draws at random: the same after a training was resumed.
    """

    crops: Sequence[Crop]
    pixels: torch.Tensor
    targets: torch.Tensor
    trusted: torch.Tensor
    generator: torch.Generator


class Objective(Protocol):
    """How one network is trained; made once for a training.

    Attributes
    ----------
    channels_last : bool
        True if the network is faster in that layout on a CPU: it is of convolutions only.
    """

    channels_last: bool

    def forward(self, module: torch.nn.Module, batch: Batch) -> Any:
        """Return what the loss is made of; in the precision of the training (autocast)."""

    def loss(self, answer: Any, batch: Batch, old: torch.nn.Module | None) -> torch.Tensor:
        """Return the loss of an answer, in float32.

        ``old`` is the network before the training, where it is to be held on to what that was
        sure of (the setting ``replay``).
        """

    def sums(self, answer: Any, batch: Batch) -> Mapping[str, float]:
        """Return what is added up over the held-out batches."""

    def figures(self, sums: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
        """Return the figures of an epoch by name, such as ``val_dice``, of what was added up."""

    def predict(self, module: torch.nn.Module, pixels: torch.Tensor) -> NetworkAnswer:
        """Return what the network says of one crop ``(1, c, [z,] y, x)``, after activations."""

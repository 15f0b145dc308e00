"""Normalisations that torch has not in this form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from napari_segnet.graph._norms import BatchNorm

__all__ = ["ChannelNorm", "Instance2d", "Instance3d", "batch_norm", "without"]


class ChannelNorm(nn.Module):
    """Mean and variance over the channels of each pixel by itself.

    Parameters
    ----------
    channels : int
        How many.
    epsilon : float
        Added to the variance.
    """

    def __init__(self, channels: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight: nn.Parameter | None = nn.Parameter(torch.ones(channels))
        self.bias: nn.Parameter | None = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, c, [z,] y, x)`` to the same shape."""
        last = x.movedim(1, -1)
        normed = functional.layer_norm(last, last.shape[-1:], self.weight, self.bias, self.epsilon)
        return normed.movedim(-1, 1)


class _Instance(nn.Module):
    """Answers a map of one pixel as well, which torch refuses: it is its own mean."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, c, [z,] y, x)`` to the same shape."""
        bias: torch.Tensor | None = getattr(self, "bias", None)
        if x.shape[2:].numel() > 1:
            answer: torch.Tensor = super().forward(x)
            return answer
        zero = x - x
        return zero if bias is None else zero + bias.reshape(-1, *(1,) * (x.ndim - 2))


class Instance2d(_Instance, nn.InstanceNorm2d):
    """An instance normalisation of planes."""


class Instance3d(_Instance, nn.InstanceNorm3d):
    """An instance normalisation of volumes."""


class _Uncounted(nn.Module):
    """Counts no batches; torch adds a count to every file that says no version."""

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any
    ) -> None:
        said = {**local_metadata, "version": 2}
        super()._load_from_state_dict(state_dict, prefix, said, *rest)


class _Frozen(_Uncounted):
    """Never trained: it stays in evaluation mode."""

    def train(self, mode: bool = True) -> Any:
        """Stay as it is."""
        return super().train(False)


class _Uncounted2d(_Uncounted, nn.BatchNorm2d):
    pass


class _Uncounted3d(_Uncounted, nn.BatchNorm3d):
    pass


class _Frozen2d(_Frozen, nn.BatchNorm2d):
    pass


class _Frozen3d(_Frozen, nn.BatchNorm3d):
    pass


_KINDS: Mapping[tuple[str, int], Any] = {
    ("counted", 2): nn.BatchNorm2d,
    ("counted", 3): nn.BatchNorm3d,
    ("uncounted", 2): _Uncounted2d,
    ("uncounted", 3): _Uncounted3d,
    ("frozen", 2): _Frozen2d,
    ("frozen", 3): _Frozen3d,
}


def batch_norm(operation: BatchNorm, channels: int, ndim: int) -> nn.Module:
    """Return a batch normalisation with the tensors that the operation names."""
    counted = "counted" if operation.counted else "uncounted"
    kind = _KINDS["frozen" if operation.frozen else counted, ndim]
    layer: nn.Module = kind(channels, operation.epsilon, operation.momentum)
    without(layer, operation.weight, operation.bias)
    if operation.frozen or not operation.counted:
        layer.register_buffer("num_batches_tracked", None)
    if operation.frozen:
        for role, there in (("weight", operation.weight), ("bias", operation.bias)):
            if there:
                value = layer._parameters.pop(role)
                layer.register_buffer(role, None if value is None else value.data)
        layer.eval()
    return layer


def without(layer: nn.Module, weight: bool, bias: bool) -> None:
    """Take the weight or the bias away from a normalisation that has both."""
    for role, there in (("weight", weight), ("bias", bias)):
        if not there:
            layer.register_parameter(role, None)
